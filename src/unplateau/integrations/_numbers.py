"""Numbers out of what loops hold: Python's own, numpy's and torch's scalars; a GPU is never waited for."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from ..errors import UsageError, printable

Number = float | int | bool


class Later:
    """A number that a GPU has not finished yet: copied behind the work that makes it, read when it is there.

    ``item()`` would wait for all that the GPU has to do, so that the next step could not be prepared meanwhile.
    """

    __slots__ = ("_event", "_host")

    def __init__(self, tensor: Any) -> None:
        cuda: Any = sys.modules["torch"].cuda
        # a later change of the tensor in place comes behind the copy on the same stream
        self._host = tensor.detach().to("cpu", non_blocking=True)
        self._event = cuda.Event()
        self._event.record(cuda.current_stream(tensor.device))

    @property
    def here(self) -> bool:
        """Whether ``get`` gives it at once."""
        return bool(self._event.query())

    def get(self) -> Number:
        """The number, when it is there."""
        self._event.synchronize()
        found: Number = self._host.item()
        return found


def number(name: str, value: Any) -> Number | Later:
    """``value`` as a number, or as one that comes. Raises ``UsageError`` where it is not one number.

    >>> number("lr", 1e-3)
    0.001
    >>> number("grad_norm", [1.0, 2.0])
    Traceback (most recent call last):
    unplateau.errors.UsageError: grad_norm wants one number; found a list
    """
    if isinstance(value, float | int):
        return value
    if getattr(getattr(value, "device", None), "type", "") == "cuda" and value.numel() == 1:
        return Later(value)
    if not hasattr(value, "item"):
        raise UsageError(f"{printable(name)} wants one number; found a {type(value).__name__}")
    try:
        found = value.item()
    except (ValueError, RuntimeError):
        shape = "x".join(map(str, getattr(value, "shape", ()))) or "several"
        raise UsageError(
            f"{printable(name)} wants one number; found {shape} of them: log their mean"
        ) from None
    if not isinstance(found, float | int):
        raise UsageError(f"{printable(name)} wants one number; found a {type(found).__name__}")
    return found


def here(values: Mapping[str, Number | Later]) -> bool:
    """Whether all ``values`` can be read at once."""
    return all(value.here for value in values.values() if isinstance(value, Later))


def read(values: Mapping[str, Number | Later]) -> dict[str, Number]:
    """``values``, those of the GPU waited for."""
    return {name: value.get() if isinstance(value, Later) else value for name, value in values.items()}
