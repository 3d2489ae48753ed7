"""The pictures of a run: what they show, that they add up, that they hold nothing foreign, and that they stay small.

Mutations that went red here: a name written into the SVG without ``escaped``; ``thinned`` with every n-th point; raw points
left out under their means; the axis linear at first; a bar of the waterfall that begins at 0; pieces of the strip with a
gap; the plan drawn to another loss than the forecast's; a style attribute on a path (the page's policy refuses it).
"""

import json
import re
import time
from itertools import pairwise
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from synthetic import healthy_run, with_values, without_series
from unplateau.comparison import compare
from unplateau.curve import Curve
from unplateau.diagnosis import diagnose
from unplateau.futures import forecast
from unplateau.report.figures import Figure, compared, figures_of, page_css, script_json
from unplateau.report.figures.curve import curve_plot
from unplateau.report.figures.health import pieces_of
from unplateau.report.figures.measure import Amounts
from unplateau.report.figures.thin import thinned
from unplateau.report.figures.waterfall import bars_of
from unplateau.run import Fact, Run

SVG = "{http://www.w3.org/2000/svg}"
ELEMENTS = {"svg", "g", "path", "rect", "text", "title", "desc", "style"}
HOSTILE = "</text></svg><script>alert(1)</script><img src=x onerror=alert(2)>\"'&\x00\u202e\ud800"
RUN = healthy_run(0, done=0.6, extras=True)
PAGE = 700_000  # bytes that a page may have


@pytest.fixture(scope="module")
def found():
    return diagnose(RUN)


@pytest.fixture(scope="module")
def ahead(found):
    return forecast(found.run)


@pytest.fixture(scope="module")
def figures(found, ahead):
    return {figure.name: figure for figure in figures_of(found, ahead)}


def of(run):
    return {figure.name: figure for figure in figures_of(diagnose(run))}


def elements(svg):
    return list(ET.fromstring(svg).iter())


def losses(figure):
    return {track["key"]: track for track in figure.data["panels"][0]["tracks"]}


def spiky(points=20_000, at=12_345):
    rng = np.random.default_rng(0)
    steps = np.arange(1, points + 1)
    value = 3 + 4 * steps**-0.4 + rng.normal(0, 0.05, points)
    value[at] = 11.0
    return Run("spiky", series={"batch_loss": Curve(steps, value, "nats")})


def test_a_run_with_all_facts_has_four_pictures(figures):
    assert list(figures) == ["health", "curve", "budget", "remedies"]


def test_a_picture_holds_nothing_that_runs_or_loads(figures):
    for figure in figures.values():
        for svg in (figure.svg, figure.plain(dark=True)):
            for element in elements(svg):
                assert element.tag.removeprefix(SVG) in ELEMENTS
                assert not {name for name in element.attrib if name.startswith("on") or "href" in name}
            assert "url(" not in svg


def test_a_picture_in_a_page_breaks_no_policy_of_hashes(figures):
    for figure in figures.values():
        assert "style=" not in figure.inline
        assert "<style" not in figure.inline


def test_foreign_words_stay_words():
    run = with_values(RUN)
    named = Run(HOSTILE, RUN.format, RUN.series, {**RUN.facts, "dataset": Fact(HOSTILE)})
    pictures = figures_of(diagnose(named)) + compared(compare([(HOSTILE, run), ("b", named)]))
    assert HOSTILE[:6] in str([figure.data for figure in pictures])  # else the name is nowhere
    for figure in pictures:
        assert "<script>" not in figure.svg
        assert "<img" not in figure.svg
        elements(figure.svg)
        assert figure.html.count("<script") == 1
        assert figure.html.count("</script>") == 1
        assert "onerror=alert(2)>" not in re.sub(r'"[^"]*"', "", figure.svg)


def test_a_secret_in_a_name_is_not_drawn():
    pictures = compared(compare([("api_key=sk-abcdefghijklmnopqrstuvwxyz0123456789", RUN), ("b", RUN)]))

    assert pictures
    assert all("sk-abcdefgh" not in figure.svg + script_json(figure.data) for figure in pictures)


