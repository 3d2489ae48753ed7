"""Which of the files that a log was rotated into each of its runs ended in: a run is called by that file's name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from ..errors import UnreadableError
from ..run import Run

DEEP = 8  # parts whose ends are told apart, the last ones: each costs one more reading, once

#: the runs of some parts, read as one log
Read = Callable[[tuple[Path, ...]], list[Run]]


def ended_in(parts: tuple[Path, ...], runs: Sequence[Run], read: Read, deep: int = DEEP) -> list[Path]:
    """The file that each of ``runs`` ends in; ``parts``: what they were read from, the oldest first.

    A run that the older parts hold as it is ended there. A single run goes on in the last part, though that be empty
    yet: tools copy a log aside and empty it.
    """
    if len(parts) == 1 or len(runs) == 1 or not deep:
        return [parts[-1]] * len(runs)
    try:
        before = read(parts[:-1])
    except UnreadableError:
        return [parts[-1]] * len(runs)
    older = ended_in(parts[:-1], before, read, deep - 1)
    over = [i < len(before) and _points(before[i]) == _points(run) for i, run in enumerate(runs)]
    return [older[i] if is_over else parts[-1] for i, is_over in enumerate(over)]


def _points(run: Run) -> int:
    return sum(len(curve) for curve in run.series.values())


def called(runs: Sequence[Run], ends: Sequence[Path]) -> list[Run]:
    """The runs under the names of their files; a second one of a file as its reader would count it.

    >>> [run.name for run in called([Run("a"), Run("b"), Run("c")], [Path("t.1"), Path("t"), Path("t")])]
    ['t.1', 't', 't (2)']
    """
    made, held = [], Counter[Path]()
    for run, end in zip(runs, ends, strict=True):
        held[end] += 1
        made.append(replace(run, name=end.name if held[end] == 1 else f"{end.name} ({held[end]})"))
    return made
