"""Reference classes: what each cause that no law prices cost in planted runs, and how far that misses left-out ones.

    python benchmarks/planted/reference.py [--write]

From the corpus and the loop of this folder: each planted run beside the run without its cause. Fitted is ln(loss / loss
without the cause) in proportion to how much of the cause the run has (``unplateau.exposure``), by least squares. Its
spread is the root mean square of what it misses texts by that were left out, or trainers (nanoGPT, ours) where that is
more; at least the error of the measured costs. ``--write`` puts the result into src/unplateau/reference.json,
and the names of the runs that it was fitted to into reference_runs.txt.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import exp, hypot, isfinite, log
from pathlib import Path

import msgspec
import numpy as np
from check import HERE, corpus_cases
from loop_pack import unpacked
from numpy.typing import NDArray
from scipy.stats import t as student

from unplateau.derive import derive
from unplateau.diagnosis import READINGS
from unplateau.estimate import Z90
from unplateau.exposure import EXPOSURES, Exposure, bytes_of, shrinkage, sound
from unplateau.heard import combined
from unplateau.reading import read_runs
from unplateau.reference import FEWEST, FILE, SAME_TOKENS, SOUND, TEXTS, Class, _above_sound
from unplateau.reference import _nats as _price_of
from unplateau.run import Fact, Run
from unplateau.state import state_of

sys.path.insert(0, str(HERE.parent))
from accuracy_parts.planted import evaluation_noise

Floats = NDArray[np.float64]
FITTED = HERE / "reference_runs.txt"  # the names of the runs that the classes were fitted to
LOOP, CORPUS = "loop", "corpus"
#: texts that are parts of one another are left out together: the addresses, and Python's standard library
TEXT = {
    **dict.fromkeys(("sotu-early", "sotu-late", "embedded"), "addresses"),
    **dict.fromkeys(("code", "stdlib"), "code"),
}
HOLD = 0.8  # of the 90 % intervals; fewer, and the class is not priced (the bar of docs/accuracy.md)
HEALTHY = "still-learning"
LEFT, LEAST = 2, 1  # runs, and texts, that a class needs when a text is left out of it, to see how good it is
END = 0.95  # quantile of t: two ends leave 90 %


@dataclass(frozen=True, slots=True)
class Row:
    """A run, what the cause cost it (``None`` for a sound one), and what is left out together with it."""

    name: str
    cause: str
    run: Run
    loss: float  # nats, the trend at its end
    cost: float | None
    noise: float  # nats, sd of ``cost``
    text: str
    trainer: str
    x: Exposure = ()

    @property
    def y(self) -> float:
        """ln of the loss over the loss without the cause; of a sound run, ln of the loss per byte."""
        if self.cost is None:
            return log(self.loss / (bytes_of(self.run) or 1.0))
        return -log(1 - self.cost / self.loss)

    @property
    def relief(self) -> bool:
        """True for a sound run beside one with less of the cause."""
        return self.name.startswith("healthy.") and self.cost is not None

    @property
    def error(self) -> float:
        """Sd of ``y`` by the noise of the measurement."""
        return 0.0 if self.cost is None else self.noise / (self.loss - self.cost)


# --- the runs


def rows() -> list[Row]:
    """All runs of both sets that end on a loss."""
    with tempfile.TemporaryDirectory() as scratch:
        return [*_of_corpus(Path(scratch)), *_of_loop(Path(scratch))]


def _of_corpus(scratch: Path) -> Iterator[Row]:
    """Runs of nanoGPT. What no config tells of their data, a manifest would: it is taken from the truth."""
    for name, truth, folder in corpus_cases(HERE / "corpus.jsonl.zst", scratch):
        run = read_runs(str(folder / "train.log"), config=folder / "config.py")[0]
        told = {"bytes_per_token": truth["bytes_per_token"], "duplicate_share": truth["data"]["copies"]}
        run = derive(run.with_facts(**{n: Fact(v, "", "manifest.json") for n, v in told.items()}))
        noise = 2**0.5 * evaluation_noise((folder / "config.py").read_text("utf-8"))
        cost = truth["gain"] if truth["cause"] not in READINGS else None
        yield from _row(name, truth["cause"], run, (cost, noise), (truth["text"], CORPUS))


def _of_loop(scratch: Path) -> Iterator[Row]:
    """Runs of our trainer, with their manifests. Of a relief the costly run is the sound one."""
    kept = {one.name: one for one in unpacked(scratch / LOOP)}
    for one in kept.values():
        costly = kept[f"healthy.base.{one.base}.1"] if one.role == "relief" else one
        run = read_runs(str(costly.log), config=costly.config, data=costly.manifest)[0]
        run = run.with_facts(bytes_per_token=Fact(one.truth["bytes_per_token"], "", "manifest.json"))
        cause = HEALTHY if one.role == "healthy" else str(one.truth["cause"])
        cost = (one.gain.value, one.gain.sd) if one.gain is not None else (None, 0.0)
        yield from _row(one.name, cause, run, cost, (one.base.split("-")[0], LOOP))


def _row(
    name: str, cause: str, run: Run, cost: tuple[float | None, float], of: tuple[str, str]
) -> Iterator[Row]:
    """``cost``: nats, and its sd; ``of``: the text and the trainer. Nothing where nobody measured what the cause cost."""
    run, state, sound_one = derive(run), state_of(run), cause in READINGS
    level = float("nan") if state.level is None else state.level.value
    if sound_one or cost[0] is not None:
        text = TEXT.get(of[0], of[0])
        yield Row(name, cause, run, level, None if sound_one else cost[0], cost[1], text, of[1])


def exposed(found: Sequence[Row], cause: str) -> list[Row]:
    """The planted rows of ``cause`` that have something of it, with how much that is.

    Of a sound run without its usual weight decay it is all of that decay; of a sound run at another rate it is nothing.
    """
    out = []
    for row in (row for row in found if row.cause == cause):
        x = EXPOSURES[cause](row.run)
        if cause == "over-regularised" and row.relief:
            x = (0.0, shrinkage(row.run) or 0.0)
        if x is not None and any(x):
            out.append(replace(row, x=x))
    return out


def sound_ones(found: Sequence[Row]) -> list[Row]:
    """The sound rows, with what their loss goes with."""
    return [replace(row, x=x) for row in found if row.cost is None and (x := sound(row.run)) is not None]


# --- the fit


def slope(group: Sequence[Row]) -> tuple[Floats, Floats]:
    """Least squares through the origin, and the inverse of x'x."""
    x, y = np.array([row.x for row in group]), np.array([row.y for row in group])
    gram = np.linalg.pinv(x.T @ x)
    return gram @ x.T @ y, gram