def test_the_numbers_of_a_picture_are_plain_json(figures):
    for figure in figures.values():
        assert json.loads(script_json(figure.data)) == json.loads(json.dumps(figure.data))


def test_the_axis_is_logarithmic_and_begins_where_the_report_does(figures):
    data = figures["curve"].data

    assert data["log"]
    assert data["unit"] == "tokens"
    last = max(track["x"][-1] for track in losses(figures["curve"]).values() if track["mark"] != "line")
    assert data["view"][0] == pytest.approx(last / 16, rel=1e-3)


def test_raw_points_stay_under_their_means_and_the_smoothing_is_named():
    tracks = losses(of(spiky())["curve"])

    assert tracks["batch_loss"]["mark"] == "faint"
    assert tracks["batch_loss"]["shown"]
    assert "means over" in tracks["batch_loss_mean"]["label"]
    assert 11.0 in tracks["batch_loss"]["y"]


def test_a_spike_of_a_million_points_is_kept_and_the_page_small():
    run = spiky(1_000_000, 777_777)
    spent = time.process_time()
    plot = curve_plot(diagnose_lightly(run), None)
    x, y = run.series["batch_loss"].step.astype(float), run.series["batch_loss"].value
    spent = time.process_time() - spent

    assert 777_777 in thinned(x, y)
    assert len(script_json(plot.as_dict())) < PAGE / 4
    assert spent < 3.0  # seconds; a report of as many points has five


def diagnose_lightly(run):
    """A diagnosis without causes: the state and the curve alone."""
    return diagnose(run, [])


def test_every_column_keeps_its_lowest_and_its_highest_point():
    rng = np.random.default_rng(1)
    x, y = np.arange(50_000.0), rng.normal(size=50_000)
    kept = thinned(x, y, columns=50)

    assert len(kept) <= 4 * 50 + 2
    for part in np.array_split(np.arange(50_000), 50):
        assert part[np.argmax(y[part])] in kept
        assert part[np.argmin(y[part])] in kept


def test_the_bars_of_the_budget_add_up(found, figures):
    bars = bars_of(found.budget)

    assert bars[-1].end == pytest.approx(found.budget.loss, abs=1e-6)
    assert all(a.end == b.start for a, b in pairwise(bars))
    said = "".join(element.text or "" for element in elements(figures["budget"].svg))
    for row in found.budget.rows:
        assert f"{row.nats.value:.3f}" in said


def test_the_plan_ends_where_the_forecast_does(found, ahead, figures):
    plan = losses(figures["curve"])["plan"]
    end = ahead.futures[0]

    assert plan["y"][-1] == pytest.approx(end.loss.value, rel=1e-5)
    assert (plan["low"][-1], plan["high"][-1]) == pytest.approx((end.loss.low, end.loss.high), rel=1e-5)
    assert plan["x"][-1] == pytest.approx(end.step * found.run.get("tokens_per_step"), rel=1e-5)


def test_other_futures_are_a_fan_that_can_be_switched(ahead, figures):
    fan = [key for key in losses(figures["curve"]) if key.startswith("future")]

    assert len(fan) == len(ahead.futures) - 1 > 0


def test_evaluations_bear_the_error_that_was_measured():
    errors = Curve(RUN.series["val_loss"].step, np.full(len(RUN.series["val_loss"]), 0.01), "nats")
    run = Run(RUN.name, RUN.format, {**RUN.series, "val_loss_error": errors}, RUN.facts)
    told, guessed = (losses(of(one)["curve"])["val_loss"] for one in (run, RUN))

    assert told["half"] == pytest.approx(1.645 * 0.01, rel=1e-3)
    assert "measured over its windows" in told["label"]
    assert "by their scatter" in guessed["label"]


def test_the_learning_rate_and_the_gradient_norm_are_on_the_same_axis(figures):
    names = [panel["name"] for panel in figures["curve"].data["panels"]]

    assert names == ["loss", "lr", "grad_norm"]


