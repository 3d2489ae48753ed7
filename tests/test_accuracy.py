"""The accuracy table: nothing empty passes for measured, a wrong answer is counted as wrong, no map has seen what it is judged on."""

import json
import os
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from synthetic import healthy_run
from unplateau.calibration import KNOTS, RANGES, calibrated
from unplateau.diagnosis import diagnose
from unplateau.estimate import Estimate
from unplateau.hypotheses import Evidence, Finding
from unplateau.plugins import discover

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))
accuracy = pytest.importorskip("accuracy")

from accuracy_parts import calibration, effects, forecasts, judge, page, planted, real  # noqa: E402

CASES = Path(os.environ.get("UNPLATEAU_SHARED") or ROOT.parent / "shared") / "logs" / "cases.jsonl"
CASE = judge.Case("a run", "own corpus", "moby", "capacity", gain=0.5)


def diagnosis(*causes, verdict="supported", probability=0.9):
    """The diagnosis of a healthy run whose findings are these instead."""
    evidence = (Evidence("1 fact", "for", "log"),)
    found = tuple(
        Finding(c, verdict, evidence, probability, stake=0.5, effect=Estimate(0.5, 0.4, 0.6, "nats"))
        for c in causes
    )
    return replace(diagnose(healthy_run(0)), findings=found)


def test_a_right_answer_is_right_and_a_wrong_one_wrong():
    right = judge.verdict(CASE, diagnosis("capacity"))
    wrong = judge.verdict(CASE, diagnosis("lr-too-high", "capacity"))
    silent = judge.verdict(CASE, diagnosis())

    assert (right.outcome, right.accused) == ("right", ())
    assert (wrong.outcome, wrong.accused) == ("wrong", ("lr-too-high",))
    assert silent.outcome == "abstained"
    assert "| capacity | 3 | 1 |  |  | 1 | 1 | lr-too-high 1 |" in planted.confusion([right, wrong, silent])
    assert planted.shares([right, wrong, silent])[1:] == [
        *("33 % (1 of 3)", "0 % (0 of 3)", "67 % (2 of 3)", "33 % (1 of 3)", "33 % (1 of 3)")
    ]


def test_an_accusation_of_a_healthy_run_is_counted_and_a_reading_is_none():
    healthy = replace(CASE, cause="still-learning", gain=None)
    accused = judge.verdict(healthy, diagnosis("capacity"))
    read = judge.verdict(healthy, diagnosis("still-learning"))

    assert planted.accused([accused, read]) == (1, 2)


def test_a_cause_that_comes_with_the_planted_one_is_no_false_accusation():
    case = replace(CASE, also=frozenset({"lr-too-high"}))

    assert judge.verdict(case, diagnosis("lr-too-high")).accused == ()


def test_a_table_without_rows_says_so():
    with pytest.raises(ValueError, match="nothing was measured"):
        page.table(["cause"], [])
    with pytest.raises(ValueError, match="nothing was measured"):
        effects.summary([])


@pytest.mark.parametrize(
    ("causes", "said", "outcome"),
    [
        (["capacity"], ["capacity"], "right"),
        (["capacity"], ["repetition"], "wrong"),
        (["capacity"], ["still-learning"], "abstained"),
        (["capacity"], [], "abstained"),
        (["still-learning", "converged"], ["still-learning"], "right"),
        (["still-learning", "converged"], ["repetition"], "wrong"),
        ([], [], "right"),
        ([], ["repetition"], "wrong"),
    ],
)
def test_a_real_case_is_scored_by_its_right_answers(causes, said, outcome):
    answer = real.answer("a case", "", causes, "log", diagnosis(*said))

    assert answer.outcome == outcome
    assert bool(answer.accused) == (outcome == "wrong")


def test_a_cause_behind_a_wrong_one_is_in_the_top_three_and_still_wrong():
    answer = real.answer("a case", "", ["capacity"], "log", diagnosis("repetition", "capacity"))

    assert (answer.outcome, answer.in_top) == ("wrong", True)


def test_the_labels_of_real_cases_are_causes():
    known = set(discover("hypotheses"))

    assert len(real.labels()) == 64
    for label in real.labels().values():
        assert set(label["causes"]) <= known
        assert label["why"]


@pytest.mark.skipif(not CASES.is_file(), reason="the labelled real cases are not beside the project")
def test_every_real_case_has_a_label_and_those_with_points_are_scored():
    ids = {json.loads(line)["id"] for line in CASES.read_text("utf-8").splitlines()}
    found = real.answers()

    assert ids == set(real.labels())
    assert len(found) >= 20
    assert "| a cause is to be named |" in real.summary(found)


def test_points_of_a_case_become_series_and_a_loss_that_was_nan_stays_one():
    series = real.series([[10, 3.9, None], [20, 4.0, 4.1], [30, None, None], [None, 7.5, None]])

    assert series["train_loss"].step.tolist() == [10, 20, 30]
    assert series["train_loss"].value[-1] != series["train_loss"].value[-1]
    assert series["val_loss"].value.tolist() == [4.1]


def test_runs_that_thresholds_were_chosen_with_are_known_by_name(tmp_path):
    cases = planted.corpus(tmp_path)
    seen = [c for c in cases if not c.unseen]

    assert len(cases) >= 141
    assert len(seen) == len(planted.SEEN.read_text("utf-8").split()) == 95


def missing(found):
    """With a bar missed of which it is known why."""
    what = {"what": "twice the parameters", "ours": 0.02, "bar": None, "n": 3, "coverage": 1.0}
    return replace(found, laws=[forecasts.row("size", what)])


