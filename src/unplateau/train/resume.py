"""A session as a checkpoint, and back. On a CPU, a run that goes on is to the bit what it would be without a stop."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from math import inf, isfinite
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..errors import UnreadableError, printable
from .checkpoints import State, Tensors
from .distributed import as_held
from .order import key_of
from .randomness import random_state, set_random_state
from .rates import going_on

if TYPE_CHECKING:
    from .session import Session

AVERAGE = "average"  # the stepper's word for the moving average of the weights
#: settings that the order of the data follows from; where one is changed, the run's place in it is another
ORDER = ("dataset", "seed", "sampling", "block_size")


def state_of(session: Session) -> State:
    """All that ``session`` goes on from; the tensors are its own."""
    here = session.losses if session.evaluated == session.step else {}
    told = session.stepper.state_dict()
    plain = {
        "settings": asdict(session.settings),
        "tokens": session.step * session.settings.tokens_per_step,
        "lr": session.schedule(session.step),
        "val_loss": _finite(here.get("val_loss", inf)),
        "best": _finite(session.best),
        "evaluated": session.evaluated,
        "losses": {name: _finite(loss) for name, loss in session.losses.items()},
        "stepper": {name: value for name, value in told.items() if name != AVERAGE},
        "batches": session.batches.state(),
        "random": random_state(session.device),
    }
    if not session.devices.alone:
        plain["processes"] = session.devices.heard(json.dumps(_own(session)))
    return State(session.step, tensors_of(session), plain)


def _own(session: Session) -> dict[str, Any]:
    """What each process draws by itself."""
    return {"batches": session.batches.state(), "random": random_state(session.device)}


def tensors_of(session: Session) -> dict[str, Tensors]:
    """By file, then by name: the weights, what the optimiser keeps of each, and their average.

    Of weights in shards, all processes have to ask; process 0 gets them whole.
    """
    session.stepper.network.rest()
    kept = {
        f"{name}.{key}": value
        for name, weight in session.model.named_parameters()
        for key, value in session.optimizer.state.get(weight, {}).items()
    }
    average = session.stepper.state_dict()[AVERAGE]
    found = {
        "model": dict(_weights(session.model)),
        "optimizer": kept,
        **({"ema": average} if average else {}),
    }
    return {file: {n: session.devices.collected(t) for n, t in part.items()} for file, part in found.items()}


def _weights(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Each once, also where two modules share one; and what else the model saves."""
    saved = model.state_dict()
    yield from ((name, weight.detach()) for name, weight in model.named_parameters())
    yield from ((name, buffer) for name, buffer in model.named_buffers() if name in saved)


def restore(session: Session, state: State) -> None:
    """Bring ``session`` to where ``state`` was saved. Raises ``UnreadableError`` where it is of another model."""
    load(session.model, state.tensors["model"])
    told = state.plain
    average = state.tensors.get("ema", {})
    if stepper := told.get("stepper"):
        session.stepper.load_state_dict({**stepper, AVERAGE: average})
    was = told.get("settings", {})
    if was.get("optimizer") == session.settings.optimizer:
        _fill(session, state.tensors.get("optimizer", {}))
    session.step, session.best = state.step, _number(told.get("best"))
    session.schedule = going_on(was, session.settings, state.step, told.get("lr"))
    session.evaluated = int(told.get("evaluated", -1))
    session.losses = {name: _number(loss) for name, loss in told.get("losses", {}).items()}
    own = _told_of(told, session)
    if all(was.get(name) == getattr(session.settings, name) for name in ORDER):
        session.batches.restore(own.get("batches", {}))
    if not own:  # a process that was not there when it was saved
        torch.manual_seed(key_of(session.settings.seed, session.devices.world.rank, session.step) >> 1)
    set_random_state(own.get("random", {}), session.device)


def _told_of(told: Mapping[str, Any], session: Session) -> Mapping[str, Any]:
    """What this process drew; nothing, where another number of them saved it, but of process 0."""
    world, processes = session.devices.world, told.get("processes", [])
    if len(processes) == world.size:
        own: Mapping[str, Any] = json.loads(processes[world.rank])
        return own
    return told if world.leads else {}


def load(model: nn.Module, weights: Tensors) -> None:
    """Copy ``weights`` into ``model``; raises ``UnreadableError`` where they are not its own."""
    own = dict(_weights(model))
    if strange := sorted(own.keys() ^ weights.keys()):
        where = "lacks" if strange[0] in own else "holds"
        raise UnreadableError(f"the checkpoint is of another model: it {where} {printable(strange[0])}")
    with torch.no_grad():
        for name, weight in own.items():
            if weight.shape != weights[name].shape:
                raise UnreadableError(
                    f"the checkpoint is of another model: {name} is {tuple(weights[name].shape)} there, "
                    f"the settings make it {tuple(weight.shape)}"
                )
            weight.copy_(as_held(weights[name], weight))


def _fill(session: Session, kept: Tensors) -> None:
    """Give the optimiser what it kept of each weight; on the devices where it keeps it."""
    own = dict(session.model.named_parameters())
    by_weight: dict[str, dict[str, Tensor]] = {name: {} for name in own}
    for name, tensor in kept.items():
        weight, _, key = name.rpartition(".")
        if weight in by_weight:
            by_weight[weight][key] = as_held(tensor.clone(), own[weight])  # not mapped: the file may go
    number = {weight: name for name, weight in session.model.named_parameters()}
    order = [number[weight] for group in session.optimizer.param_groups for weight in group["params"]]
    groups = session.optimizer.state_dict()["param_groups"]
    states = {index: by_weight[name] for index, name in enumerate(order) if by_weight[name]}
    session.optimizer.load_state_dict({"state": states, "param_groups": groups})


def _finite(value: float) -> float | None:
    return value if isfinite(value) else None


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else inf
