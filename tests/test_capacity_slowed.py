"""A hundred tokens a parameter and a curve that has slowed, under a rate that came down as planned: the model is too small.

Mutations caught: ``early`` dropped (a rate spent early), ``MANY`` at 10 (compute-optimal runs accused).
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from synthetic import healthy_run
from unplateau.diagnosis import examine
from unplateau.hypotheses import Finding, capacity
from unplateau.run import Fact, Run
from unplateau.state import State, state_of


def judged(monkeypatch: pytest.MonkeyPatch, run: Run, verdict: str, each: float = 150.0) -> Finding:
    """The finding on ``run`` with ``each`` tokens per parameter, its curve judged as ``verdict``."""
    run = run.with_facts(tokens_per_param=Fact(each))
    state: State = replace(state_of(run), verdict=verdict)
    monkeypatch.setattr(capacity, "state_of", lambda _: state)
    return examine(capacity.HYPOTHESIS, run)


SOUND = healthy_run(3, floor_lr=0.0)


@pytest.mark.parametrize(
    ("verdict", "said"), [("slowing", "supported"), ("flat", "supported"), ("falling", "undecided")]
)
def test_a_curve_that_has_slowed_tells_what_the_size_alone_does_not(monkeypatch, verdict, said):
    assert judged(monkeypatch, SOUND, verdict).verdict == said


@pytest.mark.parametrize(
    "run",
    [
        healthy_run(3, schedule="constant", floor_lr=None, decay_end=None),
        healthy_run(3, floor_lr=0.0, max_steps=6000, decay_end=2000),
    ],
    ids=["the rate is high", "the rate was spent early"],
)
def test_a_rate_that_explains_the_end_alone_keeps_it_undecided(monkeypatch, run):
    finding = judged(monkeypatch, run, "flat")

    assert finding.verdict == "undecided"
    assert finding.missing


def test_few_tokens_for_each_parameter_stay_undecided(monkeypatch):
    assert judged(monkeypatch, SOUND, "flat", each=60.0).verdict == "undecided"
