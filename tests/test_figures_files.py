"""Figures as files: SVG on any machine, PNG where resvg is, one line where it is not.

What went wrong while they were made, and is tested: the transform by columns instead of rows gives an empty PNG, colours
left to a style that resvg does not know a black one.
"""

import struct
import sys
import zlib

import numpy as np
import pytest

from synthetic import healthy_run
from unplateau.diagnosis import diagnose
from unplateau.errors import UnplateauError
from unplateau.report.figures import EDGE, figures_of, files
from unplateau.report.figures.files import png, write_png, write_svg
from unplateau.report.figures.theme import INKS


@pytest.fixture(scope="module")
def figures():
    return figures_of(diagnose(healthy_run(0, done=0.6)))


def pixels(data):
    """The rows of a PNG of eight bits and four channels, each of shape (width, 4); only what resvg writes."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, packed, width = 8, b"", 0
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        part = data[at + 8 : at + 8 + length]
        width = struct.unpack(">I", part[:4])[0] if kind == b"IHDR" else width
        packed += part if kind == b"IDAT" else b""
        at += 12 + length
    return np.array(list(unfiltered(zlib.decompress(packed), 4 * width)), dtype=np.uint8).reshape(
        -1, width, 4
    )


def unfiltered(raw, wide):
    """Rows by PNG's five filters (ISO/IEC 15948, section 9): none, left, above, their mean, Paeth's."""
    above = bytes(wide)
    for at in range(0, len(raw), wide + 1):
        kind, row = raw[at], bytearray(raw[at + 1 : at + 1 + wide])
        if kind == 2:
            row = bytearray((a + b) & 255 for a, b in zip(row, above, strict=True))
        for i in range(wide) if kind in (1, 3, 4) else ():
            left, up, corner = (row[i - 4], above[i], above[i - 4]) if i > 3 else (0, above[i], 0)
            row[i] = (row[i] + guess(kind, left, up, corner)) & 255
        above = bytes(row)
        yield list(above)


def guess(kind, left, up, corner):
    if kind == 1:
        return left
    if kind == 3:
        return (left + up) // 2
    return min((left, up, corner), key=lambda value: abs(left + up - corner - value))


def colours(image):
    return {f"#{r:02x}{g:02x}{b:02x}" for r, g, b, _ in np.unique(image.reshape(-1, 4), axis=0).tolist()}


def test_each_figure_is_a_file_of_its_own(figures, tmp_path):
    written = write_svg(figures, tmp_path / "new" / "folder")

    assert [path.name for path in written] == [f"{figure.name}.svg" for figure in figures]
    assert all(path.read_text().startswith("<svg xmlns=") for path in written)


def test_a_run_s_name_leads_to_no_other_folder(figures, tmp_path):
    written = write_svg(figures, tmp_path / "in", before="../../etc/a b")

    assert {path.parent for path in written} == {tmp_path / "in"}
    assert written[0].name == "etc-a-b-health.svg"


def test_a_file_can_be_light_or_dark_or_as_the_system_is(figures, tmp_path):
    said = {
        theme: write_svg(figures, tmp_path, theme=theme)[0].read_text() for theme in ("auto", "light", "dark")
    }

    assert "prefers-color-scheme" in said["auto"]
    assert "prefers-color-scheme" not in said["light"] + said["dark"]
    assert said["light"] != said["dark"]


@pytest.mark.parametrize("dark", [False, True])
def test_a_png_shows_what_the_svg_does(figures, dark, monkeypatch):
    monkeypatch.setattr(files, "SCALE", 1)  # a quarter of the pixels to read
    pytest.importorskip("resvg", reason="resvg is not installed (pip install 'unplateau[png]')")
    figure = next(figure for figure in figures if figure.name == "budget")
    image = pixels(png(figure, dark=dark))

    assert image.shape[1] == pytest.approx(figure.wide.width + 2 * EDGE, abs=1)
    assert {INKS[name][dark] for name in ("paper", "ink", "dim")} <= colours(image)
    assert tuple(image[0, 0][:3]) == tuple(bytes.fromhex(INKS["paper"][dark][1:]))


def test_png_without_resvg_says_what_to_install(figures, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "resvg", None)

    with pytest.raises(UnplateauError, match=r"pip install 'unplateau\[png\]'"):
        write_png(figures, tmp_path)


def test_a_folder_that_takes_no_files_is_told(figures, tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(UnplateauError, match="can't write"):
        write_svg(figures, tmp_path / "file")
