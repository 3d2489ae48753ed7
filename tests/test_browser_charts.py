"""The charts of a page in Chromium: they live by pointer and by keyboard, under a policy of hashes, from a file.

A mutation that went red here: ``setView`` that keeps no view (dragging zooms, and a double click goes back).
"""

from base64 import b64encode
from hashlib import sha256

import pytest

from browser import needs_browser
from payloads import PAYLOADS
from synthetic import healthy_run
from unplateau.comparison import compare
from unplateau.diagnosis import diagnose
from unplateau.futures import forecast
from unplateau.report.figures import compared, figures_of, page_css, page_scripts

pytestmark = needs_browser
#: what a test asks the page for
VIEW = "() => document.querySelector('figure[data-figure=curve]').chart.range"
HIDDEN = "() => [...document.querySelector('figure[data-figure=curve]').chart.hidden]"


def hashed(text):
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def page(figures):
    scripts = page_scripts()
    style = page_css() + "body{margin:0 auto;max-width:48rem;background:var(--up-paper);color:var(--up-ink)}"
    allowed = f"script-src {' '.join(map(hashed, scripts))}; style-src {hashed(style)}"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>charts</title>'
        f'<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; {allowed}">'
        f'<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">'
        f"<style>{style}</style></head><body><main>{''.join(figure.html for figure in figures)}</main>"
        f"{''.join(f'<script>{script}</script>' for script in scripts)}</body></html>"
    )


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    found = diagnose(healthy_run(0, done=0.6, extras=True))
    path = tmp_path_factory.mktemp("charts") / "page.html"
    path.write_text(page(figures_of(found, forecast(found.run))), encoding="utf-8")
    return path


@pytest.fixture
def opened(chromium, file):
    return chromium.open(file, offline=True)


def drag(page, start, end):
    box = page.locator(".u-over").first.bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + start * box["width"], middle)
    page.mouse.down()
    page.mouse.move(box["x"] + end * box["width"], middle, steps=5)
    page.mouse.up()


def test_a_chart_takes_the_place_of_its_picture_and_nothing_is_refused(opened):
    assert opened.page.locator("figure.up-live").count() == 1
    assert not opened.page.locator("figure.up-live .up-static").is_visible()
    assert opened.page.locator("figure.up-live canvas").first.is_visible()
    assert opened.page.locator("figure[data-figure=budget] svg.up-wide").is_visible()
    assert (opened.errors, opened.breaches, opened.dialogs, opened.left) == ([], [], [], [])


def test_without_scripts_the_picture_stays(chromium, file):
    opened = chromium.open(file, scripts=False)

    assert opened.page.locator("figure[data-figure=curve] svg.up-wide").is_visible()


def test_on_paper_the_picture_comes_back(opened):
    opened.page.emulate_media(media="print")

    assert opened.page.locator("figure[data-figure=curve] .up-static").is_visible()
    assert not opened.page.locator(".up-chart").is_visible()


@pytest.mark.parametrize("width", [360, 1280, 2560])
def test_a_page_is_no_wider_than_its_window(chromium, file, width):
    opened = chromium.open(file, width=width)

    assert opened.overflow() <= 0
    assert opened.page.locator("figure[data-figure=budget] svg.up-narrow").is_visible() == (width == 360)


def test_dragging_zooms_and_a_double_click_goes_back(opened):
    first = opened.page.evaluate(VIEW)
    drag(opened.page, 0.4, 0.6)
    low, high = opened.page.evaluate(VIEW)
    assert first[0] < low < high < first[1]
    assert (low / first[0]) == pytest.approx((first[1] / first[0]) ** 0.4, rel=0.1)

    opened.page.locator(".u-over").first.dblclick()
    assert opened.page.evaluate(VIEW) == first


def test_the_keyboard_moves_zooms_and_goes_back(opened):
    page = opened.page
    first = page.evaluate(VIEW)
    page.locator(".up-plots").focus()
    page.keyboard.press("End")
    last = page.inner_text(".up-readout")
    page.keyboard.press("ArrowLeft")
    assert "val loss" in last
    assert "val loss" in page.inner_text(".up-readout") != last
    page.keyboard.press("+")
    low, high = page.evaluate(VIEW)
    assert high / low < first[1] / first[0]
    page.keyboard.press("0")
    assert page.evaluate(VIEW) == first
    page.keyboard.press("l")
    assert page.get_by_role("button", name="log axis").get_attribute("aria-pressed") == "false"
    assert page.evaluate("scrollY") == 0  # no key that was used moved the page too


