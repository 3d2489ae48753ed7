"""The page in its words: what the text report says, escaped, and built so that everybody can read it.

Seen red once: ``text`` without ``escape``, and without ``clean`` (TestWhatOthersWrote); a second ``h1`` for the verdict
and a table head without scope (TestMarkup); a hash of a script that was changed after it (TestPolicy); ``--dim`` of
#8a929b on paper (TestColours); remedies sorted by gain instead of gain for cost (TestWords); 26
untested causes in one open table; "not annealed: rate at 25%" under what no law prices.
"""

import re
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import pytest

import unplateau
from payloads import PAYLOADS, hostile_run
from unplateau.comparison import compare
from unplateau.diagnosis import Diagnosis, diagnose
from unplateau.estimate import Estimate
from unplateau.evidence import Told
from unplateau.futures import forecast
from unplateau.hypotheses import Evidence, Finding, Plan, Remedy
from unplateau.reading import read_runs
from unplateau.report.causes import claims
from unplateau.report.headline import headline
from unplateau.report.page import page, view
from unplateau.report.page.document import scripts_of_page
from unplateau.report.page.html import Html, tag
from unplateau.state import state_of

LOG = Path(unplateau.__file__).parent / "examples" / "reference-run" / "train.log"
CSS = files("unplateau.report.page.assets").joinpath("page.css").read_text("utf-8")
BLOCKS = {"p", "li", "th", "td", "dt", "dd", "summary", "h1", "h2", "h3", "h4", "h5"}
VOID = {"meta", "br", "col", "wbr", "input", "hr"}
USUAL = 700_000  # bytes; issue 7
READABLE = 4.5  # WCAG 2.2, 1.4.3


