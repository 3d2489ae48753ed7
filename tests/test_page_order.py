"""What a page says to do, in the order of the causes; and what it says where there is nothing to draw.

Mutations that went red here: what is supported and costs little told after what only may hold; what may hold ordered without
its chance; a remedy of an undecided cause on a log too short to judge; no word in the place of a missing curve.
"""

from dataclasses import replace

import numpy as np
import pytest

from synthetic import healthy_run
from unplateau.curve import Curve
from unplateau.diagnosis import diagnose
from unplateau.estimate import Estimate
from unplateau.hypotheses import Finding, Plan, Remedy
from unplateau.report.page import page, view
from unplateau.report.remedies import by_rate, chosen
from unplateau.run import Run


@pytest.fixture(scope="module")
def found():
    return diagnose(healthy_run(0, done=0.6))


def cause(found, name, verdict, probability, gain=None):
    """A finding with a remedy of its own; one without a gain costs no loss to speak of."""
    last = found.run.get("steps_done")
    plan = Plan(found.run, last + 1_000 + sum(map(ord, name)), last)
    won = None if gain is None else Estimate(gain, 0.0, 2 * gain, "nats")
    remedy = Remedy({"max_steps": (20_000, last + 1_000)}, "", "", gain=won, plan=plan)
    effect = Estimate(0.001, 0.0, 0.002, "nats") if gain is None else Estimate(gain, 0.0, 2 * gain, "nats")
    return Finding(name, verdict, probability=probability, effect=effect, remedy=remedy)


def names(findings):
    return [finding.cause for finding in findings]


def test_what_is_supported_is_mended_before_what_only_may_hold(found):
    findings = (
        cause(found, "first", "supported", 0.9, 0.05),
        cause(found, "unlikely", "undecided", 0.06, 0.3),
        cause(found, "spikes", "supported", 0.9),
    )
    told = replace(found, findings=findings)

    assert names(chosen(told)) == names(by_rate(told)) == ["first", "spikes", "unlikely"]


def test_of_what_may_hold_the_likelier_comes_first_at_like_gains(found):
    findings = (
        cause(found, "first", "supported", 0.9, 0.05),
        cause(found, "unlikely", "undecided", 0.06, 0.2),
        cause(found, "likelier", "undecided", 0.4, 0.1),
    )

    assert names(by_rate(replace(found, findings=findings))) == ["first", "likelier", "unlikely"]


def test_of_a_log_too_short_to_judge_nothing_is_mended_on_a_guess():
    short = diagnose(Run("three", series={"val_loss": Curve([0, 250, 500], [9.0, 8.0, 7.0], "nats")}))
    guess = cause(diagnose(healthy_run(0, done=0.6)), "guess", "undecided", 0.02)

    assert chosen(replace(short, findings=(guess,))) == []


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([3.1], "the log holds one (batch_loss 3.1)"),
        ([np.nan] * 5, "none of the 5 logged losses is a number"),
    ],
)
def test_where_there_is_no_curve_the_page_says_why(values, said):
    steps = np.arange(1, len(values) + 1)
    run = Run("bare", series={"batch_loss": Curve(steps, np.array(values), "nats")})

    assert f"There is no curve to draw: {said}" in page([view(diagnose(run))]).replace(
        "a curve takes two points at least, and ", ""
    )