def missed(group: Sequence[Row], by: Callable[[Row], str]) -> Floats:
    """Y less what a fit to the other groups says."""
    out = []
    for row in group:
        rest = [other for other in group if by(other) != by(row)]
        out.append(row.y - float(np.dot(slope(rest)[0], row.x)) if rest else np.nan)
    return np.array(out)


def spread(group: Sequence[Row]) -> float:
    """Sd of a new text's y, where there are two texts to tell; no less than the error of what was measured."""
    new, b = missed(group, lambda row: row.text), slope(group)[0]
    more = sum((row.y - float(np.dot(b, row.x))) ** 2 for row in group) / max(1, len(group) - len(b))
    measured = float(np.mean([row.error**2 for row in group]))
    return float(np.sqrt(max(np.mean(new**2) if np.isfinite(new).all() else more, measured)))


def fitted(group: Sequence[Row], fewest: int = FEWEST, texts: int = TEXTS) -> Class:
    """The class of ``group``; without a slope where there are too few runs, or where some lost more than their loss."""
    costs = [row.cost for row in group if row.cost is not None]
    different = len({row.text for row in group})
    known = {"runs": len(group), "texts": different, "costs": (min(costs), max(costs)) if costs else None}
    lost = any(not isfinite(row.loss) or (row.cost or 0.0) >= row.loss for row in group)
    if len(group) < fewest or different < texts or lost:
        return Class(**known)
    b, gram = slope(group)
    return Class(
        **known,
        slope=tuple(b.tolist()),
        gram=tuple(map(tuple, gram.tolist())),
        spread=spread(group),
        t=float(student.ppf(END, len(group) - len(b))),
        most=tuple(np.max([row.x for row in group], axis=0).tolist()),
        params=_span(group, "params"),
        tokens=_span(group, "tokens_seen"),
    )


def _span(group: Sequence[Row], name: str) -> tuple[float, float]:
    values = [float(row.run.get(name)) for row in group]
    return min(values), max(values)


# --- how good it is


def held(group: Sequence[Row], by: Callable[[Row], str]) -> list[bool]:
    """Whether the interval of a class without the row's text (or trainer) holds its y, within the error of that."""
    out = []
    for row in group:
        one = fitted([other for other in group if by(other) != by(row)], LEFT, LEAST)
        if one.slope:
            low, value, high = one.ratio(row.x)
            out.append(abs(row.y - value) <= hypot((high - low) / 2, Z90 * row.error))
    return out


