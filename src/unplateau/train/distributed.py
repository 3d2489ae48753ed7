"""Several processes on one run, as torchrun starts them: who this one is, and what they tell each other.

Each takes its share of a step's micro-batches and of an evaluation's windows; process 0 alone writes. ``ddp`` keeps the
whole model in each and averages gradients (Li et al. 2020); ``fsdp`` keeps a shard of each weight, its gradient and
its moments (FSDP2, Zhao et al. 2023). What passes between processes is numbers, never pickled objects.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from ..errors import ElsewhereError, UsageError
from .settings import Resolved, Settings
from .world import World, once_a_machine

if TYPE_CHECKING:
    from .start import Start

BACKENDS = {
    "cpu": "gloo",
    "cuda": "cpu:gloo,cuda:nccl",
}  # by the kind of device; flags go by the CPU everywhere
LEFT = (
    "Connection closed by peer",
    "Connection reset by peer",
    "Broken pipe",
)  # gloo's words when another has ended


class Devices:
    """The processes of one run and their devices. Of a process alone, every method gives back what it was given."""

    def __init__(self, world: World, device: torch.device) -> None:
        self.world, self.device = world, device

    @property
    def alone(self) -> bool:
        return self.world.size == 1

    def own(self, step: int, parts: int) -> range:
        """The global numbers of this process's micro-batches of a step.

        >>> [list(Devices(World(rank, 2), torch.device("cpu")).own(3, 4)) for rank in (0, 1)]
        [[12, 14], [13, 15]]
        """
        return range(step * parts + self.world.rank, (step + 1) * parts, self.world.size)

    # --- the model

    def spread(self, model: nn.Module, how: str) -> Network:
        """Give all processes the weights of process 0, and ``model`` its way to average gradients."""
        if self.alone:
            return Network(model, self)
        return _sharded(model, self) if how == "fsdp" else _copied(model, self)

    # --- numbers

    def mean(self, value: Tensor) -> Tensor:
        """The mean over all processes of a tensor on the device."""
        return value if self.alone else self._sum(value) / self.world.size

    def any(self, flag: bool) -> bool:
        """Whether it is so in any process."""
        return flag if self.alone else bool(self._sum(torch.tensor(int(flag))))

    def lead(self, numbers: Tensor) -> Tensor:
        """What process 0 gave; the others give something of that shape, on the CPU."""
        if self.alone:
            return numbers
        numbers = numbers.clone()
        torch.distributed.broadcast(numbers, 0)
        return numbers

    def all(self, numbers_N: Tensor) -> list[Tensor]:
        """What each process gave, (N,) on the CPU, N of its own in each."""
        if self.alone:
            return [numbers_N]
        sizes = self._gathered(torch.tensor([len(numbers_N)]))
        longest = max(int(n) for n in sizes)
        padded = numbers_N.new_zeros(longest)
        padded[: len(numbers_N)] = numbers_N
        return [found[: int(n)] for found, n in zip(self._gathered(padded), sizes, strict=True)]

    def told(self, text: str) -> str:
        """What process 0 says."""
        if self.alone:
            return text
        data = _letters(text)
        length = int(self.lead(torch.tensor([len(data)])))
        told = self.lead(data if self.world.leads else torch.empty(length, dtype=torch.uint8))
        return bytes(told.tolist()).decode()

    def heard(self, text: str) -> list[str]:
        """What each process says."""
        found = self.all(_letters(text))
        return [bytes(one.tolist()).decode() for one in found]

    def collected(self, tensor: Tensor) -> Tensor:
        """A tensor that may be in shards, whole and on the CPU in process 0, empty in the others; all have to ask."""
        if not in_shards(tensor):
            return tensor
        found = whole(tensor)
        return found.cpu() if self.world.leads else found.new_empty(0)

    def wait(self) -> None:
        """Until all are here."""
        self.any(False)

    def _sum(self, value: Tensor) -> Tensor:
        value = value.detach().clone()
        torch.distributed.all_reduce(value)
        return value

    def _gathered(self, value: Tensor) -> list[Tensor]:
        found = [torch.empty_like(value) for _ in range(self.world.size)]
        torch.distributed.all_gather(found, value)
        return found


def _letters(text: str) -> Tensor:
    return torch.tensor(list(text.encode()), dtype=torch.uint8)


ALONE = Devices(World(), torch.device("cpu"))


class Network:
    """A model as a training step calls it: its gradients are averaged over all processes where that is asked for."""

    sharded = False

    def __init__(self, model: nn.Module, devices: Devices = ALONE) -> None:
        self.model, self.devices = model, devices

    def __call__(self, tokens_BT: Tensor, document_BT: Tensor | None) -> Tensor:
        logits_BTV: Tensor = self.model(tokens_BT, document_BT)
        return logits_BTV

    @contextmanager
    def averaging(self, *, now: bool) -> Iterator[None]:
        """Around a forward and backward pass: whether its gradients, with those before, are averaged ``now``."""
        del now
        yield

    def rest(self) -> None:
        """Let go of what was gathered to be called: the model's parameters are those that the optimiser knows."""


