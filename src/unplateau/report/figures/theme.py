"""Colours, by what they stand for: light and dark, apart for every kind of colour vision, and never the only sign.

The hues are those of Okabe and Ito ("Color Universal Design", 2008), darkened on light paper and lightened on dark
paper until a line stands out by 3:1 (WCAG 2.2, 1.4.11) and a word by 4.5:1 (1.4.3); tests/test_figures_theme.py counts.
"""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Literal

Theme = Literal["auto", "light", "dark"]

#: what a colour stands for -> on light paper, on dark paper
INKS: dict[str, tuple[str, str]] = {
    "paper": ("#fdfdfb", "#14171a"),
    "ink": ("#1b1f24", "#e8eaed"),  # words
    "dim": ("#57606a", "#a3adb8"),  # words of less weight, axes
    "grid": ("#dfe3e8", "#2d333a"),
    "val": ("#0072b2", "#56b4e9"),
    "train": ("#bd4a00", "#f58a4b"),
    "batch": ("#6e7781", "#8b949e"),
    "seen": ("#a88a00", "#f0e442"),
    "fresh": ("#005a28", "#9bd87f"),
    "law": ("#1b1f24", "#e8eaed"),
    "plan": ("#8e3b76", "#e19cc3"),
    "other1": ("#00795a", "#2bb98f"),
    "other2": ("#b35900", "#e69f00"),
    "other3": ("#5b4bb0", "#a99bf5"),
    "other4": ("#8a6d00", "#f0e442"),
    "other5": ("#0072b2", "#56b4e9"),
    "other6": ("#6e7781", "#8b949e"),
    "bad": ("#b3261e", "#ff8a80"),
    "good": ("#1a7f37", "#4cc26a"),
    "falling": ("#00795a", "#2bb98f"),
    "slowing": ("#8a6d00", "#f0e442"),
    "flat": ("#57606a", "#a3adb8"),
    "rising": ("#c04e00", "#f58a4b"),
    "spike": ("#8e3b76", "#e19cc3"),
    "diverged": ("#b3261e", "#ff8a80"),
    "unjudged": ("#7a828b", "#6e7681"),
}
FONT = "system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans',Helvetica,Arial,sans-serif"
PAINTED = re.compile(r'class="([sf])-(\w+)"')
ATTRIBUTE = {"s": "stroke", "f": "fill"}
#: class of an element -> its rule; the letter says stroke or fill
RULES = "".join(
    f".up .{letter}-{name}{{{attribute}:var(--up-{name})}}"
    for letter, attribute in ATTRIBUTE.items()
    for name in INKS
)


def variables(dark: bool) -> str:
    """The colours as CSS variables.

    >>> variables(dark=False)[:30]
    '--up-paper:#fdfdfb;--up-ink:#1'
    """
    return ";".join(f"--up-{name}:{pair[dark]}" for name, pair in INKS.items())


def css(theme: Theme = "auto") -> str:
    """The style of figures: the same for every one, so that a page needs it once.

    ``auto`` follows the reader's system, and a page's own ``data-theme`` on its root where it has one; on paper it is light.
    """
    if theme != "auto":
        return f".up{{{variables(dark=theme == 'dark')}}}{RULES}"
    dark = variables(dark=True)
    return (
        f":root,.up{{{variables(dark=False)}}}"
        f"@media screen and (prefers-color-scheme:dark){{:root:not([data-theme=light]),"
        f":root:not([data-theme=light]) .up,svg.up:root{{{dark}}}}}"
        f"@media screen{{:root[data-theme=dark],:root[data-theme=dark] .up{{{dark}}}}}"
        f"{RULES}"
    )


def painted(svg: str, *, dark: bool = False) -> str:
    """``svg`` with the colour of each class beside it, for readers that know no CSS.

    No foreign text can be taken for a class: its quotes are escaped.

    >>> painted('<path class="s-val"/>')
    '<path class="s-val" stroke="#0072b2"/>'
    """

    def colour(found: re.Match[str]) -> str:
        letter, name = found.groups()
        return f'{found.group()} {ATTRIBUTE[letter]}="{INKS[name][dark]}"'

    return PAINTED.sub(colour, svg)


ASSETS = "unplateau.report.page.assets"
SCRIPTS = ("uPlot.iife.min.js", "scales.js", "strokes.js", "charts.js")
STYLES = ("uPlot.min.css", "charts.css")
#: of pictures in a page: the layout for narrow places, and what stands on paper where a script took a picture's place
LAYOUT = (
    ".up-figure{container-type:inline-size}.up-static svg{display:block;width:100%;max-width:72rem;height:auto}"
    ".up-static .up-narrow,.up-static .up-broad{display:none}"
    "@container (max-width:560px){.up-static .up-wide{display:none}.up-static .up-narrow{display:block}}"
    "@container (min-width:72rem){.up-static.up-wider .up-wide{display:none}"
    ".up-static .up-broad{display:block;max-width:none}}"
    ".up-figure.up-live .up-static{display:none}"
    "@media print{.up-figure.up-live .up-static{display:block}.up-figure .up-chart{display:none}}"
)


def page_css() -> str:
    """What a page needs in its own style for the figures in it, once."""
    return "".join([css(), LAYOUT, *map(_asset, STYLES)])


def page_scripts() -> tuple[str, ...]:
    """The scripts that bring the figures of a page to life, in their order; each may stand in a ``<script>``."""
    return tuple(map(_asset, SCRIPTS))


def _asset(name: str) -> str:
    return files(ASSETS).joinpath(name).read_text(encoding="utf-8")
