"""The loop on planted runs: the cases are what the plan asks for, faults are there, and the truth about a run is used to judge it.

Seen red:
- ``PAIRS`` with one text in both of a pair: test_each_cause_meets_both_texts_and_both_tokenisers;
- ``BESIDE`` without no-warmup: test_the_run_without_the_cause_is_there_and_was_made_alike;
- ``shifted`` that shifts all: test_a_share_of_val_is_off_by_one;
- ``forget`` that clears nothing: test_moments_are_lost_once;
- ``order`` that stays where it is: test_batches_move_through_the_text;
- ``accused`` without the planted cause: test_a_planted_cause_that_costs_nothing_is_no_right_answer;
- ``case_of`` without ``there``: test_a_cause_that_cost_the_sound_run_something_is_no_false_accusation;
- ``_told`` that replaces nothing: test_no_log_tells_its_cause_or_where_it_was_made;
- ``in_turn`` without ``mended``: test_each_run_comes_after_the_one_without_its_cause;
- ``fork`` without ``signal.signal``: test_a_fork_is_ended_by_the_signal_that_its_parent_bears;
- ``_chance`` of 0: test_what_chance_may_have_done_is_neither_a_cost_nor_harmless;
- ``dearer`` that compares nothing: test_what_holds_beside_the_planted_cause_and_costs_more_may_come_first;
- ``stray`` that takes the largest: test_an_evaluation_that_strays_as_far_as_a_planted_one_is_as_noisy;
- ``left`` that asks for no role: test_what_nobody_judges_is_not_probed.
"""

import json
import os
import re
import signal
import sys
import time
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from unplateau.diagnosis import diagnose
from unplateau.estimate import Estimate
from unplateau.reading import read_runs

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "benchmarks" / "planted"), str(ROOT / "benchmarks")]
loop_cases = pytest.importorskip("loop_cases")

import loop as main  # noqa: E402
import loop_pack  # noqa: E402
import texts  # noqa: E402
from accuracy_parts import judge, loop  # noqa: E402

CASES = {one.case.name: one for one in loop_cases.LOOP}
PLANTED = [one for one in loop_cases.LOOP if one.role == "planted"]
NATS = "nats/token"


class TestTheCases:
    def test_at_least_twenty_causes_at_three_severities_with_two_seeds(self):
        causes = Counter((one.case.cause, one.case.severity) for one in PLANTED)
        severities = Counter(cause for cause, _ in causes)

        assert len(severities) >= 20
        assert set(severities.values()) == {3}
        assert set(causes.values()) == {2}
        assert sum(one.role == "healthy" for one in loop_cases.LOOP) >= 24

    def test_each_cause_meets_both_texts_and_both_tokenisers(self):
        for cause in loop_cases.CAUSES:
            mine = [one for one in PLANTED if one.case.cause == cause]
            assert len({one.base.split("-")[0] for one in mine}) == 2, cause
            assert len({one.base.split("-")[1] for one in mine}) == 2, cause

    def test_the_run_without_the_cause_is_there_and_was_made_alike(self):
        for one in PLANTED:
            mended = CASES[one.case.mended]
            assert (mended.base, mended.seed) == (one.base, one.seed)
            assert mended.case.cause != one.case.cause
            changed = (one.case.config, one.case.data, one.fault, one.case.first)
            assert changed != (mended.case.config, mended.case.data, mended.fault, mended.case.first), one

    def test_each_run_comes_after_the_one_without_its_cause(self):
        place = {name: number for number, name in enumerate(CASES)}

        assert all(place[one.case.mended] < place[one.case.name] for one in CASES.values() if one.case.mended)
        assert next(iter(CASES)).startswith("healthy.base.")

    def test_no_name_stands_for_two_runs(self):
        assert len(CASES) == len(loop_cases.LOOP)


class TestTheData:
    IDS = np.arange(1_000, dtype=np.uint16) % 96

    def test_a_share_of_val_is_off_by_one(self):
        found = texts.shifted(self.IDS, 0.3, 96)

        assert np.array_equal(found[:300], (self.IDS[:300] + 1) % 96)
        assert np.array_equal(found[300:], self.IDS[300:])

    def test_half_of_val_is_another_text(self, monkeypatch):
        monkeypatch.setattr(texts, "encoder", lambda *_: (lambda text: np.full(len(text), 7, np.uint16), 96))
        monkeypatch.setattr(texts, "whole", lambda *_: "x" * 1_000_000)
        data = texts.Data("embedded", val="half-stdlib")
        found = texts.val_of(data, self.IDS, self.IDS, 96, Path())

        assert np.array_equal(found[: len(self.IDS)], self.IDS)
        assert set(found[len(self.IDS) :].tolist()) == {7}


