"""The logger for loops of other people: what it writes, that it holds, and that it leaves the loop alone.

Each guard was seen red once, its mutation in brackets:
- test_what_was_logged_outlives_a_kill [rows kept in a list, written at finish];
- test_a_second_process_is_refused [no flock];
- test_a_run_that_begins_anew_puts_the_one_before_aside [always append];
- test_a_way_that_was_left_is_not_the_end_of_the_run [rows only ever added];
- test_what_stood_before_a_resume_stops_nothing [all that stands];
- test_a_forked_process_writes_nothing_and_holds_nothing [no register_at_fork];
- test_trouble_with_the_log_is_told_once_and_training_goes_on [``raise`` in place of ``self._trouble(error)``];
- test_a_gpu_is_not_waited_for [``value.item()`` at once];
- test_batches_that_are_lost_stop_a_run_before_anybody_has_looked [``_lose`` left out];
- test_secrets_stay_out_of_the_folder [no ``kept``].
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import unplateau as up
from unplateau.integrations import logger as module
from unplateau.integrations._doctor import Doctor, Told, told_of
from unplateau.integrations._folder import Folder
from unplateau.integrations._numbers import Later

CONFIG = {"learning_rate": 1e-3, "max_iters": 2000, "batch_size": 8, "block_size": 128, "decay_lr": False}


@pytest.fixture(autouse=True)
def nothing_is_left_open():
    yield
    up.finish(wait=0)


def rows(folder):
    return [json.loads(line) for line in (Path(folder) / "log.jsonl").read_text().splitlines()]


def begun(folder, config=None, **given):
    """A logger that looks at nothing, and the lines that it told."""
    lines = []
    return up.init(folder, config, **{"diagnose": False, "tell": lines.append, **given}), lines


def loss(step):
    return 3 + 5 / (1 + step) ** 0.3


# --- what is written


def test_a_folder_is_read_with_no_flag(tmp_path):
    _, lines = begun(tmp_path / "run", CONFIG)
    for step in range(0, 1000, 5):
        up.log(step=step, loss=loss(step), lr=1e-3)
        if step % 50 == 0:
            up.log(step=step, val_loss=loss(step), train_loss=loss(step) - 0.01)
    up.finish()

    found = up.diagnose(tmp_path / "run")

    assert lines == []
    assert found.run.format == "unplateau"
    assert {n: len(c) for n, c in found.run.series.items() if n.endswith("loss")} == {
        "batch_loss": 200,
        "val_loss": 20,
        "train_loss": 20,
    }
    assert (found.run.get("max_steps"), found.run.source("max_steps")) == (2000, "config.json:3")
    assert found.run.get("step_seconds") > 0  # timed by the logger
    assert found.state.verdict == "falling"
    assert not [w for w in found.run.warnings if "left out" in w]


def test_numbers_come_as_people_have_them(tmp_path):
    torch = pytest.importorskip("torch")
    begun(tmp_path)
    up.log(
        step=np.int64(3),
        loss=torch.tensor(2.5, requires_grad=True),
        lr=np.float32(0.5),
        val_loss=None,
        grad_norm=torch.tensor([1.5]),
        accuracy=torch.tensor(0.25, dtype=torch.bfloat16),
    )
    up.log(step=torch.tensor(4), batch_loss=float("nan"), grad_norm=float("inf"))

    assert rows(tmp_path) == [
        {"step": 3, "batch_loss": 2.5, "lr": 0.5, "grad_norm": 1.5, "accuracy": 0.25},
        {"step": 4, "batch_loss": None, "grad_norm": None, "step_ms": pytest.approx(1, abs=1e4)},
    ]


def test_a_nan_is_a_point_of_the_curve_and_own_numbers_are_no_damage(tmp_path):
    begun(tmp_path)
    for step in range(20):
        up.log(step=step, val_loss=5.0 if step < 15 else float("nan"))
        up.log(step=step, accuracy=0.5)

    run = up.read(tmp_path)

    assert run.series["val_loss"].non_finite_steps.tolist() == list(range(15, 20))
    assert not [w for w in run.warnings if "no record" in w]


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        ([{"train_loss": 3.0}], ["batch_loss"]),
        ([{"val_loss": 3.0, "train_loss": 2.9}], ["val_loss", "train_loss"]),
        ([{"train_loss": 3.0}, {"val_loss": 3.0, "train_loss": 2.9}], ["val_loss", "batch_loss"]),
        ([{"val_loss": 3.0, "train_loss": 2.9, "loss": 3.1}], ["val_loss", "train_loss", "batch_loss"]),
        ([{"loss_scale": 2.0, "eval/loss": 3.0}], ["val_loss", "loss_scale"]),
    ],
)
def test_a_train_loss_alone_is_the_batchs(calls, expected, tmp_path):
    begun(tmp_path)
    for step, values in enumerate(calls):
        up.log(step=step, **values)

    assert [name for name in rows(tmp_path)[-1] if name not in ("step", "step_ms")] == expected


def test_time_with_an_evaluation_in_it_is_no_time_of_a_step(tmp_path):
    begun(tmp_path)
    up.log(step=0, loss=5.0)
    up.log(step=10, loss=4.0)
    time.sleep(0.05)
    up.log(step=10, val_loss=4.1)
    up.log(step=20, loss=3.0)
    up.log(step=30, loss=3.0, step_ms=7.5)

    timed = {row["step"]: row["step_ms"] for row in rows(tmp_path) if "step_ms" in row}

    assert timed.keys() == {10, 30}
    assert timed[10] < 50
    assert timed[30] == 7.5


# --- the configuration


@dataclass
class Settings:
    learning_rate: float = 1e-3
    n_layer: int = 2
    out: Path = Path("x")


@pytest.mark.parametrize(
    "config",
    [
        {"learning_rate": 1e-3, "n_layer": 2},
        Settings(),
        argparse.Namespace(learning_rate=1e-3, n_layer=2),
        SimpleNamespace(to_dict=lambda: {"learning_rate": 1e-3, "n_layer": 2}),
    ],
    ids=["mapping", "dataclass", "namespace", "to_dict"],
)
def test_a_config_is_kept_in_the_users_own_words(config, tmp_path):
    begun(tmp_path, config)
    up.log(step=0, val_loss=5.0)

    told = json.loads((tmp_path / "config.json").read_text())

    assert (told["learning_rate"], told["n_layer"]) == (1e-3, 2)


def test_secrets_stay_out_of_the_folder(tmp_path):
    begun(
        tmp_path,
        {"learning_rate": 1e-3, "wandb_api_key": "abc123", "data": {"hub_token": "hf_xyz", "path": "p"}},
    )
    up.log(step=0, val_loss=5.0)

    text = (tmp_path / "config.json").read_text()

    assert "learning_rate" in text
    assert '"path": "p"' in text
    assert "abc123" not in text
    assert "hf_xyz" not in text


def test_a_config_that_nobody_understands_is_told(tmp_path):
    _, lines = begun(tmp_path, {"knob": 3})

    assert len(lines) == 1
    assert "no setting is known by its name (knob)" in lines[0]


def test_a_config_that_is_none_is_refused(tmp_path):
    with pytest.raises(
        up.UsageError, match="config wants a mapping, a dataclass or a namespace of settings; found a list"
    ):
        begun(tmp_path, [1, 2])


# --- one run, one writer


def test_a_resumed_run_goes_on_in_its_folder(tmp_path):
    begun(tmp_path, CONFIG)
    for step in range(0, 100, 10):
        up.log(step=step, val_loss=loss(step))
    _, lines = begun(tmp_path, {**CONFIG, "learning_rate": 5e-4})
    for step in range(60, 150, 10):
        up.log(step=step, val_loss=loss(step))
    up.finish()

    run = up.read(tmp_path)

    assert lines == []
    assert run.series["val_loss"].step.tolist() == list(range(0, 150, 10))
    assert (run.get("resumed_at"), run.source("resumed_at")) == ([60], "log")
    assert not [w for w in run.warnings if "more than once" in w]
    assert run.get("peak_lr") == 5e-4
    assert json.loads((tmp_path / "config.before-1.json").read_text())["learning_rate"] == 1e-3


def test_a_way_that_was_left_is_not_the_end_of_the_run(tmp_path):
    begun(tmp_path)
    for step in range(0, 200, 10):
        up.log(step=step, val_loss=loss(step) if step < 150 else float("nan"))
    begun(tmp_path)
    up.log(step=100, val_loss=loss(100))
    up.finish()

    run = up.read(tmp_path)

    assert run.series["val_loss"].step.tolist() == list(range(0, 101, 10))
    assert up.diagnose(run).state.verdict != "diverged"
    assert run.get("resumed_at") == [100]
    assert len(up.read(tmp_path / "before-1").series["val_loss"]) == 20  # nothing is lost


def test_a_resume_where_the_run_ended_leaves_nothing_aside(tmp_path):
    for start in (0, 50):
        begun(tmp_path)
        for step in range(start, start + 50, 10):
            up.log(step=step, val_loss=loss(step))

    assert up.read(tmp_path).get("resumed_at") == [50]
    assert [p.name for p in tmp_path.iterdir() if p.is_dir()] == []


def test_a_run_that_begins_anew_puts_the_one_before_aside(tmp_path):
    for start in (3.0, 4.0, 5.0):
        _, lines = begun(tmp_path, {**CONFIG, "seed": start})
        for step in range(0, 30, 10):
            up.log(step=step, val_loss=start - step / 100)
        up.finish()

    assert up.read(tmp_path).series["val_loss"].value.tolist() == [5.0, 4.9, 4.8]
    assert lines[0].endswith("it is in before-2 now")
    assert up.read(tmp_path / "before-1").series["val_loss"].first == 3.0
    assert up.read(tmp_path / "before-2").series["val_loss"].first == 4.0
    assert up.read(tmp_path / "before-2").get("seed") == 4


def test_a_second_process_is_refused(tmp_path):
    begun(tmp_path)
    up.log(step=0, loss=5.0)
    code = f"import unplateau as up\ntry: up.init({str(tmp_path)!r})\nexcept up.UnplateauError as e: print('NO:', e)"

    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=False)

    assert "NO: another process logs to" in done.stdout, done.stderr


def test_what_was_logged_outlives_a_kill(tmp_path):
    code = (
        "import os, signal, unplateau as up\n"
        f"up.init({str(tmp_path)!r}, diagnose=False)\n"
        "for step in range(1000): up.log(step=step, loss=5.0)\n"
        "print('logged', flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=False)

    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "logged\n"), done.stderr
    assert [row["step"] for row in rows(tmp_path)] == list(range(1000))


def test_a_line_that_a_crash_cut_is_removed(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"step": 0, "val_loss": 5.0}\n{"step": 10, "val_l')
    begun(tmp_path)
    up.log(step=10, val_loss=4.0)

    assert rows(tmp_path) == [
        {"step": 0, "val_loss": 5.0},
        {"step": 10, "resumed_after": 0},
        {"step": 10, "val_loss": 4.0},
    ]


def test_a_forked_process_writes_nothing_and_holds_nothing(tmp_path):
    made, _ = begun(tmp_path)
    up.log(step=0, loss=5.0)
    ours, there = os.pipe()
    if (child := os.fork()) == 0:
        os.close(there)  # else it would wait for itself, were its parent to fail
        up.log(step=1, loss=6.0)
        made.finish()
        os.read(ours, 1)
        os._exit(0)
    up.log(step=2, loss=4.0)
    up.finish()
    again, _ = begun(tmp_path)  # the child lives, and holds no lock
    os.write(there, b"x")
    os.waitpid(child, 0)

    assert again.writes
    assert [row["step"] for row in rows(tmp_path)] == [0, 2]


def test_rows_of_many_threads_are_whole(tmp_path):
    begun(tmp_path)

    def work(number):
        for i in range(100):
            up.log(step=number * 100 + i, loss=1.0, lr=1e-3)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(row["step"] for row in rows(tmp_path)) == list(range(800))


def test_only_the_first_process_of_a_run_writes(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")

    made = up.init(tmp_path / "run", CONFIG)
    up.log(step=0, val_loss=5.0)

    assert not (tmp_path / "run").exists()
    assert (made.should_stop(), up.should_stop()) == (False, False)


# --- it leaves the loop alone


def test_trouble_with_the_log_is_told_once_and_training_goes_on(tmp_path):
    torch = pytest.importorskip("torch")
    _, lines = begun(tmp_path)
    for step in range(3):
        up.log(step=step, loss=torch.ones(2))
    up.log(step=-1, loss=2.0)
    up.log(step="three", loss=2.0)
    up.log(step=4, loss=2.0)

    assert [row["step"] for row in rows(tmp_path)] == [4]
    assert [line.partition(": ")[2] for line in lines] == [
        "loss wants one number; found 2 of them: log their mean",
        "step wants a whole number, 0 or above; found -1",
        "step wants one number; found a str",
    ]


def test_trouble_is_raised_where_that_is_asked_for(tmp_path):
    begun(tmp_path, strict=True)

    with pytest.raises(up.UsageError, match="loss wants one number; found a list"):
        up.log(step=0, loss=[1.0])


def test_a_full_disk_loses_rows_and_says_how_many(tmp_path, monkeypatch):
    _, lines = begun(tmp_path)
    up.log(step=0, loss=5.0)

    def full(*_):
        raise up.UnplateauError("can't write log.jsonl: No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Folder, "append", full)
        for step in range(1, 4):
            up.log(step=step, loss=4.0)
    up.log(step=4, loss=3.0)
    up.finish()

    assert [row["step"] for row in rows(tmp_path)] == [0, 4]
    assert lines == [
        "the log of this run lacks something: can't write log.jsonl: No space left on device",
        "3 rows of this run could not be written",
    ]


def test_a_folder_that_is_taken_away_is_told(tmp_path):
    _, lines = begun(tmp_path / "run")
    up.log(step=0, val_loss=5.0)
    (tmp_path / "run").rename(tmp_path / "moved")
    up.log(step=1, val_loss=4.0)

    assert [line for line in lines if "was removed or moved" in line]


def test_a_run_that_can_not_be_logged_goes_on_without(tmp_path, monkeypatch, capsys):
    (tmp_path / "unplateau-runs").write_text("a file where the folder would be")
    monkeypatch.chdir(tmp_path)

    up.log(step=0, loss=5.0)
    up.log(step=1, loss=4.0)

    assert capsys.readouterr().err.count("this run is not logged: can't write") == 1


def test_the_first_call_begins_a_run_and_says_where(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    up.log(step=0, loss=5.0)

    (folder,) = (tmp_path / "unplateau-runs").iterdir()
    assert len(rows(folder)) == 1
    assert f"logging to unplateau-runs/{folder.name}" in capsys.readouterr().err


class Slow:
    """A number on a GPU that takes a while: what ``Later`` needs of torch."""

    device = SimpleNamespace(type="cuda")

    def __init__(self, value, events):
        self.value, self.events, self.done = value, events, False
        events.append(self)

    def numel(self):
        return 1

    def detach(self):
        return self

    def to(self, place, *, non_blocking):
        assert (place, non_blocking) == ("cpu", True)
        return self

    def item(self):
        assert self.done, "the GPU was waited for"
        return self.value

    # of its event
    def record(self, stream):
        self.stream = stream

    def query(self):
        return self.done

    def synchronize(self):
        self.done = True


@pytest.fixture
def gpu(monkeypatch):
    """Tensors of a GPU that is as slow as the test wants."""
    made = []
    cuda = SimpleNamespace(Event=lambda: made[-1], current_stream=lambda device: f"stream of {device.type}")
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda, distributed=None))
    return lambda value: Slow(value, made)


def test_a_gpu_is_not_waited_for(tmp_path, gpu):
    begun(tmp_path)
    first = gpu(5.0)
    up.log(step=0, loss=first)
    up.log(step=1, lr=1e-3)
    waiting = rows(tmp_path)
    first.done = True
    up.log(step=2, lr=1e-3)

    assert isinstance(Later(gpu(1.0)), Later)
    assert waiting == []
    assert [row["step"] for row in rows(tmp_path)] == [0, 1, 2]  # in their order
    assert rows(tmp_path)[0]["batch_loss"] == 5.0


def test_what_waits_for_a_gpu_is_bounded_and_written_at_the_end(tmp_path, gpu):
    begun(tmp_path)
    for step in range(module.PENDING + 10):
        up.log(step=step, loss=gpu(float(step)))
    before = len(rows(tmp_path))
    up.finish()

    assert before == 10
    assert [row["batch_loss"] for row in rows(tmp_path)] == list(range(module.PENDING + 10))


# --- what is found while the run goes on


def test_a_run_that_diverges_is_stopped(tmp_path):
    lines = []
    up.init(tmp_path, CONFIG, stop_on="diverged", wait=60, tell=lines.append)

    def train():
        for step in range(0, 2000, 100):
            up.log(step=step, val_loss=loss(step) if step < 200 else float("nan"))

    with pytest.raises(up.StopTraining, match="diverged at step 200") as stop:
        train()

    assert rows(tmp_path)[-1] == {"step": 200, "val_loss": None}
    assert lines[-1] == f"to stop: {stop.value}"
    assert up.should_stop()
    up.log(step=1100, loss=1.0)  # raised once: what a loop logs on its way out is written
    assert rows(tmp_path)[-1]["step"] == 1100


def test_batches_that_are_lost_stop_a_run_before_anybody_has_looked(tmp_path):
    up.init(tmp_path, CONFIG, stop_on="diverged", tell=str)

    for step in range(1900, 2020, 10):
        up.log(step=step, loss=loss(step) if step < 2010 else float("nan"))
    with pytest.raises(up.StopTraining, match="diverged at step 2,020"):
        up.log(step=2020, loss=float("nan"))


def test_one_lost_batch_or_a_nan_that_nobody_asked_about_stops_nothing(tmp_path):
    logger, _ = begun(tmp_path / "a", stop_on="diverged", diagnose=False)
    for step in range(30):
        up.log(step=step, loss=float("nan") if step == 20 else loss(step))
    assert logger.stopped == ""

    logger, _ = begun(tmp_path / "b", stop_on="flat")
    for step in range(30):
        up.log(step=step, loss=float("nan"))
    assert logger.stopped == ""


def test_findings_are_told_once_and_the_verdict_at_the_end(tmp_path):
    told = []
    for start, end in ((0, 1500), (1500, 2000)):  # the second time it goes on
        lines = []
        up.init(tmp_path, CONFIG, tell=lines.append)
        for step in range(start, end, 50):
            up.log(step=step, val_loss=loss(step))
        up.finish(wait=60)
        told.append(lines)

    raised = [sum("(still-learning" in line for line in lines[:-2]) for lines in told]
    assert raised == [1, 0]
    assert told[1][-2].startswith("step 1,950: The loss is still falling: val_loss")
    assert told[1][-1] == f"all of it: unplateau diagnose {tmp_path}"
    assert json.loads((tmp_path / "findings.json").read_text())["schema"] == "unplateau.ledger/1"


class Recorded:
    """In place of the doctor: what it was asked."""

    def __init__(self):
        self.asked, self.waited = [], set()

    def ask(self, *, now=False):
        self.asked.append(now)

    def hear(self, wait):
        self.waited.add(wait)

    def close(self):
        pass


def test_nothing_is_waited_for_where_nobody_asks(tmp_path):
    made, _ = begun(tmp_path)
    made._doctor = Recorded()
    up.log(step=0, loss=5.0)
    up.log(step=0, val_loss=5.0)
    up.log(step=1, loss=float("nan"))
    up.log(step=2, loss=float("nan"))

    assert made._doctor.asked == [
        False,
        True,
    ]  # at the evaluation, and at once at the first loss that is lost
    assert made._doctor.waited == {0.0}


def test_a_run_without_evaluations_is_looked_at_now_and_then(tmp_path):
    made, _ = begun(tmp_path)
    made._doctor = Recorded()
    for step in range(1000):
        up.log(step=step, loss=5.0)

    assert 8 <= len(made._doctor.asked) <= 13  # after 100 rows, then each time that they are a quarter more


@pytest.mark.parametrize(
    ("looks", "stops"),
    [
        ([(["flat"], ["flat"], "flat")], True),
        ([(["flat"], [], "flat"), (["flat"], [], "flat")], False),  # it stood before the resume
        ([(["flat"], [], "flat"), ([], [], "falling"), (["flat"], ["flat"], "flat")], True),
        ([(["diverged"], [], "falling")], False),  # mended, and not cleared yet
        ([(["diverged"], [], "diverged")], True),
        ([([], [], "diverged")], False),  # seen, and not raised yet
    ],
)
def test_what_stood_before_a_resume_stops_nothing(looks, stops, tmp_path):
    made, _ = begun(tmp_path, stop_on=["flat", "diverged"])
    for step, (standing, raised, verdict) in enumerate(looks):
        made._heard(Told(step, verdict, standing=tuple(standing), raised=tuple(raised)))

    assert bool(made.stopped) is stops


def test_what_is_told_fits_a_terminal(monkeypatch, capsys):
    module.say("word " * 40)
    piped = capsys.readouterr().err
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    module.say("word " * 40)
    folded = capsys.readouterr().err

    assert piped.count("\n") == 1
    assert folded.count("\n") == 3
    assert max(map(len, folded.splitlines())) <= 80


def test_who_tells_may_fail(tmp_path):
    def broken(line):
        raise OSError(line)

    begun(tmp_path, tell=broken)
    up.log(step=0, loss=[1])
    up.log(step=1, loss=1.0)

    assert len(rows(tmp_path)) == 1


@pytest.mark.parametrize(("name", "package"), [("huggingface", "transformers"), ("lightning", "Lightning")])
def test_a_framework_that_is_missing_is_one_line(name, package, monkeypatch):
    callbacks = import_module(f"unplateau.integrations.{name}")
    monkeypatch.delitem(vars(callbacks), "UnplateauCallback", raising=False)
    for one in ("transformers", "lightning.pytorch", "pytorch_lightning"):
        monkeypatch.setitem(sys.modules, one, None)

    with pytest.raises(up.UsageError, match=f"^{package} is not installed: pip install"):
        _ = callbacks.UnplateauCallback


def test_no_process_is_left_behind(tmp_path):
    made = Doctor(tmp_path)
    made.ask()
    process = made._look.process
    made.close()

    assert process.returncode is not None
    assert not made.busy


def test_a_look_that_finds_no_run_yet_tells_nothing():
    assert told_of({"waiting": "no log yet", "events": [], "standing": []}) is None
    assert told_of({}) is None


@pytest.mark.parametrize("name", ["divergd", "learning-rate", "falling"])
def test_a_name_that_is_never_raised_is_refused(name, tmp_path):
    with pytest.raises(up.UsageError, match=f"stop_on: nothing is called '{name}'"):
        up.init(tmp_path, stop_on=[name])
