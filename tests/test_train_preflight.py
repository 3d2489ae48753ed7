"""What a run will be, and what of it will plateau, before its first step and without torch.

Seen red once each: a cause that is none; another threshold than the cause's; a run of 700 GiB that is begun.
"""

import inspect
import json
import re
import subprocess
import sys

import numpy as np
import pytest

from unplateau.errors import UsageError
from unplateau.plugins import discover
from unplateau.report.train import plan_text
from unplateau.train import preflight as preflight_module
from unplateau.train import room
from unplateau.train.configure import resolve
from unplateau.train.data import open_data
from unplateau.train.pace import Pace
from unplateau.train.preflight import preflight
from unplateau.train.room import MACHINE, Room, machine
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
        ((), "2.5 passes"),
        (("--max_steps=400",), "repetition: 40.0k tokens of 4,000 unique ones, 10 passes; up to 4 cost"),
        (
            ("--schedule=cosine", "--decay_end=200"),
            "lr-not-annealed: at the last step the learning rate is 55% of its peak (schedule cosine, made for 200",
        ),
        (("--schedule=constant",), "lr-not-annealed: at the last step the learning rate is 100% of its peak"),
        (
            ("--decay_end=50",),
            "lr-exhausted: the learning rate is below 2% of its peak from step 50 on, 50% of",
        ),
        (("--warmup_steps=100", "--decay_end=300"), "the warm-up has 100 steps, the run 100"),
        (("--peak_lr=1e-3", "--floor_lr=2e-3"), "floor_lr 0.002 is above peak_lr 0.001"),
        (("--dropout=0.2", "--max_steps=20"), "over-regularised: dropout is 0.2, and nothing is seen twice"),
        (
            ("--n_embd=64", "--max_steps=20"),
            "tokens per parameter; 20 are compute-optimal: a smaller model, or",
        ),
        (("--n_embd=1024", "--max_steps=200"), "still-learning: 0.00031 tokens per parameter"),
        (("--n_embd=1024", "--max_steps=200"), "20 are compute-optimal: a smaller model gets further"),
        ((), "val has 400 tokens: another draw of its documents would move its loss by about 0.150 nats"),
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


def test_what_is_warned_of_is_a_cause_by_its_name_and_its_thresholds():
    from unplateau.hypotheses import _schedule, capacity, lr_exhausted, lr_not_annealed, repetition

    source = inspect.getsource(preflight_module)
    named = set(re.findall(r'yield f"([a-z]+-?[a-z-]+): ', source))

    assert named == {"repetition", "over-regularised", "still-learning", "lr-not-annealed", "lr-exhausted"}
    assert named <= discover("hypotheses").keys()
    assert preflight_module.MANY_PASSES == repetition.MANY
    assert preflight_module.STILL_HIGH == lr_not_annealed.HIGH
    assert (preflight_module.SPENT, preflight_module.WASTED) == (_schedule.SPENT, lr_exhausted.WASTED)
    assert preflight_module.OPTIMAL == capacity.OPTIMAL


def test_val_is_as_noisy_as_whoever_prepared_it_says(tmp_path):
    found = plan(corpus(tmp_path, val_error=0.047, vocab_size=50))

    assert any("would move its loss by about 0.047 nats" in warning for warning in found.warnings)


class TestMemory:
    def test_a_run_that_surely_does_not_fit_is_refused_with_one_that_does(self, tmp_path, monkeypatch):
        monkeypatch.setattr(preflight_module, "room_of", lambda _: Room(23 << 30, MACHINE))
        words = ("--block_size=256", "--n_embd=768", "--n_layer=12", "--batch_size=1024")

        with pytest.raises(UsageError) as caught:
            plan(corpus(tmp_path), *words)

        said = str(caught.value)
        assert re.match(r"the run needs about \d{3} GiB of memory; there are 23 GiB \(memory and swap", said)
        assert said.endswith("take --batch_size=32 with --gradient_accumulation_steps=32")
        assert "\n" not in said
        plan(tmp_path, *words, "--batch_size=32", "--gradient_accumulation_steps=32")

    def test_where_the_weights_alone_do_not_fit_the_model_is_to_be_smaller(self, tmp_path, monkeypatch):
        monkeypatch.setattr(preflight_module, "room_of", lambda _: Room(1 << 30, MACHINE))

        with pytest.raises(UsageError, match=r"lower n_layer, n_embd, vocab_size or block_size$"):
            plan(corpus(tmp_path), "--n_embd=2048")

    def test_what_may_fit_is_warned_of_and_what_does_is_not(self, tmp_path, monkeypatch):
        need = plan(corpus(tmp_path)).memory
        for size, warned in ((1.0 * need, True), (2.0 * need, False)):
            monkeypatch.setattr(preflight_module, "room_of", lambda _, size=size: Room(int(size), MACHINE))
            assert any("of memory are needed" in w for w in plan(tmp_path).warnings) == warned

    def test_a_machine_says_what_it_has_and_a_container_what_it_may_take(self, tmp_path, monkeypatch):
        (tmp_path / "meminfo").write_text("MemTotal:  1024 kB\nSwapTotal:  512 kB\nHugePages_Total: 0\n")
        monkeypatch.setattr(room, "MEMINFO", tmp_path / "meminfo")
        monkeypatch.setattr(room, "GROUP", tmp_path)
        assert machine().size == 1536 << 10
        (tmp_path / "memory.max").write_text("max\n")
        (tmp_path / "memory.swap.max").write_text("0\n")
        assert machine().size == 1536 << 10
        (tmp_path / "memory.max").write_text("4096\n")
        assert machine().size == 4096


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
