"""Spikes of batches beside the evaluated train loss: what an odd batch can't do, the weights did.

Mutations caught: ``above <= CLIMB`` turned (spikes that cost nothing called); the median of ``ENDS`` evaluations as the last one
alone (a burst of the weights at the end called a lost run); ``eval_modes_equal`` dropped (a trainer of other modes); ``ADAMS``
dropped (SGD's momentum called); the square of beta1 dropped (betas of .9 and .8 called).
"""

from __future__ import annotations

import numpy as np
import pytest

from synthetic import healthy_run, with_values
from unplateau.diagnosis import examine
from unplateau.hypotheses import Finding
from unplateau.hypotheses.instability import HYPOTHESIS
from unplateau.run import Fact, Run

SEEDS = range(10)


def bursts(_, value):
    """Spikes of single points, each back at once: what bursts between logged steps look like."""
    high = value.copy()
    high[len(high) // 3 :: len(high) // 12] += 9.0
    return high


def spiky(seed: int, **config) -> Run:
    run = healthy_run(seed, **config).with_facts(eval_modes_equal=Fact(True, "", "nanoGPT's estimate_loss"))
    return with_values(run, batch_loss=bursts)


def raised(run: Run, nats: float, last: int) -> Run:
    """The last evaluations of train lie higher."""
    return with_values(
        run, train_loss=lambda step, value: value + nats * (np.arange(len(step)) >= len(step) - last)
    )


def told(run: Run) -> Finding:
    return examine(HYPOTHESIS, run)


@pytest.mark.parametrize("seed", SEEDS)
def test_spikes_and_an_evaluated_loss_that_stays_high_are_found(seed):
    finding = told(raised(spiky(seed), 1.5, 8))

    assert finding.verdict == "supported"
    assert "the weights, not odd batches" in finding.evidence[0].fact
    assert finding.remedy is not None


@pytest.mark.parametrize("seed", SEEDS)
def test_spikes_beside_a_sound_evaluation_are_odd_batches(seed):
    assert told(spiky(seed)).verdict != "supported"
    assert told(raised(spiky(seed), 0.2, 8)).verdict != "supported"


def test_one_burst_at_the_end_is_no_lost_run():
    assert told(raised(spiky(1), 9.0, 1)).verdict != "supported"


def test_evaluations_in_another_mode_tell_nothing():
    run = raised(spiky(2), 1.5, 8).with_facts(eval_modes_equal=Fact(False, "", "config.py:1"))

    assert told(run).verdict != "supported"


def betas(seed: int, first: float, second: float, **facts: str) -> Run:
    more = {"beta1": first, "beta2": second} | facts
    return healthy_run(seed).with_facts(
        **{name: Fact(value, "", "config.py:9") for name, value in more.items()}
    )


@pytest.mark.parametrize(("first", "second"), [(0.98, 0.9), (0.999, 0.9), (0.99, 0.8)])
def test_momenta_for_which_adam_is_not_proved_to_converge_are_found_and_mended(first, second):
    """Also where they were swapped by mistake: .999 and .9."""
    finding = told(betas(3, first, second))

    assert finding.verdict == "supported"
    assert "config.py:9" in finding.evidence[0].source
    assert finding.remedy is not None
    assert finding.remedy.patch["beta1"] == (first, 0.9)
    assert finding.remedy.patch["beta2"] == (second, 0.95)


@pytest.mark.parametrize(
    ("first", "second"), [(0.9, 0.95), (0.9, 0.99), (0.9, 0.999), (0.95, 0.95), (0.9, 0.8)]
)
def test_momenta_in_use_are_not_called(first, second):
    finding = told(betas(3, first, second))

    assert finding.verdict == "refuted"
    assert not any("beta" in e.fact for e in finding.evidence)


def test_only_adam_is_spoken_of():
    assert told(betas(3, 0.99, 0.8, optimizer="sgd")).verdict == "refuted"
