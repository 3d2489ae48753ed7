"""A function that is compiled at its first call; where that fails, it is taken as it is, and one line says why."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, ParamSpec, TypeVar

import torch

from ..errors import printable
from . import timings
from .kernels import key

if TYPE_CHECKING:
    from .session import Session

P = ParamSpec("P")
R = TypeVar("R")
SHOWN = 160  # characters of a compiler's own words


def compile_step(session: Session, say: Callable[[str], None]) -> None:
    """Compile the step of ``session`` where its settings say so; what that took is kept for the next run's choice."""
    if session.settings.compile == "on":
        name = key("compile", session.settings, session.device)
        stepper = session.stepper
        stepper.objective = Compiled(stepper.objective, say, lambda s: timings.write(name, {"seconds": s}))


class Compiled(Generic[P, R]):
    """``function``, compiled for tensors of one size. ``say`` gets one line where that can't be done.

    ``seconds``: what the first call took; None before it, or where it was not compiled.
    """

    def __init__(
        self,
        function: Callable[P, R],
        say: Callable[[str], None],
        done: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._plain, self._say, self._done = function, say, done
        self._compiled: Callable[P, R] | None = None
        self.seconds: float | None = None
        self.failed = False

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        if self.failed:
            return self._plain(*args, **kwargs)
        if self.seconds is None:
            return self._first(*args, **kwargs)
        assert self._compiled is not None
        return self._compiled(*args, **kwargs)

    def _first(self, *args: P.args, **kwargs: P.kwargs) -> R:
        begun = time.perf_counter()
        try:
            self._compiled = torch.compile(self._plain, dynamic=False)
            found = self._compiled(*args, **kwargs)
        except Exception as error:
            if not _of_compiler(error):
                raise
            self.failed = True
            self._say(f"the step is not compiled, the run goes on without: {reason(error)}")
            return self._plain(*args, **kwargs)
        self.seconds = time.perf_counter() - begun
        self._done(self.seconds)
        return found


def _of_compiler(error: Exception) -> bool:
    """True for what compiling raised, false for what the function itself would raise."""
    from torch._dynamo.exc import TorchDynamoException

    return isinstance(error, TorchDynamoException | ImportError | FileNotFoundError | PermissionError)


def reason(error: BaseException) -> str:
    r"""The first line that tells something, of a compiler's many.

    >>> reason(RuntimeError("CppCompileError: C++ compile error\n\nCommand:\ng++ ..."))
    'CppCompileError: C++ compile error'
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if not line.endswith("raised:")] or [type(error).__name__]
    return printable(telling[0], SHOWN)
