"""The callback in Transformers' own Trainer: a tiny GPT-2 made from a configuration, on random numbers; nothing is fetched.

Each guard was seen red once, its mutation in brackets:
- test_the_folder_tells_what_the_trainer_did [steps counted by calls of on_log];
- test_a_resumed_run_goes_on_in_its_folder [the folder named after the time];
- test_only_the_first_process_writes [``first=True``];
- test_looking_at_the_data_leaves_the_random_numbers_alone [no ``as_it_was``].
"""

import os
import random
from types import SimpleNamespace

import numpy as np
import pytest

import unplateau as up
from unplateau.integrations._callback import as_it_was, block_size, tokens_of

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
torch = pytest.importorskip("torch", reason="torch is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")
pytest.importorskip("accelerate", reason="accelerate is not installed")
pytestmark = [
    pytest.mark.filterwarnings("default"),  # of their libraries
    pytest.mark.usefixtures("one_thread"),
]
SEQUENCE = 16  # tokens; the model could take 32


@pytest.fixture(scope="module")
def text():
    generator = torch.Generator().manual_seed(0)
    draw = [torch.randint(50, (SEQUENCE,), generator=generator) for _ in range(64)]
    return [{"input_ids": ids, "labels": ids} for ids in draw]


def trained(place, text, *, resume=None, callback=None, **given):
    """A run of 20 steps, with its callback and the lines that it told."""
    from unplateau.integrations.huggingface import UnplateauCallback

    lines = []
    callback = callback or UnplateauCallback(tell=lines.append, diagnose=False)
    told = {
        "max_steps": 20,
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 4,
        "learning_rate": 1e-2,
        "warmup_steps": 2,
        "lr_scheduler_type": "cosine",
        "logging_steps": 5,
        "eval_strategy": "steps",
        "eval_steps": 10,
        "save_strategy": "no",
    }
    args = transformers.TrainingArguments(
        str(place), report_to=[], use_cpu=True, disable_tqdm=True, seed=7, **told | given
    )
    size = {"n_layer": 1, "n_embd": 16, "n_head": 2, "vocab_size": 50, "n_positions": 32}
    model = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(**size, bos_token_id=0, eos_token_id=0, loss_type="ForCausalLMLoss")
    )
    trainer = transformers.Trainer(
        model=model, args=args, train_dataset=text, eval_dataset=text[:8], callbacks=[callback]
    )
    trainer.train(resume_from_checkpoint=resume)
    return trainer, lines


@pytest.fixture(scope="module")
def run(tmp_path_factory, text):
    place = tmp_path_factory.mktemp("run")
    trainer, lines = trained(place, text, hub_token="hf_secret", save_strategy="steps", save_steps=10)
    return SimpleNamespace(place=place, trainer=trainer, lines=lines, read=up.read(place / "unplateau"))


def test_the_folder_tells_what_the_trainer_did(run):
    history = run.trainer.state.log_history
    losses = {row["step"]: row["loss"] for row in history if "loss" in row}
    evaluated = {row["step"]: row["eval_loss"] for row in history if "eval_loss" in row}
    series = run.read.series

    assert run.lines == []
    assert dict(
        zip(series["batch_loss"].step.tolist(), series["batch_loss"].value.tolist(), strict=True)
    ) == (pytest.approx(losses))
    assert dict(zip(series["val_loss"].step.tolist(), series["val_loss"].value.tolist(), strict=True)) == (
        pytest.approx(evaluated)
    )
    assert series["lr"].step.tolist() == [5, 10, 15, 20]
    assert "grad_norm" in series


def test_the_settings_are_known_in_transformers_words(run):
    read = run.read
    facts = {
        name: read.get(name)
        for name in ("n_layer", "n_embd", "n_head", "vocab_size", "max_steps", "peak_lr", "seed")
    }

    assert facts == {
        "n_layer": 1,
        "n_embd": 16,
        "n_head": 2,
        "vocab_size": 50,
        "max_steps": 20,
        "peak_lr": 1e-2,
        "seed": 7,
    }
    assert (read.get("config_dialect"), read.get("warmup_steps"), read.schedule.name) == (
        "huggingface",
        2,
        "cosine",
    )
    # the sequences are 16 long, though the model takes 32
    assert (read.get("block_size"), read.get("tokens_per_step")) == (SEQUENCE, 2 * 4 * SEQUENCE)
    assert "hf_secret" not in (run.place / "unplateau" / "config.json").read_text()


def test_it_reads_as_the_trainers_own_log_does(run):
    theirs = up.read(run.place / "checkpoint-20" / "trainer_state.json")

    for name in ("batch_loss", "val_loss", "lr", "grad_norm"):
        assert run.read.series[name] == theirs.series[name] or (
            run.read.series[name].value.tolist()
            == pytest.approx(theirs.series[name].value.tolist(), rel=1e-6)
        )


