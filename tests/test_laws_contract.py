"""The contract of every law: a new file in laws/ is held to it without a new test."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from unplateau.estimate import Estimate
from unplateau.facts import VOCABULARY
from unplateau.laws import DRAWS
from unplateau.plugins import discover
from unplateau.run import Run

LAWS = discover("laws")
WORLDS = 100
EACH = pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)


@cache
def fitted(law, seed):
    """A world of the law's own, and the law fitted to its run."""
    world = LAWS[law].world(seed)
    return world, LAWS[law].fit([world.run])


@EACH
class TestEveryLaw:
    def test_its_intervals_cover_what_comes(self, law):
        hits = []
        for world, fit in (fitted(law.name, seed) for seed in range(WORLDS)):
            hits.append(not Estimate.of(fit.price(world.other, world.step), "nats").excludes(world.change))

        assert 0.80 <= np.mean(hits) <= 0.98

    def test_recovers_planted_parameters_within_its_intervals(self, law):
        for name in law.parameters:
            hits = [
                not fit.parameters[name].excludes(world.parameters[name])
                for world, fit in (fitted(law.name, seed) for seed in range(WORLDS))
            ]

            assert 0.80 <= np.mean(hits) <= 1.0, name

    def test_its_price_is_one_draw_for_one_draw(self, law):
        world, fit = fitted(law.name, 0)
        price = fit.price(world.other, world.step)

        assert price.shape == (DRAWS,)
        assert np.isfinite(price).all()
        assert np.array_equal(price, fit.price(world.other, world.step))  # the same question, the same answer

    def test_a_run_that_stands_still_costs_nothing(self, law):
        world, fit = fitted(law.name, 0)

        assert fit.price(world.run, int(world.run.get("steps_done"))) == pytest.approx(0.0, abs=1e-9)

    def test_names_what_it_prices_in_the_words_of_the_facts(self, law):
        assert law.prices
        assert set(law.prices) <= set(VOCABULARY)
        assert law.formula
        assert law.source

    def test_refuses_a_run_of_which_nothing_is_known(self, law):
        with pytest.raises(ValueError, match=r"\w"):
            law.fit([Run("empty")])
