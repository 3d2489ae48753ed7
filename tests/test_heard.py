"""The diagnosis hears what probes told.

Mutations that went red here: probes not heard at all; the sign of log-odds turned; a weak probe against an untestable
cause refutes it; two files of one probe both counted; the effect of the laws kept where one was measured; the limit of a
badly known cost taken below the probability before the probe; a cooldown that is heard of lr-not-annealed alone where the
rate was raised again, or of both.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from planted import PLANTED
from synthetic import healthy_run
from unplateau.diagnosis import Diagnosis, diagnose
from unplateau.estimate import Estimate
from unplateau.evidence import Told
from unplateau.heard import combined
from unplateau.hypotheses import Finding
from unplateau.run import Run


def told(cause: str, log_odds: float, probe: str = "a-probe", effect: Estimate | None = None) -> Told:
    return Told(cause, "the contrast is 0.1 nats", log_odds, probe, f"evidence/{probe}.json", effect)


def finding(run: Run, cause: str, *probed: Told) -> Finding:
    return next(f for f in diagnose(replace(run, probed=probed)).findings if f.cause == cause)


def verdicts(run: Run) -> list[tuple[str, str, float | None, Estimate | None]]:
    return [(f.cause, f.verdict, f.probability, f.effect) for f in diagnose(run).findings]


RUN = healthy_run(0)
SICK = PLANTED["over-regularised"][0](4)


def test_without_evidence_nothing_changes() -> None:
    other = replace(RUN, probed=(told("no-such-cause", 5.0),))

    assert verdicts(RUN) == verdicts(other)


def test_a_strong_probe_supports_a_cause_that_the_log_cannot_show() -> None:
    before, after = finding(RUN, "val-leak"), finding(RUN, "val-leak", told("val-leak", 8.0))

    assert before.verdict in ("untestable", "refuted")
    assert after.verdict == "supported"
    assert after.evidence[0].fact == "probe a-probe: the contrast is 0.1 nats"
    assert (after.evidence[0].points, after.evidence[0].source) == ("for", "evidence/a-probe.json")


@pytest.mark.parametrize(
    ("log_odds", "verdict"), [(-0.3, "undecided"), (0.3, "undecided"), (-5.0, "refuted")]
)
def test_an_untestable_cause_is_refuted_by_a_probe_that_says_so_alone(log_odds: float, verdict: str) -> None:
    assert finding(RUN, "duplicates").verdict == "untestable"
    assert finding(RUN, "duplicates", told("duplicates", log_odds)).verdict == verdict


def test_a_probe_against_a_supported_cause_takes_it_back() -> None:
    before = finding(SICK, "over-regularised")
    after = finding(SICK, "over-regularised", told("over-regularised", -6.0))

    assert before.verdict == "supported"
    assert after.verdict == "refuted"
    assert after.remedy is None
    assert after.probability is not None
    assert after.probability < 0.1


def test_a_probe_for_a_cause_never_lowers_its_verdict() -> None:
    for cause in (f for f in diagnose(RUN).findings if f.verdict == "undecided"):
        assert finding(RUN, cause.cause, told(cause.cause, 0.5)).verdict in ("undecided", "supported")


def test_a_cooldown_speaks_of_the_rise_of_the_rate_where_the_log_shows_one() -> None:
    cooldown = told("lr-not-annealed", 6.0, "cooldown", Estimate(0.08, 0.07, 0.09, "nats/token"))
    raised = PLANTED["lr-rewarmed"][0](4)
    first = finding(raised, "lr-not-annealed")

    specific, general = (finding(raised, name, cooldown) for name in ("lr-rewarmed", "lr-not-annealed"))

    assert (specific.verdict, specific.evidence[0].points) == ("supported", "for")
    assert specific.probability is not None
    assert specific.probability > 0.9
    assert (general.verdict, general.probability) == (first.verdict, first.probability)
    assert any("see lr-rewarmed" in one.fact for one in general.evidence)
    assert finding(RUN, "lr-rewarmed", cooldown).verdict == finding(RUN, "lr-rewarmed").verdict


def test_a_cooldown_that_wins_nothing_speaks_against_both() -> None:
    raised, cooldown = PLANTED["lr-rewarmed"][0](4), told("lr-not-annealed", -5.0, "cooldown")

    for name in ("lr-rewarmed", "lr-not-annealed"):
        before, after = finding(raised, name), finding(raised, name, cooldown)
        assert after.probability is not None
        assert before.probability is not None
        assert after.probability < before.probability


def test_independent_probes_add_up_and_one_probe_counts_once() -> None:
    one = finding(RUN, "duplicates", told("duplicates", 2.0))
    twice = finding(RUN, "duplicates", told("duplicates", 2.0), told("duplicates", 2.0))
    two = finding(RUN, "duplicates", told("duplicates", 2.0), told("duplicates", 2.0, "another"))

    assert twice.probability == one.probability
    assert two.probability is not None
    assert one.probability is not None
    assert two.probability > one.probability


def test_a_measured_effect_joins_that_of_the_laws_and_ranks_the_cause() -> None:
    measured = Estimate(0.2, 0.19, 0.21, "nats/token")
    found = diagnose(replace(RUN, probed=(told("over-regularised", 9.0, effect=measured),)))

    first = found.first
    assert first is not None
    assert (first.cause, first.verdict) == ("over-regularised", "supported")
    assert first.effect is not None
    assert first.effect.value == pytest.approx(0.2, abs=0.01)
    assert first.unpriced == ""


def test_what_a_probe_measures_as_nothing_is_no_cause() -> None:
    nothing = Estimate(0.001, -0.002, 0.004, "nats/token")

    assert finding(RUN, "duplicates", told("duplicates", 3.0, effect=nothing)).verdict != "supported"


def test_a_probe_for_a_cause_never_lowers_its_probability_however_badly_it_knows_the_cost() -> None:
    badly = Estimate(0.02, -0.02, 0.06, "nats/token")
    before = finding(SICK, "over-regularised")
    after = finding(SICK, "over-regularised", told("over-regularised", 4.6, effect=badly))

    assert before.effect is None
    assert before.probability is not None
    assert after.probability is not None
    assert after.probability >= before.probability


def test_estimates_that_disagree_have_a_wider_interval_than_either() -> None:
    apart = combined([Estimate(0.0, -0.01, 0.01, "nats"), Estimate(0.1, 0.09, 0.11, "nats")])

    assert apart is not None
    assert apart.value == pytest.approx(0.05)
    assert apart.low < 0.01
    assert apart.high > 0.09


def test_a_probe_that_supports_a_cause_gives_it_the_remedy_of_its_counterfactual() -> None:
    run = healthy_run(4, dropout=0.3, config_dialect="nanogpt")
    after = finding(run, "over-regularised", told("over-regularised", 8.0))

    assert after.remedy is not None
    assert after.remedy.patch["dropout"] == (0.3, 0.0)


def test_a_supported_cause_is_told_in_the_headline_of_the_report() -> None:
    from unplateau.report.text import text

    found: Diagnosis = diagnose(replace(RUN, probed=(told("duplicates", 9.0),)))
    said = text(found)

    assert "duplicates" in said.split("CAUSES")[0]
    assert "+ probe a-probe: the contrast is 0.1 nats" in said


def test_an_open_cause_names_the_probes_that_would_tell_until_they_have() -> None:
    open_too = {f.cause: f.probes for f in diagnose(RUN).findings if f.verdict in ("undecided", "untestable")}
    after = finding(RUN, "short-context", told("short-context", 0.1, "context"))

    assert open_too["short-context"] == ("context",)
    assert all(not f.probes for f in diagnose(RUN).findings if f.verdict in ("supported", "refuted"))
    assert after.verdict == "undecided"
    assert after.probes == ()
    assert "a probe: context (unplateau probe RUN)" in asked(RUN, "short-context")


def test_a_cause_that_its_probe_left_open_asks_for_more_of_it() -> None:
    after = finding(RUN, "eval-noise", told("eval-noise", 4.0, "more-windows"))

    assert after.verdict == "undecided"
    assert after.probes == ()
    assert "more-windows" in after.missing[0]
    assert "--again" in after.missing[0]


def asked(run: Run, cause: str) -> list[str]:
    from unplateau.report.json import diagnosis

    findings = diagnosis(diagnose(run))["findings"]
    return next(list(f["missing"]) for f in findings if f["cause"] == cause)
