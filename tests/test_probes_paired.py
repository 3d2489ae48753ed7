"""Differences between the arms of a probe: what they are of, and how often their intervals hold the truth.

Seen red: ``_together`` that returns 1 (neighbours taken as independent) covers .39 of a series with correlation .8:
test_a_90_percent_interval_holds_the_mean_of_what_goes_together.
"""

import json

import numpy as np
import pytest

from unplateau.errors import UnreadableError
from unplateau.probes._paired import batch_difference, eval_difference, loss_at, losses_of, mean_of

PLAN = {"schema": "unplateau.evaluations/1", "parts": [{"split": "val", "windows": 40}]}


def arm(folder, batches=(), evaluated=None, plan=PLAN, config=None):
    """A run folder as the trainer leaves it: ``evaluated`` is step -> losses of val windows."""
    (folder / "evaluations").mkdir(parents=True)
    lines = [{"step": step, "batch_loss": float(loss)} for step, loss in enumerate(batches)]
    for step, windows in (evaluated or {}).items():
        np.savez(folder / "evaluations" / f"{step:08d}.npz", val=np.asarray(windows, np.float32))
        lines.append({"step": step, "val_loss": float(np.mean(windows)), "val_loss_error": 0.05})
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "config.json").write_text(json.dumps(config or {}))
    (folder / "evaluations" / "plan.json").write_text(json.dumps(plan))
    return folder


def series(rng, count, together):
    """``count`` values of an autoregression of order 1, mean 0, spread 1."""
    out = np.empty(count)
    out[0] = rng.normal()
    for i in range(1, count):
        out[i] = together * out[i - 1] + np.sqrt(1 - together**2) * rng.normal()
    return out


@pytest.mark.parametrize(("together", "count"), [(0.0, 20), (0.0, 200), (0.5, 200), (0.8, 400)])
def test_a_90_percent_interval_holds_the_mean_of_what_goes_together(together, count):
    rng = np.random.default_rng(1)
    held = [not mean_of(series(rng, count, together)).excludes(0.0) for _ in range(400)]

    assert 0.82 <= np.mean(held) <= 0.97


def test_a_hard_batch_is_hard_for_both_arms_and_no_noise(tmp_path):
    rng = np.random.default_rng(2)
    hard = rng.normal(3.0, 0.3, 200)
    a = arm(tmp_path / "a", hard + 0.02)
    b = arm(tmp_path / "b", hard + rng.normal(0, 0.01, 200))

    found = batch_difference(a, b)

    assert found.value == pytest.approx(0.02, abs=0.003)
    assert found.sd < 0.0015


def test_a_steady_trend_of_the_difference_is_no_noise(tmp_path):
    flat = np.full(100, 3.0)
    a, b = arm(tmp_path / "a", flat), arm(tmp_path / "b", flat - np.linspace(0, 0.1, 100))

    assert batch_difference(a, b).sd < 1e-9
    assert batch_difference(a, b, last=10).value == pytest.approx(0.0955, abs=0.001)


def test_windows_are_compared_one_by_one_and_the_last_common_step_holds(tmp_path):
    hard = np.random.default_rng(3).normal(3.0, 0.5, 40)
    a = arm(tmp_path / "a", evaluated={10: hard, 20: hard - 0.1, 30: hard - 0.2})
    b = arm(tmp_path / "b", evaluated={10: hard, 20: hard - 0.13})

    found = eval_difference(a, b)

    assert found.value == pytest.approx(0.03, abs=1e-6)
    assert found.sd < 1e-6


def test_other_windows_are_two_means_with_both_errors(tmp_path):
    rng = np.random.default_rng(4)
    a = arm(tmp_path / "a", evaluated={10: rng.normal(3.0, 0.5, 40)})
    other = {"schema": "unplateau.evaluations/1", "parts": [{"split": "val", "windows": 60}]}
    b = arm(tmp_path / "b", evaluated={10: rng.normal(3.0, 0.5, 60)}, plan=other)

    assert eval_difference(a, b).sd > 0.09


def test_what_nanogpt_draws_anew_is_not_paired(tmp_path):
    hard = np.random.default_rng(5).normal(3.0, 0.5, 40)
    drawn = {"sampling": "nanogpt", "eval_iters": 40}
    a = arm(tmp_path / "a", evaluated={10: hard}, config=drawn)
    b = arm(tmp_path / "b", evaluated={10: hard}, config=drawn)

    assert eval_difference(a, b).sd > 0.05


def test_a_line_that_was_cut_off_and_a_loss_that_is_no_number_are_left_out(tmp_path):
    folder = arm(tmp_path / "a", [3.0, 2.9])
    with (folder / "log.jsonl").open("a") as log:
        log.write('{"step": 2, "batch_loss": null}\n{"step": 3, "batch')

    assert losses_of(folder).batches == {0: 3.0, 1: 2.9}


def test_too_little_in_common_is_one_line(tmp_path):
    a, b = arm(tmp_path / "a", [3.0] * 3), arm(tmp_path / "b", [3.0] * 9)

    with pytest.raises(UnreadableError, match="3 logged steps in common; expected 4 or more"):
        batch_difference(a, b)
    with pytest.raises(UnreadableError, match="no val loss in common"):
        eval_difference(a, b)
    with pytest.raises(UnreadableError, match="has no val loss"):
        loss_at(a)
    with pytest.raises(UnreadableError, match=r"can't read log\.jsonl of the arm nowhere"):
        losses_of(tmp_path / "nowhere")


def test_a_damaged_file_of_windows_is_one_line_and_nothing_is_unpickled(tmp_path):
    folder = arm(tmp_path / "a", evaluated={10: [3.0] * 9})
    place = folder / "evaluations" / "00000010.npz"
    place.write_bytes(place.read_bytes()[:60])
    with pytest.raises(UnreadableError, match="is damaged"):
        loss_at(folder)

    np.savez(place, val=np.array([print, 1], dtype=object))
    with pytest.raises(UnreadableError, match="is damaged"):
        loss_at(folder)
