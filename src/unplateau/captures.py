"""Which logs below a path are runs of their own, and which are captures of one run.

Logs of one folder, or of a folder and one below it, are captures of one run where their losses agree at the
steps that both hold: the richest is read. Those of event files and of Weights & Biases lie in folders of
their own design, each read as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from .curve import Curve
from .errors import UnplateauError, UnreadableError, printable
from .logs import has_loss, read_file, read_folder
from .places import Place
from .readers import Options
from .run import LOSSES, Run

LIMIT = 50  # logs with losses that are read below one path
TRIED = 400  # logs that are opened to find them
NAMED = 6  # names that a warning lists
EVALUATED = 20  # a point of val_loss is worth so many of the optimiser's own batches
COMPARED = 200  # points of two curves that are compared
COMMON = 3  # steps that two logs must share to be compared; 2 where one holds no more
ALIKE = 0.9  # share of the common steps at which captures of one run agree: a resume may repeat some
ROUNDED = 5e-4  # nats; half of the last digit that the coarsest trainers print


@dataclass(slots=True, eq=False)
class Read:
    """What one log gave, and the logs that hold the same."""

    place: Place
    name: str
    runs: list[Run]
    copies: list[str] = field(default_factory=list)

    @property
    def worth(self) -> int:
        curves = [(n, r.series[n].finite) for r in self.runs for n in LOSSES if n in r.series]
        return sum(len(curve) * (EVALUATED if n == "val_loss" else 1) for n, curve in curves)

    @property
    def is_curve(self) -> bool:
        """False for a list of results: a point a run."""
        return any(len(r.series[n].finite) > 1 for r in self.runs for n in LOSSES if n in r.series)


def read_all(places: Sequence[Place], options: Options) -> list[tuple[Place, Run]]:
    """The runs of the logs at ``places``; raises what a single log raises."""
    reads, left_out = _reads(places, options)
    curved = [read.place for read in reads if read.is_curve]
    results = [r for r in reads if not r.is_curve and any(_near(r.place, place) for place in curved)]
    kept = _kept([read for read in reads if read not in results])
    several = len({read.place.origin for read in kept}) > 1
    made = [
        (_own(read, kept), _named(run, read, several=several)) for read in kept for run in _said(read, kept)
    ]
    notes = [
        *_note(left_out, f"more logs left out, beyond the first {LIMIT}"),
        *_note([read.name for read in results], "logs of single points, no curves, left out"),
    ]
    if made and notes:
        place, run = made[0]
        made[0] = place, replace(run, warnings=(*notes, *run.warnings))
    return made


def _note(names: Sequence[str], what: str) -> Iterator[str]:
    if names:
        more = ", ..." if len(names) > NAMED else ""
        yield f"{len(names)} {what}: {', '.join(printable(n, 60) for n in names[:NAMED])}{more}"


def _reads(places: Sequence[Place], options: Options) -> tuple[list[Read], list[str]]:
    """What each log with a loss gave, and the names of logs that were not opened."""
    candidates = [(place, log) for place in places for log in place.logs]
    reads: list[Read] = []
    first: UnplateauError | None = None
    for i, (place, log) in enumerate(candidates):
        if len(reads) >= LIMIT or i >= TRIED:
            return reads, [_name(place, path) for place, path in candidates[i:]]
        try:
            runs = read_folder(log, options) if log.is_dir() else read_file(log, options)
        except UnplateauError as error:
            first = first or error
            continue
        if with_loss := [run for run in runs if has_loss(run)]:
            reads.append(Read(place, _name(place, log), with_loss))
    if first is not None and not reads and (len(candidates) == 1 or options.columns):
        raise first
    return reads, []


def _name(place: Place, log: Path) -> str:
    return f"{place.origin}/{log.name}" if place.origin and not log.is_dir() else log.name


def _kept(reads: Sequence[Read]) -> list[Read]:
    """The richest of each run's captures, in the order of their folders and names."""
    kept: list[Read] = []
    for read in sorted(reads, key=lambda read: -read.worth):
        held = next((k for k in kept if _near(k.place, read.place) and _is_copy(read, k)), None)
        if held is None:
            kept.append(read)
        elif not (read.worth == held.worth and _whole(held.place)):
            held.copies.append(read.name)  # what the whole of a folder holds, its own files hold again
    places = list(dict.fromkeys(read.place for read in reads))
    return sorted(kept, key=lambda read: (places.index(read.place), read.name))


def _near(a: Place, b: Place) -> bool:
    """True for one folder, or where one lies in the other."""
    return a.folders[:1] == b.folders[:1] or a.folders[0] in b.folders or b.folders[0] in a.folders


