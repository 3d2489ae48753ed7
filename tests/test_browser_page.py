"""The page in a browser: nothing of a log runs on it, nothing leaves it, it fits every window, and it needs no script.

Seen red once: ``text`` of report/page/html.py without ``escape`` (all of TestNothingRuns); a picture of another server
in the head (test_no_request_leaves_a_page_that_is_opened_from_disk); ``white-space: nowrap`` on table cells, without
``.scrolls`` (TestEveryWindow); ``details`` without the rule for paper (test_paper_shows_what_is_folded);
the paper of the screen on paper, and causes in one column there (12 sheets); ``data-head`` left out of a table's cells.
"""

from dataclasses import replace
from pathlib import Path

import pytest

import unplateau
from browser import WIDTHS, needs_browser
from payloads import PAYLOADS, hostile_folder, hostile_run
from test_page import diagnosed
from unplateau.cli import main
from unplateau.comparison import compare
from unplateau.diagnosis import diagnose
from unplateau.futures import forecast
from unplateau.reading import read_runs
from unplateau.report.page import page, view

pytestmark = needs_browser
LOG = Path(unplateau.__file__).parent / "examples" / "reference-run" / "train.log"
EVERYTHING = "document.querySelectorAll('details').forEach(one => { one.open = true; })"
#: an element that runs something, or loads something, or was put there by a payload
FOREIGN = "img, iframe, object, embed, base, form, input, link, animate, math, meta[http-equiv=refresh], [onload], [onerror]"


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Pages on disk: of the reference run, of two runs, and of one whose every string is a payload."""
    folder = tmp_path_factory.mktemp("pages")
    (run,) = read_runs(LOG)
    found, ahead = diagnose(run), forecast(run)
    other = diagnose(
        replace(found.run, name="the other run, with a name that is long enough to be a nuisance")
    )
    beside = compare([(one.run.name, one.run) for one in (found, other)])
    hostile = diagnosed(hostile_run())
    made = {
        "reference": page([view(found, ahead)]),
        "two": page([view(found, ahead), view(other)], beside),
        "hostile": page([view(hostile, None, "".join(PAYLOADS))]),
    }
    for name, text in made.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in made}


class TestNothingRuns:
    @pytest.fixture
    def opened(self, chromium, places):
        opened = chromium.open(places["hostile"])
        opened.page.evaluate(EVERYTHING)
        return opened

    def test_no_payload_of_fifteen_runs(self, opened):
        assert len(PAYLOADS) == 15
        assert opened.page.evaluate("window.owned") is None
        assert (opened.dialogs, opened.errors, opened.breaches, opened.left) == ([], [], [], [])

    def test_each_is_there_as_text(self, opened):
        said = opened.page.evaluate("document.body.textContent")

        for payload in PAYLOADS[:14]:
            assert payload in said
        assert opened.page.evaluate(f"document.querySelectorAll({FOREIGN!r}).length") == 0

    def test_a_folder_that_is_hostile_all_over_makes_a_page_that_is_not(self, chromium, tmp_path, capsys):
        """From files, by the verb: its name, series, config, evidence."""
        folder = hostile_folder(tmp_path)
        place = tmp_path / "page.html"

        assert main(["report", str(folder), str(LOG), "--html", str(place)]) == 0

        opened = chromium.open(place)
        opened.page.evaluate(EVERYTHING)
        assert opened.page.evaluate("window.owned") is None
        assert (opened.dialogs, opened.errors, opened.breaches, opened.left) == ([], [], [], [])
        assert opened.page.evaluate(f"document.querySelectorAll({FOREIGN!r}).length") == 0
        assert sum(payload in opened.page.evaluate("document.body.textContent") for payload in PAYLOADS) > 10
        assert "\x1b" not in capsys.readouterr().out

    def test_the_policy_stops_what_would_slip_through(self, chromium, places, tmp_path):
        """As if escaping failed once: markup put into the file itself."""
        slipped = (
            places["hostile"]
            .read_text("utf-8")
            .replace("<main", "<img src=x onerror=window.owned=1><main", 1)
        )
        slipped = slipped.replace("<main", "<script>window.owned=2</script><main", 1)
        (tmp_path / "slipped.html").write_text(slipped, encoding="utf-8")

        opened = chromium.open(tmp_path / "slipped.html")

        assert opened.page.evaluate("window.owned") is None
        assert len(opened.breaches) >= 2


class TestFromDisk:
    def test_no_request_leaves_a_page_that_is_opened_from_disk(self, chromium, places):
        opened = chromium.open(places["reference"], offline=True)

        assert opened.page.evaluate("document.styleSheets.length") > 0  # it is there, as it should look
        assert [url.rpartition("/")[2] for url in opened.requests] == ["reference.html"]
        assert (opened.errors, opened.breaches) == ([], [])

    def test_without_scripts_the_verdict_the_budget_and_the_curve_are_there(self, chromium, places):
        opened = chromium.open(places["reference"], scripts=False)

        said = opened.text()
        assert "The loss is still falling" in said
        assert "irreducible + capacity" in said
        assert opened.page.locator("figure[data-figure=curve] .up-wide").bounding_box()["height"] > 200

    def test_scripts_put_a_chart_in_its_place(self, chromium, places):
        opened = chromium.open(places["reference"])

        assert opened.page.locator("figure[data-figure=curve] canvas").count() > 0


class TestEveryWindow:
    @pytest.mark.parametrize("name", ["reference", "two", "hostile"])
    @pytest.mark.parametrize("width", WIDTHS)
    def test_nothing_is_wider_than_the_window(self, chromium, places, name, width):
        opened = chromium.open(places[name], width=width)
        opened.page.evaluate(EVERYTHING)

        assert opened.overflow() <= 0

    @pytest.mark.parametrize("dark", [False, True])
    def test_the_paper_is_as_the_system_is(self, chromium, places, dark):
        opened = chromium.open(places["reference"], dark=dark)
        red, green, blue = opened.page.evaluate(
            "getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).map(Number)"
        )

        assert (max(red, green, blue) < 60) is dark

    def test_a_line_of_text_is_never_too_long_to_read(self, chromium, places):
        opened = chromium.open(places["reference"], width=2560)
        widest = opened.page.evaluate(
            "Math.max(...[...document.querySelectorAll('p, li > a, dd')].map(p => "
            "p.getBoundingClientRect().width / parseFloat(getComputedStyle(p).fontSize)))"
        )

        assert widest < 48  # em: some 95 characters


class TestKeyboard:
    def test_the_first_key_leads_to_the_link_past_the_head_and_it_is_seen(self, chromium, places):
        opened = chromium.open(places["reference"])
        opened.page.keyboard.press("Tab")

        focus = opened.page.evaluate_handle("document.activeElement")
        assert focus.inner_text() == "Skip to the contents"
        assert focus.bounding_box()["y"] >= 0
        assert opened.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"

    def test_a_cause_is_unfolded_by_the_keyboard(self, chromium, places):
        opened = chromium.open(places["reference"])
        opened.page.focus("#cause-repetition > summary")
        opened.page.keyboard.press("Enter")

        assert opened.page.evaluate("document.getElementById('cause-repetition').open") is True

    def test_a_link_to_a_cause_unfolds_it(self, chromium, places):
        opened = chromium.open(places["reference"])
        opened.page.click("#claims a[href='#cause-repetition']")

        opened.page.wait_for_function("document.getElementById('cause-repetition').open")

    def test_every_link_and_every_fold_can_be_reached(self, chromium, places):
        opened = chromium.open(places["reference"])
        unreached = opened.page.evaluate(
            "[...document.querySelectorAll('a, summary, button, .scrolls')].filter(one => one.tabIndex < 0).length"
        )

        assert unreached == 0


class TestPaper:
    @pytest.mark.parametrize("scripts", [True, False])
    def test_paper_shows_what_is_folded(self, chromium, places, scripts):
        opened = chromium.open(places["reference"], scripts=scripts)
        folded = opened.page.locator("#cause-repetition .body")
        assert not folded.is_visible()

        opened.page.emulate_media(media="print")

        assert opened.page.locator("#cause-repetition .body").bounding_box()["height"] > 10

    def test_a_browser_that_unfolds_nothing_by_itself_is_told_to_and_folds_again(self, chromium, places):
        page = chromium.open(places["reference"]).page
        folded = "document.querySelectorAll('details:not([open])').length"
        before = page.evaluate(folded)

        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert (page.evaluate(folded), before > 10) == (0, True)

        page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert page.evaluate(folded) == before

    def test_it_prints_in_black_on_white_also_from_a_dark_screen(self, chromium, places):
        opened = chromium.open(places["reference"], dark=True)
        opened.page.emulate_media(media="print", color_scheme="dark")

        ink, paper = opened.page.evaluate(
            "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
        )

        assert sum(map(int, ink[4:-1].split(","))) < 150
        assert paper == "rgb(255, 255, 255)"  # untinted: a sheet of paper is as white as it is

    def test_it_comes_to_a_few_sheets(self, chromium, places):
        sheets = chromium.open(places["reference"]).page.pdf(format="A4").count(b"/Type /Page\n")

        assert 3 <= sheets <= 10


def test_a_narrow_window_stacks_the_futures_each_number_under_its_own_word(chromium, places):
    page = chromium.open(places["reference"], width=WIDTHS[0]).page
    table = page.locator("#futures .scrolls")
    wide = table.evaluate("one => one.scrollWidth - one.clientWidth")
    said = page.locator("#futures td").evaluate_all(
        "all => all.map(one => getComputedStyle(one, '::before').content)"
    )

    assert wide == 0
    assert {'"step "', '"time "'} <= set(said)


def test_a_table_that_is_wider_than_its_window_shades_the_edge_beyond_which_it_goes_on(chromium, places):
    page = chromium.open(places["reference"], width=700).page
    styled = page.locator("#futures .scrolls").evaluate("one => getComputedStyle(one).backgroundAttachment")

    assert styled == "local, local, scroll, scroll"


def test_who_wants_no_motion_gets_none(chromium, places):
    opened = chromium.open(places["reference"], reduced_motion="reduce")

    assert opened.page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"
