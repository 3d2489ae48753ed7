"""Predicted against achieved, and the record that is kept of it.

Mutations that went red here: the gain's sign turned; the error of the measurement left out of a hit; noise of a rerun left
out; windows of other plans paired; a stored forecast of other settings taken; AFTER compared before the stored step; a
forecast stored after AFTER counted as foretold; what a checkpoint shows taken for a setting; AFTER held against the first
evaluation of all; what differs beside a named cause not said; ``COARSE`` at a million; the torn last line of a record joined
to the next; misses not counted.
"""

from __future__ import annotations

import json
import os
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from unplateau import record
from unplateau.cli import main
from unplateau.errors import UnplateauError, UnreadableError, UsageError
from unplateau.estimate import Estimate
from unplateau.measured import PAIRED
from unplateau.predicted import chosen
from unplateau.reading import read_runs
from unplateau.report.verify import headline
from unplateau.run import Fact
from unplateau.stored import store
from unplateau.verify import Verification, agree, verify

SCHEMA = jsonschema.Draft202012Validator(
    json.loads(files("unplateau").joinpath("schemas", "verification-1.json").read_text())
)
CONFIG = {"n_layer": 4, "n_embd": 64, "n_head": 4, "vocab_size": 512, "block_size": 64, "batch_size": 8}
CONFIG |= {"gradient_accumulation_steps": 1, "max_iters": 1000, "learning_rate": 1e-3, "min_lr": 1e-4}
CONFIG |= {"decay_lr": True, "lr_decay_iters": 1000, "warmup_iters": 50, "eval_iters": 20, "dropout": 0.0}
CONFIG |= {"beta2": 0.99}


def foreign(
    folder: Path, gain: float = 0.0, *, steps: int = 1000, seed: int = 0, noise: float = 0.004, **config: Any
) -> Path:
    """A folder of nanoGPT's: a power law, lower by ``gain`` at its end."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    at = np.arange(0, steps + 1, 50)
    loss = 2.0 + 4.0 * (at + 50.0) ** -0.25 - gain * at / 1000
    rows = zip(at, loss + rng.normal(0, noise, len(at)), loss + rng.normal(0, noise, len(at)), strict=True)
    lines = [f"step {s}: train loss {t:.4f}, val loss {v:.4f}" for s, t, v in rows]
    (folder / "train.log").write_text("\n".join(lines) + "\n")
    told = {**CONFIG, **config}
    (folder / "config.py").write_text("".join(f"{key} = {value!r}\n" for key, value in told.items()))
    return folder


def ours(folder: Path, gain: float = 0.0, *, noise: float = 0.3, seed: int = 0, plan: str = "one") -> Path:
    """A folder of our own trainer's, with the losses of the windows that it evaluated."""
    (folder / "evaluations").mkdir(parents=True)
    hard = np.random.default_rng(1).normal(3.0, noise, 200)
    own = np.random.default_rng(seed).normal(0, 0.001, 200)
    for step in range(0, 1001, 100):
        losses = hard + 4.0 * (step + 50.0) ** -0.25 - gain * step / 1000 + own
        np.savez(folder / "evaluations" / f"{step:08d}.npz", val=losses)
        row = {"step": step, "val_loss": float(losses.mean()), "val_loss_error": noise / 200**0.5}
        with (folder / "log.jsonl").open("a") as log:
            log.write(json.dumps(row) + "\n")
    (folder / "evaluations" / "plan.json").write_text(json.dumps({"parts": [{"data": plan}]}))
    return folder


def held(before: Path, after: Path, stored: Any = (), cause: str | None = None) -> Verification:
    return verify(read_runs(before)[0], read_runs(after)[0], (before, after), stored, cause)


