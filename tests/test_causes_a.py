"""The causes of schedule, size, data and evaluation: planted ones are found, cured ones are refuted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from planted import simulated
from synthetic import healthy_run, with_values
from unplateau.hypotheses import Finding
from unplateau.hypotheses._rates import rates_of
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


#: cause -> a run that has it; those of ``unplateau simulate`` are found by test_causes_b.py
SETTINGS = ("lr-not-annealed", "lr-exhausted", "lr-too-high", "lr-too-low", "capacity", "repetition")
SETTINGS += ("val-mismatch", "over-regularised", "eval-noise", "still-learning")
PLANTED = {cause: simulated(cause) for cause in SETTINGS}
PLANTED["converged"] = lambda s: at_rest(healthy_run(s, floor_lr=0.0, max_steps=40_000, eval_interval=200))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_run_at_rest_is_found_converged(seed):
    assert found(PLANTED["converged"](seed), "converged").verdict == "supported"


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

    def jumping(step, value):
        return above(step, value) + 0.8 * (np.arange(len(step)) == len(step) // 2)

    moved = found(with_values(noisy, val_loss=jumping), "noisy-data")
    assert moved.probability < 0.3
    assert any("jumps by" in e.fact for e in moved.evidence)


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


@pytest.mark.parametrize(
    ("bigram", "level", "verdict"),
    [(3.3, 3.2, "supported"), (3.3, 3.9, "supported"), (3.3, 2.4, "undecided"), (2.5, 2.4, "undecided"), (2.5, 1.8, "refuted")],
)  # fmt: skip
def test_characters_whose_pairs_are_harder_than_any_text_hold_noise(bigram, level, verdict):
    """A fifth of the characters replaced at random, and the pairs still tell something: the entropies do not lie together."""
    run = healthy_run(1, **CHARACTERS).with_facts(
        char_level=Fact(True),
        unigram_entropy=Fact(bigram + 0.6, "nats", "manifest.json"),
        bigram_entropy=Fact(bigram, "nats", "manifest.json"),
    )
    shift = level - float(run.series["val_loss"].value[-1])
    moved = with_values(
        run, val_loss=lambda _, value: value + shift, train_loss=lambda _, value: value + shift
    )

    assert found(moved, "noisy-data").verdict == verdict


@pytest.mark.parametrize("seed", SEEDS)
def test_a_run_whose_rate_is_spent_is_not_still_learning(seed):
    assert found(PLANTED["lr-exhausted"](seed), "still-learning").verdict != "supported"


@pytest.mark.parametrize(
    ("passes", "paid", "verdict"),
    [(0.5, 0.2, "supported"), (0.5, -0.2, "undecided"), (3.0, 0.2, "undecided")],
)
def test_mild_dropout_is_too_much_where_nothing_comes_twice_and_its_price_is_seen(passes, paid, verdict):
    run = with_values(healthy_run(1, dropout=0.1), batch_loss=lambda _, value: value + paid)

    assert (
        found(run.with_facts(passes=Fact(passes, "epochs", "manifest.json")), "over-regularised").verdict
        == verdict
    )


@pytest.mark.parametrize(("level", "verdict"), [(0.0007, "refuted"), (2.0, "supported")])
def test_a_loss_of_next_to_nothing_has_nothing_left_to_learn(level, verdict):
    run = healthy_run(2)
    fall = {name: lambda _, value: value / value[-1] * level for name in ("val_loss", "train_loss")}

    assert found(with_values(run, **fall), "still-learning").verdict == verdict


@pytest.mark.parametrize(("times", "verdict"), [(1.2, "refuted"), (0.7, "undecided"), (0.4, "undecided")])
def test_a_rate_somewhat_below_the_rules_is_open_and_asks(times, verdict):
    """The rules stray by as much; ``times`` the lower of them."""
    run = healthy_run(2)
    rules = rates_of(run)
    finding = found(replace(run.with_facts(peak_lr=Fact(rules.low * times)), schedule=None), "lr-too-low")

    assert finding.verdict == verdict
    assert bool(finding.missing) == (verdict == "undecided")
