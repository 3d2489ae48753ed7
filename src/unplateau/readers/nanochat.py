"""nanochat's standard output: one run a stage (base, mid, sft) of ``speedrun.sh``.

    Step 00250 | Validation bpb: 1.1991
    step 00250/21400 (1.17%) | loss: 3.912345 | lrm: 1.00 | dt: 420.11ms | tok/sec: 1,247,912 | mfu: 48.12 | ..
    Step 00010/00701 | Training loss: 0.731213| lrm: 0.985735| num_tokens: 10,446

``loss`` is a running mean of the batch loss. Validation is in bits per byte, which is not the unit of the
losses, so it stands in a series of its own. ``lrm`` is the factor on every learning rate. The source of
the script may stand before the records, and captures of a terminal break lines at its width.
"""

from __future__ import annotations

import re

from ..run import Fact, Run
from ..source import Source
from . import Options, Reader
from ._records import Recorder
from ._text import COUNT, END4, NUMBER, STEP, Book, Place, Stated, count, scan, stated, whole, words

NAME = "nanochat"
RECORD = re.compile(
    rb"\n[Ss]tep \d{1,18}(?:/\d{1,18})? (?:\([\d.]{1,8}%\) \| loss: |\| (?:Validation (?:bpb|loss)|Training loss): )"
)
#: where a terminal broke the line between a word and its number
BREAK = rb"[ \n]{1,3}"
EVENT = re.compile(
    rb"\n(?:step " + STEP + rb"(?:/(\d{1,18}))? \([\d.]{1,8}%\) \| loss: " + NUMBER + rb" \|"
    rb"(?: lrm: " + NUMBER + rb" \|)?(?: dt:" + BREAK + NUMBER + rb"ms)?"
    rb"(?: \| tok/sec:" + BREAK + rb"[\d,]{1,16} \| (?:\w{1,8}_)?mfu:" + BREAK + NUMBER + rb"(?=\s))?"
    rb"|Step " + STEP + rb" \| Validation (bpb|loss): " + NUMBER + END4 +
    rb"|Step " + STEP + rb"/(\d{1,18}) \| Training loss: " + NUMBER + rb"\|(?: lrm: " + NUMBER + rb"\|)?"
    rb"|(?!step |Step |Rank |Evaluating)([^\n]{1,1000}))"
)  # fmt: skip
BATCH = ("batch_loss", "lrm", "step_ms", "mfu")
SMOOTHED = "batch_loss is the running mean that nanochat prints, smoother than the loss of a batch"
TABLE = (
    Stated(b"Vocab size: ", "vocab_size", "", COUNT, whole),
    Stated(b"num_layers: ", "n_layer", "", COUNT, whole),
    Stated(b"model_dim: ", "n_embd", "", COUNT, whole),
    Stated(b"num_heads: ", "n_head", "", COUNT, whole),
    Stated(b"num_kv_heads: ", "n_kv_head", "", COUNT, whole),
    Stated(
        b"Tokens / micro-batch / rank: ", "batch_size", "sequences", re.compile(rb"(\d{1,9}) x \d"), whole
    ),
    Stated(
        b"Tokens / micro-batch / rank: ", "block_size", "tokens", re.compile(rb"\d{1,9} x (\d{1,9}) ="), whole
    ),
    Stated(b"Total batch size ", "tokens_per_step", "tokens", re.compile(rb"([\d,]{1,20}) =>"), whole),
    Stated(b"Number of parameters: ", "params_total", "", COUNT, whole),
    Stated(b"total  ", "params_total", "", re.compile(rb" {0,40}: ([\d,]{1,20})\s*$"), whole),
    Stated(
        b"transformer_matrices  ",
        "params_non_embedding",
        "",
        re.compile(rb" {0,40}: ([\d,]{1,20})\s*$"),
        whole,
    ),
    Stated(
        b"transformer_matrices ",
        "params_non_embedding",
        "",
        re.compile(rb" {0,40}: ([\d,]{1,20})\s*$"),
        whole,
    ),
    Stated(
        b"Calculated number of iterations from ",
        "max_steps",
        "steps",
        re.compile(rb"[^:]{1,30}:.{0,30}?: ([\d,]{1,20})\s*$"),
        whole,
    ),
    Stated(b"Using user-provided number of iterations: ", "max_steps", "steps", COUNT, whole),
    Stated(b"GPU: ", "gpu", "", re.compile(rb"([^|\n]{1,80}?) \|")),
    Stated(b"COMPUTE_DTYPE: torch.", "dtype", "", re.compile(rb"(\w{1,20})")),
    Stated(
        b"Scaling weight decay from ",
        "weight_decay",
        "",
        re.compile(rb"[\d.]{1,12} to ([\d.]{1,12}) for"),
        float,
    ),
    Stated(b"Muon: Grouping ", "optimizer", "", re.compile(rb"(?=(\d))"), lambda _: "muon"),
)
PREFIXES = tuple({t.prefix for t in TABLE})
WORLD = re.compile(rb"[\d\-]{10} [\d:,]{8,12} - nanochat\.common - INFO - Distributed world size: (\d{1,6})")
MODEL = re.compile(
    rb"[\d\-]{10} [\d:,]{8,12} - nanochat\.checkpoint_manager - INFO - (Loading model from|Building model with config:) (.{1,600})"
)
CONFIG = re.compile(rb"'(sequence_len|vocab_size|n_layer|n_head|n_kv_head|n_embd)': (\d{1,9})")
ACCUMULATION = re.compile(rb"gradient accumulation steps: (\d{1,6})")
#: the table that compares tokenizers on the text of the base run: bytes, then another's and its own tokens
COMPARED = re.compile(rb"fwe-val {1,12}(\d{1,12}) {1,12}\d{1,12} {1,12}[\d.]{1,8} {1,12}(\d{1,12}) ")


