"""Callbacks that put findings where the trainer logs to: Transformers' Trainer with the real trackers, offline, in a process of its
own; Lightning's are in test_integrations_lightning.py.

Each guard, the mutation that it is meant for in brackets (not all were run):
- test_the_trainers_trackers_show_what_is_found [no ``self.close()`` at the last row: trackio has no row of the end];
- test_a_tracker_that_fails_is_told_once_and_the_others_are_served [``raise`` in place of ``failed.append``].
"""

import json
import os
import subprocess
import sys

import pytest

import unplateau as up
from unplateau.integrations._places import Place, put_all
from unplateau.integrations._shown import Shown

HUGGINGFACE = """
import json, torch, transformers
from unplateau.integrations.huggingface import UnplateauCallback
text = [{"input_ids": ids, "labels": ids} for ids in torch.randint(50, (16, 8), generator=torch.Generator().manual_seed(0))]
args = transformers.TrainingArguments("out", report_to=["tensorboard", "wandb", "trackio"], use_cpu=True, disable_tqdm=True,
    max_steps=8, learning_rate=1e-2, logging_steps=2, eval_strategy="steps", eval_steps=4, save_strategy="no")
model = transformers.GPT2LMHeadModel(transformers.GPT2Config(n_layer=1, n_embd=16, n_head=2, vocab_size=50, n_positions=8,
    bos_token_id=0, eos_token_id=0, loss_type="ForCausalLMLoss"))
lines = []
callback = UnplateauCallback(write_back=True, wait=60, tell=lines.append)
transformers.Trainer(model=model, args=args, train_dataset=text, eval_dataset=text[:8], callbacks=[callback]).train()
import wandb
summary = {k: v for k, v in dict(wandb.run.summary).items() if k.startswith("unplateau/")}
wandb.finish()
from trackio.sqlite_storage import SQLiteStorage as S
rows = [row for p in S.get_projects() for r in S.get_runs(p) for row in S.get_logs(p, r)]
print(json.dumps({"lines": lines, "summary": summary, "trackio": rows}, default=str))
"""
OFFLINE = {
    "WANDB_MODE": "offline",
    "WANDB_SILENT": "true",
    "WANDB_ERROR_REPORTING": "false",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "GRADIO_ANALYTICS_ENABLED": "False",
    "OMP_NUM_THREADS": "1",
}


def said_by(script, place):
    """What ``script`` printed last, as a process whose trackers write below ``place`` and send nothing."""
    ours = ("HOME", "WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR", "TRACKIO_DIR")
    env = {**os.environ, **OFFLINE, **dict.fromkeys(ours, str(place))}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=place, env=env, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def need(*packages):
    for name in packages:
        pytest.importorskip(name, reason=f"{name} is not installed")


def test_the_trainers_trackers_show_what_is_found(tmp_path):
    need("torch", "transformers", "accelerate", "tensorboard", "wandb", "trackio")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    told = said_by(HUGGINGFACE, tmp_path)

    assert not [line for line in told["lines"] if "not written back" in line]
    (folder,) = (tmp_path / "out" / "runs").glob("*/unplateau/findings")  # beside the Trainer's own file
    board = EventAccumulator(str(folder))
    board.Reload()
    assert {e.step for e in board.Scalars("unplateau/probability/batch-too-small")} == {4, 8}
    assert [e.step for e in board.Tensors("unplateau/report/text_summary")][-1] == 8
    assert told["summary"]["unplateau/step"] == 8
    assert told["summary"]["unplateau/cause"]
    tables = [row for row in told["trackio"] if "unplateau/findings" in row]
    assert [row["train/global_step"] for row in tables][-1] == 8
    assert tables[-1]["unplateau/findings"]["_value"][0]["cause"]
    assert [row["step"] for row in told["trackio"]] == list(range(len(told["trackio"])))
    assert up.read(tmp_path / "out" / "unplateau").series["val_loss"].step.tolist() == [4, 8]


def test_a_tracker_that_fails_is_told_once_and_the_others_are_served():
    taken = []

    def broken(_told):
        raise RuntimeError("the server is gone\nfor good")

    shown = Shown(3, {}, {}, [], "")
    with pytest.raises(
        up.UsageError, match=r"^findings are not written back to W&B: the server is gone for good$"
    ):
        put_all([Place("W&B", broken), Place("TensorBoard", taken.append)], shown)
    assert taken == [shown]


def test_without_a_tracker_it_is_said_so(tmp_path):
    from unplateau.integrations._callback import Callback

    lines = []
    callback = Callback(tmp_path, write_back=True, diagnose=False, tell=lines.append)
    callback.open(tmp_path, lambda: {"n_layer": 2}, first=True, places=list)
    callback.close(wait=0.0)

    assert lines[0].startswith("write_back: the Trainer logs to none of TensorBoard, W&B and trackio")


def test_the_folder_of_the_trainers_event_file_is_found(tmp_path, monkeypatch):
    from types import SimpleNamespace

    from unplateau.integrations.huggingface import board_of

    monkeypatch.delenv("TENSORBOARD_LOGGING_DIR", raising=False)
    args = SimpleNamespace(output_dir=str(tmp_path))
    nothing = board_of(args)
    for i, name in enumerate(("old", "new", "new/unplateau/findings")):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "events.out.tfevents.1").touch()
        os.utime(tmp_path / "runs" / name / "events.out.tfevents.1", (i, i))

    assert (nothing, board_of(args)) == (tmp_path / "runs", tmp_path / "runs" / "new")
    assert board_of(SimpleNamespace(output_dir="", logging_dir=str(tmp_path / "told"))) == tmp_path / "told"
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "env"))
    assert board_of(args) == tmp_path / "env"