class _Copied(Network):
    @contextmanager
    def averaging(self, *, now: bool) -> Iterator[None]:
        if now:
            yield
            return
        with self.model.no_sync():  # type: ignore[operator]
            yield


class _Sharded(Network):
    sharded = True

    @contextmanager
    def averaging(self, *, now: bool) -> Iterator[None]:
        self.model.set_requires_gradient_sync(now)  # type: ignore[operator]
        yield

    def rest(self) -> None:
        self.model.reshard()  # type: ignore[operator]


def _copied(model: nn.Module, devices: Devices) -> Network:
    """DistributedDataParallel: it begins with the weights of process 0."""
    from torch.nn.parallel import DistributedDataParallel

    ids = [devices.device] if devices.device.type == "cuda" else None
    newer = "forward_sync_buffers" in signature(DistributedDataParallel).parameters  # torch 2.13
    constant: dict[str, Any] = {
        "forward_sync_buffers" if newer else "broadcast_buffers": False
    }  # buffers are tables of angles
    copied = DistributedDataParallel(model, ids, gradient_as_bucket_view=True, **constant)
    return _Copied(copied, devices)


def _sharded(model: Any, devices: Devices) -> Network:
    """FSDP2: each block, and the rest of the model, gathers its weights when it is called."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    for value in (*model.parameters(), *model.buffers()):
        torch.distributed.broadcast(value.data, 0)
    mesh = init_device_mesh(devices.device.type, (devices.world.size,))
    for block in model.blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    for name in ("hidden", "head"):  # an evaluation calls them by themselves
        register_fsdp_forward_method(model, name)
    return _Sharded(model, devices)


# --- shards of a tensor


def in_shards(tensor: Tensor) -> bool:
    """True where each process holds a part of it alone."""
    return hasattr(tensor, "full_tensor")


def whole(tensor: Tensor) -> Tensor:
    """A tensor of which each process may hold a shard, whole in all of them; all have to ask."""
    if not in_shards(tensor):
        return tensor
    found: Tensor = tensor.full_tensor()  # type: ignore[attr-defined]
    return found


def as_held(tensor: Tensor, like: Tensor) -> Tensor:
    """``tensor``, whole in all processes, as this one holds ``like``: its own shard of it. Nothing is sent."""
    if not in_shards(like) or tensor.shape != like.shape:
        return tensor
    from torch.distributed.tensor import distribute_tensor

    held: Any = like
    return distribute_tensor(tensor.to(like.device), held.device_mesh, held.placements, src_data_rank=None)


# --- joining


@contextmanager
def joined(settings: Settings, device: torch.device) -> Iterator[Devices]:
    """The processes that torchrun started, until all are done; raises ``UsageError`` where they can't share this run.

    Where one of them ends early, the others do too: ``ElsewhereError``.
    """
    world = World.of()
    if world.size == 1:
        yield Devices(world, device)
        return
    with once_a_machine():
        check(settings, world, device)
    if device.type == "cuda":
        device = torch.device("cuda", world.local)
        torch.cuda.set_device(device)
    joins = not torch.distributed.is_initialized()  # else whoever did it ends it
    if joins:
        torch.distributed.init_process_group(BACKENDS[device.type])
    try:
        yield Devices(world, device)
    except RuntimeError as error:
        if not any(word in str(error) for word in LEFT):
            raise
        raise ElsewhereError("another process of this run has ended") from None
    finally:
        if joins:
            torch.distributed.destroy_process_group()


class Nobody:
    """Stands where a process that does not lead would have a folder, or who saves: whatever it is told, it does nothing."""

    def __getattr__(self, name: str) -> Any:
        return self

    def __call__(self, *told: Any, **also: Any) -> None:
        del told, also

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        del error


def agreed(devices: Devices, start: Start, resolved: Resolved) -> tuple[Start, Resolved]:
    """What process 0 starts from, and its settings, in all of them: none chooses for itself."""
    mine = {"kind": start.kind, "path": str(start.path), "settings": asdict(resolved.settings)}
    told = json.loads(devices.told(json.dumps(mine)))
    settings = Settings(**told["settings"])
    return replace(start, kind=told["kind"], path=Path(told["path"])), replace(resolved, settings=settings)


def check(settings: Settings, world: World, device: torch.device) -> None:
    """Raise ``UsageError`` where ``settings`` can't be shared by so many."""
    parts = settings.gradient_accumulation_steps
    if parts % world.size:
        raise UsageError(
            f"gradient_accumulation_steps {parts} does not divide by the {world.size} processes of torchrun: "
            "it counts the micro-batches of all of them together"
        )
    if device.type not in BACKENDS:
        raise UsageError(f"several processes share a run on {' or '.join(BACKENDS)}, not on {device.type}")
    if device.type == "cuda" and world.local >= (cards := torch.cuda.device_count()):
        raise UsageError(f"torchrun started more processes than this machine has cards: {cards}")
    if settings.parallel == "fsdp" and settings.dtype == "float16":
        raise UsageError("float16 is scaled by one process alone: take bfloat16 with parallel fsdp")
