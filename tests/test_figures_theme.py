"""The colours of pictures: seen on light paper and on dark, and told apart by those who see fewer colours.

A mutation that went red here: Okabe and Ito's own yellow on light paper.
"""

from itertools import combinations

import numpy as np
import pytest

from unplateau.report.figures.draw import DASHES
from unplateau.report.figures.law import FANNED, OTHERS
from unplateau.report.figures.theme import INKS, css

LINE, WORD = 3.0, 4.5  # ratios of contrast (WCAG 2.2, 1.4.11 and 1.4.3)
BACKGROUND = {"paper", "grid"}
WORDS = ("ink", "dim", "falling", "slowing", "flat", "rising", "spike", "diverged")
#: series that stand in one field at a time
TOGETHER = ("val", "train", "seen", "fresh", "batch", "plan")
#: Machado, Oliveira and Fernandes 2009, severity 1: what is left of linear red, green and blue
BLIND = {
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritan": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
APART = 0.05  # of Oklab, in which .02 is about the least difference that is seen side by side


def linear(colour):
    values = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def contrast(one, other):
    light, dark = sorted((float(linear(c) @ (0.2126, 0.7152, 0.0722)) for c in (one, other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def oklab(rgb):
    """Bjorn Ottosson's Oklab (2020) of linear red, green and blue."""
    lms = np.array([[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566], [0.0883024619, 0.2817188376, 0.6299787005]])  # fmt: skip
    lab = np.array([[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099], [0.0259040371, 0.7827717662, -0.8086757660]])  # fmt: skip
    return lab @ np.cbrt(lms @ np.clip(rgb, 0, 1))


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("ink", sorted(set(INKS) - BACKGROUND))
def test_a_line_stands_out_from_its_paper(ink, dark):
    assert contrast(INKS[ink][dark], INKS["paper"][dark]) >= LINE


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("ink", WORDS)
def test_a_word_can_be_read(ink, dark):
    assert contrast(INKS[ink][dark], INKS["paper"][dark]) >= WORD


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("sight", BLIND)
def test_series_are_told_apart_by_those_who_see_fewer_colours(sight, dark):
    seen = {name: oklab(np.array(BLIND[sight]) @ linear(INKS[name][dark])) for name in TOGETHER}
    near = {pair: float(np.linalg.norm(seen[pair[0]] - seen[pair[1]])) for pair in combinations(TOGETHER, 2)}

    assert {pair: d for pair, d in near.items() if d < APART} == {}


def test_futures_differ_in_their_dashes_too():
    assert len(OTHERS) == FANNED
    assert len({INKS[name][0] for name in OTHERS}) == FANNED
    assert len(set(DASHES)) == len(DASHES)


def test_the_dark_theme_has_every_colour():
    said = css()

    for name, (light, dark) in INKS.items():
        assert f"--up-{name}:{light}" in said.partition("@media")[0]
        assert f"--up-{name}:{dark}" in said.partition("@media")[2]