def test_the_readout_tells_what_stands_under_the_pointer(opened):
    box = opened.page.locator(".u-over").first.bounding_box()
    opened.page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 40)

    said = opened.page.inner_text(".up-readout")
    assert "tokens" in said
    assert "fitted law:" in said
    opened.page.mouse.move(1, 1)
    assert "Drag to zoom" in opened.page.inner_text(".up-readout")


def test_the_legend_switches_a_line_and_the_fan_all_futures(opened):
    page = opened.page
    page.locator(".up-legend button", has_text="val loss").click()
    assert page.evaluate(HIDDEN) == ["val_loss"]
    assert page.locator(".up-legend button", has_text="val loss").get_attribute("aria-pressed") == "false"

    page.get_by_role("button", name="other futures").click()
    assert {key[:6] for key in page.evaluate(HIDDEN)} == {"val_lo", "future"}


def test_what_is_hidden_is_not_drawn(opened):
    def ink():
        return opened.page.evaluate(
            "() => {const c = document.querySelector('.up-plots canvas'), p = c.getContext('2d')"
            ".getImageData(0, 0, c.width, c.height).data; let n = 0; for (let i = 3; i < p.length; i += 4) n += p[i] > 0;"
            " return n}"
        )

    before = ink()
    for button in opened.page.locator(".up-legend button").all():
        button.click()
    assert 0 < ink() < before


def test_the_whole_run_and_the_linear_axis_can_be_shown(opened):
    page, first = opened.page, opened.page.evaluate(VIEW)
    page.get_by_role("button", name="whole run").click()
    assert page.evaluate(VIEW)[0] < first[0]
    page.get_by_role("button", name="log axis").click()
    assert page.evaluate(VIEW)[0] == 0
    page.get_by_role("button", name="log axis").click()
    assert 0 < page.evaluate(VIEW)[0] < first[0]


def test_colours_follow_the_system(opened):
    def paper():
        return opened.page.evaluate("() => document.querySelector('figure.up-live').chart.colour('val')")

    light = paper()
    opened.page.emulate_media(color_scheme="dark")
    assert paper() != light


def test_a_page_that_is_sent_again_keeps_what_a_reader_chose(opened):
    drag(opened.page, 0.3, 0.7)
    opened.page.locator(".up-legend button", has_text="val loss").click()
    view = opened.page.evaluate(VIEW)
    opened.page.evaluate(
        "() => {const m = document.querySelector('main'); document.querySelectorAll('figure').forEach(f => {"
        "if (f.chart) {f.classList.remove('up-live'); f.querySelector('.up-chart').remove()}});"
        " const again = m.cloneNode(true); m.replaceWith(again); unplateauCharts.hydrate(again)}"
    )

    assert opened.page.locator("figure.up-live").count() == 1
    assert opened.page.evaluate(VIEW) == view
    assert opened.page.evaluate(HIDDEN) == ["val_loss"]
    assert opened.errors == []


def test_names_of_runs_are_words_in_a_chart_too(chromium, tmp_path):
    runs = [(payload, healthy_run(i)) for i, payload in enumerate(PAYLOADS)]
    (tmp_path / "page.html").write_text(page(compared(compare(runs))), encoding="utf-8")
    opened = chromium.open(tmp_path / "page.html")
    box = opened.page.locator(".u-over").first.bounding_box()
    opened.page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 40)

    assert "onerror=" in opened.page.inner_text(".up-readout")  # else no payload came so far
    assert opened.page.evaluate("() => window.owned") is None
    assert (opened.errors, opened.breaches, opened.dialogs, opened.left) == ([], [], [], [])


def test_the_first_and_the_last_point_are_whole(opened):
    """Half a point is as wide as the largest point: no place of a point lies nearer to the edge of the field."""
    places = opened.page.evaluate(
        """() => { const chart = document.querySelector('figure[data-figure=curve]').chart, plot = chart.plots[0];
        return [...chart.data.whole, chart.range[0]].map((x) => [plot.valToPos(x, 'x'), plot.over.clientWidth]); }"""
    )

    assert places[1][0] == pytest.approx(places[1][1] - 7, abs=1.5)
    assert places[2][0] == pytest.approx(7, abs=1.5)
