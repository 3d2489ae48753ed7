"""Hugging Face's Trainer: a callback that logs a run's folder and looks at it at each evaluation.

    from unplateau.integrations.huggingface import UnplateauCallback

    trainer = Trainer(..., callbacks=[UnplateauCallback(stop_on=["diverged"])])
    trainer.train()

The folder is ``unplateau`` in ``output_dir``; its config holds the arguments and the model's configuration in their own words.
A run that was resumed goes on in it. With ``logging_nan_inf_filter=True``, as is the default, the Trainer hides a training loss
that is nan: then only an evaluation shows that a run has diverged.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from ._callback import Callback, block_size
from ._places import Place, board, trackio, wandb
from ._shown import FOLDER

EVERY = 50  # steps between two rounds in which several processes agree whether to stop
GLOBAL_STEP = "train/global_step"  # what the Trainer's rows in trackio call the step
LAST_ROW = "train_runtime"  # in the Trainer's summary, the last that it logs
LEFT_OUT = ("max_length",)  # of a model's configuration: of generated text, not of training

if TYPE_CHECKING:
    from transformers import TrainerCallback as _Base
else:
    _Base = object


class Events(Callback):
    """What the callback does at each event of the Trainer. ``val_loss``: the Trainer's name of the loss to judge by."""

    def __init__(self, *args: Any, val_loss: str = "eval_loss", **given: Any) -> None:
        super().__init__(*args, **given)
        self.val_loss = val_loss

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Open the folder."""
        del control
        self.open(
            Path(args.output_dir),
            lambda: settings_of(args, state, given.get("model"), given.get("train_dataloader")),
            first=state.is_world_process_zero,
            places=lambda: places_of(args),
        )

    def on_log(
        self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **given: Any
    ) -> None:
        """Add what the Trainer logs, the summary at its end left out."""
        del args, control, given
        from ..readers._hf import series_of

        row = series_of(logs or {}, {self.val_loss: "val_loss"})
        if row:
            self.logger.log(step=int(state.global_step), **row)
        if self.write_back and LAST_ROW in (logs or {}):
            self.close()  # at the event after this one, trackio's run is over

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Stop where the doctor said so meanwhile."""
        del given
        if self.stop_on and (args.world_size == 1 or state.global_step % EVERY == 0):
            self._stop(args, control)

    def on_evaluate(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Stop where the evaluation says so."""
        del state, given
        if self.stop_on:
            self._stop(args, control)

    def _stop(self, args: Any, control: Any) -> None:
        if agreed(self.logger.should_stop(), args.world_size):
            control.should_training_stop = True

    def on_train_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Look once more, and tell the verdict."""
        del args, state, control, given
        self.close()


def agreed(stop: bool, processes: int) -> bool:
    """What the first process says, on all of them: each has to leave the loop at the same step."""
    if processes == 1:
        return stop
    from accelerate.utils import broadcast_object_list

    told = [stop]
    broadcast_object_list(told, from_process=0)
    return bool(told[0])


def places_of(args: Any) -> list[Place]:
    """Where the Trainer logs to, by its ``report_to``."""
    known: dict[str, Callable[[], Place]] = {
        "tensorboard": lambda: board(lambda: board_of(args)),
        "wandb": wandb,
        "trackio": lambda: trackio(GLOBAL_STEP),
    }
    return [made() for name, made in known.items() if name in (args.report_to or ())]


def board_of(args: Any) -> Path:
    """The folder that the Trainer's TensorBoardCallback writes to: it is told, or that of the newest event file in ``runs``."""
    told = os.environ.get("TENSORBOARD_LOGGING_DIR") or getattr(args, "logging_dir", None)
    if told:
        return Path(told).expanduser()
    runs = Path(args.output_dir) / "runs"
    files = [path for path in runs.rglob("events.out.tfevents.*") if FOLDER not in path.parts[-3:-1]]
    return max(files, key=lambda path: path.stat().st_mtime).parent if files else runs


def settings_of(args: Any, state: Any, model: Any = None, loader: Any = None) -> dict[str, Any]:
    """The arguments and the model's configuration, in Transformers' words; with what only the Trainer knows."""
    told: dict[str, Any] = config_of(model)
    found = {**told, **args.to_dict(), "world_size": args.world_size}
    if state.max_steps > 0:
        found["max_steps"] = state.max_steps
    if (length := block_size(getattr(loader, "dataset", None))) is not None:
        found["block_size"] = length
    return found


def config_of(model: Any) -> dict[str, Any]:
    """A model's configuration as its config.json has it; empty where it has none of Transformers' kind."""
    config: Any = getattr(model, "config", None)
    told = config.to_diff_dict() if hasattr(config, "to_diff_dict") else {}
    return {key: value for key, value in told.items() if key not in LEFT_OUT}


if TYPE_CHECKING:

    class UnplateauCallback(Events, _Base):
        """Logs a run's folder, looks at it at each evaluation, and stops where asked."""


def __getattr__(name: str) -> Any:
    """``UnplateauCallback``, made when it is asked for: its base class comes with transformers."""
    if name != "UnplateauCallback":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from transformers import TrainerCallback
    except ImportError:
        raise UsageError("transformers is not installed: pip install transformers accelerate") from None
    made = type(name, (Events, TrainerCallback), {"__doc__": Callback.__doc__, "__module__": __name__})
    globals()[name] = made
    return made
