"""modded-nanogpt, its speed-run records, and parameter-golf.

    step:250/6200 val_loss:4.7012 train_time:53234ms step_avg:221.81ms
    step:251/6200 train_loss:4.6543 train_time:53450ms step_avg:221.78ms
    s:250 tel:4.714662

The log begins with the source of the training script, which may hold text that looks like records: what
stands before the first rule of ``=`` is not read. ``train_loss`` is that of the step's own batch. A loss
after quantisation is a fact, not a point of training. ``step_avg`` is a mean since the start, so the time
of a step is taken from the differences of ``train_time``.
"""

from __future__ import annotations

import re

from ..run import Fact, Run
from ..source import Source
from . import Options, Reader
from ._text import END4, END6, NUMBER, STEP, Book, Place, Stated, count, scan, stated, whole, words

NAME = "modded-nanogpt"
#: six decimals in the oldest form: llm.c's log of the same keys has four
RECORD = re.compile(
    rb"\n(?:step:\d{1,18}/\d{1,18} (?:train_loss|val_loss|train_time):[-+\dni]"
    rb"|s:\d{1,18} (?:tel|trl):(?:\d{1,6}\.\d{6}|nan))"
)
EVENT = re.compile(
    rb"\n(?:step:" + STEP + rb"/" + STEP + rb"((?: \w{1,20}:[^\s:]{1,24}){1,8})(?=(\n?))"
    rb"|s:" + STEP + rb" (tel|trl):" + NUMBER + END6 +
    rb"|(?!step:|s:\d|warmup_step:)([^\n]{1,1000}))"
)  # fmt: skip
PART = re.compile(
    rb" (train_loss|val_loss|val_bpb|train_time):" + NUMBER + rb"(?:(ms|s)(?=\s|\Z)|" + END4 + rb")"
)
LOSSES = {b"train_loss": "batch_loss", b"val_loss": "val_loss", b"val_bpb": "val_bpb"}
RULE = re.compile(rb"={60,}\s*$")
SOURCE = re.compile(rb"(?:import |from [\w.]{1,60} import |def |class |#|with open\(sys\.argv)")
QUANTISED = re.compile(rb"final_(\w{1,60}) val_loss:" + NUMBER + END4)
WORLD = re.compile(rb"world_size:(\d{1,6}) grad_accum_steps:(\d{1,6})")
PAIRS = re.compile(rb"\b(\w{1,30}):([\w./+-]{1,100})")
#: parameter-golf's own words -> fact, unit; its warmup_steps compile the model and train nothing
SETTINGS = {
    b"train_batch_tokens": ("tokens_per_step", "tokens"),
    b"train_seq_len": ("block_size", "tokens"),
    b"iterations": ("max_steps", "steps"),
    b"num_heads": ("n_head", ""),
    b"num_kv_heads": ("n_kv_head", ""),
    b"seed": ("seed", ""),
    b"model_params": ("params_total", ""),
}
HEADS = (
    b"model_params:",
    b"attention_mode:",
    b"tie_embeddings:",
    b"train_batch_tokens:",
    b"seed:",
    b"world_size:",
)
DEVICE = re.compile(rb"Running on device_name=([\w .()/-]{2,60}?) with world_size=(\d{1,6})")
TABLE = (
    Stated(b"train_loader:dataset:", "dataset", "", re.compile(rb"(\S{1,200})")),
    Stated(b"val_loader:", "val_tokens", "tokens", re.compile(rb".{0,300}? tokens:(\d{1,18})(?!\d)"), whole),
    Stated(b"val_bpb:enabled", "tokenizer", "", re.compile(rb".{0,200}? tokenizer_path=(\S{1,300})")),
    Stated(b"stopping_early: ", "killed", "", re.compile(rb"([^\n]{1,200})")),
)


def read(source: Source, options: Options) -> list[Run]:  # noqa: ARG001
    log = _Log(Book(source.name, NAME))
    for match, place in scan(source, EVENT):
        if match[1]:
            log.step(match, place)
        elif match[5]:
            log.old(int(match[5]), match[6], float(match[7]))
        else:
            log.line(match, place)
    return log.book.finish()


class _Log:
    def __init__(self, book: Book) -> None:
        self.book = book
        self.code = self.ruled = False
        self.clock: tuple[int, float] | None = None  # the last step with a time, in ms

    def step(self, match: re.Match[bytes], place: Place) -> None:
        step = int(match[1])
        if step == 0 and self.book.last > 0:
            self.clock = None
        rec = self.book.at(step)
        for part in PART.finditer(match[3] + match[4]):
            if part[1] == b"train_time":
                self._time(step, float(part[2]) * (1000 if part[3] == b"s" else 1))
            elif part[3] is None:
                rec.add(LOSSES[part[1]], step, float(part[2]))
                if part[1] == b"val_bpb":
                    rec.set_unit("val_bpb", "bits per byte")
        if "max_steps" not in rec.facts:
            rec.fact("max_steps", int(match[2]), "steps", place.at(match.start()))

    def _time(self, step: int, ms: float) -> None:
        before, self.clock = self.clock, (step, ms)
        if before and step > before[0] and ms > before[1]:  # the clock starts anew after warm-up
            self.book.now.add("step_ms", step, (ms - before[1]) / (step - before[0]))

    def old(self, step: int, key: bytes, loss: float) -> None:
        self.book.at(step).add("val_loss" if key == b"tel" else "batch_loss", step, loss)

    def line(self, match: re.Match[bytes], place: Place) -> None:
        line = match[8]
        if not self.ruled and RULE.match(line):
            self._rule()
        elif not self.ruled and SOURCE.match(line):
            self.code = True
        elif quantised := QUANTISED.match(line):
            loss = Fact(float(quantised[2]), "nats", place.at(match.start()))
            if quantised[1].endswith(b"exact") or "final_quantised_loss" not in self.book.now.facts:
                self.book.now.facts["final_quantised_loss"] = loss
        elif line.startswith(HEADS):
            self._settings(line, place.at(match.start()))
        elif line.startswith(tuple(t.prefix for t in TABLE)):
            stated(self.book.now, line, place.at(match.start()), TABLE)
        elif device := DEVICE.match(line):
            self.book.now.fact("gpu", words(device[1]), "", place.at(match.start()))
            self.book.now.fact("world_size", int(device[2]), "devices", place.at(match.start()))
        else:
            self.book.other(line, place, match)

    def _rule(self) -> None:
        """The source ends here; what looked like records in it was text."""
        self.ruled = True
        if self.code:
            self.book.runs[-1] = type(self.book.now)(self.book.name, NAME)
            self.book.last, self.clock = -1, None

    def _settings(self, line: bytes, where: str) -> None:
        if self.book.last > 0:
            self.book.begin()
        rec = self.book.now
        for key, value in PAIRS.findall(line):
            if key in SETTINGS and value.isdigit():
                name, unit = SETTINGS[key]
                rec.fact(name, int(value), unit, where)
            elif key == b"tie_embeddings" and value in (b"True", b"False"):
                rec.fact("tied", value == b"True", "", where)
        if world := WORLD.match(line):
            rec.fact("world_size", int(world[1]), "devices", where)
            rec.fact("gradient_accumulation_steps", int(world[1]) * int(world[2]), "", where)


READER = Reader(
    name=NAME,
    about="modded-nanogpt, parameter-golf: `step:250/6200 val_loss:4.7012 train_time:53234ms`, `s:250 tel:4.714662`",
    sniff=count(RECORD),
    read=read,
)