class TestTheFaults:
    def test_moments_are_lost_once(self, monkeypatch):
        torch = pytest.importorskip("torch")
        train = pytest.importorskip("loop_train")
        weight = torch.nn.Parameter(torch.ones(2))
        adam = torch.optim.AdamW([weight])
        weight.grad = torch.ones(2)
        adam.step()
        adam.step()
        monkeypatch.setattr(train.session, "optimizer_of", lambda *_: adam)
        train.forget()
        train.session.optimizer_of(None, None)

        adam.step()
        assert adam.state[weight]["step"] == 1
        adam.step()
        assert adam.state[weight]["step"] == 2

    def test_batches_move_through_the_text(self, monkeypatch):
        pytest.importorskip("torch")
        train = pytest.importorskip("loop_train")
        seen = []
        monkeypatch.setattr(train.batches, "batch_at", lambda _stream, starts, _: seen.append(starts))
        monkeypatch.setattr(train.batches, "drawn", None)
        train.order(0.1, 10)
        settings = type("Settings", (), {"block_size": 8, "batch_size": 50})
        for _ in range(10):
            train.batches.drawn(range(10_008), settings)

        assert all(starts.max() - starts.min() <= 1_000 for starts in seen)
        assert all(a.mean() < b.mean() for a, b in pairwise(seen))
        assert seen[-1].max() > 8_000


@pytest.fixture
def forks():
    """What starts processes here; it reads no torch itself."""
    return pytest.importorskip("loop_forks")