def test_a_resumed_run_goes_on_in_its_folder(run, text, tmp_path):
    trained(tmp_path, text, save_strategy="steps", save_steps=10, logging_steps=2)
    resume = str(tmp_path / "checkpoint-10")
    _, lines = trained(tmp_path, text, resume=resume, learning_rate=5e-3, logging_steps=2)

    read = up.read(tmp_path / "unplateau")

    assert lines == []
    assert read.series["batch_loss"].step.tolist() == list(range(2, 21, 2))
    assert read.get("resumed_at") == [12]
    assert read.get("peak_lr") == 5e-3
    assert [path.name for path in (tmp_path / "unplateau").glob("before-*")] == [
        "before-1"
    ]  # the way that was left
    assert run.read.get("resumed_at") is None


def test_a_run_that_diverges_is_stopped(text, tmp_path):
    from unplateau.integrations.huggingface import UnplateauCallback

    lines = []
    callback = UnplateauCallback(stop_on="diverged", wait=60, tell=lines.append)
    inner = callback.on_step_end

    def broken(args, state, control, **given):
        if state.global_step == 3:
            with torch.no_grad():
                next(given["model"].parameters()).fill_(float("nan"))
        return inner(args, state, control, **given)

    callback.on_step_end = broken
    told = {"eval_steps": 4, "logging_steps": 4, "logging_nan_inf_filter": False}
    trainer, _ = trained(tmp_path, text, callback=callback, max_steps=200, **told)

    assert trainer.state.global_step < 50
    assert any(line.startswith("to stop: diverged at step") for line in lines)


def test_only_the_first_process_writes(tmp_path):
    from unplateau.integrations.huggingface import UnplateauCallback

    callback = UnplateauCallback()
    args = SimpleNamespace(output_dir=str(tmp_path / "out"), world_size=2)
    state = SimpleNamespace(is_world_process_zero=False, global_step=0, max_steps=10)
    callback.on_train_begin(args, state, None)
    callback.on_log(args, state, None, logs={"loss": 2.0})
    callback.on_train_end(args, state, None)

    assert not (tmp_path / "out").exists()


def test_all_processes_stop_where_the_first_says_so(monkeypatch):
    import accelerate.utils

    from unplateau.integrations.huggingface import EVERY, UnplateauCallback

    def told(held, from_process):
        assert from_process == 0
        held[0] = True

    monkeypatch.setattr(accelerate.utils, "broadcast_object_list", told)
    callback = UnplateauCallback(stop_on="flat")
    args, control = SimpleNamespace(world_size=2), SimpleNamespace(should_training_stop=False)
    callback.on_step_end(args, SimpleNamespace(global_step=EVERY + 1), control)
    between = control.should_training_stop
    callback.on_step_end(args, SimpleNamespace(global_step=2 * EVERY), control)

    assert (between, control.should_training_stop) == (False, True)


def test_a_folder_that_can_not_be_made_does_not_end_the_training(text, tmp_path):
    from unplateau.integrations.huggingface import UnplateauCallback

    (tmp_path / "file").write_text("no folder")
    lines = []
    trainer, _ = trained(
        tmp_path / "out", text, callback=UnplateauCallback(tmp_path / "file", tell=lines.append), max_steps=2
    )

    assert trainer.state.global_step == 2
    assert lines[0].startswith("this run is not logged: can't write")


def test_a_name_that_is_never_raised_is_refused_before_the_training():
    from unplateau.integrations.huggingface import UnplateauCallback

    with pytest.raises(up.UsageError, match="did you mean diverged"):
        UnplateauCallback(stop_on=["divergd"])


class Drawn:
    """A data set that draws when it is asked."""

    def __len__(self):
        return 10

    def __getitem__(self, index):
        random.random()
        np.random.rand()  # noqa: NPY002 - as people's data sets do
        return {"input_ids": torch.randint(5, (7,))}


def test_looking_at_the_data_leaves_the_random_numbers_alone():
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # noqa: NPY002

    assert block_size(Drawn()) == 7
    after = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # noqa: NPY002
    assert after == before
    with as_it_was():
        assert Drawn()[0]["input_ids"].numel() == 7


@pytest.mark.parametrize(
    "data", [[], iter([]), [1, 2], [{"text": "a"}], None, [(torch.ones(3), torch.ones(3))] * 9]
)
def test_a_length_that_nobody_can_tell_is_not_known(data):
    assert block_size(data) is None


def test_tokens_are_counted_where_a_batch_tells_them():
    x = torch.zeros(2, 8, dtype=torch.long)

    assert tokens_of({"input_ids": x, "labels": x}) == 16
    assert tokens_of((x, x)) == 16
    assert block_size([(x[0], x[0])] * 9) == 8
    for other in ({"pixels": x}, (x, x[:, 0]), (x.float(), x.float()), x, [x], None, "text"):
        assert tokens_of(other) is None
