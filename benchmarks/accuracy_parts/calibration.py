"""Whether 90 % means nine times in ten: probabilities of causes against how often they held and mattered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from unplateau.calibration import RANGES, interpolated
from unplateau.diagnosis import READINGS

from .judge import Judged, Said
from .page import table

BINS = 10  # of equal width, as in Guo et al. 2017 (arXiv 1706.04599)
PRIOR = 0.5  # pairs that held, and as many that did not, added to each block (Jeffreys): 0 and 1 are never certain
LEAST = 8  # pairs of a block; fewer are joined with their neighbours
Z90 = 1.645
Knots = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Pair:
    """One cause of one run: how strong its evidence is, what was printed, and whether it held and mattered."""

    strength: float
    printed: float
    held: bool  # and mattered: cost more than is told apart from nothing, or spoilt the number
    there: bool  # held, whether it mattered or not
    verdict: str
    cause: str
    family: str
    set: str


def pairs(results: Iterable[Judged]) -> list[Pair]:
    """All pairs with a truth. Left out: untestable ones, causes that come with the planted one by its making,
    and readings of the curve on runs with a planted cause (they may well be still learning)."""
    return [
        _pair(result, said)
        for result in results
        for said in result.said
        if said.probability is not None and _known(result, said.cause)
    ]


def _pair(result: Judged, said: Said) -> Pair:
    case, strength, printed = result.case, said.strength or 0.0, said.probability or 0.0
    there = said.cause == case.cause
    held = there and case.matters
    return Pair(strength, printed, held, there, said.verdict, said.cause, case.family, case.set)


def _known(result: Judged, cause: str) -> bool:
    return cause not in result.case.also and (cause not in READINGS or result.case.healthy)


def expected_error(given: Sequence[tuple[float, bool]], bins: int = BINS) -> float:
    """Expected calibration error: mean over pairs of |mean probability - share that held| of their bin.

    >>> expected_error([(0.9, True)] * 9 + [(0.9, False)])
    0.0
    >>> expected_error([(0.9, False)] * 10)
    0.9
    """
    total = 0.0
    for members in binned(given, bins):
        total += len(members) * abs(fmean(p for p, _ in members) - fmean(h for _, h in members))
    return round(total / len(given), 12)


def binned(given: Sequence[tuple[float, bool]], bins: int = BINS) -> list[list[tuple[float, bool]]]:
    """The bins that have pairs, in order."""
    cells: list[list[tuple[float, bool]]] = [[] for _ in range(bins)]
    for probability, held in given:
        cells[min(int(probability * bins), bins - 1)].append((probability, held))
    return [cell for cell in cells if cell]


def isotonic(found: Sequence[Pair]) -> Knots:
    """Strength -> share that held, never falling: pool adjacent violators (Ayer et al. 1955).

    >>> pair = lambda s, h: Pair(s, s, h, h, "undecided", "capacity", "", "")
    >>> isotonic([pair(.2, False)] * 8 + [pair(.8, True)] * 8)
    ((0.2, 0.056), (0.8, 0.944))
    """
    blocks: list[list[float]] = []  # n, held, sum of strengths
    for strength in sorted({p.strength for p in found}):
        group = [p for p in found if p.strength == strength]
        blocks.append([len(group), sum(p.held for p in group), strength * len(group)])
        while len(blocks) > 1 and (_share(blocks[-2]) >= _share(blocks[-1]) or blocks[-2][0] < LEAST):
            last = blocks.pop()
            blocks[-1] = [a + b for a, b in zip(blocks[-1], last, strict=True)]
    if len(blocks) > 1 and blocks[-1][0] < LEAST:
        last = blocks.pop()
        blocks[-1] = [a + b for a, b in zip(blocks[-1], last, strict=True)]
    return tuple((round(b[2] / b[0], 3), round(_share(b), 3)) for b in blocks)


def _share(block: list[float]) -> float:
    return (block[1] + PRIOR) / (block[0] + 2 * PRIOR)


def applied(pair: Pair, knots: Knots) -> float:
    """As unplateau.calibration does it, with other knots."""
    low, high = RANGES[pair.verdict]
    return min(max(interpolated(pair.strength, knots), low), high)


def left_out(
    found: Sequence[Pair], fit: Callable[[Sequence[Pair]], Knots] = isotonic
) -> list[tuple[Pair, float]]:
    """Each pair with the probability that a map fitted without its family gives it."""
    out, families = [], sorted({p.family for p in found})
    if len(families) < 2:
        raise ValueError("all runs are of one family: no map can be fitted without it")
    for family in families:
        knots = fit([p for p in found if p.family != family])
        out += [(p, applied(p, knots)) for p in found if p.family == family]
    return out


def looked_at(found: Iterable[Pair]) -> list[Pair]:
    """Those that a reader looks at: not refuted. The refuted ones are many, and easy."""
    return [p for p in found if p.verdict != "refuted"]


def reliability(given: Sequence[tuple[float, bool]]) -> str:
    """The table behind the plot."""
    rows = [
        [
            f"{fmean(p for p, _ in cell):.2f}",
            f"{fmean(h for _, h in cell):.2f}",
            f"{low:.2f} to {high:.2f}",
            len(cell),
        ]
        for cell in binned(given)
        for low, high in [wilson(sum(h for _, h in cell), len(cell))]
    ]
    return table(["mean probability", "share that held", "90 % interval of the share", "pairs"], rows)


def wilson(k: int, n: int, z: float = Z90) -> tuple[float, float]:
    """Wilson's interval of a share.

    >>> tuple(round(x, 3) for x in wilson(5, 10))
    (0.269, 0.731)
    """
    middle = (k + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * (k * (n - k) / n + z * z / 4) ** 0.5
    return max(0.0, middle - half), min(1.0, middle + half)


SIDE, EDGE = 320, 44  # of the plot and of its margin, pixels


def plot(before: Sequence[tuple[float, bool]], after: Sequence[tuple[float, bool]]) -> str:
    """The reliability plot as SVG: no background and middle greys, so that it is legible on white and on black."""
    lines = "".join(
        f'<path d="M{_x(v)} {_y(0)}V{_y(1)}M{_x(0)} {_y(v)}H{_x(1)}" stroke="#888" stroke-opacity=".25"/>'
        f'<text x="{_x(v)}" y="{_y(0) + 16}" text-anchor="middle">{v:g}</text>'
        f'<text x="{_x(0) - 6}" y="{_y(v) + 4}" text-anchor="end">{v:g}</text>'
        for v in (0, 0.2, 0.4, 0.6, 0.8, 1)
    )
    total = SIDE + 2 * EDGE
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total + 130} {total}" width="{total + 130}" '
        f'height="{total}" font-family="sans-serif" font-size="11" fill="#888" role="img" '
        'aria-label="Reliability of probabilities">\n<title>Share of causes that held, against the probability given</title>\n'
        f'{lines}\n<path d="M{_x(0)} {_y(0)}L{_x(1)} {_y(1)}" stroke="#888" stroke-dasharray="4 4"/>\n'
        f"{_series(before, '#d97706')}\n{_series(after, '#3b82f6')}\n"
        f'<text x="{_x(0.5)}" y="{total - 6}" text-anchor="middle">probability given</text>\n'
        f'<text transform="translate(12 {_y(0.5)}) rotate(-90)" text-anchor="middle">share that held and mattered</text>\n'
        f"{_legend(0, '#d97706', 'strength of evidence')}\n{_legend(1, '#3b82f6', 'probability printed')}\n</svg>\n"
    )


def _x(p: float) -> float:
    return round(EDGE + p * SIDE, 1)


def _y(p: float) -> float:
    return round(EDGE + (1 - p) * SIDE, 1)


def _series(given: Sequence[tuple[float, bool]], colour: str) -> str:
    """A dot for each bin, with Wilson's interval of its share."""
    out = []
    for cell in binned(given):
        p, held = fmean(p for p, _ in cell), fmean(h for _, h in cell)
        low, high = wilson(sum(h for _, h in cell), len(cell))
        out.append(
            f'<path d="M{_x(p)} {_y(low)}V{_y(high)}" stroke="{colour}" stroke-width="2" stroke-opacity=".5"/>'
            f'<circle cx="{_x(p)}" cy="{_y(held)}" r="4.5" fill="{colour}"/>'
        )
    return "".join(out)


def _legend(row: int, colour: str, text: str) -> str:
    x, y = _x(1) + 16, EDGE + 10 + 20 * row
    return f'<circle cx="{x}" cy="{y}" r="4.5" fill="{colour}"/><text x="{x + 10}" y="{y + 4}">{text}</text>'
