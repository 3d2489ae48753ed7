"""The switch between light and dark: by pointer and by keyboard, with the charts; never on paper, never without scripts.

Seen red once: the rules for ``data-theme`` for all media, of page.css and of figures/theme.py; a switch that is printed
(test_paper_is_light_whatever_is_chosen); charts that do not watch the attribute (test_charts_follow); ``auto`` that
leaves what was chosen (test_either_is_chosen_whatever_the_system_is_and_auto_goes_back).
"""

from pathlib import Path

import pytest

import unplateau
from browser import WIDTHS, needs_browser
from unplateau.diagnosis import diagnose
from unplateau.reading import read_runs
from unplateau.report.page import page, view

pytestmark = needs_browser
LOG = Path(unplateau.__file__).parent / "examples" / "reference-run" / "train.log"
PAPER = "getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).map(Number)"
#: the colour of the words at a chart's axis
AXIS = "document.querySelector('figure.up-live').chart.plots[0].axes[0].stroke()"
PRESSED = "[...document.querySelectorAll('.theme [aria-pressed=true]')].map(one => one.textContent)"
KEPT = "localStorage.length + sessionStorage.length + document.cookie.length"


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    (run,) = read_runs(LOG)
    place = tmp_path_factory.mktemp("theme") / "page.html"
    place.write_text(page([view(diagnose(run))]), encoding="utf-8")
    return place


def switch(opened, name):
    opened.page.get_by_role("button", name=name, exact=True).click()


def is_dark(opened):
    return max(opened.page.evaluate(PAPER)) < 60


@pytest.mark.parametrize("system", [False, True], ids=["light", "dark"])
def test_either_is_chosen_whatever_the_system_is_and_auto_goes_back(chromium, file, system):
    opened = chromium.open(file, dark=system)
    assert (is_dark(opened), opened.page.evaluate(PRESSED)) == (system, ["auto"])

    switch(opened, "dark")
    assert (is_dark(opened), opened.page.evaluate(PRESSED)) == (True, ["dark"])
    switch(opened, "light")
    assert (is_dark(opened), opened.page.evaluate(PRESSED)) == (False, ["light"])
    switch(opened, "auto")
    assert (is_dark(opened), opened.page.evaluate(PRESSED)) == (system, ["auto"])


def test_it_is_the_second_key_and_is_pressed_by_it(chromium, file):
    opened = chromium.open(file)
    for _ in range(4):  # the link past the head, auto, light, dark
        opened.page.keyboard.press("Tab")
    opened.page.keyboard.press("Enter")

    assert opened.page.evaluate("document.activeElement.textContent") == "dark"
    assert is_dark(opened)


def test_charts_follow(chromium, file):
    opened = chromium.open(file)
    light = opened.page.evaluate(AXIS)

    switch(opened, "dark")

    opened.page.wait_for_function(f"({AXIS}) !== {light!r}")


@pytest.mark.parametrize("name", ["auto", "light", "dark"])
def test_paper_is_light_whatever_is_chosen(chromium, file, name):
    opened = chromium.open(file, dark=True)
    switch(opened, name)
    opened.page.emulate_media(media="print", color_scheme="dark")

    assert min(opened.page.evaluate(PAPER)) > 230
    assert not opened.page.locator(".theme").is_visible()
    ink = opened.page.locator("figure[data-figure=curve] .up-wide text").first
    assert max(map(int, ink.evaluate("e => getComputedStyle(e).fill")[4:-1].split(","))) < 120


def test_without_scripts_there_is_no_switch(chromium, file):
    opened = chromium.open(file, scripts=False)

    assert opened.page.locator(".theme").count() == 0


def test_nothing_is_refused_asked_for_or_kept(chromium, file):
    opened = chromium.open(file)
    for name in ("dark", "light", "auto"):
        switch(opened, name)

    assert (opened.errors, opened.breaches, opened.left) == ([], [], [])
    assert opened.page.evaluate(KEPT) == 0


@pytest.mark.parametrize("width", WIDTHS)
def test_it_lies_on_nothing_and_nothing_on_it(chromium, file, width):
    opened = chromium.open(file, width=width)
    bar = opened.page.locator(".theme").bounding_box()
    name = opened.page.locator(".kicker").evaluate(
        "e => { const r = document.createRange(); r.selectNodeContents(e); const b = r.getBoundingClientRect(); return [b.right, b.top]; }"
    )

    assert bar["x"] >= 0
    assert bar["x"] + bar["width"] <= width
    assert bar["y"] + bar["height"] <= name[1] + 2 or bar["x"] > name[0]
