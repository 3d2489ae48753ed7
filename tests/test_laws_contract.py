"""The contract of every law: a new file in laws/ is held to it without a new test."""

from __future__ import annotations

import numpy as np
import pytest

from unplateau.curve import Curve
from unplateau.facts import VOCABULARY
from unplateau.plugins import discover

LAWS = discover("laws")
NOISE = 0.01  # nats, of one evaluation


def planted(seed: int) -> tuple[Curve, Curve, float]:
    """A noisy curve, its truth up to four times its length, and its floor."""
    rng = np.random.default_rng(seed)
    floor, scale, power = rng.uniform(1.5, 3.2), rng.uniform(0.5, 2.0), rng.uniform(0.3, 0.7)
    t = np.arange(1, 31) * 500.0
    truth = Curve(np.append(t, 4 * t[-1]), floor + scale * (np.append(t, 4 * t[-1]) / 500) ** -power)
    return Curve(t, truth.value[:-1] + rng.normal(0, NOISE, len(t))), truth, floor


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
class TestEveryLaw:
    def test_its_intervals_cover_what_comes(self, law):
        hits = [
            not law.fit(seen, NOISE)(float(truth.step[-1])).excludes(float(truth.value[-1]))
            for seen, truth, _ in map(planted, range(200))
        ]

        assert 0.80 <= np.mean(hits) <= 0.97

    def test_recovers_a_planted_floor_within_its_interval(self, law):
        hits = [
            not law.fit(seen, NOISE).parameters["L0"].excludes(floor)
            for seen, _, floor in map(planted, range(200))
        ]

        assert 0.80 <= np.mean(hits) <= 0.98

    def test_names_what_it_prices_in_the_words_of_the_facts(self, law):
        assert law.prices
        assert set(law.prices) <= set(VOCABULARY)
        assert law.formula
        assert law.source

    def test_refuses_too_few_points(self, law):
        with pytest.raises(ValueError, match="points"):
            law.fit(Curve([1, 2], [3.0, 2.0]), NOISE)
