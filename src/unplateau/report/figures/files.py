"""Figures as files: SVG, which any browser shows and papers take, and PNG for places that take no SVG."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

from ...durable import told, write_durably
from ...errors import UnplateauError
from . import Figure
from .theme import FONT, Theme

SCALE = 2  # pixels of a PNG for each unit of its picture: sharp on paper and on dense screens
AFTER_HEADER = 33  # bytes of a PNG's signature and its first chunk, IHDR
SOFTWARE = b"Software\0unplateau"
NOT_IN_NAME = re.compile(r"[^A-Za-z0-9._-]+")
LONGEST = 60  # characters of a run's name in that of a file
#: families that a PNG is written with, the first that the machine has; then any that is no mono and no math
FAMILIES = ("Noto Sans", "Roboto", "Helvetica", "Arial", "Liberation Sans", "DejaVu Sans")
LACKING = "pictures as PNG need resvg: pip install 'unplateau[png]'; --svg writes them without it"
NO_FONTS = (
    "pictures as PNG need a font, and this machine has none: install one (fonts-dejavu); --svg needs none"
)


def write_svg(
    figures: Sequence[Figure], folder: Path, *, theme: Theme = "auto", before: str = ""
) -> list[Path]:
    """Each figure as ``folder/[before-]NAME.svg``; light or dark as the reader's system is, or as ``theme`` says.

    ``before``: the name of a run, where there are several. Raises ``UnplateauError`` where the folder takes no files.
    """
    return _written(
        {named(figure, before, ".svg"): figure.alone(theme).encode() for figure in figures}, folder
    )


def write_png(figures: Sequence[Figure], folder: Path, *, dark: bool = False, before: str = "") -> list[Path]:
    """Each figure as ``folder/[before-]NAME.png``, on light paper or on dark.

    Raises ``UnplateauError`` where ``resvg`` or any font is missing, or the folder takes no files.
    """
    return _written({named(figure, before, ".png"): png(figure, dark=dark) for figure in figures}, folder)


def _written(contents: dict[str, bytes], folder: Path) -> list[Path]:
    with told(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for name, data in contents.items():
        with told(folder / name):
            write_durably(folder / name, data)
    return [folder / name for name in contents]


def named(figure: Figure, before: str, suffix: str) -> str:
    """The name of a file; what a run is called can lead to no other folder.

    >>> from .paint import Drawn
    >>> nothing = Drawn(1, 1, "")
    >>> named(Figure("curve", "", "", nothing, nothing, {}), "../a b", ".svg")
    'a-b-curve.svg'
    """
    safe = NOT_IN_NAME.sub("-", before).strip("-.")[:LONGEST]
    return f"{safe}-{figure.name}{suffix}" if safe else f"{figure.name}{suffix}"


def png(figure: Figure, *, dark: bool = False) -> bytes:
    """A PNG of the figure with ``SCALE`` pixels a unit. Raises ``UnplateauError`` where ``resvg`` or a font is missing."""
    try:
        from resvg import render, usvg
    except ImportError:
        raise UnplateauError(LACKING) from None
    options = usvg.Options.default()
    options.load_system_fonts()
    family = family_of(options.list_fonts())
    svg = figure.plain(dark=dark).replace(FONT, family)
    tree = usvg.Tree.from_str(svg, options)
    width, height = tree.int_size()
    # resvg 0.2 takes a transform by its rows: x by x, y, 1, then y by x, y, 1
    return signed(bytes(render(tree, (SCALE, 0, 0, 0, SCALE, 0), bg_size=(SCALE * width, SCALE * height))))


def signed(data: bytes) -> bytes:
    """A PNG that says who made it, so that it is known again: a text after its header (ISO/IEC 15948, 11.3.4.3)."""
    part = b"tEXt" + SOFTWARE
    return (
        data[:AFTER_HEADER]
        + struct.pack(">I", len(SOFTWARE))
        + part
        + struct.pack(">I", zlib.crc32(part))
        + data[AFTER_HEADER:]
    )


def family_of(there: Sequence[str]) -> str:
    """The font to write with, of those that are there. Raises ``UnplateauError`` where none is.

    >>> family_of(["DejaVu Sans Mono", "DejaVu Sans"]), family_of(["Inter Mono", "Inter"])
    ('DejaVu Sans', 'Inter')
    """
    if not there:
        raise UnplateauError(NO_FONTS)
    usual = [name for name in FAMILIES if name in there]
    others = [name for name in there if not re.search("mono|math|symbol|emoji", name, re.IGNORECASE)]
    return [*usual, *others, *there][0]
