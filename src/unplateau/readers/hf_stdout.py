"""Records that Hugging Face's Trainer prints: a dict without a step, between progress bars.

``{'loss': 2.5, 'grad_norm': 1.1, 'learning_rate': 1e-4, 'epoch': 0.91}`` stands beside a bar like
``10%|#    | 549/5490 [05:02<38:38,  2.13it/s]``. A captured terminal keeps only the last state of a bar,
so a bar counts only where the record's epoch agrees with it; else the step is the multiple of
``logging_steps`` in the range that the rounded epoch leaves, else the middle of that range.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping

from ..run import Fact, Run
from ..source import Source
from . import Options, Reader
from ._hf import Records, number
from ._hf_clock import NOTHING, Clock, Found, Part
from ._progress import Bar, training_total
from ._records import Recorder, without_steps

NAME = "hf-stdout"
RECORD = re.compile(rb"\{'[^{}\n]{1,4000}\}")
PAIR = re.compile(rb"'([^'\n]{1,100})': ?(?:'([^'\n]{0,100})'|([^,'}\n]{1,100}))")
LOSS = re.compile(rb"'(?:eval_)?loss': ?'?[-\d.ni]")
WHEN = re.compile(rb"'(?:epoch|learning_rate|step|global_step)': ?'?[-\d.]")
BAR = re.compile(rb"\| {1,9}(\d{1,9})/(\d{1,9}) \[")
BARE = re.compile(rb"\s{0,16}\d{1,3}%\|")  # the Trainer's bar has no title; loading and tokenising have one
BAR_WIDTH = 1200  # bytes before the count: the widest bar of a wide terminal, three bytes a block
START = re.compile(rb"\*\*\*\*\* Running training \*\*\*\*\*")
CONTINUED = re.compile(rb"Continuing training from (?:checkpoint|global step|epoch)")
STATED = re.compile(
    rb"(Num examples|Num Epochs|Instantaneous batch size per device|Gradient Accumulation steps"
    rb"|Total train batch size[^=\n]{0,80}|Total optimization steps|Number of trainable parameters) = ([\d,]{1,20})"
)
ARGUMENT = re.compile(
    rb"^(adam_beta1|adam_beta2|bf16|eval_steps|fp16|gradient_accumulation_steps|label_smoothing_factor"
    rb"|learning_rate|logging_steps|lr_scheduler_type|max_grad_norm|max_steps|num_train_epochs|optim|output_dir"
    rb"|per_device_train_batch_size|run_name|seed|warmup_steps|weight_decay)=([^\n]{0,300})$",
    re.MULTILINE,
)
#: TrainingArguments as echoed -> fact, unit
ARGUMENTS = {
    "adam_beta1": ("beta1", ""),
    "adam_beta2": ("beta2", ""),
    "gradient_accumulation_steps": ("gradient_accumulation_steps", ""),
    "label_smoothing_factor": ("label_smoothing", ""),
    "learning_rate": ("peak_lr", ""),
    "lr_scheduler_type": ("schedule", ""),
    "max_grad_norm": ("grad_clip", ""),
    "num_train_epochs": ("epochs_planned", "epochs"),
    "optim": ("optimizer", ""),
    "output_dir": ("out_dir", ""),
    "per_device_train_batch_size": ("batch_size", "sequences"),
    "run_name": ("run_name", ""),
    "seed": ("seed", ""),
    "weight_decay": ("weight_decay", ""),
}
WORDS = ("lr_scheduler_type", "optim", "output_dir", "run_name")  # the rest are numbers


def sniff(sample: bytes, name: str) -> int:  # noqa: ARG001
    return sum(1 for m in RECORD.finditer(sample) if LOSS.search(m[0]) and WHEN.search(m[0]))


def read(source: Source, options: Options) -> list[Run]:
    parts = [part for part in _parts(source) if part.found]
    runs = []
    for i, part in enumerate(parts, 1):
        rec = Recorder(source.name if len(parts) == 1 else f"{source.name} part {i}", NAME)
        numbered = _record(rec, part, options)
        for note in source.notes:
            rec.warn(note)
        if not rec.empty:
            runs.append(without_steps(rec.finish(), "records") if numbered else rec.finish())
    return runs


def _parts(source: Source) -> list[Part]:
    """The runs in the file: each begins where training is announced, unless it continues another."""
    parts, head = [Part()], dict[str, tuple[str, int]]()
    for place, (kind, line, key, text, values) in enumerate(_events(source)):
        part = parts[-1]
        if kind == "start" and part.found:
            parts.append(Part(dict(head)))
        elif kind == "continued" and len(parts) > 1 and not part.found:
            parts.pop()
        elif kind == "fact":
            if key.islower():  # arguments are echoed before a further run is announced
                head[key] = text, line
            if not part.found:
                part.facts.setdefault(key, (text, line))
        elif kind == "bar":
            part.bars.add(Bar(place, int(key), int(text)))
        elif kind == "record":
            found = Found(place, line, values)
            part.bars.settle()
            if "train_runtime" in values or "train_loss" in values:
                part.summary = found
            else:
                if _restarted(part, found):
                    parts.append(Part(dict(head)))
                parts[-1].found.append(found)
    return parts


def _restarted(part: Part, found: Found) -> bool:
    """True where the epoch falls back after the end, or to before the first record: another run, appended."""
    if not part.found or not found.epoch or not part.found[0].epoch or not part.found[-1].epoch:
        return False
    back = found.epoch[0] < part.found[-1].epoch[0]
    return back and (part.summary is not None or found.epoch[0] <= part.found[0].epoch[0])


Event = tuple[str, int, str, str, Mapping[str, str]]


def _events(source: Source) -> Iterator[Event]:
    """Bars, records, stated facts, in the order of the log."""
    for piece in source.pieces():
        found: list[tuple[int, str, str, str, Mapping[str, str]]] = []
        data = piece.data
        for m in RECORD.finditer(data):
            values = {k.decode(): (a or b).decode("utf-8", "replace").strip() for k, a, b in _pairs(m[0])}
            if (LOSS.search(m[0]) and WHEN.search(m[0])) or "train_runtime" in values:
                found.append((m.start(), "record", "", "", values))
        for m in BAR.finditer(data):
            start = max(
                data.rfind(b"\n", max(0, m.start() - BAR_WIDTH), m.start()) + 1, m.start() - BAR_WIDTH
            )
            if BARE.match(data, start):
                found.append((m.start(), "bar", m[1].decode(), m[2].decode(), {}))
        for m in STATED.finditer(data):
            key = m[1].decode("ascii", "replace").partition(" (")[0]
            found.append((m.start(), "fact", key, m[2].decode(), {}))
        for m in ARGUMENT.finditer(data):
            text = m[2].decode("utf-8", "replace").strip().removesuffix(",")
            found.append((m.start(), "fact", m[1].decode(), text, {}))
        found += [(m.start(), "start", "", "", {}) for m in START.finditer(data)]
        found += [(m.start(), "continued", "", "", {}) for m in CONTINUED.finditer(data)]
        yield from _numbered(piece.data, piece.line, found)


def _pairs(raw: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    for k, a, b in PAIR.findall(raw):
        if k.isascii():
            yield k, a, b


def _numbered(
    data: bytes, line: int, found: list[tuple[int, str, str, str, Mapping[str, str]]]
) -> Iterator[Event]:
    at = 0
    for start, kind, key, text, values in sorted(found, key=lambda event: event[0]):
        line += data.count(b"\n", at, start) - data.count(b"\r\n", at, start)
        at = start
        yield kind, line, key, text, values


def _record(rec: Recorder, part: Part, options: Options) -> bool:
    """Tell each record's step, then hand it on; True where the number of a record had to stand for it."""
    stated = part.stated("Total optimization steps") or part.stated("max_steps")
    total = int(stated) if stated and stated > 0 else None
    total = total or training_total(part.bars, [f.place for f in part.found if "loss" in f.values])
    part.bars = part.bars.only(total)
    how: Counter[str] = Counter()
    records, clock = Records(rec, options), Clock(part, total, options.columns.get("step", "step"))
    for found in part.found:
        step, why = clock.step_of(found)
        how[why] += 1
        records.add(found.values, step)
    _facts(rec, part, total)
    told = ", ".join(f"{n:,} {why}" for why, n in how.items() if why != NOTHING)
    if told and set(how) != {"by the record itself"}:
        rec.warn(f"the records carry no step; told {told}")
    return how[NOTHING] > 0


