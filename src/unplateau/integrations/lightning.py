"""Lightning: a callback that logs a run's folder and looks at it at each validation.

    from unplateau.integrations.lightning import UnplateauCallback

    trainer = Trainer(..., callbacks=[UnplateauCallback(stop_on=["diverged"])])
    trainer.fit(model)

It serves ``lightning`` as well as ``pytorch_lightning``. The folder is ``unplateau`` in the logger's own; to go on in one after a
resume, give it. ``val_loss`` is what the module logs under that name, ``val/loss`` or the like; the loss of the batches is what
``training_step`` returns. Tokens are counted where a batch holds ``input_ids``, or inputs and targets of one shape.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UnreadableError, UsageError
from ._callback import Callback, block_size, tokens_of
from ._places import Place, board, wandb
from ._rows import series_of
from ._settings import document, plain
from .huggingface import EVERY, config_of

NAMES = ("lightning.pytorch", "pytorch_lightning")
MALWARE = ("2.6.2", "2.6.3")  # of lightning on PyPI; importing them runs what was put into them

if TYPE_CHECKING:
    from pytorch_lightning import Callback as _Base
else:
    _Base = object


class Events(Callback):
    """What the callback does at each hook. ``val_loss``: the module's name of the loss to judge by, where it is an unusual one."""

    def __init__(self, *args: Any, val_loss: str | None = None, **given: Any) -> None:
        super().__init__(*args, **given)
        self.val_loss = val_loss
        self._tokens: int | None = 0
        self._step = 0
        self._loss: Any = None
        self._rate: float | None = None

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Open the folder."""
        place = trainer.log_dir or trainer.default_root_dir  # asked on every process: they agree on it
        self._step, self._loss = trainer.global_step, None
        self.open(
            Path(place),
            lambda: settings_of(trainer, pl_module),
            first=trainer.is_global_zero,
            places=lambda: places_of(trainer),
        )

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        """Note the rate of this step; after it, the schedule has gone on."""
        del trainer, pl_module
        self._rate = float(optimizer.param_groups[0]["lr"])

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Add a row where the optimiser has stepped and the Trainer logs."""
        del pl_module, batch_idx
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
        if loss is not None:  # Lightning gives the part of each micro-batch: their sum is the step's mean
            self._loss = loss.detach() if self._loss is None else self._loss + loss.detach()
        told = tokens_of(batch)
        self._tokens = (
            None if self._tokens is None or told is None else self._tokens + told * trainer.world_size
        )
        if trainer.global_step == self._step:
            return
        self._step, loss, self._loss = trainer.global_step, self._loss, None
        if trainer.log_every_n_steps and self._step % trainer.log_every_n_steps == 0:
            self.logger.log(step=self._step, batch_loss=loss, lr=self._rate, tokens=self._tokens)
        if self.stop_on and (trainer.world_size == 1 or self._step % EVERY == 0):
            self._stop(trainer)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Add what the module logged of the validation."""
        del pl_module
        if trainer.sanity_checking:
            return
        name = self.val_loss or named(trainer.callback_metrics)
        if name in trainer.callback_metrics:
            value = trainer.callback_metrics[name]
            self.logger.log(step=trainer.global_step, val_loss=value, tokens=self._tokens)
        if self.stop_on:
            self._stop(trainer)

    def _stop(self, trainer: Any) -> None:
        # each process has to leave the loop at the same step
        if trainer.strategy.reduce_boolean_decision(self.logger.should_stop(), all=False):
            trainer.should_stop = True

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Look once more, and tell the verdict."""
        del trainer, pl_module
        self.close()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Let go of the folder."""
        del trainer, pl_module, exception
        self.close(wait=0.0)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps: the tokens seen."""
        return {"tokens": self._tokens}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from there."""
        tokens = state_dict.get("tokens")
        self._tokens = int(tokens) if isinstance(tokens, int) else None


def places_of(trainer: Any) -> list[Place]:
    """Where the Trainer logs to, by its loggers; a subclass of one is one."""
    return [place for logger in trainer.loggers for place in _place(logger)]


def _place(logger: Any) -> Iterator[Place]:
    kinds = {kind.__name__ for kind in type(logger).__mro__}
    if "TensorBoardLogger" in kinds:
        yield board(lambda: Path(logger.log_dir))
    if "WandbLogger" in kinds:
        yield wandb(lambda: logger.experiment)


def named(metrics: Mapping[str, Any]) -> str:
    """The name of the validation loss among what the module logged: the plainest.

    >>> named({"train_loss": 1, "val_acc": 2, "val/loss": 3}), named({"val_loss_epoch": 1, "val_loss": 2}), named({})
    ('val/loss', 'val_loss', '')
    """
    found = [name for name in metrics if series_of(name) == "val_loss"]
    return min(found, key=len, default="")


def settings_of(trainer: Any, module: Any) -> dict[str, Any]:
    """What the Trainer, the module and its optimiser tell, in unplateau's own words; what is not known is left out."""
    held = [module, *module.children()]
    told = [_facts(getattr(module, "hparams", {})), *(_facts(config_of(one)) for one in held)]
    known = {name: value for one in told for name, value in one.items()}
    return {**known, **{name: value for name, value in _trainer(trainer).items() if value is not None}}


