"""The last resort: any printed log in which a step and a loss can be told, by the names before the numbers.

``key: value``, ``key=value``, ``key value``, dicts and tables are read alike. What was taken for what is said in
warnings; a log in which no loss can be told gives no run. Where no line has a step, its records are counted.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from io import BytesIO
from itertools import repeat

from ..run import SERIES, Run
from ..source import Piece, Source
from . import Options, Reader
from ._lines import LINE, MACHINE, marked_in
from ._named import header_of, names_of
from ._names import COMPARED, TRAIN, absent, plain
from ._records import without_steps
from ._shapes import OWN, SHORT, Lines
from ._sheet import Clock, Learned, Sheet
from ._text import Book, lead
from ._units import in_nats

RECORDS = 3  # lines of one kind that make a log
COUNTED = 5  # lines of one kind that make a log where they have neither step nor epoch
DISTINCT = 3  # values among them: source code sets the loss to 0.0 again and again
HINT = re.compile(rb"loss|nll|xent|entropy|\bval\b", re.IGNORECASE)
LINES = re.compile(rb"\n[^\n]|" + MACHINE)
#: a line for ``Book.machine`` holds one of these
ALARMS: tuple[bytes, ...] = (
    b"OutOfMemoryError",
    b"CUDA out of memory",
    b"Killed",
    b"KeyboardInterrupt",
    b"CUDA error:",
)
ALARMS += (b"slurmstepd: error:", b"DUE TO TIME LIMIT", b"oom-kill", b"received signal", b"SIGTERM")
ALARMS += (b"Segmentation fault", b"MiB |", b"\n|")


@dataclass(slots=True)
class Kind:
    """What was seen of the lines on which one loss stands under one name."""

    name: str
    records: int = 0
    stepped: int = 0
    epochs: int = 0
    beside_val: int = 0
    values: set[float] = field(default_factory=set)


def learn(lines: Iterable[bytes], mapped: Mapping[str, str]) -> Learned:
    """Look at a sample and decide; ``names`` is empty where no loss can be told."""
    reader = Lines(mapped)
    kinds: dict[str, Kind] = {}
    epochs: list[tuple[str, float]] = []
    steps: list[tuple[float, float]] = []
    for line in lines:
        record = reader.record(line)
        if record is None:
            continue
        shape, values = record
        for name, shown, at in shape.losses:
            kind = kinds.get(name) or kinds.setdefault(name, Kind(shown))
            kind.records += 1
            kind.stepped += shape.step is not None
            kind.epochs += shape.epoch is not None
            kind.beside_val += shape.val
            if len(kind.values) < DISTINCT:
                kind.values.add(values[at])
            if shape.epoch is not None:
                epochs.append((name, values[shape.epoch]))
        if shape.losses and shape.step is not None and shape.epoch is not None:
            steps.append((values[shape.epoch], values[shape.step]))
    return _decide(kinds, epochs, steps, mapped)


def _check(sample: bytes, options: Options) -> None:
    """Refuse a translation of a name that no number in the sample has."""
    wanted = {plain(key): (series, key) for series, key in options.columns.items()}
    if not wanted:
        return
    names: dict[str, None] = {}
    for raw in _lines(sample):
        line = raw[:SHORT].decode("utf-8", "replace")
        for name in (*names_of(line), *header_of(line)):
            wanted.pop(plain(name), None)
            if len(names) < COMPARED and not name[0].isdigit():
                names[name] = None
        if not wanted:
            return
    raise absent(*next(iter(wanted.values())), names)


def _mapped(options: Options) -> dict[str, str]:
    """Plain words -> role, from the user's own translation."""
    return {
        plain(key): name if name in SERIES or name in {"step", "epoch"} else OWN + name
        for name, key in options.columns.items()
    }


def _decide(
    kinds: dict[str, Kind],
    epochs: list[tuple[str, float]],
    steps: list[tuple[float, float]],
    mapped: Mapping[str, str],
) -> Learned:
    stepped = any(kind.stepped >= RECORDS for kind in kinds.values())
    sure = {name: kind for name, kind in kinds.items() if _is_sure(kind, stepped)}
    if not sure:
        return Learned()
    learned = Learned(stepped=stepped)
    # a validation may come once or twice; where training is sure, it is believed
    believed = {n: k for n, k in kinds.items() if n in sure or _series(n, k, mapped) == "val_loss"}
    for name, kind in sorted(believed.items(), key=lambda item: -item[1].records):
        series = _series(name, kind, mapped)
        if series in learned.names.values():
            series = name.replace(":", " ").replace(" ", "_")
        learned.names[name], learned.shown[name] = series.removeprefix(OWN), kind.name
    learned.records = sum(kind.records for kind in sure.values())
    learned.clock = max(sure, key=lambda name: sure[name].records)
    own = [epoch for name, epoch in epochs if name == learned.clock]
    learned.by_epoch = not stepped and len(own) > 1 and all(a < b for a, b in itertools.pairwise(own))
    learned.local = any(b[0] > a[0] and b[1] < a[1] for a, b in itertools.pairwise(steps))
    return learned


