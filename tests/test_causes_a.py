"""The causes of schedule, size, data and evaluation: planted ones are found, cured ones are refuted."""

from __future__ import annotations

import numpy as np
import pytest

from synthetic import healthy_run, with_values
from unplateau.hypotheses import Finding
from unplateau.plugins import discover
from unplateau.run import Fact, Run

CAUSES = discover("hypotheses")
SEEDS = range(20)
CHARACTERS = {
    "vocab_size": 86,
    "block_size": 64,
    "n_layer": 2,
    "n_head": 4,
    "n_embd": 64,
    "peak_lr": 2e-3,
    "warmup_steps": 100,
}
CHARACTERS |= {
    "batch_size": 24,
    "gradient_accumulation_steps": 1,
    "max_steps": 2000,
    "eval_iters": 30,
    "eval_interval": 150,
}


def found(run: Run, cause: str) -> Finding:
    hypothesis = CAUSES[cause]
    assert not run.missing(hypothesis.needs)
    return hypothesis.test(run)


def held_up(run: Run) -> Run:
    """The loss stands at a third of its fall until the rate is below half its peak, then falls by .2."""
    peak, lr = run.schedule.peak, run.schedule

    def stand(step, value):
        rate = np.array([lr(int(s)) / peak for s in step])
        after = (np.maximum.accumulate(step) > 0.1 * step[-1]) & (rate < 0.5)
        return np.where(
            step == 0, value, 2.8 - 0.2 * after * (0.5 - rate) / 0.5 + (value - value.mean()) * 0.003
        )

    return with_values(run, val_loss=stand, train_loss=stand, batch_loss=stand)


def memorising(run: Run, rise: float) -> Run:
    def leave(step, value):
        late = np.maximum(0, step - 0.3 * step[-1]) / step[-1]
        return value + rise * late

    def learn(step, value):
        return value - 0.3 * np.maximum(0, step - 0.3 * step[-1]) / step[-1]

    return with_values(run, val_loss=leave, train_loss=learn)


def other_text(run: Run, gap: float) -> Run:
    return with_values(run, val_loss=lambda step, value: value + gap * (step > 0))


def easier_val(run: Run, gap: float) -> Run:
    return with_values(run, val_loss=lambda step, value: value - gap * (step > 0))


def at_rest(run: Run) -> Run:
    """The losses stand from the middle of the run on, but for their noise."""

    def rest(step, value):
        half = np.flatnonzero(step >= 0.5 * step[-1])
        still = value[half].mean() + np.random.default_rng(len(value)).normal(0, 0.004, len(half))
        return np.append(np.maximum(value[: half[0]], still.max()), still)

    return with_values(run, val_loss=rest, train_loss=rest)


PLANTED = {
    "lr-not-annealed": lambda s: healthy_run(s, peak_lr=1e-3, floor_lr=(0.3 + 0.03 * s) * 1e-3),
    "lr-exhausted": lambda s: healthy_run(
        s, max_steps=8000, decay_end=2000 + 150 * s, peak_lr=1e-3, floor_lr=0.0
    ),
    "lr-too-high": lambda s: held_up(healthy_run(s, **(CHARACTERS | {"peak_lr": 0.05 * (1 + s)}))),
    "lr-too-low": lambda s: healthy_run(s, peak_lr=6e-5 / (1 + s)),
    "capacity": lambda s: healthy_run(
        s, n_layer=2, n_embd=32 + 8 * s, n_head=4, vocab_size=4096, peak_lr=1.5e-3, max_steps=8000
    ),
    "repetition": lambda s: memorising(healthy_run(s), 0.4 + 0.05 * s),
    "val-mismatch": lambda s: other_text(healthy_run(s), 0.25 + 0.05 * s),
    "over-regularised": lambda s: healthy_run(s, dropout=0.3 + 0.02 * s),
    "eval-noise": lambda s: healthy_run(s, eval_iters=1, batch_size=4 + s, gradient_accumulation_steps=64),
    "still-learning": healthy_run,
    "converged": lambda s: at_rest(healthy_run(s, floor_lr=0.0, max_steps=40_000, eval_interval=200)),
}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("cause", PLANTED)
def test_a_planted_cause_is_found(cause, seed):
    assert found(PLANTED[cause](seed), cause).verdict == "supported"


@pytest.mark.parametrize("cause", PLANTED)
def test_a_cured_run_is_not_accused_of_it(cause):
    run = PLANTED[cause](3)
    cured = CAUSES[cause].without(run)
    if cured is None:
        pytest.skip(f"{cause} is a reading of the curve or the data, no setting removes it")

    assert CAUSES[cause].needs
    if not cured.missing(CAUSES[cause].needs):
        assert found(cured, cause).verdict == "refuted"


@pytest.mark.parametrize("cause", sorted(set(PLANTED) - {"still-learning", "converged"}))
def test_a_healthy_run_is_rarely_accused(cause):
    verdicts = [found(healthy_run(seed), cause).verdict for seed in range(100)]

    assert verdicts.count("supported") <= 2


@pytest.mark.parametrize("seed", SEEDS)
def test_a_val_below_train_is_a_mismatch_that_costs_nothing(seed):
    finding = found(easier_val(healthy_run(seed), 0.07), "val-mismatch")

    assert finding.verdict == "supported"
    assert finding.stake < 0.02


@pytest.mark.parametrize("seed", SEEDS)
def test_a_gap_that_only_stands_is_not_repetition(seed):
    assert found(other_text(healthy_run(seed), 0.4), "repetition").verdict == "refuted"


@pytest.mark.parametrize("seed", SEEDS)
def test_one_pass_clears_repetition_whatever_the_gap(seed):
    run = memorising(healthy_run(seed), 0.4)
    run = run.with_facts(
        unique_tokens=Fact(2 * run.get("tokens_seen")), passes=Fact(0.5, "epochs", "--unique-tokens")
    )

    assert found(run, "repetition").verdict == "refuted"


def test_characters_above_any_natural_text_are_at_most_undecided_without_a_manifest():
    run = healthy_run(1, **CHARACTERS).with_facts(char_level=Fact(True))

    def above(_, value):
        return np.maximum(value, 3.05 + 1e-3 * (value - value.mean()))

    noisy = with_values(run, val_loss=above, train_loss=above)

    finding = found(noisy, "noisy-data")

    assert finding.verdict == "undecided"
    assert finding.probability > 0.5
    assert any("manifest" in asked for asked in finding.missing)


def test_entropies_of_a_manifest_settle_noise():
    run = healthy_run(1, **CHARACTERS)
    level = float(run.series["val_loss"].value[-1])
    told = {
        "unigram_entropy": Fact(level + 0.1, "nats", "manifest.json"),
        "bigram_entropy": Fact(level, "nats", "manifest.json"),
    }

    assert found(run.with_facts(**told), "noisy-data").verdict == "supported"
    told["bigram_entropy"] = Fact(level + 0.6, "nats", "manifest.json")
    told["unigram_entropy"] = Fact(level + 1.4, "nats", "manifest.json")
    assert found(run.with_facts(**told), "noisy-data").verdict == "refuted"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_run_whose_rate_is_spent_is_not_still_learning(seed):
    assert found(PLANTED["lr-exhausted"](seed), "still-learning").verdict != "supported"
