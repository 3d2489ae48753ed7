"""Lines of an unknown log: what the named numbers of each mean, learnt once for all lines of one shape.

A trainer prints the same line with other numbers a million times. The first few of a shape are taken apart
by ``_named``; then a pattern is made of one of them, all text as it stands and each number as a number, and a
line that fits is only converted. The pattern is strict: a line that fits it would be taken apart alike.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ..run import LOSSES
from ._named import NUMBER, Named, context, fields, header_of, may_name, rank_of
from ._names import TRAIN

OWN = "_own_"  # in front of a name of ours that is no series
OTHERS = ("lr", "grad_norm", "tokens", "mfu")
SHORT = 4096  # bytes of a line that is taken apart whole, as in _named
SEEN = 3  # lines of one shape before a pattern is made, which takes as long as 20 lines
SHAPES = 10_000  # lines' skeletons that are remembered
HEADS = 100  # heads of tables under which they are
PATTERNS = 256  # patterns that are made
ALIKE = 8  # patterns of one skeleton: other digits within a word (rank3)
DIGITS = b"0123456789"
DIGIT = re.compile(rb"[0-9]")
#: numbers as _named.NUMBER takes them, without a sign
WHOLE = rb"\d{1,18}"
WHOLE_GROUPED = rb"\d{1,3}(?:,\d{3}){1,5}"
_REST = rb"(?:\.\d{0,24})?(?:[eE][-+]?\d{1,3})?"
REAL = WHOLE + _REST + rb"|nan|NaN"
GROUPED = WHOLE_GROUPED + _REST


@dataclass(frozen=True, slots=True)
class Shape:
    """What a kind of line holds; numbers are places in its values."""

    losses: tuple[tuple[str, str, int], ...]  # kind, its name as written, and where
    val: bool  # one of the losses is of the validation split
    step: int | None
    total: int | None  # of the step: 100/1000
    epoch: int | None
    others: tuple[tuple[str, int, float], ...]  # series, where, and what to divide by


Values = Sequence[float]
Record = tuple[Shape, Values]
Convert = Callable[[bytes], Values | None]


@dataclass(slots=True)
class _Known:
    """What is known of the lines that are alike but for their digits."""

    seen: int = 0
    odd: bool = False  # no pattern is sure
    fits: list[tuple[Convert, Shape | None]] = field(default_factory=list)


@dataclass(slots=True)
class Lines:
    r"""Reads lines into records; remembers the head of a table, and shapes.

    >>> shape, values = Lines({}).record(b"step 20/100: loss 3.5\n")
    >>> shape.losses, shape.step, shape.total, list(values)
    ((('loss', 'loss', 2),), 0, 1, [20.0, 100.0, 3.5])
    >>> Lines({}).record(b"3 files\n") is None
    True
    """

    mapped: Mapping[str, str]
    header: tuple[str, ...] = ()
    _known: dict[bytes, _Known] = field(default_factory=dict)  # by skeleton, under the present header
    _known_under: dict[tuple[str, ...], dict[bytes, _Known]] = field(default_factory=dict)
    _shapes: dict[Shape, Shape] = field(default_factory=dict)
    _patterns: int = 0

    def record(self, raw: bytes) -> Record | None:
        """The record on a line, which keeps its newline unless it was cut; None where it has no named number."""
        if len(raw) < 2:
            return None
        skeleton = raw.translate(None, DIGITS)
        if skeleton in self._known:
            for convert, shape in self._known[skeleton].fits:
                if (values := convert(raw)) is not None:
                    return None if shape is None else (shape, values)
        if not self.header and not self.mapped and raw.isascii() and not may_name(raw[:SHORT]):
            return None
        line = raw[:SHORT].decode("utf-8", "replace")
        if not any(c.isdigit() for c in line) and "nan" not in line.lower():
            self._head(line)
            return None
        named = (fields(line, self.mapped, self.header) if self.header else []) or fields(line, self.mapped)
        record = self._record(named, line) if named else None
        if len(raw) < SHORT and raw.endswith(b"\n"):  # else its last number may have been cut
            self._learn(skeleton, line, record, named)
        return record

    def _head(self, line: str) -> None:
        """A line without numbers may be the head of a table, or end one."""
        header = header_of(line) or (self.header if not any(c.isalpha() for c in line) else ())
        if header != self.header:
            self.header = header
            self._known = self._known_under.setdefault(header, {})
            if len(self._known_under) > HEADS:
                self._known_under.clear()

    def _learn(self, skeleton: bytes, line: str, record: Record | None, named: list[Named]) -> None:
        known = self._known.get(skeleton)
        if known is None and len(self._known) < SHAPES:
            known = self._known[skeleton] = _Known()
        if known is None or known.odd or len(known.fits) >= ALIKE or self._patterns >= PATTERNS:
            return
        known.seen += 1
        if known.seen >= SEEN:
            steps = {f.at for f in named if f.role == "step"}
            convert = converter(line, steps, [at for at, _ in _used(named)], self.mapped)
            if convert is None:
                known.odd = True
            else:
                self._patterns += 1
                known.fits.append((convert, record[0] if record else None))

    def _record(self, named: list[Named], line: str) -> Record:
        used = _used(named)
        place = {at: i for i, (at, _) in enumerate(used)}
        steps = [f for f in named if f.role == "step" and f.whole and f.value >= 0 and not f.open]
        step = min(steps, key=lambda f: rank_of(f.words), default=None)
        epoch = next((f for f in named if f.role == "epoch"), None)
        losses = list(_losses(named, line))
        shape = Shape(
            tuple((kind, f.name, place[f.at]) for kind, f in losses),
            any(f.role in {"val_loss", "val"} for _, f in losses),
            place[step.at] if step else None,
            place[step.total_at] if step and step.total is not None else None,
            place[epoch.at] if epoch else None,
            tuple((f.role, place[f.at], _unit(f)) for f in _others(named)),
        )
        if len(self._shapes) >= SHAPES:
            self._shapes.clear()
        return self._shapes.setdefault(shape, shape), [value for _, value in used]


def _used(named: list[Named]) -> list[tuple[int, float]]:
    """Where each number that means something begins, and its value, from left to right."""
    totals = [(f.total_at, f.total) for f in named if f.total is not None]
    return sorted([*((f.at, f.value) for f in named), *totals])


def _losses(named: list[Named], line: str) -> Iterator[tuple[str, Named]]:
    """Each loss with its kind: the words of its name, and ``val:`` before them where the line says so."""
    bare = {"train", "val"} <= {f.role for f in named}  # "train 9.8578 val 9.8535": both or none
    taken: set[str] = set()
    for f in named:
        split = context(line[: line.find(f.name)]) if f.role == "batch_loss" and not _trains(f.words) else ""
        kind = f"{split}:{f.words}" if split in {"val", "test"} else f.words
        is_loss = f.role in LOSSES or (bare and f.role in {"train", "val"}) or f.role.startswith(OWN)
        if is_loss and kind not in taken and split != "test":
            taken.add(kind)
            yield kind, f


def _trains(words: str) -> bool:
    return bool(TRAIN & set(words.split()))


def _others(named: list[Named]) -> Iterator[Named]:
    seen = set()
    for f in named:
        if f.role in OTHERS and f.role not in seen:
            seen.add(f.role)
            yield f


def _unit(found: Named) -> float:
    return 100.0 if found.role == "mfu" and found.unit == "%" else 1.0


def converter(line: str, steps: set[int], used: Sequence[int], mapped: Mapping[str, str]) -> Convert | None:
    r"""What turns lines of the shape of ``line`` into their numbers; None where a pattern could be mistaken.

    ``steps``: where numbers begin that are a step only if they are whole; ``used``: where those begin
    that are converted.

    >>> convert = converter("step 3: loss 2.5\n", {5}, [5, 13], {})
    >>> convert(b"step 10: loss 3.75\n"), convert(b"step 10: loss inf\n"), convert(b"step 1.5: loss 2.5\n")
    ([10.0, 3.75], None, None)
    """
    parts, reached, grouped = [], 0, False
    for found in NUMBER.finditer(line):
        gap, digits = line[reached : found.start()], found[1].encode()
        slot = _slot(digits, gap, steps=found.start() in steps)
        if slot is None or (reached and not _parts_numbers(gap)):
            return None
        grouped |= b"," in digits
        captured = (b"(" if found.start() in used else b"(?:") + slot + b")"
        parts += [_literal(gap, mapped), captured, (found[2] or "").encode()]
        reached = found.end()
    if reached and not _parts_numbers(line[reached:]):
        return None
    parts.append(_literal(line[reached:], mapped))
    return _by(re.compile(b"".join(parts)).fullmatch, grouped=grouped)


def _by(match: Callable[[bytes], re.Match[bytes] | None], *, grouped: bool) -> Convert:
    def convert(raw: bytes) -> Values | None:
        found = match(raw)
        return None if found is None else list(map(float, found.groups()))

    def regrouped(raw: bytes) -> Values | None:
        found = match(raw)
        return None if found is None else [float(group.replace(b",", b"")) for group in found.groups()]

    return regrouped if grouped else convert


def _slot(digits: bytes, gap: str, *, steps: bool) -> bytes | None:
    """The pattern of numbers that are written as this one; None where none is sure."""
    if gap[-1:] in {"-", "+"} and digits[:1] in {b"-", b"+"}:
        return None
    sign = b"" if steps or gap[-1:] in {"-", "+"} else b"[-+]?"
    for whole, any_number in ((WHOLE, REAL), (WHOLE_GROUPED, GROUPED)):
        slot = whole if steps else any_number
        if re.fullmatch(sign + b"(?:" + slot + b")", digits):
            return sign + b"(?:" + slot + b")"
    return None


def _parts_numbers(gap: str) -> bool:
    """False for text after a number that other digits could make one number with: ``12,345``."""
    return gap != "" and not (gap[0] == "," and (len(gap) == 1 or gap[1].isdigit()))


def _literal(gap: str, mapped: Mapping[str, str]) -> bytes:
    """The pattern of text between numbers: as it stands, but for digits in words that mean nothing."""
    text = re.escape(gap.encode())
    return text if mapped or not gap.isascii() or may_name(gap.encode()) else DIGIT.sub(rb"\\d", text)