def forecast(name: str, gain: float, half: float, *, step: int = 1000, **patch: Any) -> dict[str, Any]:
    est = {"value": gain, "low": gain - half, "high": gain + half, "unit": "nats"}
    future = {
        "name": name,
        "patch": {k: list(v) for k, v in patch.items()},
        "step": step,
        "gain": est,
        "loss": None,
    }
    return {"date": "2026-01-01T00:00:00+00:00", "last_step": 1000, "futures": [future]}


WIDER = {"n_embd": (64, 128)}


class TestAchieved:
    def test_is_what_after_lies_below_before(self, tmp_path: Path) -> None:
        found = held(foreign(tmp_path / "a"), foreign(tmp_path / "b", 0.1, seed=1, n_embd=128))

        assert not found.achieved.excludes(0.1)
        assert found.achieved.value == pytest.approx(0.1, abs=0.02)
        assert found.significant

    def test_two_runs_that_differ_in_nothing_are_no_significant_difference(self, tmp_path: Path) -> None:
        found = [
            held(foreign(tmp_path / f"a{i}", seed=2 * i), foreign(tmp_path / f"b{i}", seed=2 * i + 1))
            for i in range(8)
        ]

        assert sum(one.significant for one in found) <= 2  # 8 at 10 %: 3 or more by chance 1 in 26

    def test_the_same_windows_are_compared_one_by_one(self, tmp_path: Path) -> None:
        found = held(ours(tmp_path / "a"), ours(tmp_path / "b", 0.02, seed=1))

        assert found.how == PAIRED
        assert found.achieved.value == pytest.approx(0.02, abs=0.002)
        assert found.significant

    def test_windows_of_another_plan_are_not_paired(self, tmp_path: Path) -> None:
        found = held(ours(tmp_path / "a"), ours(tmp_path / "b", 0.02, seed=1, plan="two"))

        assert found.how != PAIRED
        assert not found.significant

    def test_what_a_rerun_differs_by_is_no_finding(self, tmp_path: Path) -> None:
        found = held(ours(tmp_path / "a"), ours(tmp_path / "b", 0.002, seed=1))

        assert found.how == PAIRED
        assert not found.significant

    def test_is_taken_at_equal_tokens(self, tmp_path: Path) -> None:
        double = foreign(tmp_path / "b", steps=500, batch_size=16, max_iters=500, lr_decay_iters=500)
        found = held(foreign(tmp_path / "a"), double)

        assert (found.before.step, found.after.step) == (1000, 500)
        assert "equal tokens" in found.at

    def test_of_a_shorter_run_is_taken_at_its_end_and_said(self, tmp_path: Path) -> None:
        found = held(foreign(tmp_path / "a"), foreign(tmp_path / "b", steps=600, seed=1))

        assert (found.before.step, found.after.step) == (600, 600)
        assert any("AFTER is shorter" in warning for warning in found.warnings)

    def test_of_a_branch_with_three_evaluations_is_by_its_val_loss(self, tmp_path: Path) -> None:
        before, after = foreign(tmp_path / "a"), foreign(tmp_path / "b", 0.1, seed=1, n_embd=128)
        last = [
            row for row in (after / "train.log").read_text().splitlines() if int(row.split()[1][:-1]) >= 900
        ]
        batches = [f"iter {step}: loss 5.0000, time 10.00ms" for step in range(900, 1001)]
        (after / "train.log").write_text("\n".join([*last, *batches]) + "\n")
        found = held(before, after)

        assert (found.after.series, found.after.how) == ("val_loss", "their scatter")
        assert found.achieved.value == pytest.approx(0.1, abs=0.03)