def _whole(place: Place) -> bool:
    return place.logs[0].is_dir()


def _is_copy(read: Read, rich: Read) -> bool:
    """True where each run of ``read`` is one of ``rich``, or both lie in a folder that is one log as a whole."""
    if read.place == rich.place and _whole(rich.place):
        return True
    return all(any(same_run(run, other) for other in rich.runs) for run in read.runs)


def same_run(a: Run, b: Run) -> bool:
    """True where a loss of ``a`` agrees with one of ``b`` at the steps that both hold; val loss, where both have it.

    A run that is evaluated on other text is another, though it trains alike.
    Steps may be counted from 0 or from 1; where one log has none, the places of its records count.

    >>> a = Run("a", series={"val_loss": Curve([0, 10, 20], [9.0, 8.0, 7.0])})
    >>> same_run(a, Run("b", series={"val_loss": Curve([0, 10, 20, 30], [9.0, 8.0, 7.0, 6.5])}))
    True
    """
    counted = a.has("step_unit") != b.has("step_unit")
    ours, theirs = _losses(a), _losses(b)
    both = [(ours[n], theirs[n]) for n in ("val_loss",) if n in ours and n in theirs]
    enough = both and min(map(len, both[0])) >= COMMON
    pairs = both if enough else [(x, y) for x in ours.values() for y in theirs.values()]
    return any(_agree(_by_place(x), _by_place(y)) if counted else _agree(x, y) for x, y in pairs)


def _losses(run: Run) -> dict[str, Curve]:
    return {n: run.series[n].finite for n in LOSSES if n in run.series and len(run.series[n].finite)}


def _by_place(curve: Curve) -> Curve:
    return Curve(np.arange(len(curve)), curve.value, curve.unit)


def _agree(a: Curve, b: Curve) -> bool:
    few, many = (a, b) if len(a) <= len(b) else (b, a)
    at = np.unique(np.linspace(0, len(few) - 1, COMPARED).astype(np.int64))
    steps, values = few.step[at], few.value[at]
    return any(_alike(steps + shift, values, many, len(few)) for shift in (0, -1, 1))


def _alike(steps: np.ndarray, values: np.ndarray, many: Curve, held: int) -> bool:
    where = np.minimum(np.searchsorted(many.step, steps), len(many) - 1)
    common = many.step[where] == steps
    if common.sum() < min(COMMON, max(2, held)):
        return False
    off = np.abs(many.value[where][common] - values[common])
    return bool((off <= ROUNDED + 1e-4 * np.abs(values[common])).mean() >= ALIKE)


def _own(read: Read, kept: Sequence[Read]) -> Place:
    """The place without the configurations and checkpoints that can't be told to be of this run."""
    place = read.place
    if _among_others(read, kept):
        return replace(place, folders=(), shared=place.folders)
    others = {folder for k in kept if k.place != place for folder in k.place.folders}
    shared = tuple(folder for folder in place.folders[1:] if folder in others)
    return replace(place, folders=tuple(f for f in place.folders if f not in shared), shared=shared)


def _among_others(read: Read, kept: Sequence[Read]) -> bool:
    """True where another run's log lies in the same folder."""
    return any(k is not read and k.place == read.place for k in kept)


def _said(read: Read, kept: Sequence[Read]) -> Iterable[Run]:
    notes = []
    if read.copies:
        copies = ", ".join(printable(name, 60) for name in read.copies)
        notes.append(
            f"{printable(read.name, 60)} holds most and is read; also logs of this run: {copies} "
            "(give its own path to read it)"
        )
    beside = [path.name for path in (*read.place.configs, *read.place.checkpoints)]
    if beside and _among_others(read, kept):
        told = "give the log's own path to use it"
        notes.append(f"{', '.join(beside)}: beside logs of several runs, so not used ({told})")
    return [replace(run, warnings=(*run.warnings, *notes)) for run in read.runs]


def _named(run: Run, read: Read, *, several: bool) -> Run:
    """The run under the name of its folder too, where there are several."""
    origin = read.place.origin
    told = run.name == origin or run.name.startswith(f"{origin}/")
    return run if not several or not origin or told else replace(run, name=f"{origin}/{run.name}")


def nothing(path: Path, places: Sequence[Place]) -> UnreadableError:
    """Why a folder gave no run; one line."""
    names = [log.name for place in places for log in place.logs]
    listed = printable(", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else ""), 200)
    found = f"{len(names)} files that could be logs ({listed}), none with a loss" if names else "no log"
    return UnreadableError(
        f"{path.name or path} holds {found}; expected train.log, metrics.csv, trainer_state.json, "
        "event files or a wandb folder; give the log's own path"
    )
