"""What is kept without a prediction is told of. Meant to go red where ``tally`` counted nothing of it."""

from unplateau.estimate import Estimate
from unplateau.plugins import discover
from unplateau.record import Entry, tally
from unplateau.report.causes import page


def test_a_verdict_without_prediction_has_its_line():
    came = Estimate(0.1, 0.05, 0.15, "nats")
    told = tally(
        [Entry(before="a", after="b", achieved=came, significant=True, cause="lr-too-high")], "lr-too-high"
    )

    assert (told.of, told.doubtful, told.unpredicted) == (0, 0, 1)
    text = page(discover("hypotheses")["lr-too-high"], "", told)
    assert "1 without prediction" in text
