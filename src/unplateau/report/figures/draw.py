"""Pieces of SVG. Every string goes through ``escaped``; colours are classes (theme.py), never attributes of foreign text."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from html import escape

import numpy as np
from numpy.typing import NDArray

from ...errors import printable
from ..redact import redacted

Floats = NDArray[np.float64]

GLYPH = 0.56  # of the size: mean width of a character of a system font
FAR = 1e5  # units; what lies further outside than this is drawn no further out
DASHES = ("", "7 3", "2 3", "9 3 2 3", "5 2 1 2 1 2")


def escaped(words: str, limit: int = 400) -> str:
    r"""Foreign text, safe between tags and in attributes: one line, no control characters, no secrets.

    >>> escaped('<b onload="x">\x00')
    '&lt;b onload=&quot;x&quot;&gt;?'
    """
    return escape(redacted(printable(words, limit)), quote=True)


def number(x: float) -> str:
    """A coordinate with one decimal.

    >>> number(3.0), number(2.449), number(-0.01)
    ('3', '2.4', '0')
    """
    said = f"{min(max(x, -FAR), FAR):.1f}"
    return "0" if said in ("-0.0", "0.0") else said.removesuffix(".0")


def wide(words: str, size: float) -> float:
    """About how wide a text is, in the unit of its size."""
    return len(words) * size * GLYPH


def fitted(words: str, room: float, size: float) -> str:
    """``words`` cut to about ``room``.

    >>> fitted("validation loss", 60, 13)
    'validat…'
    """
    return printable(words, max(2, int(room / (size * GLYPH))))


def broken(words: str, room: float, size: float, most: int = 2) -> list[str]:
    """``words`` on as many lines of about ``room`` as they take, at most ``most``; what is more is cut.

    >>> broken("cool down from the last checkpoint, to nothing", 120, 12)
    ['cool down from', 'the last …']
    """
    return textwrap.wrap(words, max(8, int(room / (size * GLYPH))), max_lines=most, placeholder=" …") or [""]


def text(
    x: float,
    y: float,
    words: str,
    *,
    ink: str = "ink",
    size: float = 13,
    anchor: str = "start",
    bold: bool = False,
) -> str:
    """A line of text that begins, ends or has its middle at ``x``; ``y`` is the line that it stands on."""
    placed = "" if anchor == "start" else f' text-anchor="{anchor}"'
    heavy = ' font-weight="600"' if bold else ""
    return (
        f'<text class="f-{ink}" x="{number(x)}" y="{number(y)}" font-size="{number(size)}"{placed}{heavy}>'
        f"{escaped(words)}</text>"
    )


def path(d: str, *, ink: str, width: float = 1.5, dash: str = "", opacity: float = 1.0) -> str:
    """A line, without a filling; nothing for an empty one."""
    if not d:
        return ""
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return (
        f'<path class="s-{ink}" d="{d}" fill="none" stroke-width="{number(width)}" stroke-linecap="round" '
        f'stroke-linejoin="round"{dashed}{_seen(opacity, "stroke")}/>'
    )


def area(d: str, *, ink: str, opacity: float = 1.0) -> str:
    """A filled outline."""
    return f'<path class="f-{ink}" d="{d}"{_seen(opacity, "fill")}/>' if d else ""


def rect(
    x: float, y: float, width: float, height: float, *, ink: str, opacity: float = 1.0, radius: float = 0
) -> str:
    """A filled rectangle; one without a width is not drawn."""
    if width <= 0 or height <= 0:
        return ""
    round_ = f' rx="{number(radius)}"' if radius else ""
    return (
        f'<rect class="f-{ink}" x="{number(x)}" y="{number(y)}" width="{number(width)}" height="{number(height)}"'
        f"{round_}{_seen(opacity, 'fill')}/>"
    )


def titled(words: str, *parts: str) -> str:
    """Parts that say ``words`` when pointed at."""
    return f"<g><title>{escaped(words)}</title>{''.join(parts)}</g>"


def window(x: float, y: float, width: float, height: float, parts: Iterable[str]) -> str:
    """Parts in a field of their own, cut at its edges; their coordinates begin at its corner."""
    size = f'width="{number(width)}" height="{number(height)}"'
    return f'<svg x="{number(x)}" y="{number(y)}" {size} overflow="hidden">{"".join(parts)}</svg>'


def line(x: Floats, y: Floats) -> str:
    """The ``d`` of a line through points of shape (n,); a point that is not finite breaks it.

    >>> line(np.array([0.0, 1, 2, 3]), np.array([5.0, 6, np.nan, 8]))
    'M0 5L1 6M3 8h0'
    """
    good = np.isfinite(x) & np.isfinite(y)
    out: list[str] = []
    cut = np.flatnonzero(np.diff(np.concatenate([[False], good, [False]]).astype(int)))
    for start, stop in zip(cut[::2].tolist(), cut[1::2].tolist(), strict=True):
        points = [
            f"{number(a)} {number(b)}"
            for a, b in zip(x[start:stop].tolist(), y[start:stop].tolist(), strict=True)
        ]
        out.append("M" + ("L".join(points) if len(points) > 1 else f"{points[0]}h0"))
    return "".join(out)


def band(x: Floats, low: Floats, high: Floats) -> str:
    """The ``d`` of the field between two lines."""
    good = np.isfinite(x) & np.isfinite(low) & np.isfinite(high)
    if good.sum() < 2:
        return ""
    there = line(x[good], high[good])
    back = line(x[good][::-1], low[good][::-1])
    return f"{there}L{back[1:]}Z"


def dots(x: Floats, y: Floats) -> str:
    """The ``d`` of dots: lines of no length, which round ends make visible."""
    return "".join(f"M{number(a)} {number(b)}h0" for a, b in _pairs(x, y))


def crosses(x: Floats, y: Floats, half: float = 3) -> str:
    """The ``d`` of upright crosses."""
    h, w = number(half), number(2 * half)
    return "".join(f"M{number(a - half)} {number(b)}h{w}m-{h} -{h}v{w}" for a, b in _pairs(x, y))


def slants(x: Floats, y: Floats, half: float = 2) -> str:
    """The ``d`` of slanted crosses."""
    w = number(2 * half)
    return "".join(f"M{number(a - half)} {number(b - half)}l{w} {w}m-{w} 0l{w} -{w}" for a, b in _pairs(x, y))


def bars(x: Floats, low: Floats, high: Floats) -> str:
    """The ``d`` of upright bars from ``low`` to ``high``."""
    good = np.isfinite(x) & np.isfinite(low) & np.isfinite(high)
    rows = zip(x[good].tolist(), low[good].tolist(), high[good].tolist(), strict=True)
    return "".join(f"M{number(a)} {number(b)}V{number(c)}" for a, b, c in rows)


def wedge(x: float, y: float, half: float = 5, *, down: bool = False) -> str:
    """The ``d`` of a triangle with its tip at (x, y), that points up, or down."""
    rise = -1.6 * half if down else 1.6 * half
    return f"M{number(x)} {number(y)}l{number(half)} {number(rise)}h{number(-2 * half)}Z"


def _pairs(x: Floats, y: Floats) -> list[tuple[float, float]]:
    good = np.isfinite(x) & np.isfinite(y)
    return list(zip(x[good].tolist(), y[good].tolist(), strict=True))


def _seen(opacity: float, what: str) -> str:
    return "" if opacity >= 1 else f' {what}-opacity="{opacity:.2g}"'
