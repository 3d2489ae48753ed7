"""A run that is ended, however, and goes on is to the bit the run that never was: losses, weights, order, everything.

Each guard was seen red once, with the line of ``resume.restore`` left out that brings back: the optimiser's moments,
the generators (dropout, nanoGPT's draws), the average, the batches, what was evaluated.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
import torch

from small_runs import SMALL, last_rows, write_text
from unplateau.train.checkpoints import found_at, read, steps
from unplateau.train.configure import resolve
from unplateau.train.loop import train
from unplateau.train.session import Session

pytestmark = pytest.mark.usefixtures("one_thread")
WORDS = (
    *SMALL,
    *("--max_steps=40", "--eval_interval=10", "--log_interval=1", "--eval_tokens=640"),
    *("--attention=sdpa", "--matmul=highest", "--warmup_steps=5"),
)
KINDS = {
    "adamw": ("--optimizer=adamw", "--architecture=gpt2", "--dropout=0.1", "--bias=True"),
    "muon": ("--optimizer=muon", "--gradient_accumulation_steps=2", "--ema=0.9"),
    "nanogpt": (
        "--preset=nanogpt",
        "--gradient_accumulation_steps=2",
        "--sampling=nanogpt",
        *("--eval_tokens=0", "--eval_iters=2"),
        "--dropout=0.2",
        "--max_steps=40",
    ),
    "wsd": ("--architecture=llama", "--schedule=wsd", "--dtype=bfloat16", "--label_smoothing=0.1"),
    "float16": ("--dtype=float16", "--schedule=cosine", "--gradient_accumulation_steps=2"),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_text(tmp_path_factory.mktemp("data"))


def words(data, out, *more):
    told = dict(word.split("=", 1) for word in (*WORDS, *more))
    return [*(f"{name}={value}" for name, value in told.items()), f"--dataset={data}", f"--out_dir={out}"]


def end(folder):
    """The last checkpoint: its tensors, and all else but the folder's name."""
    state = read(found_at(folder))
    plain = {**state.plain, "settings": {**state.plain["settings"], "out_dir": "", "init_from": ""}}
    return state.tensors, plain


def same_end(one, other):
    (tensors, plain), (expected, told) = end(one), end(other)
    assert plain == told
    assert tensors.keys() == expected.keys()
    for part, named in expected.items():
        assert tensors[part].keys() == named.keys()
        for name, tensor in named.items():
            assert torch.equal(tensors[part][name], tensor), (part, name)
    assert last_rows(one) == last_rows(other)


def stop_at(monkeypatch, step):
    """A SIGTERM while ``step`` is taken."""
    real = Session.take

    def take(self, **more):
        if self.step == step:
            signal.raise_signal(signal.SIGTERM)
        return real(self, **more)

    monkeypatch.setattr(Session, "take", take)


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_stops_and_goes_on_is_to_the_bit_the_one_that_did_not(kind, data, tmp_path, monkeypatch):
    train(resolve(None, words(data, tmp_path / "whole", *KINDS[kind])))

    for number, step in enumerate((3, 9, 24)):  # in the first steps, just before an evaluation, amid
        more = ("--init_from=resume",) if number else ()
        with monkeypatch.context() as patch:
            stop_at(patch, step)
            done = train(resolve(None, words(data, tmp_path / "out", *KINDS[kind], *more)))
        assert (done.step, done.stopped) == (step + 1, "SIGTERM")
    done = train(resolve(None, words(data, tmp_path / "out", *KINDS[kind], "--init_from=resume")))

    assert done.step == 40
    same_end(tmp_path / "out", tmp_path / "whole")
    lines = (tmp_path / "out/log.jsonl").read_text().splitlines()
    assert len(lines) == len(last_rows(tmp_path / "whole"))  # and no step was taken twice


def test_a_run_of_the_folder_alone_goes_on_with_its_own_settings(data, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stop_at(patch, 12)
        train(resolve(None, words(data, tmp_path / "out", *KINDS["muon"])))
    train(resolve(None, words(data, tmp_path / "whole", *KINDS["muon"])))

    done = train(resolve(tmp_path / "out"))

    assert done.step == 40
    same_end(tmp_path / "out", tmp_path / "whole")
    assert json.loads((tmp_path / "out/config.json").read_bytes())["init_from"] == "scratch"


def test_a_run_that_is_done_is_done_again_at_once(data, tmp_path):
    first = train(resolve(None, words(data, tmp_path / "out")))
    log = (tmp_path / "out/log.jsonl").read_bytes()

    again = train(resolve(tmp_path / "out"))

    assert (again.step, dict(again.losses)) == (first.step, dict(first.losses))
    assert (tmp_path / "out/log.jsonl").read_bytes() == log


@pytest.mark.parametrize("sampling", ["permutation", "nanogpt"])
def test_a_signal_in_an_evaluation_ends_it_and_it_is_made_when_the_run_goes_on(
    sampling, data, tmp_path, monkeypatch
):
    more = (
        f"--sampling={sampling}",
        "--eval_tokens=0",
        "--eval_iters=3",
        "--architecture=gpt2",
        "--dropout=0.1",
    )
    train(resolve(None, words(data, tmp_path / "whole", *more)))
    calls = iter(range(10_000))
    real = torch.nn.functional.cross_entropy

    def interrupted(*args, **others):
        if not torch.is_grad_enabled() and next(calls) == 13:
            signal.raise_signal(signal.SIGINT)
        return real(*args, **others)

    with monkeypatch.context() as patch:
        patch.setattr(torch.nn.functional, "cross_entropy", interrupted)
        done = train(resolve(None, words(data, tmp_path / "out", *more)))
    assert done.stopped == "SIGINT"
    assert done.step in {10, 20, 30}
    assert (done.step, True) not in last_rows(tmp_path / "out")
    train(resolve(tmp_path / "out"))

    same_end(tmp_path / "out", tmp_path / "whole")


def child(data, out, *more):
    args = [sys.executable, "-m", "unplateau", "train", *words(data, out, *more)]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(args, env=env, stdout=subprocess.DEVNULL)


def rows_so_far(out):
    return last_rows(out) if (out / "log.jsonl").exists() else {}


def test_ended_at_random_instants_it_goes_on_to_the_same_end_and_no_row_is_lost(data, tmp_path):
    """Sixty more kills: ``benchmarks/kills_train.py``."""
    more = (*KINDS["muon"], "--dropout=0.1", "--architecture=gpt2", "--max_steps=600", "--eval_interval=50")
    more = (*more, "--log_interval=5")
    train(resolve(None, words(data, tmp_path / "whole", *more)))
    rng, out = random.Random(5), tmp_path / "out"

    for number in (signal.SIGKILL, signal.SIGINT):
        before = rows_so_far(out)
        with child(data, out, *more, *(("--init_from=resume",) if before else ())) as process:
            while process.poll() is None and len(rows_so_far(out)) < len(before) + 12:
                time.sleep(0.02)
            time.sleep(rng.uniform(0, 0.2))
            acknowledged = last_rows(out)
            process.send_signal(number)
        assert process.returncode == (-9 if number == signal.SIGKILL else 4)
        assert acknowledged.items() <= last_rows(out).items()
        logged, saved = max(step for step, _ in last_rows(out)), max(steps(out / "checkpoints"), default=0)
        assert logged - saved <= (2 * 50 if number == signal.SIGKILL else 0)
    train(resolve(out))

    same_end(out, tmp_path / "whole")