class TestPrediction:
    def test_that_was_stored_for_these_settings_is_held_to_account(self, tmp_path: Path) -> None:
        before, after = foreign(tmp_path / "a"), foreign(tmp_path / "b", 0.1, seed=1, n_embd=128)
        found = held(before, after, [forecast("without capacity", 0.1, 0.02, **WIDER)])

        assert (found.cause, found.hit, found.foretold) == ("capacity", True, True)
        assert found.predicted is not None
        assert found.predicted.as_dict() == pytest.approx(
            {"value": 0.1, "low": 0.08, "high": 0.12, "unit": "nats"}
        )
        assert "as predicted" in found.at
        assert found.warnings == ()

    def test_that_did_not_come_is_a_miss(self, tmp_path: Path) -> None:
        before, after = foreign(tmp_path / "a"), foreign(tmp_path / "b", 0.0, seed=1, n_embd=128)

        assert held(before, after, [forecast("without capacity", 0.1, 0.02, **WIDER)]).hit is False

    def test_of_other_settings_is_not_taken(self, tmp_path: Path) -> None:
        before, after = foreign(tmp_path / "a"), foreign(tmp_path / "b", 0.1, seed=1, n_embd=128)
        found = held(before, after, [forecast("without no-warmup", 0.1, 0.02, warmup_iters=(50, 200))])

        assert not found.prediction.date
        assert not found.foretold
        assert any("no forecast is of a run with AFTER's settings" in warning for warning in found.warnings)

    def test_of_a_change_that_no_setting_says_is_not_taken(self, tmp_path: Path) -> None:
        before, after = foreign(tmp_path / "a"), foreign(tmp_path / "b", seed=1, n_embd=128)

        assert not held(before, after, [forecast("cool down now", 0.1, 0.02, cooldown=(None, 100))]).foretold

    def test_of_a_named_cause_whose_patch_was_not_made_is_refused(self, tmp_path: Path) -> None:
        before, after = foreign(tmp_path / "a"), foreign(tmp_path / "b", n_embd=96)

        with pytest.raises(
            UsageError, match=r"AFTER is not the run of 'without capacity': n_embd is 96, not 128"
        ):
            held(before, after, [forecast("without capacity", 0.1, 0.02, **WIDER)], "capacity")

    def test_a_cause_that_nothing_of_what_differs_mends_gets_no_credit(self, tmp_path: Path) -> None:
        before, after = foreign(tmp_path / "a", dropout=0.2), foreign(tmp_path / "b", 0.1, dropout=0.0)
        wider = foreign(tmp_path / "c", 0.1, dropout=0.2, n_embd=128)

        assert held(before, after, (), "over-regularised").warnings == ()
        with pytest.raises(
            UsageError, match=r"what differs, n_embd, does not mend over-regularised: .*dropout"
        ):
            held(before, wider, (), "over-regularised")
        found = held(before, after, (), "val-mismatch")
        assert any("what differs, dropout, mends val-mismatch: you say so" in w for w in found.warnings)

    @pytest.mark.parametrize(
        ("noise", "told"), [(0.4, "too coarsely measured to be a hit or a miss"), (0.004, "a hit")]
    )
    def test_that_cannot_be_told_from_noise_is_neither_hit_nor_miss(
        self, tmp_path: Path, noise: float, told: str
    ) -> None:
        before = foreign(tmp_path / "a", noise=noise)
        after = foreign(tmp_path / "b", 0.1, seed=1, noise=noise, n_embd=128)
        found = held(before, after, [forecast("without capacity", 0.1, 0.02, **WIDER)], "capacity")

        assert told in headline(found)
        assert any("too coarsely" in warning for warning in found.warnings) == (noise > 0.1)

    def test_of_a_step_that_is_still_to_come_has_no_verdict_yet(self, tmp_path: Path) -> None:
        before, after = foreign(tmp_path / "a"), foreign(tmp_path / "b", steps=500, n_embd=128)

        with pytest.raises(UnreadableError, match="no verdict before that; let it go on"):
            held(before, after, [forecast("without capacity", 0.1, 0.02, **WIDER)])

    def test_is_taken_where_it_was_made_for_in_a_longer_run(self, tmp_path: Path) -> None:
        before, after = foreign(tmp_path / "a"), foreign(tmp_path / "b", seed=1, n_embd=128)

        assert (
            held(before, after, [forecast("without capacity", 0.1, 0.02, step=800, **WIDER)]).after.step
            == 800
        )

    def test_that_was_stored_after_the_run_is_none(self, tmp_path: Path) -> None:
        before, after = foreign(tmp_path / "a"), foreign(tmp_path / "b", 0.1, seed=1, n_embd=128)
        for path in after.iterdir():
            os.utime(path, (1.7e9, 1.7e9))  # 2023
        found = held(before, after, [forecast("without capacity", 0.1, 0.02, **WIDER)])

        assert not found.foretold
        assert any("after AFTER was last written" in warning for warning in found.warnings)
        assert "as the laws said when it was known already" in headline(found)
        assert "hit" not in headline(found)

    def test_that_was_not_stored_is_made_afterwards_from_what_changed(self, tmp_path: Path) -> None:
        found = held(foreign(tmp_path / "a"), foreign(tmp_path / "b", 0.1, seed=1, n_embd=128))

        assert found.predicted is not None
        assert not found.foretold
        assert found.prediction.date == ""

    def test_that_no_law_makes_is_none_and_no_miss(self, tmp_path: Path) -> None:
        found = held(foreign(tmp_path / "a"), foreign(tmp_path / "b", 0.1, seed=1, dropout=0.1))

        assert (found.predicted, found.hit) == (None, None)
        assert found.prediction.why == "no law prices dropout"

    def test_the_last_stored_for_a_cause_alone_holds(self, tmp_path: Path) -> None:
        (after,) = read_runs(foreign(tmp_path / "b", n_embd=128))
        told = [forecast("without capacity", g, 0.01, **WIDER) for g in (0.1, 0.2)]
        told.append(forecast("without capacity, no-warmup", 0.3, 0.01, **WIDER))
        found = chosen([*told, {"futures": "damaged"}], after, (), "capacity")

        assert found is not None
        assert found.gain is not None
        assert found.gain.value == 0.2

    def test_the_error_of_the_measurement_counts_for_a_hit(self) -> None:
        predicted = Estimate(0.10, 0.09, 0.11, "nats")

        assert agree(predicted, Estimate(0.14, 0.09, 0.19, "nats"))
        assert agree(predicted, Estimate(0.06, 0.01, 0.11, "nats"))
        assert not agree(predicted, Estimate(0.14, 0.13, 0.15, "nats"))


