"""Runs side by side, at equal amounts of what they cost.

Mutations that went red here: the amount taken from the longest run; steps compared for tokens; the error of a rerun left out
of a tie; runs without step times compared at equal time; losses of other tokens compared in nats; a lowest
loss among runs on other text; one text by two paths taken for two.
"""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from unplateau.cli import main
from unplateau.comparison import Comparison, Equal, compare
from unplateau.errors import UnreadableError, UsageError
from unplateau.reading import read_runs
from unplateau.report.compare import comparison, text

SCHEMA = jsonschema.Draft202012Validator(
    json.loads(files("unplateau").joinpath("schemas", "comparison-1.json").read_text())
)
CONFIG = {"n_layer": 4, "n_embd": 64, "n_head": 4, "vocab_size": 512, "block_size": 64, "batch_size": 8}
CONFIG |= {"gradient_accumulation_steps": 1, "max_iters": 1000, "learning_rate": 1e-3, "decay_lr": False}


def made(
    folder: Path,
    *,
    lower: float = 0.0,
    ms: float | None = 10.0,
    steps: int = 1000,
    config: bool = True,
    **more: Any,
) -> Path:
    """A folder of nanoGPT's, lower by ``lower`` all along, with ``ms`` a step."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(len(folder.name))
    lines = []
    for step in range(0, steps + 1, 50):
        loss = 2.0 - lower + 4.0 * (step + 50.0) ** -0.25 + rng.normal(0, 0.002)
        lines.append(f"step {step}: train loss {loss:.4f}, val loss {loss:.4f}")
        if ms:
            lines += [f"iter {step + i}: loss {loss:.4f}, time {ms:.2f}ms, mfu 1.00%" for i in (1, 2, 3)]
    (folder / "train.log").write_text("\n".join(lines) + "\n")
    if config:
        told = {**CONFIG, **more}
        (folder / "config.py").write_text("".join(f"{key} = {value!r}\n" for key, value in told.items()))
    return folder


def beside(*folders: Path) -> Comparison:
    return compare([(folder.name, read_runs(folder)[0]) for folder in folders])


def at(found: Comparison, base: str) -> Equal:
    return next(one for one in found.equal if one.base == base)


def test_each_base_has_its_own_lowest(tmp_path: Path) -> None:
    small = made(tmp_path / "small", steps=4000)
    large = made(tmp_path / "large", lower=0.1, ms=80.0, n_embd=256)
    found = beside(small, large)

    assert [one.base for one in found.equal] == ["tokens", "time", "FLOPs"]
    assert at(found, "tokens").steps == (1000, 1000)
    assert at(found, "tokens").lowest == 1
    assert at(found, "time").steps == (4000, 500)
    assert at(found, "time").lowest == 0
    assert at(found, "FLOPs").lowest == 0
    assert found.unequal == {}


def test_a_step_of_twice_the_tokens_counts_twice(tmp_path: Path) -> None:
    found = beside(made(tmp_path / "one"), made(tmp_path / "two", batch_size=16))

    assert at(found, "tokens").amount == 1000 * 8 * 64
    assert at(found, "tokens").steps == (1000, 500)


def test_a_loss_between_two_evaluations_is_that_of_the_line_between_them(tmp_path: Path) -> None:
    found = beside(made(tmp_path / "one", steps=475 * 2), made(tmp_path / "two", batch_size=16))
    other = found.told[1]

    assert at(found, "tokens").steps == (950, 475)
    loss = other.loss(475).value
    assert other.loss(500).value < loss < other.loss(450).value


def test_runs_that_noise_cannot_tell_apart_are_told_so(tmp_path: Path) -> None:
    found = beside(made(tmp_path / "one"), made(tmp_path / "again"), made(tmp_path / "worse", lower=-0.2))

    assert at(found, "tokens").ties in ((0,), (1,))


def test_runs_without_step_times_or_config_are_told_so(tmp_path: Path) -> None:
    found = beside(made(tmp_path / "one"), made(tmp_path / "two", ms=None))
    bare = beside(made(tmp_path / "three"), made(tmp_path / "four", config=False, ms=None))

    assert found.unequal == {"time": "step times are not logged: two"}
    assert [one.base for one in bare.equal] == ["steps"]
    assert bare.unequal["tokens"] == "tokens per step are not known (the config has them): four"
    assert beside(made(tmp_path / "five", ms=None), made(tmp_path / "six", ms=None)).unequal == {
        "time": "step times are not logged, in any of them"
    }


def test_the_settings_that_differ_are_named_in_the_trainers_words(tmp_path: Path) -> None:
    found = beside(
        *(made(tmp_path / f"r{i}", learning_rate=rate) for i, rate in enumerate((1e-3, 1e-4, 1e-3)))
    )

    assert [(one.name, one.values) for one in found.differs] == [("learning_rate", (1e-3, 1e-4, 1e-3))]
    assert "learning_rate: 0.001 (1, 3), 0.0001 (2)" in text(found)


def test_losses_of_other_tokens_are_given_in_bits_per_byte_where_that_is_known(tmp_path: Path) -> None:
    one, other = made(tmp_path / "one"), made(tmp_path / "two", vocab_size=1024)
    blind = beside(one, other)
    for folder, width in ((one, 3.0), (other, 4.0)):
        (folder / "manifest.json").write_text(json.dumps({"bytes_per_token": width, "train_tokens": 10**6}))
    found = beside(one, other)

    assert blind.unit == "nats"
    assert any("do not compare" in warning for warning in blind.warnings)
    assert found.unit == "bits/byte"
    assert found.told[0].loss(1000).value == pytest.approx(2.71 / np.log(2) / 3, rel=0.01)


def test_of_runs_on_other_text_none_is_called_better(tmp_path: Path) -> None:
    found = beside(made(tmp_path / "one", dataset="a"), made(tmp_path / "two", dataset="b"))

    assert found.unlike.startswith("dataset differs: the losses may be of different text")
    assert all(equal.lowest is None and not equal.ties for equal in found.equal)
    told = " ".join(text(found).split())
    assert "no run is called better: dataset differs" in told
    assert "is lowest" not in told
    SCHEMA.validate(comparison(found))


def test_one_text_in_two_places_is_one_text(tmp_path: Path) -> None:
    found = beside(made(tmp_path / "one", dataset="data/a"), made(tmp_path / "two", dataset="/home/me/a"))

    assert not found.unlike
    assert found.equal[0].lowest is not None


def test_the_stages_of_one_job_are_no_rivals() -> None:
    stages = [
        (run.name, run) for run in read_runs(Path(__file__).parent / "logs" / "nanochat" / "sample.log")
    ]
    found = compare(stages)

    assert [name for name, _ in stages][:2] == ["base", "mid"]
    assert found.unlike.startswith("dataset differs")


def test_a_run_that_was_lost_is_told_and_compared_before(tmp_path: Path) -> None:
    lost = made(tmp_path / "lost")
    more = "".join(f"step {step}: train loss nan, val loss nan\n" for step in (1050, 1100, 1150))
    (lost / "train.log").write_text((lost / "train.log").read_text() + more)

    found = beside(made(tmp_path / "one"), lost)

    assert found.told[1].end == 1000
    assert any("lost is lost" in warning for warning in found.warnings)


def test_losses_in_other_units_are_one_line(tmp_path: Path) -> None:
    one, other = made(tmp_path / "one"), tmp_path / "two"
    other.mkdir()
    rows = "".join(f"{step},{5 - step / 1000}\n" for step in range(0, 1001, 100))
    (other / "log.csv").write_text("step,val_bpb\n" + rows)

    with pytest.raises(
        UnreadableError, match=r"no loss that all runs have, in one unit: train\.log has val_loss in nats"
    ):
        beside(one, other)


@pytest.mark.parametrize("number", [1, 21])
def test_two_to_twenty_runs_are_compared(number: int, tmp_path: Path) -> None:
    (run,) = read_runs(made(tmp_path / "one"))

    with pytest.raises(UsageError, match=f"compare wants 2 to 20 runs; found {number}"):
        compare([("one", run)] * number)


@pytest.mark.parametrize("width", [40, 60, 80])
def test_twenty_runs_fit_a_terminal(width: int, tmp_path: Path) -> None:
    (run,) = read_runs(made(tmp_path / "a-run-with-a-rather-long-name-in-a-folder-of-its-own"))
    said = text(compare([(f"{run.name} number {i} in a long path", run) for i in range(20)]), width=width)

    assert max(map(len, said.splitlines())) <= width
    assert "20  " in said


def test_the_verb_prints_the_json_of_its_schema(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(tmp_path / "one")
    made(tmp_path / "two", lower=0.1, ms=None)

    assert main(["compare", str(tmp_path), "--json"]) == 0

    told = json.loads(capsys.readouterr().out)
    SCHEMA.validate(told)
    assert [Path(run["name"]).name for run in told["runs"]] != []
    assert told["equal"][0]["lowest"] == 1
    SCHEMA.validate(comparison(beside(tmp_path / "one", tmp_path / "two")))


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [([], 2, "Missing argument"), (["one"], 2, "found 1"), (["one", "nowhere"], 3, "there is no nowhere")],
)
def test_a_wrong_call_is_one_line(
    words: list[str],
    code: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    made(tmp_path / "one")
    monkeypatch.chdir(tmp_path)

    assert main(["compare", *words]) == code
    assert said in (err := capsys.readouterr().err)
    assert err.count("\n") == 1