def _facts(rec: Recorder, part: Part, total: int | None) -> None:
    for key, (name, unit) in ARGUMENTS.items():
        text, line = part.facts.get(key, ("", 0))
        value: object = text if key in WORDS else number(text)
        if value not in (None, "", "None"):
            rec.fact(name, _whole(value), unit, f"log line {line}")
    for key, name, unit in (
        ("Total optimization steps", "max_steps", "steps"),
        ("Num Epochs", "epochs_planned", "epochs"),
        ("Instantaneous batch size per device", "batch_size", "sequences"),
        ("Gradient Accumulation steps", "gradient_accumulation_steps", ""),
        ("Number of trainable parameters", "params_logged", ""),
        ("logging_steps", "log_interval", "steps"),
    ):
        value = part.stated(key)
        if value and value >= 1:
            rec.fact(name, _whole(value), unit, f"log line {part.facts[key][1]}")
    if "params_logged" in rec.facts:
        rec.fact("params_logged_kind", "trainable", "", rec.facts["params_logged"].source)
    if total:
        rec.facts.setdefault("max_steps", _fact_of_bar(total))
    _warmup(rec, part)


def _warmup(rec: Recorder, part: Part) -> None:
    """0 stands there also where warmup_ratio sets it."""
    value = part.stated("warmup_steps")
    if value and 1 <= value < 1e15:
        rec.fact("warmup_steps", int(value), "steps", f"log line {part.facts['warmup_steps'][1]}")
    for key, dtype in (("bf16", "bfloat16"), ("fp16", "float16")):
        if part.facts.get(key, ("", 0))[0] == "True":
            rec.fact("dtype", dtype, "", f"log line {part.facts[key][1]}")


def _fact_of_bar(total: int) -> Fact:
    return Fact(total, "steps", "progress bar")


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and abs(value) < 1e15 and value == int(value) else value


READER = Reader(
    NAME,
    "what Hugging Face's Trainer prints: {'loss': 2.5, 'learning_rate': 1e-4, 'epoch': 0.91}",
    sniff,
    read,
    maps=True,
)