def read(source: Source, options: Options) -> list[Run]:  # noqa: ARG001
    log = _Log(Book(source.name, NAME))
    for match, place in scan(source, EVENT):
        if match[1]:
            log.batch(int(match[1]), "base" if match[2] else log.later, match.group(3, 4, 5, 6))
        elif match[7]:
            log.evaluation(int(match[7]), match[8], float(match[9]))
        elif match[10]:
            log.batch(int(match[10]), "sft", (match[12], match[13], None, None))
        else:
            log.line(match, place)
    return log.finish()


class _Log:
    def __init__(self, book: Book) -> None:
        self.book = book
        self.later = "mid"  # the stage whose lines have no total
        self.stage: dict[int, str] = {}  # by the position of the run
        self.bytes_per_token: Fact | None = None

    # --- records

    def batch(self, step: int, stage: str, values: tuple[bytes | None, ...]) -> None:
        rec = self._at(step, stage)
        if values[2] is not None:  # the lines of the older sft script hold the loss itself
            rec.warn(SMOOTHED)
        for name, value in zip(BATCH, values, strict=True):
            if value is None or (name == "mfu" and not float(value)):  # 0 where the card's peak is unknown
                continue
            rec.add(name, step, float(value) / (100 if name == "mfu" else 1))

    def evaluation(self, step: int, kind: bytes, value: float) -> None:
        rec = self._at(step, None)
        if kind == b"bpb":
            rec.set_unit("val_bpb", "bits per byte")
        rec.add("val_bpb" if kind == b"bpb" else "val_loss", step, value)

    def _at(self, step: int, stage: str | None) -> Recorder:
        """The run of a record; one of another stage begins a run, a resume goes on with the last."""
        held = self.stage.get(len(self.book.runs) - 1)
        if stage and held and stage != held:
            self.book.begin()
        self._resume(step, stage)
        rec = self.book.at(step)
        if stage:
            self.stage[len(self.book.runs) - 1] = stage
        return rec

    def _resume(self, step: int, stage: str | None) -> None:
        fresh = self.book.now
        if not fresh.empty or step <= 1 or len(self.book.runs) < 2:
            return
        before = self.stage.get(len(self.book.runs) - 2)
        if stage not in (None, before):
            return
        self.book.runs.pop()
        facts = self.book.now.facts
        at = [*facts["resumed_at"].value, step] if "resumed_at" in facts else [step]
        facts["resumed_at"] = Fact(at, "steps", "counted")
        for name, fact in fresh.facts.items():
            self.book.now.fact(name, fact.value, fact.unit, fact.source)

    # --- the heads of the stages

    def line(self, match: re.Match[bytes], place: Place) -> None:
        line = match[14]
        if line.startswith(PREFIXES):
            where = place.at(match.start())
            stated(self._head(), line, where, TABLE)
            self._accumulation(line, where)
        elif line.startswith(b"Autodetected device type: "):
            self._device(line, place.at(match.start()))
        elif line.startswith(b"Training mixture: "):
            self.later = "sft"
        elif line.startswith(b"20") and b"nanochat." in line:
            self._logger(line, place.at(match.start()))
        elif compared := COMPARED.match(line):
            ratio = int(compared[1]) / max(int(compared[2]), 1)
            self.bytes_per_token = Fact(round(ratio, 4), "bytes", place.at(match.start()))
        else:
            self.book.other(line, place, match)

    def _head(self) -> Recorder:
        return self.book.now if self.book.now.empty else self.book.begin()

    def _device(self, line: bytes, where: str) -> None:
        """Each script of the speed-run says this first."""
        self.later = "mid"
        early = self.book.now  # its logger may have spoken before, where the two outputs are mixed
        rec = early if early.empty and "architecture" not in early.facts else self.book.begin()
        rec.fact("architecture", "nanochat", "", where)
        rec.fact("device", words(line.partition(b": ")[2]), "", where)

    def _accumulation(self, line: bytes, where: str) -> None:
        rec = self.book.now
        if (steps := ACCUMULATION.search(line)) and "world_size" in rec.facts:
            rec.fact("gradient_accumulation_steps", int(steps[1]) * rec.facts["world_size"].value, "", where)

    def _logger(self, line: bytes, where: str) -> None:
        if world := WORLD.match(line):
            self._head().fact("world_size", int(world[1]), "devices", where)
        elif (model := MODEL.match(line)) and model[1].startswith(b"Loading"):
            self._head().fact("init_from", words(model[2]), "", where)
        elif model:
            for name, value in CONFIG.findall(model[2]):
                fact = "block_size" if name == b"sequence_len" else name.decode()
                self._head().fact(fact, int(value), "tokens" if fact == "block_size" else "", where)

    def finish(self) -> list[Run]:
        logged = [i for i, rec in enumerate(self.book.runs) if not rec.empty]
        for i in logged:
            stage = self.stage.get(i)
            if stage and len(logged) > 1:
                self.book.runs[i].name = stage
                text = Fact(f"that of nanochat's {stage} stage", "", "the script of the stage")
                self.book.runs[i].facts.setdefault("dataset", text)
            if stage == "base" and self.bytes_per_token:
                self.book.runs[i].facts.setdefault("bytes_per_token", self.bytes_per_token)
        return self.book.finish()


READER = Reader(
    name=NAME,
    about="nanochat's standard output: `step 00250/21400 (1.17%) | loss: 3.912345 | lrm: 1.00 | dt: 420.11ms | ..`",
    sniff=count(RECORD),
    read=read,
)
