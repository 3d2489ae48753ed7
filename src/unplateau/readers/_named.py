"""Named numbers in a line of an unknown log: which text before a number is its name, and what the name means."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from ._names import TRAIN, VAL, plain, series_of

LINE = 4096  # characters of a line that are looked at
GAP = 64  # characters before a number that may name it
CELLS = 40  # columns of a table
NUMBER = re.compile(
    r"(?<![\w.])([-+]?(?:\d{1,3}(?:,\d{3}){1,5}|\d{1,18})(?:\.\d{0,24})?(?:[eE][-+]?\d{1,3})?"
    r"|[-+]?\.\d{1,24}|[-+]?(?:nan|NaN|NAN|inf|Inf))(ms|s|%)?(?![\w.])"
)
#: what ends the name before: a name is the last stretch of words before its number
STOP = re.compile(r"[,;|\[\]{}<>:=\t\n]|\s[-–—>]{1,4}\s|\s{3,9}|\.\s")
FILL = " \t:=\"'`([{<~#*>-"  # between a name and its number
JOINED = re.compile(r"^\s{0,4}/\s{0,4}$|^ of $")  # 100/1000: the second is the total
BLANK = re.compile(r"^[\s|]{0,80}$")
NOISE = frozenset({"info", "debug", "warning", "root", "main", "trainer", "log", "at", "in", "after", "now"})
STEPS = ("global step", "optimizer step", "num updates", "step", "steps", "update", "updates")
ITERATIONS = (
    "iteration",
    "iterations",
    "iter",
    "iters",
    "n iter",
    "num iters",
    "it",
    "batch",
    "batch idx",
    "mini batch",
    "minibatch",
)
RANK = {
    name: rank for rank, name in enumerate((*STEPS, *ITERATIONS))
}  # the first that a line has is its step
CONTEXT = re.compile(
    r"(?<![a-z])(?:(val|valid|validation|eval|evaluation|dev)|(test)|(train|training))(?![a-z])",
    re.IGNORECASE,
)
#: every name that has a role holds one of these, as part of a word or as a word of its own
PARTS: tuple[bytes, ...] = (
    b"loss",
    b"nll",
    b"xent",
    b"entropy",
    b"step",
    b"update",
    b"iter",
    b"batch",
    b"train",
    b"val",
)
PARTS += (b"norm", b"token", b"epoch", b"learn", b"mfu")
WORDS = re.compile(rb"(?<![a-z0-9])(?:it|its|tr|dev|lr|ep)(?![a-z0-9])")


@dataclass(frozen=True, slots=True)
class Named:
    """One number of a line: its name as written, the name in plain words, what it means, and its unit."""

    name: str
    words: str
    role: str  # step, epoch, train, val, a series' name, or empty
    value: float
    whole: bool  # written without a point
    unit: str = ""
    total: float | None = None  # of a count: 100/1000
    open: bool = False  # ends where the line ends, so that it may have been cut
    at: int = 0  # where the number begins in its line
    total_at: int = 0  # and its total


def may_name(line: bytes) -> bool:
    """False where no name in a line of ASCII can have a role; cheap.

    >>> may_name(b"Saving 3 files to /out"), may_name(b"It 3"), may_name(b"Train_Loss")
    (False, True, True)
    """
    low = line.lower()
    if not low.islower():  # no letter: a row of numbers
        return False
    for part in PARTS:  # any() takes three times as long, and this is asked of every line of prose
        if part in low:
            return True
    return WORDS.search(low) is not None


@lru_cache(maxsize=8192)
def name_of(gap: str) -> str:
    """The name in the text before a number.

    >>> name_of(",348 - INFO - Epoch 1 - Batch loss: "), name_of("', 'learning_rate': "), name_of(" ["), name_of(":")
    ('Batch loss', 'learning_rate', '', '')
    """
    text = gap[-GAP:].replace("(", " ").replace(")", " ").rstrip(FILL)
    return STOP.split(text)[-1].strip(" \t\"'`*#.-+/\\")


@lru_cache(maxsize=8192)
def role_of(name: str) -> str:
    """What a name means: ``step``, ``epoch``, ``train`` or ``val`` alone, or a series; empty for anything else.

    >>> [role_of(n) for n in ("INFO iter", "Train Loss", "val", "max_steps", "the loss is", "gnorm")]
    ['step', 'batch_loss', 'val', '', '', 'grad_norm']
    """
    words = plain(name).split()
    while len(words) > 1 and words[0] in NOISE:
        words = words[1:]
    bare = " ".join(words)
    if bare in RANK or (len(words) > 1 and words[0] in TRAIN | VAL and " ".join(words[1:]) in RANK):
        return "step"
    if len(words) == 1 and words[0] in TRAIN | VAL:
        return "val" if words[0] in VAL else "train"
    return series_of(bare) or ""


def rank_of(words: str) -> int:
    """Which of two names of a step is the optimiser's: the lower."""
    return RANK.get(words, RANK.get(words.rsplit(" ", maxsplit=1)[-1], len(RANK)))


