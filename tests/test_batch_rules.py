"""Batches against published rules: few updates of a batch far above them are suspected, never called.

Mutations caught: ``UPDATES`` at 10**9 (long runs of GPT-2's size suspected); ``OVER`` at 0.1 (sound small runs suspected);
``holds_for`` dropped (finetuning, Muon); ``size <= rule.high`` turned (a batch below the rules not cleared).
"""

from __future__ import annotations

import pytest

from synthetic import healthy_run
from unplateau.diagnosis import diagnose, examine
from unplateau.hypotheses import Finding
from unplateau.hypotheses._batch import best
from unplateau.hypotheses.batch_too_large import HYPOTHESIS
from unplateau.run import Run

SMALL = {"n_layer": 2, "n_head": 4, "n_embd": 48, "vocab_size": 512, "block_size": 32}


def small(**config) -> Run:
    """nanoGPT's model of 80k parameters, 768k tokens unless told otherwise; ``init_from`` scratch."""
    usual = {"batch_size": 160, "gradient_accumulation_steps": 1, "max_steps": 150, "warmup_steps": 25}
    return healthy_run(0, **SMALL, **(usual | {"init_from": "scratch"} | config))


def told(run: Run) -> Finding:
    return examine(HYPOTHESIS, run)


class TestFewUpdatesOfALargeBatch:
    def test_come_first_undecided_and_ask_for_what_would_tell(self):
        found = diagnose(small())

        assert found.first is not None
        assert found.first.cause == "batch-too-large"
        assert found.first.verdict == "undecided"
        assert "150 updates" in found.first.evidence[0].fact
        assert found.first.missing
        assert found.first.probes == ("batch_size",)

    def test_the_remedy_takes_as_many_tokens(self):
        run = small()
        remedy = told(run).remedy

        assert remedy is not None
        new = {key: value for key, (_, value) in remedy.patch.items()}
        assert new["batch_size"] * new["max_steps"] == 160 * 150
        assert new["peak_lr"] < run.get("peak_lr")

    @pytest.mark.parametrize(
        "config",
        [
            {"init_from": "gpt2"},
            {"optimizer": "muon"},
            {"max_steps": 600},
            {"batch_size": 20},
        ],
        ids=["finetuned", "no Adam", "many steps", "a small batch"],
    )
    def test_other_runs_are_not_suspected_above_even_odds(self, config):
        finding = told(small(**config))

        assert finding.verdict in ("refuted", "undecided")
        assert finding.probability < 0.5

    def test_a_plan_decides_not_the_steps_that_are_done(self):
        run = healthy_run(0, done=0.05, max_steps=6000, batch_size=12, gradient_accumulation_steps=40)

        assert run.get("steps_done") < 500
        assert told(run).probability < 0.5


class TestRefuted:
    def test_by_a_batch_no_larger_than_the_rules_give(self):
        finding = told(small(batch_size=20, max_steps=1200))

        assert finding.verdict == "refuted"
        assert any("published rules" in e.fact for e in finding.evidence)

    def test_not_by_a_small_number_of_tokens_a_step(self):
        """65,536 tokens are many for a model that sees a million."""
        assert told(small(batch_size=80, max_steps=600)).verdict == "undecided"

    def test_rules_of_gpt2_on_openwebtext_and_of_small_models(self):
        """The values of both papers' formulas, by hand: 300B tokens and 124M parameters, and 768k and 60k."""
        gpt2 = healthy_run(
            0, n_layer=12, n_head=12, n_embd=768, batch_size=12, gradient_accumulation_steps=40, max_steps=600_000
        )  # fmt: skip
        large, little = best(gpt2, 600_000), best(small(), 150)

        assert large is not None
        assert little is not None
        assert 1e6 < large.low < large.high < 3e6
        assert 1200 < little.low < little.high < 1700
        assert told(gpt2).verdict == "refuted"
