"""The run as a strip: how its loss moved, piece by piece, in words and in colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...diagnosis import Diagnosis
from ...state import SLOWED, WORTH, Phase, State
from . import draw
from .measure import Amounts, bumps_of
from .paint import Drawn, Layout
from .scale import Axis, short

HEIGHT = 34  # units of the strip
WORD = 25  # units: the line that its words stand on; bumps hang above it
GLYPHS = {"falling": "↘", "slowing": "↘", "flat": "→", "rising": "↗", "diverged": "✕", "unjudged": "·"}
WORDS = {"unjudged": "not judged"}
START = 0.01  # share of the run that is not judged (state.after_start)


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a run and how its loss moves there; ``x``: amounts of the axis."""

    kind: str
    first: int  # step
    last: int
    x: tuple[float, float]

    @property
    def word(self) -> str:
        return WORDS.get(self.kind, self.kind)


def pieces_of(found: Diagnosis, amounts: Amounts) -> list[Piece]:
    """The stretches of a run in order; empty where its state can't be told.

    Each straight piece is named as the state names the last one, but without its interval; the end is the state's own.
    """
    state, run = found.state, found.run
    curve = run.series.get(state.series)
    if curve is None or len(curve) < 2 or state.verdict == "too-short":
        return []
    end = int(curve.step[-1])
    since = min(max(state.since_step or 0, 0), end)
    named = [(kind, p.first, min(p.last, end)) for kind, p in _named(state.phases)]
    if not named:
        begin = max(int(curve.step[0]), int(START * end), 1)
        named = [("unjudged", begin, since)] if since > begin else []
    before = [(kind, first, min(last, since)) for kind, first, last in named if first < since]
    now = (
        [(state.verdict, since, end)]
        if since < end
        else [(state.verdict, before[-1][1] if before else 0, end)]
    )
    before = before if since < end else before[:-1]
    return [Piece(k, a, b, _span(amounts, a, b)) for k, a, b in _joined([*before, *now])]


def _span(amounts: Amounts, first: int, last: int) -> tuple[float, float]:
    a, b = amounts.at([first, last]).tolist()
    return float(a), float(b)


def _named(phases: Sequence[Phase]) -> list[tuple[str, Phase]]:
    """Each phase with its word."""
    out: list[tuple[str, Phase]] = []
    for i, phase in enumerate(phases):
        before = phases[i - 1].per_doubling if i else None
        out.append((_kind(phase, before), phase))
    return out


def _kind(phase: Phase, before: float | None) -> str:
    """The word of a phase, by the limits of ``state``."""
    worth = WORTH * abs(phase.loss_to)
    if abs(phase.per_doubling) <= worth:
        return "flat"
    if phase.per_doubling > 0:
        return "rising"
    slowed = before is not None and before < 0 and phase.per_doubling > SLOWED * before
    return "slowing" if slowed else "falling"


def _joined(pieces: Sequence[tuple[str, int, int]]) -> list[tuple[str, int, int]]:
    """Neighbours of one kind as one piece; no gaps between.

    >>> _joined([("falling", 1, 4), ("falling", 5, 8), ("flat", 9, 20)])
    [('falling', 1, 9), ('flat', 9, 20)]
    """
    out: list[tuple[str, int, int]] = []
    for kind, first, last in pieces:
        if out and out[-1][0] == kind:
            out[-1] = (kind, out[-1][1], last)
            continue
        if out:
            out[-1] = (out[-1][0], out[-1][1], first)
        out.append((kind, first, last))
    return out


def said(pieces: Sequence[Piece], state: State, unit: str) -> str:
    """The strip in words."""
    steps = [f"{p.word} from step {p.first:,} to {p.last:,}" for p in pieces]
    spikes = (
        f"; {len(state.bumps)} bump{'s' * (len(state.bumps) != 1)} above the trend" if state.bumps else ""
    )
    return f"{', then '.join(steps)}{spikes} (along {unit})."[:600]