def test_without_tokens_the_axis_counts_steps():
    run = Run("bare", series={"val_loss": RUN.series["val_loss"]})
    figure = of(run)["curve"]

    assert figure.data["unit"] == "steps"
    assert [panel["name"] for panel in figure.data["panels"]] == ["loss"]


def test_logged_tokens_place_the_points_of_a_batch_that_grew():
    steps = np.arange(0, 101, 10)
    run = Run("grew", series={"tokens": Curve(steps, steps.astype(float) ** 2, "tokens")})

    assert Amounts.of(run).at([50, 55, 110]).tolist() == [2500.0, 3050.0, 11900.0]


@pytest.mark.parametrize("done", [0.02, 0.3, 1.0])
def test_the_strip_covers_the_run_without_gaps(done):
    found = diagnose(healthy_run(3, done=done))
    pieces = pieces_of(found, Amounts.of(found.run))

    assert all(a.last == b.first for a, b in pairwise(pieces))
    if pieces:
        assert pieces[-1].last == found.run.series[found.state.series].step[-1]
        assert pieces[-1].kind == found.state.verdict


def test_the_strip_says_its_colours_in_words(figures):
    said = "".join(element.text or "" for element in elements(figures["health"].svg))

    for piece in figures["health"].data["pieces"]:
        assert piece["word"] in said
        assert piece["word"] in figures["health"].alt


def lost_from(run, share):
    def cut(step, value):
        return np.where(step > share * step[-1], np.nan, value)

    return with_values(run, **dict.fromkeys(("val_loss", "train_loss", "batch_loss"), cut))


def test_a_run_that_was_lost_says_so_in_both_pictures():
    pictures = of(lost_from(RUN, 0.7))

    assert pictures["health"].data["pieces"][-1]["kind"] == "diverged"
    assert any(flag["kind"] == "lost" for flag in pictures["curve"].data["flags"])
    assert None not in losses(pictures["curve"])["val_loss"]["y"]


def test_a_run_of_nan_alone_has_no_picture():
    assert of(lost_from(without_series(RUN, "lr", "grad_norm"), -1.0)).get("curve") is None


@pytest.mark.parametrize("points", [0, 1, 2, 3])
def test_a_run_of_few_points_breaks_nothing(points):
    value = np.linspace(4, 3, points)
    pictures = of(Run("few", series={"val_loss": Curve(np.arange(points), value, "nats")}))

    assert ("curve" in pictures) == (points > 2)  # step 0 has no place on a logarithmic axis


def test_losses_of_one_value_have_a_picture():
    assert "curve" in of(Run("flat", series={"val_loss": Curve(range(1, 40), [3.0] * 39, "nats")}))


def test_a_resume_is_marked():
    run = RUN.with_facts(resumed_after=Fact([500], "steps"))
    flags = of(run)["curve"].data["flags"]

    assert [flag["label"] for flag in flags if flag["kind"] == "resume"] == [
        "the run was resumed at step 500"
    ]


def test_several_runs_are_drawn_against_each_amount_that_they_know():
    other = with_values(RUN, val_loss=lambda step, value: value - 0.1 * (step > 0))
    pictures = compared(compare([("a", RUN), ("b", other)]))

    assert [figure.name for figure in pictures][:1] == ["compared-tokens"]
    tracks = losses(pictures[0])
    assert [track["label"] for track in tracks.values()] == ["1  a", "2  b"]
    assert tracks["run0"]["y"][-1] - tracks["run1"]["y"][-1] == pytest.approx(0.1, abs=1e-3)


def test_the_style_of_a_page_is_the_same_for_every_picture(figures):
    css = page_css()

    used = set(re.findall(r'class="([sf]-\w+)"', "".join(figure.inline for figure in figures.values())))
    assert used
    assert all(f".{name}{{" in css for name in used)


def test_a_figure_is_told_to_those_who_do_not_see_it(figures):
    for figure in figures.values():
        assert isinstance(figure, Figure)
        assert 40 < len(figure.alt) < 2000
        assert figure.inline.count('role="img"') == (3 if figure.broad else 2)
