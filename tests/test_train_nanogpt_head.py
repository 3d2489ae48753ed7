"""A run in nanoGPT's style says what train.py says: a reader of its log knows the settings that really ran.

With ``_further`` left out of ``config.nanogpt`` the llama run is read as a gpt2; with the head left out nothing is known.
"""

import io

import pytest

from small_runs import SMALL, write_text
from unplateau.reading import read_runs
from unplateau.train.configure import resolve
from unplateau.train.loop import train
from unplateau.train.terminal import NanoGPT

pytestmark = pytest.mark.usefixtures("one_thread")
STYLE = ("--log_style=nanogpt", "--max_iters=12", "--eval_interval=6", "--log_interval=6", "--eval_iters=4")
SAID = ("n_layer", "n_head", "n_embd", "block_size", "vocab_size", "bias", "tied", "architecture", "dropout")
SAID += ("batch_size", "gradient_accumulation_steps", "tokens_per_step", "max_steps", "schedule", "peak_lr")
SAID += ("floor_lr", "warmup_steps", "decay_end", "optimizer", "beta1", "beta2", "weight_decay", "grad_clip")
SAID += ("eval_interval", "eval_iters", "device", "compile", "dtype", "seed")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_text(tmp_path_factory.mktemp("data"))


def both_logs(data, place, config, *more):
    """The facts of what was printed, and those of the folder."""
    (place / "run.py").write_text(config)
    stream, out = io.StringIO(), place / "out"
    words = [*SMALL, *STYLE, f"--dataset={data}", f"--out_dir={out}", *more]
    train(resolve(place / "run.py", words), stream)
    (place / "train.log").write_text(stream.getvalue())
    (printed,), (folder,) = read_runs(place / "train.log", config=None), read_runs(out)
    return stream.getvalue(), printed, folder


CONFIG = "learning_rate = 1e-3  # high\nwarmup_iters = 3\nmin_lr = 1e-4\nlr_decay_iters = 12\nbeta2 = 0.99\n"


def differing(printed, folder):
    return {n: (printed.get(n), folder.get(n)) for n in SAID if printed.get(n) != folder.get(n)}


def test_the_settings_that_ran_are_read_from_what_is_printed(data, tmp_path):
    text, printed, folder = both_logs(data, tmp_path, CONFIG, "--sampling=nanogpt")

    assert printed.format == "nanogpt"
    assert differing(printed, folder) == {}
    assert printed.warnings == ()
    assert not printed.has("config_unread")
    assert "\nOverriding config with run.py:\nlearning_rate = 0.001\n" in "\n" + text
    assert "\nOverriding: n_layer = 1\n" in text
    assert f"\nsaving checkpoint to {tmp_path / 'out'}\n" in text
    assert (printed.get("params"), printed.get("checkpoint_step")) == (folder.get("params"), 12)


def test_what_nanogpt_has_no_word_for_is_read_too(data, tmp_path):
    more = ("--architecture=llama", "--optimizer=muon", "--schedule=linear", "--seed=7")
    text, printed, folder = both_logs(data, tmp_path, CONFIG, *more)

    assert differing(printed, folder) == {}
    assert printed.get("architecture") == "llama"
    assert "AdamW" not in text


def test_a_constant_rate_is_train_py_s_decay_lr(data, tmp_path):
    text, printed, folder = both_logs(data, tmp_path, "decay_lr = False\nlearning_rate = 1e-3\n")

    assert "decay_lr = False" in text
    assert printed.get("schedule") == folder.get("schedule") == "constant"
    assert printed.get("peak_lr") == 1e-3


def test_mfu_is_a_running_mean_that_begins_late(capsys):
    voice = NanoGPT(print, flops_per_step=3.12e12)
    for step, ms in ((100, 10.0), (104, 10.0), (105, 10.0), (110, 20.0)):
        voice.stepped({"step": step, "batch_loss": 2.0, "step_ms": ms}, None)
    told = [line.rpartition(" ")[2] for line in capsys.readouterr().out.splitlines()]

    assert told == ["-100.00%", "-100.00%", "100.00%", "95.00%"]
