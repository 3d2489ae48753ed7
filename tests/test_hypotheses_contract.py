"""What every cause promises. A new file in hypotheses/ is held to it without touching this one."""

from __future__ import annotations

import inspect
import re
from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planted import PLANTED
from synthetic import healthy_run
from unplateau.curve import Curve
from unplateau.derive import derive
from unplateau.diagnosis import examine, rank
from unplateau.facts import VOCABULARY
from unplateau.hypotheses import Finding, Hypothesis
from unplateau.plugins import discover
from unplateau.run import Fact, Run

CAUSES: dict[str, Hypothesis] = discover("hypotheses")
#: not a plateau, but a reading of the curve
READINGS = {"still-learning", "converged"}
#: CONTRACT: the names of causes that programs may rely on; a new cause is added here and to docs
NAMES = READINGS | {
    *("capacity", "short-context"),
    *("repetition", "duplicates", "noisy-data", "data-order"),
    *("lr-not-annealed", "lr-too-high", "lr-too-low", "lr-exhausted", "no-warmup", "lr-rewarmed"),
    *("batch-too-small", "batch-too-large", "instability", "precision", "frozen-parameters"),
    "over-regularised",
    *("broken-targets", "tokenizer-mismatch", "resume-state"),
    *("val-mismatch", "val-leak", "eval-noise", "metric-unit"),
}
PARTS = ("Claim", "Mechanism", "Supported by", "Refuted by", "Needs", "What to do", "Sources")
#: runs of all kinds: healthy, unfinished, of another format, and every planted fault
RUNS = {
    "healthy": healthy_run(0),
    "with rates and norms": healthy_run(1, extras=True),
    "unfinished": healthy_run(2, done=0.6),
    "in its warm-up": healthy_run(2, done=0.03),
    "constant rate": healthy_run(3, schedule="constant", floor_lr=None, decay_end=None),
    "dropout": healthy_run(4, dropout=0.3),
    "characters": healthy_run(5, vocab_size=86, block_size=64, char_level=True),
    "rate low": healthy_run(6, peak_lr=1e-6),
    "rate high": healthy_run(6, peak_lr=0.5),
    "many passes": healthy_run(7, train_tokens=10**7, unique_tokens=10**7),
    **{f"{cause} {way.__name__}": way(4) for cause, ways in PLANTED.items() for way in ways},
}
EACH = pytest.mark.parametrize("hypothesis", CAUSES.values(), ids=CAUSES)


@cache
def found(cause: str, run: str) -> Finding:
    """The finding of one cause on one of ``RUNS``, tested once."""
    return examine(CAUSES[cause], RUNS[run])


def test_all_names_of_the_contract_are_there():
    assert set(CAUSES) >= NAMES


@EACH
class TestEveryCause:
    def test_says_what_it_lacks_instead_of_guessing(self, hypothesis):
        finding = examine(hypothesis, Run("empty"))

        assert finding.verdict == "untestable"
        assert finding.probability is None
        assert finding.missing
        assert all(isinstance(ask, str) and ask for ask in finding.missing)

    def test_needs_only_what_a_run_can_have(self, hypothesis):
        known = {*VOCABULARY, "schedule", "val_loss", "train_loss", "batch_loss", "lr", "grad_norm"}

        assert {n for need in hypothesis.needs for n in need.split("|")} <= known

    def test_its_module_bears_its_name(self, hypothesis):
        module = hypothesis.test.__module__.rsplit(".", 1)[-1]

        assert module == hypothesis.name.replace("-", "_")

    def test_its_page_has_all_parts(self, hypothesis):
        page = inspect.getdoc(inspect.getmodule(hypothesis.test)) or ""
        found = re.findall(rf"^({'|'.join(PARTS)}): \S", page, re.MULTILINE)

        assert tuple(found) == PARTS
        assert page[0].isupper()
        assert "\n\n" in page
        assert re.search(r"^Sources: (?s:.)*(?:\d{4}|SCIENCE|issue|pull|nanoGPT)", page, re.MULTILINE)
        assert hypothesis.claim.endswith(".")

    def test_gives_numbers_and_a_source_for_its_verdict(self, hypothesis):
        for name in RUNS:
            finding = found(hypothesis.name, name)

            assert finding.cause == hypothesis.name
            assert finding.evidence or finding.verdict == "untestable", name
            assert finding.verdict != "untestable" or finding.missing, name
            assert 0 <= finding.stake <= 20
            rank(finding)
            for evidence in finding.evidence:
                assert any(c.isdigit() for c in evidence.fact), evidence
                assert evidence.source, evidence

    def test_its_remedy_speaks_in_words_of_the_vocabulary(self, hypothesis):
        for name, run in RUNS.items():
            remedy = found(hypothesis.name, name).remedy
            if remedy is None:
                continue

            assert remedy.patch or remedy.advice, name
            assert remedy.cost
            assert remedy.risk
            assert set(remedy.patch) <= set(VOCABULARY)
            for key, (old, new) in remedy.patch.items():
                assert old == run.get(key), (name, key)
                assert old != new, (name, key)

    def test_is_gone_from_the_run_without_it(self, hypothesis):
        for name, run in RUNS.items():
            if found(hypothesis.name, name).verdict != "supported":
                continue
            cured = hypothesis.without(run)

            assert cured is None or examine(hypothesis, cured).verdict in {"refuted", "untestable"}, name

    def test_is_never_surer_than_its_verdict(self, hypothesis):
        for name in RUNS:
            finding = found(hypothesis.name, name)
            if finding.verdict == "supported":
                assert finding.probability >= 0.7
            elif finding.verdict == "refuted":
                assert finding.probability <= 0.1


