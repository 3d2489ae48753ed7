"""What a run will be, and what of it will plateau, before its first step and without torch."""

import json
import subprocess
import sys

import numpy as np
import pytest

from unplateau.report.train import plan_text
from unplateau.train.configure import resolve
from unplateau.train.data import open_data
from unplateau.train.pace import Pace
from unplateau.train.preflight import preflight
from unplateau.train.settle import settled

BASE = ("--block_size=10", "--batch_size=10", "--n_layer=1", "--n_embd=16", "--n_head=2", "--max_steps=100")


def corpus(folder, train=4_000, val=400, **manifest):
    folder.mkdir(exist_ok=True)
    for split, tokens in (("train", train), ("val", val)):
        (np.arange(tokens) % 50).astype(np.uint16).tofile(folder / f"{split}.bin") if tokens else None
    if manifest:
        (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def plan(folder, *words):
    resolved = resolve(None, [*BASE, f"--dataset={folder}", "--device=cpu", *words])
    data = open_data(resolved.settings)
    return preflight(settled(resolved, data[0][0]).settings, data)


def test_tokens_passes_and_parameters_are_counted(tmp_path):
    found = plan(corpus(tmp_path, unique_tokens=2_000, vocab_size=50))

    assert (found.tokens, found.unique, found.unique_from) == (10_000, 2_000, "manifest.json")
    assert found.passes == 5.0
    assert found.shape.params == 50 * 16 + 12 * 16 * 16
    assert found.as_dict()["passes"] == 5.0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "2.50 passes"),
        (("--max_steps=400",), "10.0 passes over 4,000 unique tokens"),
        (("--schedule=cosine", "--decay_end=200"), "the schedule ends after the run, at step 200 of 100"),
        (("--schedule=constant",), "ends at 100% of its peak"),
        (("--decay_end=50",), "the last 50 steps go on at 0"),
        (("--warmup_steps=100", "--decay_end=300"), "the warmup of 100 steps is not over"),
        (("--peak_lr=1e-3", "--floor_lr=2e-3"), "floor_lr 0.002 is above peak_lr 0.001"),
        (("--dropout=0.2", "--max_steps=20"), "dropout 0.2 costs loss"),
        (("--n_embd=64", "--max_steps=20"), "tokens a parameter: a smaller model"),
        ((), "val has 400 tokens"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, tuple) else "",
)
def test_what_will_plateau_is_said_where_it_will(words, said, tmp_path):
    found = plan(corpus(tmp_path), *words)

    assert said in " ".join(plan_text(found, 1000).split())


def test_a_sound_run_is_not_warned_of(tmp_path):
    found = plan(
        corpus(tmp_path, train=400_000, val=200_000), "--batch_size=100", "--max_steps=400", "--vocab_size=50"
    )

    assert found.warnings == ()
    assert "will hold" not in plan_text(found)


def test_a_missing_val_split_is_said(tmp_path):
    assert any("no val split" in w for w in plan(corpus(tmp_path, val=0)).warnings)


def test_what_is_settled_says_where_it_came_from(tmp_path):
    resolved = resolve(None, [*BASE, f"--dataset={corpus(tmp_path)}", "--schedule=wsd", "--optimizer=adamw"])
    found = settled(resolved, open_data(resolved.settings)[0][0])

    assert (found.settings.decay_start, found.settings.decay_end) == (80, 100)
    assert found.settings.peak_lr == 0.032
    assert found.origin["peak_lr"] == "adamw's own at width 16"
    assert found.settings.vocab_size == 50304
    assert found.origin["vocab_size"].startswith("assumed: nanoGPT's")


def test_evaluations_to_come_are_counted_at_each_multiple_and_at_the_end():
    assert [Pace(100, 30).evaluations(done) for done in (0, 29, 30, 90, 99, 100)] == [4, 4, 3, 1, 1, 0]
    assert [Pace(100, 50).evaluations(done) for done in (0, 50, 99)] == [2, 1, 1]
    assert Pace(100, 0).evaluations(10) == 1


def test_nothing_before_the_first_step_needs_torch():
    code = (
        "import sys, unplateau.train.preflight, unplateau.train.configure, unplateau.report.train as found\n"
        "assert found.__file__ and 'unplateau.train.preflight' in sys.modules\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"