class Tree(HTMLParser):
    """Elements in the order of the document: name, attributes, text, the names of those that hold it."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.open = [], []
        self.feed(text)

    def handle_starttag(self, name, attributes):
        one = {"name": name, "text": "", "above": [o["name"] for o in self.open], **dict(attributes)}
        self.elements.append(one)
        if name not in VOID:
            self.open.append(one)

    def handle_endtag(self, name):
        assert self.open, f"</{name}> ends nothing"
        assert self.open[-1]["name"] == name, f"</{name}> where {self.open[-1]['name']} is open"
        self.open.pop()
        if name in BLOCKS:
            self.handle_data(" ")

    def handle_data(self, data):
        for one in self.open:
            one["text"] += data

    def all(self, *names):
        return [one for one in self.elements if one["name"] in names]

    def of(self, kind):
        return [one for one in self.elements if kind in (one.get("class") or "").split()]


@pytest.fixture(scope="module")
def reference():
    """The reference run: its diagnosis and its forecast."""
    (run,) = read_runs(LOG)
    return diagnose(run), forecast(run)


@pytest.fixture(scope="module")
def told(reference):
    return page([view(*reference)])


@pytest.fixture(scope="module")
def tree(told):
    return Tree(told)


@pytest.fixture(scope="module")
def two(reference):
    found, ahead = reference
    other = replace(found.run, name="the other")
    runs = [found, diagnose(other)]
    return page([view(found, ahead), view(runs[1])], compare([(one.run.name, one.run) for one in runs]))


def words(text):
    return " ".join(text.split())


class TestWords:
    def test_the_verdict_is_the_text_reports_to_the_letter(self, reference, tree):
        (verdict,) = tree.of("verdict")

        assert words(verdict["text"]) == headline(reference[0], claims())

    def test_every_cause_is_on_the_page_once_with_its_evidence_and_sources(self, reference, tree):
        said = words(tree.all("main")[0]["text"])

        for finding in reference[0].findings:
            assert sum(one.get("id") == f"cause-{finding.cause}" for one in tree.elements) == 1
            for one in finding.evidence:
                assert f"{words(one.fact)} [{words(one.source)}]" in said

    def test_the_table_of_the_budget_adds_up_to_the_loss(self, reference, tree):
        rows = [words(one["text"]) for one in tree.all("tr") if "budget" in told_of(tree, one)]
        numbers = [
            float(re.search(r" (-?\d+\.\d{3})", row)[1]) for row in rows if re.search(r"\d\.\d{3}", row)
        ]

        assert len(numbers) >= 4
        assert sum(numbers[:-1]) == pytest.approx(numbers[-1], abs=0.0005 * len(numbers))
        assert numbers[-1] == pytest.approx(reference[0].budget.loss, abs=0.0005)

    def test_the_number_to_be_won_is_that_of_the_first_remedy(self, tree):
        numbers = [words(one["text"]) for one in tree.of("numbers")]

        assert "3.570 nats" in numbers[0]
        assert "3.536 nats" in numbers[0]
        assert "0.031 nats" in numbers[0]

    def test_a_remedy_is_written_in_the_users_own_keys_with_what_stood_there(self, tree):
        code = "\n".join(one["text"] for one in tree.all("pre"))

        assert "n_embd = 768    # was 384" in code
        assert "gradient_accumulation_steps = 64    # was 32" in code

    def test_of_two_remedies_the_one_that_wins_more_for_its_cost_comes_first(self, reference):
        found = reference[0]
        dear, cheap = (remedy_of(found, steps, gain) for steps, gain in ((40_000, 0.09), (1_000, 0.03)))
        sure = {"verdict": "supported", "probability": 0.9, "evidence": found.findings[0].evidence}
        findings = (Finding("dear", remedy=dear, **sure), Finding("cheap", remedy=cheap, **sure))

        shown = Tree(page([view(replace(found, findings=findings))]))

        assert [words(one["text"]) for one in shown.of("why")] == [
            f"against {name} ● supported (90%)" for name in ("cheap", "dear")
        ]

    def test_what_was_not_tested_says_what_is_missing(self, reference, tree):
        (section,) = [one for one in tree.all("section") if one.get("id") == "unknown"]
        untested = [f for f in reference[0].findings if f.verdict == "untestable"]

        assert untested
        for finding in untested:
            assert finding.cause in section["text"]
            assert finding.missing[0].partition("|")[0] in words(section["text"])

    def test_where_hardly_anything_could_be_tested_what_could_is_not_buried(self, tmp_path):
        (tmp_path / "nan.csv").write_text(
            "step,train_loss,val_loss\n" + "".join(f"{step},nan,nan\n" for step in range(0, 5000, 50))
        )
        (run,) = read_runs(tmp_path / "nan.csv")

        made = Tree(page([view(diagnose(run))]))

        (untested,) = made.of("untested")
        assert "details" in untested["above"]
        answered = [one for one in made.of("claims") if "details" not in one["above"]]
        assert len(answered) == 1
        assert "untestable" not in answered[0]["text"]

    def test_where_the_rate_stands_is_not_taken_for_what_no_law_prices(self, reference, tree):
        (section,) = [one for one in tree.all("section") if one.get("id") == "unknown"]
        noted = [row for row in reference[0].budget.rows if row.rate]

        assert noted
        assert all(row.rate not in section["text"] for row in noted)

    def test_what_probes_told_is_shown_with_its_file(self, reference):
        found = reference[0]
        one = Told(
            "capacity", "twice the width wins 0.2 nats", 3.0, "width", "evidence/width.json", step=14_500
        )
        probed = replace(found.run, probed=(one,))

        (section,) = [
            one for one in Tree(page([view(diagnose(probed))])).all("section") if one.get("id") == "probes"
        ]

        for word in (
            "twice the width wins 0.2 nats",
            "20.1 times likelier with capacity",
            "evidence/width.json",
        ):
            assert word in section["text"]

    def test_a_run_without_a_forecast_says_why(self, reference):
        shown = page([view(reference[0], None, "no forecast for it: 3 points")])

        assert "no forecast for it: 3 points" in shown
        assert 'id="futures"' not in shown

    def test_a_log_that_is_too_short_makes_a_page_too(self):
        (run,) = read_runs(LOG)
        short = replace(
            run, series={name: curve.between(0, 150) for name, curve in run.series.items()}, facts={}
        )

        shown = Tree(page([view(diagnose(short))]))

        assert "too short to judge" in shown.of("verdict")[0]["text"]

    def test_the_same_run_makes_the_same_page(self, reference, told):
        assert page([view(*reference)]) == told


def remedy_of(found, steps, gain):
    run, last = found.run, found.run.get("steps_done")
    plan = Plan(run, last + steps, last)
    return Remedy(
        {"max_steps": (20_000, last + steps)}, "", "", gain=Estimate(gain, 0.0, 0.1, "nats"), plan=plan
    )


def told_of(tree, row):
    """The text of the table before whose end ``row`` stands: its class."""
    before = tree.elements[: tree.elements.index(row)]
    return [one for one in before if one["name"] == "table"][-1].get("class") or ""


class TestSeveralRuns:
    def test_each_has_its_own_part_below_the_comparison(self, two):
        tree = Tree(two)

        assert [words(one["text"]) for one in tree.all("h1")] == ["2 runs side by side"]
        assert [words(one["text"]) for one in tree.all("h2")][:2] == ["Side by side", "What differs"]
        assert len(tree.all("article")) == 2
        assert "Nothing differs that their configs say." in two

    def test_runs_that_do_not_compare_say_why_and_are_shown(self, reference):
        shown = page([view(reference[0]), view(reference[0])], None, "their units differ")

        assert "Not compared: their units differ" in shown
        assert len(Tree(shown).all("article")) == 2


class TestMarkup:
    @pytest.fixture(params=["one", "two"])
    def any_tree(self, request, told, two):
        return Tree(told if request.param == "one" else two)

    def test_every_element_is_closed_in_its_order(self, any_tree):
        assert any_tree.open == []

    def test_there_is_one_h1_and_no_level_is_left_out(self, any_tree):
        levels = [int(one["name"][1]) for one in any_tree.all("h1", "h2", "h3", "h4", "h5", "h6")]

        assert levels.count(1) == 1
        assert levels[0] == 1
        assert all(after <= before + 1 for before, after in pairwise(levels))

    def test_the_landmarks_are_there_once(self, any_tree):
        assert len(any_tree.all("main")) == 1
        assert [one["aria-label"] for one in any_tree.all("nav")] == ["Contents"]
        assert len(any_tree.all("footer")) == 1
        assert any_tree.all("html")[0]["lang"] == "en"

    def test_an_id_names_one_element_and_a_link_leads_to_one(self, any_tree):
        ids = [one["id"] for one in any_tree.elements if "id" in one]
        links = [one["href"] for one in any_tree.all("a")]

        assert len(ids) == len(set(ids))
        assert links
        assert [link for link in links if link.removeprefix("#") not in ids] == []

    def test_what_names_a_part_is_there(self, any_tree):
        ids = {one["id"] for one in any_tree.elements if "id" in one}
        named = [one["aria-labelledby"] for one in any_tree.elements if "aria-labelledby" in one]

        assert len(named) > 5
        assert set(named) <= ids

    def test_a_table_has_a_caption_and_heads_with_a_scope(self, any_tree):
        tables = any_tree.all("table")

        assert len(tables) == len(any_tree.all("caption")) > 3
        assert {one.get("scope") for one in any_tree.all("th")} == {"col", "row"}

    def test_a_picture_says_what_it_shows(self, any_tree):
        pictures = [one for one in any_tree.all("svg") if "svg" not in one["above"]]

        assert pictures
        assert all(one.get("role") == "img" and one.get("aria-label") for one in pictures)

    def test_the_first_link_leads_past_the_head(self, any_tree):
        assert any_tree.all("a")[0]["class"] == "skip"


class TestWhatOthersWrote:
    def test_none_of_it_is_markup(self):
        run = hostile_run()
        shown = page([view(diagnosed(run), None, PAYLOADS[0])])
        tree = Tree(shown)

        assert [one for one in tree.elements if any(key.startswith("on") for key in one)] == []
        assert {one["name"] for one in tree.elements} & {
            "img",
            "iframe",
            "object",
            "embed",
            "form",
            "base",
        } == set()
        assert len(tree.all("script")) == len(tree.all("figure")) + len(scripts_of_page())
        assert sum(payload in words(tree.all("body")[0]["text"]) for payload in map(words, PAYLOADS)) > 10

    def test_secrets_are_hidden(self):
        run = hostile_run(secret="hf_abcdefghijklmnopqrstuv")

        shown = page([view(diagnosed(run))])

        assert "hf_abcdefghijklmnopqrstuv" not in shown
        assert "[hidden]" in shown

    def test_control_characters_and_turned_text_are_not_shown(self):
        assert tag("p", "a\x1b[31mb\u202ec\x00") == "<p>a?[31mb?c?</p>"

    def test_markup_that_was_changed_is_text_again(self):
        assert tag("p", Html("<b>") + "x") == "<p>&lt;b&gt;x</p>"

    @pytest.mark.parametrize("name", ["onclick", "style", "src", "srcset", "action", "formaction", "http"])
    def test_an_attribute_that_runs_or_loads_is_refused(self, name):
        with pytest.raises(ValueError, match="no element of ours"):
            tag("p", "x", **{name: "y"})


def diagnosed(run):
    """What diagnose says, with each foreign string that a finding may bear."""
    found = diagnose(run)
    evidence = tuple(Evidence(payload, "for", payload) for payload in PAYLOADS)
    remedy = Remedy({"dropout": (PAYLOADS[0], PAYLOADS[1])}, PAYLOADS[2], PAYLOADS[3], PAYLOADS[4])
    hostile = Finding(
        "capacity", "supported", evidence, 0.9, missing=PAYLOADS, remedy=remedy, unpriced=PAYLOADS[5]
    )
    return Diagnosis(found.run, state_of(found.run), (hostile, *found.findings[1:]), found.contradictions)


class TestPolicy:
    def test_all_that_runs_and_styles_is_allowed_by_its_hash_and_nothing_else(self, told, tree):
        policy = next(one["content"] for one in tree.all("meta") if one.get("http-equiv"))
        for name, directive in (("script", "script-src"), ("style", "style-src")):
            allowed = re.search(rf"{directive} ([^;]*)", policy)[1].split()
            texts = re.findall(rf"<{name}>(.*?)</{name}>", told, re.DOTALL)

            assert texts
            assert sorted(allowed) == sorted(map(hash_of, texts))

        assert policy.startswith("default-src 'none';")
        assert "unsafe" not in policy

    def test_no_element_bears_a_style_or_loads_anything(self, tree):
        for one in tree.elements:
            assert "style" not in one
            assert not {"src", "srcset", "xlink:href"} & set(one)
            assert one.get("href", "#").startswith("#")

    def test_a_usual_page_is_small(self, told, two):
        assert len(told.encode()) < USUAL
        assert len(two.encode()) < USUAL


def hash_of(text):
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


class TestColours:
    """Contrast by the formula of WCAG 2.2 (relative luminance), from the variables of the style itself."""

    @pytest.mark.parametrize("theme", ["light", "dark"])
    @pytest.mark.parametrize("ground", ["paper", "raised"])
    def test_every_ink_can_be_read_on_every_ground(self, theme, ground):
        colours = palette(dark=theme == "dark")
        inks = ("ink", "dim", "link", "supported", "undecided", "refuted", "untestable")

        assert {name: round(contrast(colours[name], colours[ground]), 2) for name in inks} == {
            name: pytest.approx(contrast(colours[name], colours[ground]), abs=0.01)
            for name in inks
            if contrast(colours[name], colours[ground]) >= READABLE
        }

    def test_the_switch_gives_the_colours_that_a_dark_system_gives(self):
        system, switch = (
            re.findall(r"--\w+: #[0-9a-f]{6};", part) for part in CSS.split("@media screen", 3)[1:3]
        )

        assert len(switch) > 5
        assert switch == system

    def test_black_on_white_is_21_to_1(self):
        assert contrast("#000000", "#ffffff") == pytest.approx(21)

    def test_no_colour_stands_outside_the_variables(self):
        rules = re.sub(r"--[a-z]+:[^;]*;", "", CSS)

        assert re.findall(r"#[0-9a-fA-F]{3,8}\b|\brgba?\(|\bhsl", rules) == []

    def test_who_wants_no_motion_gets_none(self):
        assert "@media (prefers-reduced-motion: reduce)" in CSS


def palette(*, dark):
    light, night = (
        dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", part)) for part in CSS.split("@media screen", 2)[:2]
    )
    assert set(night) == set(light)
    return night if dark else light


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
