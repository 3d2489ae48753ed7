"""A standstill is claimed where it can be told from the fall before it, and nowhere else.

Seen red: ``_blind`` that is never true: the shipped run was flat at steps 10,000 to 11,000, and "falling" before and after.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import unplateau
from unplateau.curve import Curve
from unplateau.derive import derive
from unplateau.reading import read_runs
from unplateau.run import Fact, Run
from unplateau.state import state_of

EXAMPLE = Path(unplateau.__file__).parent / "examples" / "reference-run"


def cut(run: Run, end: int) -> Run:
    """The run as it was at step ``end``."""
    return derive(
        replace(run, series={name: curve.between(0, end + 1) for name, curve in run.series.items()})
    )


@pytest.mark.parametrize("end", range(5_000, 14_501, 500))
def test_a_healthy_run_is_at_no_step_of_it_called_flat(end):
    state = state_of(cut(read_runs(EXAMPLE)[0], end))

    assert state.verdict in ("falling", "slowing")
    assert state.slope.high < 0


@pytest.mark.parametrize("end", range(1_000, 5_000, 500))
def test_few_evaluations_of_a_steep_fall_are_too_short_rather_than_flat(end):
    assert state_of(cut(read_runs(EXAMPLE)[0], end)).verdict in ("falling", "slowing", "too-short")


def test_a_log_that_is_too_short_stands_where_its_last_point_does():
    losses = [8.3368, 1.2565, 0.4951, 0.427]
    run = derive(Run("four", series={"batch_loss": Curve([10, 20, 30, 40], losses, "nats")}))
    state = state_of(run)

    assert state.verdict == "too-short"
    assert state.level.value == 0.427


def halted(at: int, noise: float, seed: int = 0) -> Run:
    """A power law that stands still from step ``at`` on, of 10,000."""
    steps = np.arange(100, 10_001, 100)
    loss = 3.0 + 20.0 * np.minimum(steps, at) ** -0.4
    values = loss + np.random.default_rng(seed).normal(0, noise, len(steps))
    return derive(
        Run(
            "halted", series={"val_loss": Curve(steps, values, "nats")}, facts={"tokens_per_step": Fact(1000)}
        )
    )


@pytest.mark.parametrize("seed", range(5))
def test_a_standstill_that_can_be_seen_is_flat(seed):
    assert state_of(halted(3_000, 0.002, seed)).verdict == "flat"
    assert state_of(halted(20_000, 0.002, seed)).verdict == "falling"
