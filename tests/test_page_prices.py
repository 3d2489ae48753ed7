"""A remedy that no law prices, on the page: its gain by reference class has a cost, a place in the order, and no row in the budget.

Seen red once: ``price`` without a plan of its own for such a remedy; the picture's label without what changes.
"""

from dataclasses import replace

import pytest

from synthetic import healthy_run
from unplateau.diagnosis import diagnose
from unplateau.estimate import Estimate
from unplateau.hypotheses import Finding, Plan, Remedy
from unplateau.hypotheses._say import anew
from unplateau.report.figures import figures_of
from unplateau.report.page import page, view
from unplateau.report.remedies import by_rate, price

BASIS = "from 12 planted runs, left out by text"


@pytest.fixture(scope="module")
def found():
    """A law wins .05 nats for the steps so far once more, the class .5 for the same."""
    found = diagnose(healthy_run(0, done=0.6))
    run, last = found.run, found.run.get("steps_done")
    small, large = Estimate(0.05, 0.0, 0.1, "nats"), Estimate(0.5, 0.3, 0.7, "nats")
    longer = Remedy({"max_steps": (20_000, 40_000)}, anew(run), "", gain=small, plan=Plan(run, last + 1))
    lower = Remedy({"peak_lr": (0.06, 0.01)}, anew(run), "", gain=large, basis=BASIS)
    findings = (
        Finding("longer", "supported", probability=0.9, effect=small, remedy=longer),
        Finding("lower", "supported", probability=0.9, effect=large, remedy=lower, basis=BASIS),
    )
    return replace(found, findings=findings)


def test_its_cost_is_that_of_the_same_steps_again(found):
    lower = found.findings[1].remedy

    assert price(lower, found.run).steps == found.run.get("steps_done")
    assert price(replace(lower, cost="a probe"), found.run) is None
    assert price(replace(lower, basis=""), found.run) is None


def test_it_stands_where_its_gain_for_its_cost_puts_it(found):
    assert [finding.cause for finding in by_rate(found)] == ["lower", "longer"]


def test_the_page_says_where_the_price_comes_from_and_adds_no_row(found):
    shown = page([view(found)])
    budget = shown[shown.index('id="budget"') : shown.index('id="remedies"')]

    assert "from 12 planted runs" not in budget
    assert shown.count(BASIS) == 2  # at the remedy and at the cause
    assert "0.50 nats" in shown


def test_the_picture_says_what_changes(found):
    (picture,) = (one for one in figures_of(found) if one.name == "remedies")

    assert "= 0.01 (was 0.06)" in picture.wide.body
