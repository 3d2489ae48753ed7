"""The callback in Lightning's own Trainer: a bigram model on random numbers.

Each guard was seen red once, its mutation in brackets:
- test_the_loss_of_a_step_is_the_mean_of_its_micro_batches [the last micro-batch alone];
- test_the_rate_is_that_of_the_step [read after the step];
- test_a_version_that_was_malware_is_not_imported [no ``refuse_malware``];
- test_findings_are_written_back_to_its_loggers [``WandbLogger`` not among the kinds];
- test_only_the_first_process_writes [``first=True``].
"""

import importlib.metadata
import sys
from types import ModuleType, SimpleNamespace

import pytest

import unplateau as up

torch = pytest.importorskip("torch", reason="torch is not installed")
pl = pytest.importorskip("pytorch_lightning", reason="pytorch-lightning is not installed")
pytestmark = [
    pytest.mark.filterwarnings("default"),  # of their libraries
    pytest.mark.usefixtures("one_thread"),
]
VOCABULARY, LENGTH, BATCH, MICRO = 20, 8, 4, 2


class Bigram(pl.LightningModule):
    """Logits from one table; notes what each micro-batch lost and which rate each step had."""

    def __init__(self, n_layer=1, learning_rate=0.1, *, constant=False, nan_at=None):  # noqa: ARG002
        super().__init__()
        self.save_hyperparameters()
        self.table = torch.nn.Embedding(VOCABULARY, VOCABULARY)
        self.lost, self.rates = [], []

    def loss(self, batch):
        x, y = batch
        return torch.nn.functional.cross_entropy(self.table(x).flatten(0, 1), y.flatten())

    def training_step(self, batch, batch_idx):  # noqa: ARG002
        loss = self.loss(batch)
        if self.hparams.nan_at is not None and self.global_step >= self.hparams.nan_at:
            loss = loss * float("nan")
        self.lost.append(loss.item())
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):  # noqa: ARG002
        self.log("val/loss", self.loss(batch))
        self.log("val/acc", 0.5)

    def on_before_optimizer_step(self, optimizer):
        self.rates.append(optimizer.param_groups[0]["lr"])

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.hparams.learning_rate, weight_decay=0.3)
        if self.hparams.constant:
            return optimizer
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def loader(seed=0):
    generator = torch.Generator().manual_seed(seed)
    text = torch.randint(VOCABULARY, (32, LENGTH + 1), generator=generator)
    data = torch.utils.data.TensorDataset(text[:, :-1], text[:, 1:])
    return torch.utils.data.DataLoader(data, batch_size=BATCH)


def fitted(place, model=None, *, callback=None, resume=None, **given):
    """A run of 16 optimiser steps, four to an epoch, with the module and the lines that were told."""
    from unplateau.integrations.lightning import UnplateauCallback

    lines = []
    callback = callback or UnplateauCallback(place / "run", diagnose=False, tell=lines.append)
    told = {
        "max_epochs": 4,
        "accumulate_grad_batches": MICRO,
        "log_every_n_steps": 2,
        "check_val_every_n_epoch": 1,
        "logger": False,
    }
    trainer = pl.Trainer(
        default_root_dir=place,
        callbacks=[callback],
        accelerator="cpu",
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        gradient_clip_val=1.0,
        **told | given,
    )
    model = model or Bigram()
    trainer.fit(model, loader(), loader(1), ckpt_path=resume)
    return SimpleNamespace(trainer=trainer, model=model, lines=lines, place=place)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    found = fitted(tmp_path_factory.mktemp("run"))
    found.read = up.read(found.place / "run")
    return found


def test_the_loss_of_a_step_is_the_mean_of_its_micro_batches(run):
    lost = run.model.lost
    steps = [sum(lost[i : i + MICRO]) / MICRO for i in range(0, len(lost), MICRO)]

    assert run.lines == []
    assert run.read.series["batch_loss"].step.tolist() == list(range(2, 17, 2))
    assert run.read.series["batch_loss"].value.tolist() == pytest.approx(steps[1::2], rel=1e-6)


def test_the_rate_is_that_of_the_step(run):
    assert run.read.series["lr"].value.tolist() == pytest.approx(run.model.rates[1::2])


def test_each_validation_is_a_point_but_the_check_before_training(run):
    assert run.read.series["val_loss"].step.tolist() == [4, 8, 12, 16]
    assert run.read.series["val_loss"].last == pytest.approx(run.trainer.callback_metrics["val/loss"].item())


def test_the_settings_are_known(run):
    read = run.read
    facts = (
        "max_steps",
        "batch_size",
        "gradient_accumulation_steps",
        "block_size",
        "tokens_per_step",
        "grad_clip",
    )

    assert [read.get(name) for name in facts] == [16, BATCH, MICRO, LENGTH, BATCH * MICRO * LENGTH, 1.0]
    assert (read.get("optimizer"), read.get("weight_decay"), read.get("n_layer")) == ("adamw", 0.3, 1)
    assert read.get("dtype") == "float32"
    assert read.get("tokens_seen") == 16 * BATCH * MICRO * LENGTH
    assert read.get("config_dialect") == "unplateau"
    assert not [w for w in read.warnings if "config" in w]


