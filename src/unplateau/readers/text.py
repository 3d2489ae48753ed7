"""The last resort: any printed log in which a step and a loss can be told, by the names before the numbers.

``key: value``, ``key=value``, ``key value``, dicts and tables are read alike. What was taken for what is said in
warnings; a log in which no loss can be told gives no run. Where no line has a step, its records are counted.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ..run import LOSSES, SERIES, Run
from ..source import Source
from . import Options, Reader
from ._lines import MACHINE, marked
from ._named import Named, context, fields, header_of, rank_of
from ._names import TRAIN, plain
from ._text import Book
from ._units import in_nats

RECORDS = 3  # lines of one kind that make a log
COUNTED = 5  # lines of one kind that make a log where they have neither step nor epoch
DISTINCT = 3  # values among them: source code sets the loss to 0.0 again and again
HINT = re.compile(r"loss|nll|xent|entropy|\bval\b", re.IGNORECASE)
OWN = "_own_"  # in front of a name of ours that is no series
OTHERS = ("lr", "grad_norm", "tokens", "mfu")


@dataclass(slots=True)
class Kind:
    """What was seen of the lines on which one loss stands under one name."""

    name: str
    records: int = 0
    stepped: int = 0
    epochs: int = 0
    beside_val: int = 0
    values: set[float] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Record:
    """One line: its losses by kind, its step, epoch and other series."""

    losses: tuple[tuple[str, Named], ...]  # kind -> number
    step: Named | None
    epoch: Named | None
    others: tuple[tuple[str, float], ...]


@dataclass(slots=True)
class Lines:
    """Reads lines into records; remembers the head of a table."""

    mapped: dict[str, str]
    header: tuple[str, ...] = ()

    def record(self, line: str) -> Record | None:
        """The record on a line; None where it has no named number."""
        if not any(c.isdigit() for c in line) and "nan" not in line.lower():
            self.header = header_of(line) or (self.header if not any(c.isalpha() for c in line) else ())
            return None
        named = (fields(line, self.mapped, self.header) if self.header else []) or fields(line, self.mapped)
        if not named:
            return None
        steps = [f for f in named if f.role == "step" and f.whole and f.value >= 0 and not f.open]
        step = min(steps, key=lambda f: rank_of(f.words), default=None)
        epoch = next((f for f in named if f.role == "epoch"), None)
        return Record(tuple(self.losses(named, line)), step, epoch, tuple(_others(named)))

    def losses(self, named: list[Named], line: str) -> Iterator[tuple[str, Named]]:
        """Each loss with its kind: the words of its name, and ``val:`` before them where the line says so."""
        bare = {"train", "val"} <= {f.role for f in named}  # "train 9.8578 val 9.8535": both or none
        taken: set[str] = set()
        for f in named:
            split = (
                context(line[: line.find(f.name)]) if f.role == "batch_loss" and not _trains(f.words) else ""
            )
            kind = f"{split}:{f.words}" if split in {"val", "test"} else f.words
            is_loss = f.role in LOSSES or (bare and f.role in {"train", "val"}) or f.role.startswith(OWN)
            if is_loss and kind not in taken and split != "test":
                taken.add(kind)
                yield kind, f


def _trains(words: str) -> bool:
    return bool(TRAIN & set(words.split()))


def _others(named: list[Named]) -> Iterator[tuple[str, float]]:
    seen = set()
    for f in named:
        if f.role in OTHERS and f.role not in seen:
            seen.add(f.role)
            yield f.role, f.value / 100 if f.role == "mfu" and f.unit == "%" else f.value


@dataclass(slots=True)
class Learned:
    """What the kinds of losses are read as, and where steps come from."""

    names: dict[str, str] = field(default_factory=dict)  # kind -> series
    shown: dict[str, str] = field(default_factory=dict)  # kind -> its name as written
    stepped: bool = False
    clock: str = ""  # without steps: the kind whose records are counted
    by_epoch: bool = False  # without steps: one record an epoch, so the epoch stands for the step
    local: bool = False  # the step begins again with each epoch
    records: int = 0


def learn(lines: Iterable[str], options: Options) -> Learned:
    """Look at a sample and decide; ``names`` is empty where no loss can be told."""
    reader = Lines(_mapped(options))
    kinds: dict[str, Kind] = {}
    epochs: list[tuple[str, float]] = []
    steps: list[tuple[float, float]] = []
    for line in lines:
        record = reader.record(line)
        if record is None:
            continue
        val = any(f.role in {"val_loss", "val"} for _, f in record.losses)
        for name, number in record.losses:
            kind = kinds.setdefault(name, Kind(number.name))
            kind.records += 1
            kind.stepped += record.step is not None
            kind.epochs += record.epoch is not None
            kind.beside_val += val
            if len(kind.values) < DISTINCT:
                kind.values.add(number.value)
            if record.epoch is not None:
                epochs.append((name, record.epoch.value))
        if record.losses and record.step is not None and record.epoch is not None:
            steps.append((record.epoch.value, record.step.value))
    return _decide(kinds, epochs, steps, reader.mapped)


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
    mapped: dict[str, str],
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


def _series(kind: str, seen: Kind, mapped: dict[str, str]) -> str:
    asked = mapped.get(kind.partition(":")[2] or kind)
    if asked:
        return asked
    words = set(kind.replace(":", " ").split())
    if words & {"val", "valid", "validation", "eval", "evaluation", "dev"}:
        return "val_loss"
    # beside a val_loss on its line, a loss of the train split was evaluated like it
    return "train_loss" if words & TRAIN and seen.beside_val == seen.records else "batch_loss"


@dataclass(slots=True)
class Clock:
    """The step of each record, where it has one; else the latest, or a count."""

    learned: Learned
    now: int | None = None
    first_epoch: float | None = None
    epoch: float | None = None
    offset: int = 0
    last: int = 0
    counted: int = 0

    def at(self, record: Record) -> int | None:
        learned = self.learned
        if learned.stepped:
            if record.step is not None:
                self.now = (
                    self._global(record, int(record.step.value)) if learned.local else int(record.step.value)
                )
            return self.now
        if any(kind == learned.clock for kind, _ in record.losses):
            self.counted += 1
            by_epoch = learned.by_epoch and record.epoch is not None and 0 <= record.epoch.value < 1e15
            self.now = int(record.epoch.value) if by_epoch and record.epoch else self.counted
        return self.now

    def _global(self, record: Record, step: int) -> int:
        """Steps that begin again with each epoch, made to go on."""
        if record.epoch is None:
            return self.offset + step
        epoch = record.epoch.value
        if self.epoch is not None and epoch > self.epoch and step <= self.last:
            total = record.step.total if record.step else None
            self.offset += int(total) if total and self.last <= total < 1e15 else self.last + 1
        self.epoch, self.last = epoch, step
        return self.offset + step


def _lines(sample: bytes) -> Iterator[str]:
    for raw in sample.split(b"\n"):
        line = raw[:LIMIT].decode("utf-8", "replace")
        if HINT.search(line) or not line.strip("-=+| \r") or len(line) < LIMIT:
            yield line


LIMIT = 4096  # bytes of a line, as in _named


def sniff(sample: bytes, name: str) -> int:  # noqa: ARG001
    """The records that a log of unknown make would give; 0 where no loss can be told."""
    learned = learn(_lines(sample), Options())
    return learned.records if learned.names else 0


def read(source: Source, options: Options) -> list[Run]:
    """The one run of a log; empty where no loss can be told."""
    learned = learn(_lines(source.sample), options)
    if not learned.names:
        return []
    book, clock, lines, lost = Book(source.name, "text"), Clock(learned), Lines(_mapped(options)), 0
    for raw, where in marked(source, _mark()):
        line = raw[:LIMIT].decode("utf-8", "replace")
        record = lines.record(line)
        if record is None:
            book.machine(raw, where)
            continue
        row = {learned.names[kind]: f.value for kind, f in record.losses if kind in learned.names}
        step = clock.at(record)
        if not row:
            continue
        if step is None:
            lost += 1
            continue
        row |= dict(record.others)
        if record.epoch is not None and (not learned.by_epoch or learned.clock in dict(record.losses)):
            row["epoch"] = record.epoch.value
        book.last, book.death = -1, None
        book.now.row(tuple(row), step, tuple(row.values()))
    _say(book, learned, lost)
    return [in_nats(run, options) for run in book.finish()]


def _mark() -> re.Pattern[bytes]:
    return re.compile(rb"\n[^\n]|" + MACHINE)


def _say(book: Book, learned: Learned, lost: int) -> None:
    """How the log was understood."""
    rec = book.now
    for kind, series in learned.names.items():
        if plain(learned.shown[kind]) != series:
            rec.warn(f"read {learned.shown[kind]!r} as {series}")
    if not learned.stepped:
        rec.warn(
            "the log names no step: the epoch stands for it"
            if learned.by_epoch
            else f"the log names no step: records of {learned.shown[learned.clock]!r} are counted from 1"
        )
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
)
