"""One optimiser step: micro-batches, clipping, the update, and what can be told of it without waiting for the device.

On a card nothing here waits for it, but at steps whose row is wanted, with float16, and with ``on_nan=skip``. A loss
that is no number is then seen one step late; on a CPU it is seen at once, and the weights are left as they were.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, nan
from typing import Any

import torch
from torch import Tensor, nn

from .average import Average
from .batches import Batch
from .distributed import Devices, Network, whole
from .losses import Loss, Objective, objective_of
from .noise import NoiseScale
from .optimizers import set_rate
from .precision import Precision
from .settings import Settings

#: a micro-batch on the CPU, by its global number
Fetch = Callable[[int], Batch]


@dataclass(frozen=True, slots=True)
class Taken:
    """What a step told. ``row``: its measurements where they were asked for; its loss alone where that is bad.

    ``bad``: the step whose loss or gradient was no number, this one or (on a card) the one before; else None.
    """

    row: Mapping[str, float] = field(default_factory=dict)
    bad: int | None = None


class Stepper:
    """Takes the steps of a run. ``read``: the micro-batches of the last two steps, by step."""

    def __init__(
        self,
        settings: Settings,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        device: torch.device,
        network: Network | None = None,
    ) -> None:
        self.settings, self.model, self.optimizer, self.device = settings, model, optimizer, device
        self.network = network or Network(model)
        self.objective: Objective = objective_of(self.network, settings)
        self.parts = settings.gradient_accumulation_steps
        self.own = self.parts // self.network.devices.world.size  # micro-batches of this process
        self.precision = Precision(settings, device)
        self.average = Average(model, settings.ema) if settings.ema else None
        micro = settings.batch_size * settings.block_size
        apart = self.own > 1 and not self.network.sharded  # else no gradient of one micro-batch is to be had
        self.noise = NoiseScale(micro, micro * self.parts) if apart else None
        self.read: dict[int, Sequence[Batch]] = {}
        self.skipped = 0  # steps left out, for a loss or a gradient that was no number
        self._waits = device.type == "cpu" or self.precision.scales or settings.on_nan == "skip"
        self._weights = [w for group in optimizer.param_groups for w in group["params"]]
        self._clipped = torch.zeros((), device=device)
        self._since = 0  # steps since the last row
        self._unseen: _Late | None = None

    def take(self, step: int, fetch: Fetch, rate: float, *, told: bool = True) -> Taken:
        """Optimiser step number ``step``, at learning rate ``rate``; its row where it is to be ``told``."""
        set_rate(self.optimizer, rate)
        before = self._copies() if told else {}
        losses = self._accumulate(step, fetch)
        self.precision.unscale(self.optimizer)
        norm = whole(nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.grad_clip or inf))
        self._clipped += norm > (self.settings.grad_clip or inf)
        self._since += 1
        if self.noise and self._small_norm2 is not None:
            self.noise.add(self._small_norm2, norm.square())
        bad = self._update(step, losses.plain, norm)
        self.optimizer.zero_grad(set_to_none=True)
        if told:
            return Taken({**self._row(losses, norm, rate), **self._moved(before)}, bad)
        return Taken({} if bad is None else {"batch_loss": nan}, bad)

    # --- the gradient

    def _accumulate(self, step: int, fetch: Fetch) -> Loss:
        """The gradient of the mean over all micro-batches, and their mean losses; of all processes."""
        found: list[Loss] = []
        batches: list[Batch] = []
        self._small_norm2: Tensor | None = None
        devices = self.network.devices
        for micro in devices.own(step, self.parts):
            batches.append(fetch(micro))
            with self.network.averaging(now=len(batches) == self.own):
                found.append(self.loss(batches[-1].to(self.device)))
                fetch(micro + devices.world.size)  # while the card computes, and where train.py draws it
                self.precision.backward(found[-1].objective / self.own)
            if self.noise and len(found) == 1:
                self._small_norm2 = devices.mean(self._first_norm2())
        self.read = {s: b for s, b in self.read.items() if s == step - 1} | {step: batches}
        return _mean(found, devices)

    def loss(self, batch: Batch) -> Loss:
        """The loss of one micro-batch that is on the device."""
        with self.precision.autocast():
            return Loss(*self.objective(batch.x, batch.y, batch.document_BT))

    def _first_norm2(self) -> Tensor:
        """The squared norm of the first micro-batch's own gradient."""
        grads = [w.grad for w in self._weights if w.grad is not None]
        scale = self.own / self.precision.scale
        return (nn.utils.get_total_norm(grads) * scale).square()

    # --- the update

    def _update(self, step: int, loss: Tensor, norm: Tensor) -> int | None:
        """Move the weights; the number of a step that was no number, where one was seen."""
        if not self._waits:
            self.precision.step(self.optimizer)
            seen, self._unseen = self._unseen, _Late(step, loss + norm)
            bad = seen.bad() if seen else None
        else:
            bad = self._step_if_sound(step, loss, norm)
        if self.average:
            self.average.update()
        return bad

    def _step_if_sound(self, step: int, loss: Tensor, norm: Tensor) -> int | None:
        overflows = self.precision.scales and bool(loss.isfinite())  # of float16: what the scaler is for
        if overflows or bool((loss + norm).isfinite()):
            self.skipped += not self.precision.step(self.optimizer)
            return None
        self.skipped += 1
        return step

    # --- what is told

    def _row(self, losses: Loss, norm: Tensor, rate: float) -> dict[str, float]:
        row = {"batch_loss": float(losses.plain), "lr": rate, "grad_norm": float(norm)}
        if self.settings.grad_clip:
            row["clip_fraction"] = float(self._clipped) / self._since
        if losses.z is not None:
            row["z_loss"] = float(losses.z)
        if self.noise and (scale := self.noise.value()) is not None:
            row["gradient_noise_scale"] = scale
        if self.precision.scales:
            row["loss_scale"] = self.precision.scale
        if self._waits:
            row["skipped_steps"] = self.skipped
        self._clipped, self._since = torch.zeros_like(self._clipped), 0
        return row

    def _copies(self) -> dict[str, list[Tensor]]:
        groups = self.optimizer.param_groups
        return {
            g.get("name", str(i)): [w.detach().clone() for w in g["params"]] for i, g in enumerate(groups)
        }

    @torch.no_grad()
    def _moved(self, before: dict[str, list[Tensor]]) -> dict[str, float]:
        """Of each group, the norm of the update over that of the weights."""
        found = {}
        for (name, old), group in zip(before.items(), self.optimizer.param_groups, strict=True):
            size = whole(nn.utils.get_total_norm(old))
            moved = whole(nn.utils.get_total_norm(torch._foreach_sub([*group["params"]], old)))  # noqa: SLF001
            if float(size):  # weights that start at zero have no ratio yet
                found[f"update_ratio_{name}"] = float(moved / size)
        return found

    # --- going on

    def state_dict(self) -> dict[str, Any]:
        """What a resume has to know beside model and optimiser; plain values, and the average's tensors."""
        return {
            "precision": self.precision.state_dict(),
            "noise": self.noise.state_dict() if self.noise else None,
            "average": self.average.state_dict() if self.average else None,
            "clipped": float(self._clipped),
            "since": self._since,
            "skipped": self.skipped,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from ``state``; what the settings no longer ask for is left out."""
        self.precision.load_state_dict(state["precision"])
        if self.noise and state["noise"]:
            self.noise.load_state_dict(state["noise"], self.device)
        if self.average and state["average"]:
            self.average.load_state_dict(state["average"])
        self._clipped = torch.tensor(state["clipped"], device=self.device)
        self._since, self.skipped = int(state["since"]), int(state["skipped"])


class _Late:
    """A number of a step on its way to the CPU: asked for once the card has done the step, while it does the next."""

    def __init__(self, step: int, value: Tensor) -> None:
        self.step, kind = step, value.device.type
        self._event = torch.Event(value.device) if kind != "cpu" else None
        self._value = torch.empty((), pin_memory=kind == "cuda")
        self._value.copy_(value.detach(), non_blocking=True)
        if self._event is not None:
            self._event.record()

    def bad(self) -> int | None:
        """The step, where its number was none; waits for that step alone."""
        if self._event is not None:
            self._event.synchronize()
        return None if bool(self._value.isfinite()) else self.step


def _mean(losses: Sequence[Loss], devices: Devices) -> Loss:
    """Mean losses of micro-batches of equal size; the objective is that of the last, its gradient is spent."""
    plain = devices.mean(torch.stack([one.plain for one in losses]).mean())
    z = [one.z for one in losses if one.z is not None]
    return Loss(losses[-1].objective.detach(), plain, devices.mean(torch.stack(z).mean()) if z else None)