def _trainer(trainer: Any) -> dict[str, Any]:
    steps = trainer.estimated_stepping_batches
    loader = trainer.train_dataloader
    optimizer = trainer.optimizers[0] if trainer.optimizers else None
    group = optimizer.param_groups[0] if optimizer is not None else {}
    beta1, beta2 = group.get("betas", (None, None))
    constant = optimizer is not None and not trainer.lr_scheduler_configs
    return {
        "max_steps": int(steps) if 0 < steps < float("inf") else None,
        "gradient_accumulation_steps": trainer.accumulate_grad_batches * trainer.world_size,
        "world_size": trainer.world_size,
        "batch_size": getattr(loader, "batch_size", None),
        "block_size": block_size(getattr(loader, "dataset", None)),
        "grad_clip": trainer.gradient_clip_val,
        "dtype": str(trainer.precision),
        "log_interval": trainer.log_every_n_steps,
        "optimizer": type(optimizer).__name__.lower() if optimizer is not None else None,
        "weight_decay": group.get("weight_decay"),
        "beta1": beta1,
        "beta2": beta2,
        "schedule": "constant" if constant else None,
        "peak_lr": group.get("lr") if constant else None,
    }


def _facts(settings: Any) -> dict[str, Any]:
    """Settings in any trainer's words, in ours; what a trainer would take by default is not told by them."""
    from ..config import read_config
    from ..config.unplateau import FROM_OWN

    try:
        facts = read_config(document(plain(settings)).decode(), name="hparams.json")
    except (UnreadableError, UsageError):
        return {}
    return {
        name: fact.value
        for name, fact in facts.items()
        if name in FROM_OWN and fact.source.startswith("hparams.json:")
    }


if TYPE_CHECKING:

    class UnplateauCallback(Events, _Base):
        """Logs a run's folder, looks at it at each validation, and stops where asked."""


def __getattr__(name: str) -> Any:
    """``UnplateauCallback``, made when it is asked for: its base class comes with Lightning."""
    if name != "UnplateauCallback":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    bases = tuple(module.Callback for module in _frameworks())
    made = type(name, (Events, *bases), {"__doc__": Callback.__doc__, "__module__": __name__})
    globals()[name] = made
    return made


def _frameworks() -> list[Any]:
    """Lightning under the names that this process has loaded it by; else the first that can be.

    Raises ``UsageError`` where it is not installed, or is one of the versions that were malware.
    """
    if loaded := [sys.modules[name] for name in NAMES if sys.modules.get(name)]:
        return loaded
    for name in NAMES:
        refuse_malware(name.partition(".")[0])
        try:
            return [import_module(name)]
        except ImportError:
            continue
    raise UsageError("Lightning is not installed: pip install pytorch-lightning")


def refuse_malware(package: str) -> None:
    """Raise ``UsageError`` before a version is imported that was malware."""
    try:
        found = version(package.replace("_", "-"))
    except PackageNotFoundError:
        return
    if found in MALWARE:
        raise UsageError(
            f"{package} {found} is installed, which was malware: remove it, change the passwords and keys of this machine, "
            "and install another version"
        )