class TestWhatCannotBeCompared:
    def test_runs_that_are_nowhere_evaluated_at_the_same_tokens(self, tmp_path: Path) -> None:
        short = foreign(
            tmp_path / "b", batch_size=1, steps=300
        )  # ends at 37 steps of BEFORE, evaluated every 50

        with pytest.raises(UnreadableError, match="nowhere evaluated at the same tokens"):
            held(foreign(tmp_path / "a"), short)

    def test_other_tokens(self, tmp_path: Path) -> None:
        with pytest.raises(UnreadableError, match="vocab_size is 512 in BEFORE and 1024 in AFTER"):
            held(foreign(tmp_path / "a"), foreign(tmp_path / "b", vocab_size=1024))

    def test_a_run_with_itself(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="are the same"):
            held(foreign(tmp_path / "a"), tmp_path / "a")

    def test_a_run_that_was_lost(self, tmp_path: Path) -> None:
        after = foreign(tmp_path / "b")
        lost = "".join(f"step {step}: train loss nan, val loss nan\n" for step in (1050, 1100))
        (after / "train.log").write_text((after / "train.log").read_text() + lost)

        with pytest.raises(UnreadableError, match=r"AFTER is lost: .* from step 1,050"):
            held(foreign(tmp_path / "a"), after)

    def test_other_data_is_a_warning(self, tmp_path: Path) -> None:
        before, after = foreign(tmp_path / "a"), foreign(tmp_path / "b", n_embd=128)
        for folder, tokens in ((before, 1000), (after, 2000)):
            (folder / "manifest.json").write_text(json.dumps({"val_tokens": tokens, "train_tokens": 10**6}))

        assert any("the data is not the same: val_tokens" in w for w in held(before, after).warnings)

    def test_more_than_was_predicted_is_a_warning(self, tmp_path: Path) -> None:
        before, after = foreign(tmp_path / "a"), foreign(tmp_path / "b", 0.1, n_embd=128, dropout=0.1)
        found = held(before, after, [forecast("without capacity", 0.1, 0.02, **WIDER)])

        assert found.warnings == ("AFTER differs from BEFORE in more than was predicted: dropout 0.0 to 0.1",)

    def test_more_than_mends_the_named_cause_is_a_warning(self, tmp_path: Path) -> None:
        before, after = foreign(tmp_path / "a", dropout=0.2), foreign(tmp_path / "b", 0.1, beta2=0.9)
        found = held(before, after, (), "over-regularised")

        assert any("more than what mends over-regularised: beta2" in one for one in found.warnings)

    def test_a_checkpoint_that_went_further_is_no_change_of_settings(self, tmp_path: Path) -> None:
        before, after = foreign(tmp_path / "a"), foreign(tmp_path / "b", 0.1, n_embd=128)
        (one,), (other,) = read_runs(before), read_runs(after)
        one = one.with_facts(weights_step=Fact(950), optimizer_steps=Fact(950))
        other = other.with_facts(weights_step=Fact(1000), optimizer_steps=Fact(1000), weights_moved=Fact(9))
        foretold = [forecast("without capacity", 0.1, 0.02, **WIDER)]

        assert verify(one, other, (before, after), foretold).warnings == ()
        assert verify(one, other, (before, after)).predicted is not None