def fields(line: str, mapped: Mapping[str, str], header: tuple[str, ...] = ()) -> list[Named]:
    """The named numbers of a line; ``mapped``: plain words -> the role that the user gave them.

    >>> [(f.role, f.value) for f in fields("iter 20/100: loss 3.5, gnorm=1e-1 in 12ms", {})]
    [('step', 20.0), ('batch_loss', 3.5), ('grad_norm', 0.1)]
    >>> [(f.role, f.value) for f in fields("Validation loss at step 500: 3.25", {})]
    [('step', 500.0), ('val_loss', 3.25)]
    """
    line = line[:LINE]
    found = list(_numbers(line))
    if header:
        if len(found) != len(header) or not all(BLANK.match(gap) for gap, _ in found):
            return []
        return [_named(name, match, mapped, line) for name, (_, match) in zip(header, found, strict=True)]
    named: list[Named] = []
    left = ""  # "val loss" of "val loss at step 500: 3.25"
    for gap, match in found:
        left_of, name, joined = _told(gap)
        if joined and named:
            named[-1] = _with_total(named[-1], match)
            continue
        if not name and left:
            name, left = left, ""
        elif not name and gap == "][" and named and named[-1].role == "epoch":
            name = "batch"  # Epoch: [3][100/2000]
        else:
            left = left_of
        if name:
            named.append(_named(name, match, mapped, line))
    return [field for field in named if field.role]


def names_of(line: str) -> list[str]:
    """All names of numbers in a line, whatever they mean.

    >>> names_of("at 3 quality 8.5, val nll at step 500: 3.25")
    ['at', 'quality', 'val nll', 'step']
    """
    told = [_told(gap)[:2] for gap, _ in _numbers(line[:LINE])]
    return [name for pair in told for name in pair if name]


def _numbers(line: str) -> Iterator[tuple[str, re.Match[str]]]:
    """Each number with the text since the one before."""
    reached = 0
    for match in NUMBER.finditer(line):
        yield line[max(reached, match.start() - 4 * GAP) : match.start()], match
        reached = match.end()


@lru_cache(maxsize=8192)
def _told(gap: str) -> tuple[str, str, bool]:
    """What stands left of ``at step``, the name, and whether the gap only joins a count to its total."""
    return (*_parted(name_of(gap)), JOINED.match(gap) is not None)


def _parted(name: str) -> tuple[str, str]:
    """``val loss at step`` in two."""
    for word in (" at ", " after ", " for "):
        left, _, right = name.rpartition(word)
        if left and role_of(right) in {"step", "epoch"} and role_of(left):
            return left, right
    return "", name


def _named(name: str, match: re.Match[str], mapped: Mapping[str, str], line: str) -> Named:
    raw = match[1]
    words = plain(name)
    role = mapped.get(words) or role_of(name)
    value = float(raw.replace(",", ""))
    whole = raw.lstrip("+-").replace(",", "").isdecimal()
    is_open = match.end() >= len(line)
    return Named(name, words, role, value, whole, match[2] or "", None, is_open, match.start())


def _with_total(named: Named, match: re.Match[str]) -> Named:
    total = float(match[1].replace(",", ""))
    return replace(named, total=total, open=False, total_at=match.start())


def context(line: str) -> str:
    """``val``, ``test`` or ``train`` where the line says of which split it speaks; empty where it doesn't.

    >>> context("[eval] iter 0: loss 3.4"), context("evaluated 3"), context("train/eval: loss 3")
    ('val', '', '')
    """
    held = {found.lastindex for found in CONTEXT.finditer(line[:LINE])}
    return {1: "val", 2: "test", 3: "train"}[held.pop() or 3] if len(held) == 1 else ""


def header_of(line: str) -> tuple[str, ...]:
    """The names of the columns, where a line is the head of a table with a step or epoch and a loss.

    >>> header_of("step   train loss   val loss"), header_of("| epoch | loss |"), header_of("no loss here")
    (('step', 'train loss', 'val loss'), ('epoch', 'loss'), ())
    """
    line = line.strip()
    if len(line) > LINE or ("|" not in line and not re.search(r"\t|\s{2}", line) and len(line.split()) > 8):
        return ()
    cells = [cell.strip() for cell in re.split(r"\||\t|\s{2,16}", line)]
    cells = [cell for cell in cells if cell]
    if len(cells) == 1:
        cells = line.split()
    roles = [role_of(cell) for cell in cells]
    if not 2 <= len(cells) <= CELLS or not any(r in {"step", "epoch"} for r in roles):
        return ()
    return tuple(cells) if any(r.endswith("loss") for r in roles) else ()