def _is_sure(kind: Kind, stepped: bool) -> bool:
    if stepped:
        return kind.records >= RECORDS
    enough = RECORDS if kind.epochs >= RECORDS else COUNTED
    return kind.records >= enough and len(kind.values) >= DISTINCT


def _series(kind: str, seen: Kind, mapped: Mapping[str, str]) -> str:
    asked = mapped.get(kind.partition(":")[2] or kind)
    if asked:
        return asked
    words = set(kind.replace(":", " ").split())
    if words & {"val", "valid", "validation", "eval", "evaluation", "dev"}:
        return "val_loss"
    # beside a val_loss on its line, a loss of the train split was evaluated like it
    return "train_loss" if words & TRAIN and seen.beside_val == seen.records else "batch_loss"


def _lines(sample: bytes) -> Iterator[bytes]:
    for raw in sample.split(b"\n"):
        if len(raw) < SHORT or HINT.search(raw[:SHORT]) or not raw[:SHORT].strip(b"-=+| \r"):
            yield raw + b"\n"


@lru_cache(maxsize=1)  # sniff and read see one sample
def _learned(sample: bytes, mapped: tuple[tuple[str, str], ...]) -> Learned:
    return learn(_lines(sample), dict(mapped))


def sniff(sample: bytes, name: str) -> int:  # noqa: ARG001
    """The records that a log of unknown make would give; 0 where no loss can be told."""
    learned = _learned(sample, ())
    return learned.records if learned.names else 0


def read(source: Source, options: Options) -> list[Run]:
    """The one run of a log; empty where no loss can be told."""
    mapped = _mapped(options)
    _check(source.sample, options)
    learned = _learned(source.sample, tuple(mapped.items()))
    if not learned.names:
        return []
    book, clock, sheet, lines = Book(source.name, "text"), Clock(learned), Sheet(learned), Lines(mapped)
    for piece in source.pieces():
        for raw, where in _lines_of(piece):
            record = lines.record(raw)
            if record is None:
                if where:
                    book.machine(raw, where)
            elif sheet.add(*record, clock):
                book.death = None  # it lived on
        sheet.hand_on(book.now)
    _say(book, learned, sheet.lost)
    runs = [in_nats(run, options) for run in book.finish()]
    instead = "epochs" if learned.by_epoch else "records"
    return runs if learned.stepped else [without_steps(run, instead) for run in runs]


def _lines_of(piece: Piece) -> Iterable[tuple[bytes, str]]:
    """The lines of a piece that hold something, and where they stand if one of them speaks of the machine."""
    text, place = lead(piece)
    if any(word in text for word in ALARMS):
        return marked_in(text, place, LINES)
    # the last may have been cut: only it has no newline
    lines: Iterable[bytes] = BytesIO(text) if b"\r" not in text else _bare(text)
    return zip(lines, repeat(""), strict=False)


def _bare(text: bytes) -> Iterator[bytes]:
    *whole, last = text.split(b"\n")
    for raw in whole:
        if raw and raw != b"\r":
            yield raw[:LINE].rstrip(b"\r") + b"\n"
    if last:
        yield last[:LINE].rstrip(b"\r")


def _say(book: Book, learned: Learned, lost: int) -> None:
    """How the log was understood."""
    rec = book.now
    for kind, series in learned.names.items():
        if plain(learned.shown[kind]).replace(" ", "_") != series:
            rec.warn(f"read {learned.shown[kind]!r} as {series}")
    if learned.local:
        rec.warn("steps begin again with each epoch: counted on")
    if lost:
        rec.warn(f"{lost:,} records before the first step left out")


READER = Reader(
    name="text",
    about="any other printed log with a step and a loss: 'step=55 loss=13.00 gnorm=14.0'",
    sniff=sniff,
    read=read,
    last_resort=True,
    maps=True,
)
