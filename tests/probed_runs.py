"""A run folder of our own trainer that no trainer wrote, and a trainer that trains nothing: for the tests of the job ``probe``."""

import json
import sys
from pathlib import Path

import numpy as np

#: what the stand-in does: writes an ordinary run folder whose val loss is ``LOSS`` less ``WON`` where the rate goes to 0;
#: FAKE_SECONDS: how long it takes; FAKE_FAILS: the line it dies with; FAKE_DATA: the fingerprint of its data
TRAINER = """
import json, os, signal, sys, time
from pathlib import Path
import numpy as np
words = dict(w[2:].partition("=")[::2] for w in sys.argv[1:] if w.startswith("--"))
out = Path(words["out_dir"])
(out / "evaluations").mkdir(parents=True, exist_ok=True)
with (out / "calls").open("a") as calls:
    calls.write(words["init_from"].rpartition("/")[2] + "\\n")
if os.environ.get("FAKE_FAILS"):
    sys.exit("unplateau: " + os.environ["FAKE_FAILS"])
(out / "config.json").write_text(json.dumps(words))
def saved(*_):
    (out / "saved").write_text("")
    os._exit(4)
signal.signal(signal.SIGTERM, saved)
(out / "ready").write_text("")
time.sleep(float(os.environ.get("FAKE_SECONDS", 0)))
won = float(os.environ.get("FAKE_WON", 0.06)) if words.get("schedule") == "wsd" else 0.0
loss = 3.0 + np.random.default_rng(0).normal(0, 0.2, 100) - won
plan = {"parts": [{"split": "val", "source": 0, "data": os.environ.get("FAKE_DATA", "mine")}]}
(out / "evaluations" / "plan.json").write_text(json.dumps(plan))
step = 1000 if words.get("eval_only") else int(words["max_steps"])
np.savez(out / "evaluations" / f"{step:08d}.npz", val=loss)
(out / "log.jsonl").write_text(json.dumps({"step": step, "val_loss": float(loss.mean()), "val_loss_error": 0.02}) + "\\n")
"""
SETTINGS = {
    "out_dir": "run",
    "init_from": "scratch",
    "architecture": "gpt2",
    "n_layer": 2,
    "n_head": 2,
    "n_embd": 64,
    "vocab_size": 64,
    "block_size": 32,
    "bias": False,
    "tied": True,
    "batch_size": 8,
    "gradient_accumulation_steps": 1,
    "max_steps": 2_000,
    "schedule": "cosine",
    "peak_lr": 1e-3,
    "floor_lr": 1e-4,
    "warmup_steps": 50,
    "decay_end": 2_000,
    "optimizer": "adamw",
    "dropout": 0.0,
    "eval_interval": 50,
    "tokens_per_step": 256,
    "seed": 1,
}
STEP = 1_000  # of the checkpoint, and the last of the log


def own_run(folder: Path, **settings):
    """A run of 2,000 steps that has come to step 1,000, on data in ``folder/data``; its folder."""
    data, run = folder / "data", folder / "run"
    data.mkdir(parents=True)
    for split in ("train", "val"):
        (np.arange(5_000) % 64).astype(np.uint16).tofile(data / f"{split}.bin")
    settings = {"schema": "unplateau.config/1", **SETTINGS, "dataset": str(data), **settings}
    place = run / "checkpoints" / f"{STEP:08d}"
    place.mkdir(parents=True)
    (place / "state.json").write_text(
        json.dumps({"schema": "unplateau.checkpoint/1", "step": STEP, "settings": settings})
    )
    (place / "sha256.json").write_text("{}")
    (run / "config.json").write_text(json.dumps(settings))
    (run / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in _rows()))
    (run / "evaluations").mkdir()
    plan = {"parts": [{"split": "val", "source": 0, "data": "mine", "windows": 100}]}
    (run / "evaluations" / "plan.json").write_text(json.dumps(plan))
    return run


def _rows():
    rng = np.random.default_rng(0)
    for step in range(0, STEP + 1, 10):
        loss = 2.8 + 6.0 * (step + 20) ** -0.5 + 0.02 * rng.normal()
        row = {"step": step, "batch_loss": loss, "lr": 1e-3, "tokens": step * 256, "step_ms": 10.0}
        yield row
        if step % 50 == 0:
            val = 2.8 + 6.0 * (step + 20) ** -0.5 + 0.003 * rng.normal()
            yield {"step": step, "val_loss": val, "train_loss": val - 0.01, "val_loss_error": 0.01}


def stand_in(folder: Path):
    """In the place of ``probe.words.command``: the process of the stand-in."""
    script = folder / "trainer.py"
    script.write_text(TRAINER)
    return lambda words: [sys.executable, str(script), *words]