def test_a_rate_that_nothing_changes_is_the_schedule(tmp_path):
    fitted(tmp_path, Bigram(constant=True), max_epochs=1)

    assert (up.read(tmp_path / "run").get("schedule"), up.read(tmp_path / "run").get("peak_lr")) == (
        "constant",
        0.1,
    )


def test_a_resumed_run_goes_on_in_its_folder(tmp_path):
    first = fitted(tmp_path, max_epochs=2)
    first.trainer.save_checkpoint(tmp_path / "saved.ckpt")
    second = fitted(tmp_path, resume=tmp_path / "saved.ckpt")

    read = up.read(tmp_path / "run")

    assert second.lines == []
    assert read.series["batch_loss"].step.tolist() == list(range(2, 17, 2))
    assert read.series["tokens"].last == 16 * BATCH * MICRO * LENGTH


def test_a_run_that_diverges_is_stopped(tmp_path):
    from unplateau.integrations.lightning import UnplateauCallback

    lines = []
    callback = UnplateauCallback(tmp_path / "run", stop_on=["diverged"], wait=60, tell=lines.append)

    run = fitted(tmp_path, Bigram(nan_at=6), callback=callback, max_epochs=100)

    assert run.trainer.global_step < 40
    assert any(line.startswith("to stop: diverged at step") for line in lines)


def test_the_folder_lies_in_the_loggers_own(tmp_path):
    from unplateau.integrations.lightning import UnplateauCallback

    logger = pl.loggers.CSVLogger(tmp_path, name="mine")
    fitted(tmp_path, callback=UnplateauCallback(diagnose=False), logger=logger, max_epochs=1)

    assert (tmp_path / "mine" / "version_0" / "unplateau" / "log.jsonl").is_file()


def test_findings_are_written_back_to_its_loggers(tmp_path, monkeypatch):
    from unplateau.integrations.lightning import UnplateauCallback

    for package in ("tensorboard", "wandb"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for name in ("HOME", "WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    for name, value in (("MODE", "offline"), ("SILENT", "true"), ("ERROR_REPORTING", "false")):
        monkeypatch.setenv(f"WANDB_{name}", value)
    lines = []
    callback = UnplateauCallback(write_back=True, wait=60, tell=lines.append)
    loggers = [
        pl.loggers.TensorBoardLogger(tmp_path, name="board"),
        pl.loggers.WandbLogger(offline=True, save_dir=tmp_path),
    ]
    fitted(tmp_path, callback=callback, logger=loggers, max_epochs=2)
    summary = dict(loggers[1].experiment.summary)
    loggers[1].experiment.finish()

    assert not [line for line in lines if "not written back" in line]
    run = tmp_path / "board" / "version_0" / "unplateau"  # the log, and in it the findings
    board = EventAccumulator(str(run / "findings"))
    board.Reload()
    assert [e.step for e in board.Tensors("unplateau/report/text_summary")][-1] == 8
    assert summary["unplateau/step"] == 8
    assert up.read(run).series["val_loss"].step.tolist() == [4, 8]


def test_only_the_first_process_writes(tmp_path):
    from unplateau.integrations.lightning import UnplateauCallback

    callback = UnplateauCallback()
    trainer = SimpleNamespace(log_dir=str(tmp_path / "out"), global_step=0, is_global_zero=False)
    callback.on_train_start(trainer, None)
    callback.on_train_end(trainer, None)

    assert not (tmp_path / "out").exists()


def test_both_names_of_lightning_are_served(monkeypatch):
    import unplateau.integrations.lightning as module

    other = ModuleType("lightning.pytorch")
    other.Callback = type("Callback", (), {})
    monkeypatch.setitem(sys.modules, "lightning.pytorch", other)
    monkeypatch.delitem(vars(module), "UnplateauCallback", raising=False)

    made = module.UnplateauCallback(diagnose=False)

    assert isinstance(made, other.Callback)
    assert isinstance(made, pl.Callback)


@pytest.mark.parametrize("found", ["2.6.2", "2.6.3"])
def test_a_version_that_was_malware_is_not_imported(found, monkeypatch):
    import unplateau.integrations.lightning as module

    imported = []
    for name in module.NAMES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(module, "version", lambda _: found)
    monkeypatch.setattr(module, "import_module", imported.append)
    monkeypatch.delitem(vars(module), "UnplateauCallback", raising=False)

    with pytest.raises(up.UsageError, match=f"lightning {found} is installed, which was malware: remove it"):
        _ = module.UnplateauCallback
    assert imported == []
    assert importlib.metadata.version("pytorch-lightning") not in module.MALWARE


def test_no_requirement_of_ours_allows_a_version_that_was_malware():
    from pathlib import Path

    from packaging.requirements import Requirement
    from packaging.version import Version

    from unplateau.integrations.lightning import MALWARE

    text = (Path(__file__).parent.parent / "pyproject.toml").read_text()
    named = [one for line in text.splitlines() for one in line.split('"')[1::2] if "lightning>" in one]

    assert named
    assert not [one for one in named for bad in MALWARE if Requirement(one).specifier.contains(Version(bad))]