def together(group: Sequence[Row], sounds: Sequence[Row]) -> tuple[bool, ...]:
    """Whether both views of a cost together hold it: of planted and of sound runs, the row's text left out of both."""
    out = []
    for row in group:
        one = fitted([other for other in group if other.text != row.text], LEFT, LEAST)
        other = fitted([sound_one for sound_one in sounds if sound_one.text != row.text], LEFT, LEAST)
        x = sound(row.run)
        if one.slope and x is not None and row.cost is not None:
            both = combined(
                [_price_of(one.ratio(row.x), row.loss), _above_sound(row.run, other, x, row.loss)]
            )
            assert both is not None
            edge = both.high - both.value if row.cost > both.value else both.value - both.low
            out.append(abs(row.cost - both.value) <= hypot(edge, Z90 * row.noise))
    return tuple(out)


def kept(one: Class, group: Sequence[Row]) -> Class:
    """The class, without a slope where too few of its intervals hold what was left out."""
    hits = held(group, lambda row: row.text) if one.slope else [True]
    return one if np.mean(hits) >= HOLD else Class(one.runs, one.texts, costs=one.costs)


@dataclass(frozen=True, slots=True)
class Left:
    """A class, and how good it is on runs that were left out. ``error`` and ``nothing`` (of saying 0): mean, nats."""

    name: str
    one: Class
    error: float | None = None
    nothing: float | None = None
    texts: tuple[bool, ...] = ()  # whether intervals hold y, texts left out
    trainers: tuple[bool, ...] = ()
    names: tuple[str, ...] = ()
    both: tuple[bool, ...] = ()  # of intervals of both views, texts left out


def left(name: str, group: Sequence[Row], sounds: Sequence[Row]) -> Left:
    """The class of ``group``, held against what was left out of it."""
    one = kept(fitted(group), group)
    if not one.slope:
        return Left(name, one)
    miss = missed(group, lambda row: row.text)
    off = [_nats(row, row.y) - _nats(row, row.y - by) for row, by in zip(group, miss, strict=True)]
    costs = [abs(row.cost) for row in group if row.cost is not None]
    return Left(
        name,
        one,
        error=float(np.mean(np.abs(off))),
        nothing=float(np.mean(costs)) if costs else None,
        texts=tuple(held(group, lambda row: row.text)),
        trainers=tuple(held(group, lambda row: row.trainer)),
        names=tuple(row.name for row in group),
        both=together(group, sounds) if name in SAME_TOKENS else (),
    )


def _nats(row: Row, y: float) -> float:
    """The cost that ``y`` stands for; of a sound run, its loss."""
    return row.loss * exp(y - row.y) if row.cost is None else row.loss * (1 - exp(-y))


def measured() -> list[Left]:
    """Every class, from the runs that are packed here."""
    found = rows()
    groups = {cause: exposed(found, cause) for cause in EXPOSURES} | {SOUND: sound_ones(found)}
    return [left(name, group, groups[SOUND]) for name, group in groups.items()]


def shown(one: Left) -> str:
    """A line."""
    of = f"{one.name:18} {one.one.runs:3} runs, {one.one.texts} texts"
    if one.error is None:
        return f"{of}: no price; it cost {one.one.costs} nats"
    zero = "" if one.nothing is None else f" (of saying 0: {one.nothing:.3f})"
    return (
        f"{of}: slope {', '.join(f'{b:.3f}' for b in one.one.slope)}; spread {one.one.spread:.3f}; texts left out: error "
        f"{one.error:.3f} nats{zero}, {sum(one.texts)} of {len(one.texts)} intervals hold it; "
        f"trainers left out: {sum(one.trainers)} of {len(one.trainers)}"
        + (f"; beside sound runs: {sum(one.both)} of {len(one.both)}" if one.both else "")
    )


def main() -> None:
    """Fit, show, and write where asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="into src/unplateau/reference.json")
    write = parser.parse_args().write
    found = measured()
    print(*map(shown, found), sep="\n")
    if write:
        classes = {one.name: one.one for one in found}
        FILE.write_bytes(msgspec.json.format(msgspec.json.encode(classes), indent=1) + b"\n")
        names = sorted({name for one in found for name in one.names})
        FITTED.write_text("\n".join(names) + "\n", "utf-8")
        print(f"written: {FILE}, {FITTED}")


if __name__ == "__main__":
    main()