def test_healthy_runs_are_rarely_accused_of_anything():
    accused = []
    for seed in range(100):
        run = healthy_run(seed, extras=seed % 2 == 0)
        found = {n for n, h in CAUSES.items() if examine(h, run).verdict == "supported"} - READINGS
        accused += [(seed, found)] if found else []

    assert len(accused) <= 5, accused


VALUES = st.floats(width=64) | st.sampled_from([0.0, -1.0, 1e300, -1e300, float("nan"), float("inf"), 10.83])
NUMBERS = st.integers(-2, 10**12) | st.floats(allow_nan=False, allow_infinity=False) | st.just(0)


@st.composite
def damaged_runs(draw):
    """Any curves, also of three points, constant, negative or without a finite value; any numbers as facts."""
    series = {}
    for name in draw(
        st.sets(st.sampled_from(["val_loss", "train_loss", "batch_loss", "lr", "grad_norm", "epoch"]))
    ):
        steps = sorted(draw(st.sets(st.integers(0, 10**6), min_size=1, max_size=40)))
        same = draw(st.booleans())
        values = [draw(VALUES)] * len(steps) if same else [draw(VALUES) for _ in steps]
        series[name] = Curve(steps, values, draw(st.sampled_from(["nats", "", "bits per byte"])))
    names = st.sampled_from([n for n, (unit, _) in VOCABULARY.items() if n not in TEXTS])
    facts = {
        n: Fact(v, "", "config.py:1") for n, v in draw(st.dictionaries(names, NUMBERS, max_size=8)).items()
    }
    facts |= {
        n: Fact(draw(st.sampled_from(v)), "", "log line 1") for n, v in TEXTS.items() if draw(st.booleans())
    }
    return Run("damaged", draw(st.sampled_from(["nanogpt", "table"])), series, facts)


#: facts that are no plain number, with values that they take
TEXTS: dict[str, list[object]] = {
    "architecture": ["gpt2", "LlamaForCausalLM"],
    "schedule": ["cosine", "wsd", "cosine_with_restarts", ""],
    "decay_form": ["linear", "1-sqrt"],
    "optimizer": ["adamw", "sgd"],
    "dtype": ["float16", "bfloat16", "int8"],
    "device": ["cuda", "cpu"],
    "gpu": ["Tesla T4", "NVIDIA GeForce GTX 1660 SUPER", "?"],
    "dataset": ["openwebtext"],
    "tokenizer": ["gpt2"],
    "init_from": ["scratch", "resume", "gpt2"],
    "run_name": ["x"],
    "out_dir": ["out"],
    "config_dialect": ["nanogpt"],
    "config_echo": ["a = 1"],
    "config_unread": [["a"]],
    "config_skipped": [[]],
    "config_overridden": [[]],
    "claims": [[]],
    "params_logged_kind": ["without positions"],
    "resumed_after": [[5], [1, 900], []],
    "resumed_at": [[3], []],
    "skipped_steps": [7, [1, 2, 3], 0],
    "loss_scale": [[[1, 65536.0], [2, 0.0]], []],
    "killed": ["timeout"],
    "bpb_at": [[[1, 1.0]]],
}


class TestNothingRaises:
    @given(run=damaged_runs())
    @settings(
        max_examples=150,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    def test_on_damaged_curves_and_facts(self, run):
        for hypothesis in CAUSES.values():
            finding = examine(hypothesis, run)

            assert finding.verdict in {"supported", "undecided", "refuted", "untestable"}
            hypothesis.without(run) if not run.missing(hypothesis.needs) else None

    @pytest.mark.parametrize(
        "values",
        [
            [np.nan] * 30,
            [3.0] * 30,
            [-1.0] * 30,
            [1e300] * 30,
            [3.0, 2.9, 2.8],
            [np.inf, 3.0, 2.0],
            [0.0] * 30,
        ],
        ids=["nan", "constant", "negative", "huge", "three", "inf", "zero"],
    )
    def test_on_odd_losses_of_an_otherwise_known_run(self, values):
        series = {
            n: Curve(range(len(values)), values, "nats") for n in ("val_loss", "train_loss", "batch_loss")
        }
        known = {n: f for n, f in healthy_run(0).facts.items() if f.source != "counted"}
        run = derive(Run("odd", "nanogpt", series, known))
        for hypothesis in CAUSES.values():
            assert examine(hypothesis, run).cause == hypothesis.name
