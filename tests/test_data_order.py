"""Batches that are no fair sample of train: their loss beside that of the same weights on all of train.

Mutations caught: ``offset.high < -DRIFT`` dropped (a long log calls .005 nats); ``BELOW`` at .5 (noisy batches called);
``errors`` with its sign turned (dropout accused, order not); ``FURTHEST`` dropped (batches learnt by heart accused);
``ORDER`` at 0 (order called other targets); the entropy of pairs dropped from ``other_task`` (batches learnt by heart called).
"""

from __future__ import annotations

import numpy as np
import pytest

from synthetic import healthy_run, with_values, without_series
from unplateau.diagnosis import examine
from unplateau.hypotheses import Finding
from unplateau.hypotheses._sampled import sampled
from unplateau.hypotheses.broken_targets import HYPOTHESIS as TARGETS
from unplateau.hypotheses.data_order import HYPOTHESIS
from unplateau.run import Fact, Run

SEEDS = range(20)


def nanogpt(seed: int, **config) -> Run:
    """A sound run of nanoGPT, which evaluates train and logs batches in one mode."""
    return healthy_run(seed, **config).with_facts(eval_modes_equal=Fact(True, "", "nanoGPT's estimate_loss"))


def lowered(run: Run, by) -> Run:
    """Batches that lie ``by`` (of the share of the run) nats lower."""
    return with_values(run, batch_loss=lambda step, value: value - by(step / step[-1]))


def told(run: Run) -> Finding:
    return examine(HYPOTHESIS, run)


def moving(share):
    """Topics come one after the other: each is learnt while it lasts."""
    return 0.15 + 0.12 * np.sin(6 * np.pi * share)


class TestBatchesOfOnePartAtATime:
    @pytest.mark.parametrize("seed", SEEDS)
    def test_are_found_though_the_log_is_nanogpts(self, seed):
        finding = told(lowered(nanogpt(seed), moving))

        assert finding.verdict == "supported"
        assert "nats" in finding.evidence[0].fact
        assert finding.remedy is not None

    def test_sound_runs_are_not_called(self):
        found = [told(nanogpt(seed, batch_size=4 + seed % 9)) for seed in range(100)]

        assert {f.verdict for f in found} == {"refuted"}

    @pytest.mark.parametrize("seed", SEEDS)
    def test_noisy_batches_of_a_sound_run_are_not_called(self, seed):
        rng = np.random.default_rng(seed)

        assert told(lowered(nanogpt(seed), lambda share: rng.normal(0, 0.8, len(share)))).verdict == "refuted"

    def test_a_distance_that_does_not_move_is_no_order_yet(self):
        finding = told(lowered(nanogpt(1), lambda share: 0 * share + 0.1))

        assert finding.verdict == "undecided"
        assert finding.missing

    def test_a_distance_that_does_not_matter_is_no_cause(self):
        run = nanogpt(2, max_steps=12_000, eval_interval=50)
        far = sampled(lowered(run, lambda share: 0.012 * (1 + share)))

        assert far is not None
        assert far.errors < -4
        assert told(lowered(run, lambda share: 0.012 * (1 + share))).verdict == "refuted"

    def test_batches_learnt_by_heart_are_not_called_an_order(self):
        finding = told(lowered(nanogpt(3), lambda share: 2 * share + moving(share)))

        assert finding.verdict == "undecided"
        assert any("memorised" in e.fact for e in finding.evidence if e.points == "against")


class TestBatchesOfAnotherTask:
    """Text whose pieces hardly differ, and batches far below it."""

    @staticmethod
    def run(pieces: float, pairs: float, apart: float = 0.4) -> Run:
        facts = {"order_divergence": pieces, "order_divergence_chance": 0.002, "bigram_entropy": pairs}
        known = {name: Fact(value, "nats", "manifest.json") for name, value in facts.items()}
        return lowered(nanogpt(5), lambda share: apart + 0.1 * np.sin(6 * np.pi * share)).with_facts(**known)

    def test_has_other_targets_and_no_order(self):
        run = self.run(pieces=0.004, pairs=2.0)
        targets = examine(TARGETS, run)

        assert targets.verdict == "supported"
        assert any("other targets" in e.fact and e.points == "for" for e in targets.evidence)
        assert told(run).verdict == "undecided"

    @pytest.mark.parametrize(
        ("pieces", "pairs", "apart"), [(0.04, 2.0, 0.4), (0.004, 9.0, 0.4), (0.004, 2.0, 0.0)]
    )
    def test_text_that_drifts_or_is_learnt_or_batches_near_it_speak_of_none(self, pieces, pairs, apart):
        assert examine(TARGETS, self.run(pieces, pairs, apart)).verdict == "refuted"


class TestNothingMeasured:
    def test_the_format_alone_does_not_clear_a_run(self):
        """People change get_batch, and the log looks as before."""
        finding = told(without_series(nanogpt(4), "train_loss"))

        assert finding.verdict == "undecided"
        assert finding.missing

    def test_too_few_evaluations_tell_nothing(self):
        assert sampled(nanogpt(5, max_steps=4000, eval_interval=1000)) is None

    def test_dropout_hides_an_order_so_only_a_distance_that_stays_clears(self):
        run = nanogpt(6, dropout=0.2)

        assert told(lowered(run, lambda share: 0 * share - 0.2)).verdict == "refuted"
        assert told(lowered(run, lambda share: 0.4 * share - 0.4)).verdict == "undecided"