class TestTheVerb:
    def test_prints_the_json_of_the_contract_and_keeps_the_verdict_beside_a_foreign_run(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        before, after = foreign(tmp_path / "a"), foreign(tmp_path / "b", 0.1, seed=1, n_embd=128)
        (tmp_path / "a-probes").mkdir()
        store(tmp_path / "a-probes" / "forecast.json", [forecast("without capacity", 0.1, 0.05, **WIDER)])
        files_before = {path: path.read_bytes() for path in after.iterdir()}
        for path in after.iterdir():
            os.utime(path, (4e9, 4e9))

        assert main(["verify", str(before), str(after), "--json"]) == 0

        said = capsys.readouterr()
        told = json.loads(said.out)
        SCHEMA.validate(told)
        assert (told["cause"], told["hit"], told["foretold"]) == ("capacity", True, True)
        assert {path: path.read_bytes() for path in after.iterdir()} == files_before
        (entry,) = record.below([tmp_path], [])
        assert (entry.cause, entry.hit, entry.achieved.value) == ("capacity", True, told["achieved"]["value"])
        assert str(tmp_path / "b-probes" / "verdicts.jsonl") in said.err

    def test_keeps_the_verdict_in_a_folder_of_ours(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        before, after = ours(tmp_path / "a"), ours(tmp_path / "b", 0.02, seed=1)

        assert main(["verify", str(before), str(after)]) == 0
        assert (after / "verdicts.jsonl").is_file()
        assert max(map(len, capsys.readouterr().out.splitlines())) <= 80

    @pytest.mark.parametrize(
        ("words", "code", "said"),
        [
            (["a", "nowhere"], 3, "there is no nowhere"),
            (["a", "-"], 2, "AFTER wants a log or a run's folder"),
            (["a", "b", "--cause", "capacty"], 2, "did you mean capacity?"),
            (["a"], 2, "Missing argument 'AFTER'"),
            ([".", "b"], 2, "BEFORE holds 2 runs"),
        ],
    )
    def test_a_wrong_call_is_one_line(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        words: list[str],
        code: int,
        said: str,
    ) -> None:
        foreign(tmp_path / "a")
        foreign(tmp_path / "b", 0.5)
        monkeypatch.chdir(tmp_path)

        assert main(["verify", *words]) == code
        assert said in (err := capsys.readouterr().err)
        assert err.count("\n") == 1


EST = Estimate(0.1, 0.05, 0.15, "nats")


def entry(after: str, *, hit: bool | None = True, foretold: bool = True, **more: Any) -> record.Entry:
    told = {
        "before": "a",
        "cause": "capacity",
        "achieved": EST,
        "predicted": EST,
        "significant": True,
        **more,
    }
    return record.Entry(after=after, hit=hit, foretold=foretold, **told)


class TestTheRecord:
    def test_a_torn_last_line_survives_and_the_next_verdict_stands_alone(self, tmp_path: Path) -> None:
        record.append(tmp_path, entry("b"))
        place = record.append(tmp_path, entry("c"))
        place.write_bytes(place.read_bytes()[:-30])
        record.append(tmp_path, entry("d"))
        warnings: list[str] = []

        assert [one.after for one in record.read(place, warnings)] == ["b", "d"]
        assert warnings == [f"{place}: 1 lines are no verdict, left out"]

    def test_counts_hits_shows_misses_and_leaves_out_what_was_not_foretold_or_is_doubtful(
        self, tmp_path: Path
    ) -> None:
        for one in (
            *(entry(name) for name in "bcd"),
            *(entry("e", hit=False), entry("f", foretold=False), entry("g", hit=None)),
            *(entry("h", warnings=("other data",)), entry("i", cause="no-warmup")),
        ):
            record.append(tmp_path / "run", one)
        told = record.tally(record.below([tmp_path], []), "capacity")

        assert (told.hits, told.of, told.doubtful) == (3, 4, 1)
        assert [miss.after for miss in told.misses] == ["e"]

    def test_of_one_pair_of_runs_the_last_verdict_holds(self, tmp_path: Path) -> None:
        record.append(tmp_path, entry("b", hit=False))
        record.append(tmp_path, entry("b"))
        (first, *_), warnings = record.below([tmp_path], []), []

        assert record.tally([first], "capacity").hits == 1
        assert not warnings

    @pytest.mark.parametrize(
        "line", ["{}", "null", "[" * 10_000, '{"schema": "unplateau.verdict/2"}', "\xff"]
    )
    def test_what_is_no_verdict_is_left_out(self, tmp_path: Path, line: str) -> None:
        (tmp_path / "verdicts.jsonl").write_text(line + "\n", encoding="latin-1")
        warnings: list[str] = []

        assert record.below([tmp_path], warnings) == []
        assert len(warnings) == 1

    def test_a_place_that_cannot_be_made_is_one_line(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")

        with pytest.raises(UnplateauError, match="can't make"):
            record.append(tmp_path / "file", entry("b"))

    def test_is_shown_by_causes_with_its_misses(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for one in (*(entry(name) for name in "bcd"), entry("runs/e", hit=False)):
            record.append(tmp_path / "runs" / "out", one)
        monkeypatch.chdir(tmp_path / "runs")

        assert main(["causes"]) == 0
        listed = capsys.readouterr().out
        assert main(["causes", "capacity", "--record", "."]) == 0
        page = capsys.readouterr().out
        assert main(["causes", "capacity", "--json"]) == 0
        told = json.loads(capsys.readouterr().out)["causes"][0]["record"]

        assert "Our record here: mended, the loss came within the predicted interval 3 of 4" in listed
        for text in (listed, page):
            assert "predicted within its interval 3 of 4 times" in text
            assert "missed: runs/e: predicted 0.10 nats" in text
        assert (told["hits"], told["of"], told["misses"][0]["after"]) == (3, 4, "runs/e")

    def test_of_a_folder_without_verdicts_is_said(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["causes", "capacity", "--record", str(tmp_path)]) == 0
        assert "no verdicts in" in capsys.readouterr().err
        assert main(["causes", "capacity", "--record", str(tmp_path / "nowhere")]) == 3