def test_a_handful_of_simulated_runs_fills_the_page():
    cases = planted.simulated(range(70_001, 70_002), range(80_001, 80_002))
    chosen = [c for c in cases if c.cause in ("lr-not-annealed", "capacity", "still-learning")]
    results = [
        replace(r, case=replace(r.case, set="own corpus", family=r.case.cause))
        for r in judge.each(judge.judged, chosen, 0)
    ]
    law = forecasts.row(
        "schedule", {"what": "a protocol", "ours": 0.02, "bar": 0.01, "n": 3, "coverage": 0.5}
    )
    found = accuracy.Measured(results, [], [law], [("all laws", 0.1)], [("unplateau diagnose", 1.3)], 1.0)

    text = accuracy.page(found)
    met = {bar.what: bar.met for bar in accuracy.bars(found)}

    assert len(results) >= 6
    assert met["a protocol, nats"] is False
    assert met["90 % intervals that hold the truth, schedule law"] is False
    assert met["errors of the repetition law"] is None
    assert met["diagnose of the reference run, whole process, CPU s"] is False
    assert met["fit of all laws to the reference run, CPU s"] is True
    assert "size law: The pairs share their runs" in accuracy.page(missing(found))
    assert "Not measured: ../shared" in text
    assert not re.search(r"(?<!\w)/(work|tmp|home|root)/", text)
    assert accuracy.reliability_plot(found).startswith("<svg")


def test_predictions_that_a_row_pools_are_not_counted_twice():
    given = [("50 %", 4, 0.5), ("75 %", 4, 1.0), (forecasts.POOLED, 8, 0.75)]
    found = [
        forecasts.row("schedule", {"what": w, "ours": 0.02, "bar": None, "n": n, "coverage": c})
        for w, n, c in given
    ]

    assert forecasts.covered(found) == (0.75, "75 % (6 of 8); by row 50 to 100 %")
    assert forecasts.covered(found[:2]) == (0.75, "75 % (6 of 8); by row 50 to 100 %")
    assert forecasts.covered([]) is None


def test_a_row_of_a_law_that_lacks_a_key_is_refused():
    with pytest.raises(KeyError):
        forecasts.row("schedule", {"what": "a protocol", "ours": 0.02, "n": 3})


def test_a_prediction_that_is_off_is_no_hit():
    def priced(measured):
        return effects.Priced("", "", "", "supported", measured, 0.05, Estimate(0.5, 0.4, 0.6, "nats"))

    assert priced(0.45).hit
    assert priced(0.39).hit  # within the noise of two evaluations
    assert not priced(0.39).strict_hit
    assert not priced(0.3).hit
    assert not replace(priced(0.5), predicted=None).hit


def test_a_map_cannot_be_judged_on_the_only_family():
    alone = calibration.Pair(
        0.5, 0.5, held=True, there=True, verdict="undecided", cause="", family="a", set=""
    )

    with pytest.raises(ValueError, match="one family"):
        calibration.left_out([alone])


def test_a_map_is_judged_on_families_that_it_has_not_seen():
    def pair(family, *, held):
        return calibration.Pair(0.5, 0.5, held, held, "undecided", "capacity", family, "")

    found = [pair("moby", held=True)] * 20 + [pair("code", held=False)] * 20
    given = {p.family: value for p, value in calibration.left_out(found)}

    assert given["moby"] < 0.1  # code alone says: never
    assert given["code"] > 0.6


def test_probabilities_rise_with_the_evidence_and_stay_within_what_the_verdict_says():
    assert list(KNOTS) == sorted(KNOTS)
    assert [y for _, y in KNOTS] == sorted(y for _, y in KNOTS)
    for verdict, (low, high) in RANGES.items():
        values = [calibrated(x / 100, verdict) for x in range(1, 100)]
        assert values == sorted(values)
        assert low <= values[0] <= values[-1] <= high
    assert RANGES["supported"][0] >= 0.7
    assert RANGES["refuted"][1] <= 0.1


def test_nine_times_in_ten_means_that_on_texts_left_out(tmp_path):
    results = judge.each(judge.judged, planted.corpus(tmp_path), 0)
    left = calibration.left_out(calibration.pairs(results))

    assert len(left) > 2000
    assert calibration.expected_error([(value, p.held) for p, value in left]) <= accuracy.CALIBRATED
    looked = [(value, p.held) for p, value in left if p.verdict != "refuted"]
    assert calibration.expected_error(looked) <= accuracy.CALIBRATED


def test_the_loop_measured_by_itself_changes_its_own_rows_and_section_alone():
    text = "\n\n".join(
        [
            f"Measured; {accuracy.LEFT_OUT.strip()}",
            "| bar | wanted | measured | met |\n|---|---|---|---|\n| a law | 1 | 2 | **no** |",
            "What is in the way of those that are not met:",
            "- a law: reasons",
            "## Causes",
            "| cause | runs |\n|---|---|\n| capacity | 3 |",
            accuracy.NEXT,
            "its table\n",
        ]
    )
    once = accuracy.with_loop(text, [])
    before, mine, after = once.partition(accuracy.loop.TITLE)

    assert "| a law | 1 | 2 | **no** |\n| loop: " in before
    assert before.count("| loop: ") == len(accuracy.loop.bars([]))
    assert before.endswith("| capacity | 3 |\n\n")
    assert "later (--loop)" in before
    assert "\n\n## Causes" in before
    assert mine
    assert after.endswith(f"{accuracy.NEXT}\n\nits table\n")
    assert accuracy.with_loop(once, []) == once
