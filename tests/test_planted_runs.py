"""The diagnosis on real runs of unmodified nanoGPT whose cause was planted: named first, abstained, or accused wrongly."""

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "benchmarks" / "planted"))
check = pytest.importorskip("check")

SHARED = Path(os.environ.get("UNPLATEAU_SHARED") or ROOT.parent / "shared") / "planted"
ACCUSED = 0.05  # share of healthy runs that may get a supported cause
FIRST = 0.6  # share of the corpus whose planted cause is supported and first; a third of its causes does little harm
LOG_AND_CONFIG = {"log", "config"}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    cases = list(check.corpus_cases(check.HERE / "corpus.jsonl.zst", tmp_path_factory.mktemp("corpus")))
    return [(name, truth, check.judge(folder, truth, LOG_AND_CONFIG)) for name, truth, folder in cases]


def test_healthy_runs_of_the_corpus_are_rarely_accused(corpus):
    healthy = [(n, check.outcome(d, t["cause"])[1]) for n, t, d in corpus if t["cause"] in check.READINGS]
    accused = [(name, wrong) for name, wrong in healthy if wrong]

    assert len(healthy) >= 40
    assert len(accused) <= ACCUSED * len(healthy), accused


def test_the_planted_cause_is_mostly_first_and_hardly_ever_another(corpus):
    said = [check.outcome(d, t["cause"])[0] for _, t, d in corpus]

    assert said.count("right") >= FIRST * len(said)
    assert said.count("wrong") <= ACCUSED * len(said)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the given planted runs are not beside the project")
def test_the_given_planted_runs_are_named_or_left_undecided_never_wrong():
    cases = list(check.shared_cases(SHARED))
    said = [check.outcome(check.judge(f, t, LOG_AND_CONFIG), t["cause"]) for _, t, f in cases]

    assert len(said) == 12
    assert [wrong for _, wrong in said if wrong] == []
    assert sum(outcome.startswith("right") for outcome, _ in said) == 12
    assert sum(outcome == "right" for outcome, _ in said) >= 11


def test_the_constants_can_be_fitted_again_from_the_whole_corpus(monkeypatch, capsys):
    constants = pytest.importorskip("constants")
    monkeypatch.setattr(sys, "argv", ["constants.py"])

    constants.main()

    told = capsys.readouterr().out
    assert told.count("n = ") >= 2 * len(constants.ROWS) - 2  # a healthy and a sick line for nearly each
    assert all(name in told for name, *_ in constants.ROWS)