class TestTheForks:
    def test_what_a_fork_prints_and_how_it_ends_is_kept(self, forks, tmp_path):
        def work():
            os.write(1, b"a loss\n")  # pytest has put its own streams in the place of Python's
            os.write(2, Path.cwd().name.encode())
            sys.exit(3)

        assert forks.logged(work, tmp_path, tmp_path / "train.log") == 3
        assert (tmp_path / "train.log").read_text() == "a loss\n"
        assert (tmp_path / "train.err").read_text() == tmp_path.name

    def test_what_a_fork_breaks_is_broken_in_it_alone(self, forks, tmp_path):
        def work():
            loop.GROUPS = ()

        assert forks.logged(work, tmp_path, tmp_path / "a.log") == 0
        assert loop.GROUPS

    def test_a_fork_that_fails_says_where(self, forks, tmp_path, capfd):
        with capfd.disabled():  # pytest's own streams would keep it
            assert forks.logged(lambda: 1 // 0, tmp_path, tmp_path / "a.log") == 1
        assert "ZeroDivisionError" in (tmp_path / "a.err").read_text()

    def test_a_fork_is_ended_by_the_signal_that_its_parent_bears(self, forks):
        before = signal.signal(signal.SIGTERM, lambda *_: None)
        try:
            pid = forks.fork(lambda: time.sleep(60), lambda: None)
            time.sleep(0.2)  # it has to begin, or nothing was tested
            os.kill(pid, signal.SIGTERM)
            assert forks.ended(pid) == -signal.SIGTERM
        finally:
            signal.signal(signal.SIGTERM, before)

    def test_an_arm_is_a_verb_of_ours_with_its_complaint(self, forks, tmp_path, capfd):
        with (tmp_path / "said").open("wb") as said, capfd.disabled():
            arm = forks.Arm(["python", "-m", "unplateau", "read", str(tmp_path / "absent")], said)
            assert arm.wait(30) == 3
        assert (tmp_path / "said").read_text().startswith("unplateau: ")


class TestTheWork:
    def test_what_nobody_judges_is_not_probed(self, tmp_path):
        work = {one.role: main.left(one, "all", tmp_path) for one in CASES.values()}

        assert work == {
            "healthy": [main.run, main.probe],
            "planted": [main.run, main.probe],
            "relief": [main.run],
        }

    def test_only_what_was_trained_is_probed(self, tmp_path):
        one = PLANTED[0]
        folder = tmp_path / "runs" / one.case.name
        folder.mkdir(parents=True)
        assert main.left(one, "probe", tmp_path) == []

        (folder / "done").touch()
        assert main.left(one, "probe", tmp_path) == [main.probe]


def said(gain, cause="capacity", accused=(), verdict="supported", noise=0.0):
    """What was said of a run with ``cause`` planted."""
    case = loop.Case("a run", "loop", "base", cause, gain=gain, noise=noise)
    findings = (judge.Said(cause, verdict, 0.9, 0.9, None, None),)
    judged = loop.Judged(case, "right", cause, tuple(accused), findings)
    return loop.Said("planted", "probes", judged, testable=True, asks=False)


class TestTheJudgement:
    def test_a_planted_cause_that_costs_nothing_is_no_right_answer(self):
        assert said(0.001).accused == ("capacity",)
        assert not said(0.001).counts
        assert said(0.1).accused == ()
        assert said(0.001, cause="eval-noise").counts, "a fault of the number costs no loss"

    def test_what_chance_may_have_done_is_neither_a_cost_nor_harmless(self):
        assert not said(0.05, noise=0.04).counts
        assert said(0.05, noise=0.04).accused == ()
        assert said(0.08, noise=0.04).counts
        assert said(0.001, noise=0.04, cause="eval-noise").counts

    def test_chance_is_what_two_seeds_of_a_sound_run_lie_apart(self):
        def kept(name, end, role="healthy"):
            return loop_pack.Kept(name, role, "b", {"end": end}, None, *[Path()] * 3, None)

        rows = [kept("healthy.base.b.1", 1.8), kept("healthy.base.b.2", 1.9), kept("healthy.base.c.1", 3.0)]
        others = [kept("capacity.n8.b.1", 2.5, "planted"), kept("healthy.base.c.2", None)]

        assert loop.scatter([*rows, *others]) == pytest.approx(0.1 / 2**0.5)
        assert loop.scatter(others) == 0.0
        gain = Estimate(0.1, 0.1, 0.1, NATS)
        case = loop.case_of(
            replace(others[0], gain=gain, truth={"cause": "capacity"}), frozenset(), "log", 0.03
        )
        assert case.noise == pytest.approx(0.03 * 2**0.5)

    def test_what_holds_beside_the_planted_cause_and_costs_more_may_come_first(self):
        truth = {"cause": "no-warmup", "beside": {"cause": "lr-too-high", "gain": 0.5}}
        kept = loop_pack.Kept(
            "a", "planted", "b", truth, Estimate(0.06, 0.05, 0.07, NATS), *[Path()] * 3, None
        )

        assert loop.dearer(kept) == "lr-too-high"
        assert loop.dearer(replace(kept, gain=Estimate(0.6, 0.5, 0.7, NATS))) == ""
        assert loop.dearer(replace(kept, truth=truth | {"cause": "val-leak"})) == ""
        one = said(0.06, "no-warmup")
        one = replace(one, judged=replace(one.judged, outcome="wrong", first="lr-too-high"))
        assert not one.right
        assert replace(one, dearer="lr-too-high").right

    def test_an_evaluation_that_strays_as_far_as_a_planted_one_is_as_noisy(self):
        def kept(name, cause, strays):
            return loop_pack.Kept(
                name, "planted", "b", {"cause": cause, "strays": strays}, None, *[Path()] * 3, None
            )

        rows = [kept("a", "eval-noise", 0.05), kept("b", "eval-noise", 0.08), kept("c", "repetition", 0.06)]
        rows += [kept("d", "capacity", 0.04), kept("e", "instability", None)]

        assert loop.stray(rows) == {"a", "b", "c"}
        assert loop.stray(rows[2:]) == frozenset()
        assert loop.holds(rows[2], {"b": frozenset({"capacity"})}, loop.stray(rows)) == {
            "capacity",
            "eval-noise",
        }
        assert loop.holds(rows[3], {}, loop.stray(rows)) == frozenset()

    def test_a_cause_that_cost_the_sound_run_something_is_no_false_accusation(self):
        kept = loop_pack.Kept("healthy.without-capacity.b.1", "healthy", "b", {"cause": "still-learning"}, Estimate(0.1, 0.05, 0.2, NATS), *[Path()] * 3, None)  # fmt: skip
        there = loop.reliefs([kept])["b"]

        assert there == {"capacity"}
        assert "capacity" in loop.case_of(kept, there, "log").also
        assert not loop.reliefs([replace(kept, gain=Estimate(0.01, 0.0, 0.02, NATS))])

    def test_the_bars_are_not_met_where_nothing_was_measured(self):
        assert {met for _, _, _, met in loop.bars([])} == {None}

    def test_a_bar_counts_what_it_says(self):
        told = {what: met for what, _, _, met in loop.bars([said(0.1), said(0.1, accused=["duplicates"])])}

        assert told["loop: planted cause named first, after probes"]
        assert told["loop: runs with a wrong cause supported"] is False


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """The runs that are packed, in folders."""
    found = loop.runs(tmp_path_factory.mktemp("loop"))
    if not found:
        pytest.skip("nothing is packed yet")
    return found


class TestWhatIsPacked:
    def test_no_log_tells_its_cause_or_where_it_was_made(self, kept):
        for one in kept:
            files = [one.log, one.config, one.manifest, *(one.evidence.iterdir() if one.evidence else ())]
            text = "".join(path.read_text() for path in files)
            assert not re.search(r"(?<!\w)/(work|tmp|home|root)/", text), one.name
            assert one.name not in text

    def test_the_truth_is_that_of_the_cases(self, kept):
        for one in kept:
            assert one.truth["cause"] == CASES[one.name].case.cause
            assert (one.gain is None) == (one.role == "healthy" and ".without-" not in one.name), one.name

    def test_whatever_is_undecided_says_what_would_settle_it(self, kept):
        for one in kept[::12]:
            probed = [one.evidence] if one.evidence and any(one.evidence.iterdir()) else []
            (run, *_) = read_runs(one.log, config=one.config, data=one.manifest, evidence=probed)
            found = [f for f in diagnose(run).findings if f.verdict == "undecided"]

            assert [f.cause for f in found if not f.missing and not f.probes] == [], one.name

    def test_a_tenth_of_the_runs_is_judged_anew(self, tmp_path, kept):
        found = loop.measured(tmp_path, every=10, workers=0)
        mine = {one.judged.case.name for one in found}
        wrong = {one.judged.case.name for one in found if one.accused}

        assert len(mine) == -(-sum(one.role != "relief" for one in kept) // 10)
        assert len(wrong) <= max(1, 0.2 * len(mine)), wrong
        assert loop.summary(found)
        assert json.dumps(loop.section(found))