def strip(pieces: Sequence[Piece], found: Diagnosis, amounts: Amounts, layout: Layout, *, log: bool) -> Drawn:
    """The strip with a word in each piece that has room, signs in the others, and a key below."""
    room = layout.width - 2
    low, high = max(pieces[0].x[0], _first(found, amounts)), pieces[-1].x[1]
    axis = Axis(low, max(high, low * 1.0001), 1, 1 + room, log=log, least=1.0)
    out: list[str] = []
    for piece in pieces:
        left, right = (float(v) for v in axis.place([max(piece.x[0], low), piece.x[1]]))
        out.append(_piece(piece, left, max(right - left - 1.5, 1.0), layout.size))
    out += [_bump(axis.at(x), label) for x, label in _bumps(found.state, amounts) if low <= x <= high]
    places = axis.labelled(layout.size, layout.ticks)
    out += [_label(place, word, layout) for place, word in places]
    rows = _key(pieces, found.state, layout, HEIGHT + 34)
    height = HEIGHT + 34 + 18 * len(rows)
    return Drawn(layout.width, height, "".join([*out, *rows]))


def _first(found: Diagnosis, amounts: Amounts) -> float:
    """The first amount above 0 that was logged: a logarithmic axis begins there."""
    x = amounts.at(np.append(found.run.series[found.state.series].step, 1.0))
    above = x[x > 0]
    return float(above[0])


def _piece(piece: Piece, left: float, width: float, size: float) -> str:
    """A coloured field with its word in the colour of the paper."""
    words = f"{GLYPHS[piece.kind]} {piece.word}"
    parts = [draw.rect(left, 0, width, HEIGHT, ink=piece.kind, radius=3)]
    if draw.wide(words, size) + 8 <= width:
        parts.append(
            draw.text(left + width / 2, WORD, words, ink="paper", size=size, anchor="middle", bold=True)
        )
    elif width > size:
        parts.append(
            draw.text(left + width / 2, WORD, GLYPHS[piece.kind], ink="paper", size=size, anchor="middle")
        )
    return draw.titled(f"{piece.word} from step {piece.first:,} to {piece.last:,}", *parts)


def _bump(place: float, label: str) -> str:
    return draw.titled(
        label,
        draw.area(draw.wedge(place, 9, 5, down=True), ink="paper", opacity=1),
        draw.area(draw.wedge(place, 7, 4, down=True), ink="spike", opacity=1),
    )


def _bumps(state: State, amounts: Amounts) -> list[tuple[float, str]]:
    return [
        (float(amounts.at([b.step])[0]), f"bump at step {b.step:,}: {b.errors:.1f} standard errors")
        for b in bumps_of(state)
    ]


def _label(place: float, word: str, layout: Layout) -> str:
    half = draw.wide(word, layout.size) / 2
    place = min(max(place, half), layout.width - half)
    return draw.text(place, HEIGHT + 16, word, ink="dim", size=layout.size - 1, anchor="middle")


def _key(pieces: Sequence[Piece], state: State, layout: Layout, top: float) -> list[str]:
    """Each piece in words, as many rows as they take: a narrow piece has no room for its own."""
    out: list[str] = []
    words = [(f"{GLYPHS[p.kind]} {p.word} {_steps(p)}", p.kind) for p in pieces]
    words += [(f"▼ {len(state.bumps)} bump{'s' * (len(state.bumps) != 1)}", "spike")] if state.bumps else []
    left = 0.0
    row: list[str] = []
    for word, ink in words:
        room = draw.wide(word, layout.size - 1) + 16
        if row and left + room > layout.width:
            out.append("".join(row))
            left, row = 0.0, []
        row.append(
            draw.text(
                left, top + 18 * len(out), word, ink=ink if ink != "unjudged" else "dim", size=layout.size - 1
            )
        )
        left += room
    return [*out, "".join(row)] if row else out


def _steps(piece: Piece) -> str:
    return f"steps {short(piece.first)} to {short(piece.last)}"


def as_dict(pieces: Sequence[Piece], state: State, unit: str) -> dict[str, Any]:
    """The strip as data."""
    told = [{"kind": p.kind, "word": p.word, "from": p.first, "to": p.last, "x": list(p.x)} for p in pieces]
    bumps = [{"step": b.step, "size": b.size, "errors": b.errors} for b in bumps_of(state)]
    return {"kind": "strip", "unit": unit, "pieces": told, "bumps": bumps}
