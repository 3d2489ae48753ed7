"""Checkpoints saved in the background: the loop waits for a copy in memory, a thread of its own writes it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ..durable import told
from ..errors import UnplateauError
from . import checkpoints
from .checkpoints import State, Tensors

Copies = dict[str, dict[str, Tensor]]


class Saver:
    """Saves into ``folder``, one checkpoint at a time, and removes those that ``checkpoints.prune`` does not keep.

    A disk that is full ends no run: what was saved before stays, ``say`` gets a line, and the next save tries again;
    only ``close`` raises, for then there is no next one. The thread ends with the process, however that ends.
    """

    def __init__(self, folder: Path, keep_every: int, say: Callable[[str], None]) -> None:
        self.folder, self.keep_every = folder, keep_every
        self._say = say
        self._copies: Copies = {}
        self._thread: threading.Thread | None = None
        self._failed: tuple[int, Exception] | None = None
        with told(folder):
            folder.mkdir(exist_ok=True)

    def ready(self, tensors: Mapping[str, Tensors]) -> None:
        """Take memory for the copies, in the background: its first use costs ten times what a copy does."""
        self.poll(wait=True)
        self._begin(lambda: self._fit(tensors))

    def save(
        self,
        state: State,
        before: Callable[[], object] | None = None,
        after: Callable[[State], object] | None = None,
    ) -> None:
        """Copy ``state``, and write it while the loop goes on; waits for the save before it.

        In the background too: what is to be done ``before``, and ``after`` it is durable with the copy.
        """
        self.poll(wait=True)
        copy = replace(state, tensors=self._copied(state.tensors))
        self._begin(lambda: self._write(copy, before, after))

    def poll(self, *, wait: bool = False) -> None:
        """Say what went wrong with the save before this, once; ``wait`` until it has ended."""
        if self._thread is not None and (wait or not self._thread.is_alive()):
            self._thread.join()
            self._thread = None
        failed, self._failed = (None, self._failed) if self._thread else (self._failed, None)
        if failed is None:
            return
        step, error = failed
        if not isinstance(error, UnplateauError):
            raise error
        self._say(f"step {step:,} is not saved, the run goes on: {error}")

    def leave(self) -> None:
        """Wait for the last save, where another mistake ends the run."""
        if self._thread is not None:
            self._thread.join()

    def close(self) -> None:
        """Wait for the last save; raises what kept it from being durable."""
        self.leave()
        failed, self._failed, self._thread = self._failed, None, None
        if failed is not None:
            raise failed[1]

    def _begin(self, work: Callable[[], None]) -> None:
        self._thread = threading.Thread(target=work, name="checkpoint", daemon=True)
        self._thread.start()

    def _write(
        self, state: State, before: Callable[[], object] | None, after: Callable[[State], object] | None
    ) -> None:
        try:
            _refuse_broken(state)
            if before is not None:
                before()
            checkpoints.write(self.folder, state)
            checkpoints.prune(self.folder, self.keep_every)
            if after is not None:
                after(state)
        except Exception as error:  # noqa: BLE001 - told by the loop's thread
            self._failed = state.step, error

    def _copied(self, tensors: Mapping[str, Tensors]) -> Copies:
        self._fit(tensors)
        for name, part in tensors.items():
            for key, tensor in part.items():
                self._copies[name][key].copy_(tensor.detach(), non_blocking=True)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return self._copies

    def _fit(self, tensors: Mapping[str, Tensors]) -> None:
        """Memory for a copy of each tensor, taken where there is none yet."""
        before, self._copies = self._copies, {name: {} for name in tensors}
        for name, part in tensors.items():
            for key, tensor in part.items():
                held = before.get(name, {}).get(key)
                fits = held is not None and (held.shape, held.dtype) == (tensor.shape, tensor.dtype)
                self._copies[name][key] = held if fits and held is not None else _taken(tensor)


def _refuse_broken(state: State) -> None:
    """Raise ``UnplateauError`` for weights that are no numbers: nothing goes on from them."""
    for name, weight in state.tensors["model"].items():
        if weight.is_floating_point() and not bool(weight.isfinite().all()):
            raise UnplateauError(f"{name} holds weights that are no numbers; the checkpoint before it stays")


def _taken(tensor: Tensor) -> Tensor:
    """Memory of the CPU that is there, not only promised; a card copies into it directly."""
    pinned = tensor.device.type == "cuda"
    copy = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=pinned)
    if copy.numel() and not pinned:
        copy.reshape(-1).view(torch.uint8).numpy().fill(0)  # by this thread alone: torch would wake its own
    return copy
