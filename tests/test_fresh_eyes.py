"""What a reader who knows nothing of the program stumbled over: each test is one number that he could not believe."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from synthetic import healthy_run, without_series
from unplateau.curve import Curve
from unplateau.derive import derive
from unplateau.diagnose import diagnose, examine
from unplateau.plugins import discover
from unplateau.report.text import text
from unplateau.run import Fact

CAUSES = discover("hypotheses")
SHAPE_OF_RATE = ("schedule", "peak_lr", "floor_lr", "warmup_steps", "decay_start", "decay_end")


def multiplied():
    """A run that logs what multiplies its learning rates, and not the rates."""
    run = healthy_run(0)
    lr = run.schedule
    steps = np.arange(0, run.get("steps_done") + 1, 100)
    share = Curve(steps, [lr(int(s)) / lr.peak for s in steps])
    facts = {name: fact for name, fact in run.facts.items() if name not in SHAPE_OF_RATE}
    bare = without_series(replace(run, facts=facts), "lr")
    return derive(replace(bare, series={**bare.series, "lrm": share}))


class TestAMultiplierIsNoRate:
    def test_causes_that_compare_rates_are_untestable(self):
        run = multiplied()

        verdicts = {name: examine(CAUSES[name], run).verdict for name in ("lr-too-high", "lr-too-low")}

        assert verdicts == {"lr-too-high": "untestable", "lr-too-low": "untestable"}

    def test_a_peak_that_is_told_is_a_rate(self):
        run = derive(multiplied().with_facts(peak_lr=Fact(0.5)))

        assert examine(CAUSES["lr-too-high"], run).verdict != "untestable"

    def test_the_rate_is_said_to_be_unknown(self):
        said = " ".join(text(diagnose(multiplied())).split())

        assert "learning rate unknown, now" in said
        assert "learning rate now unknown" not in said
