"""unplateau: why a training loss stopped falling, and what to do about it.

>>> import unplateau as up
>>> run = up.read(up.EXAMPLE)
>>> found = up.diagnose(run)
>>> found.state.verdict, found.first.cause
('falling', 'lr-not-annealed')
>>> print(up.forecast(run, cooldown=2000).futures[1].loss)
3.543 nats (3.527 to 3.559)

To log a run from a loop of your own, see ``log`` and ``init``; what each function does stands in ``help(unplateau.read)``.
Nothing is loaded before it is used: ``import unplateau`` takes a few milliseconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import (
        EXAMPLE,
        Comparison,
        Diagnosis,
        Estimate,
        Finding,
        Forecast,
        Logger,
        Run,
        StopTraining,
        UnplateauError,
        UnreadableError,
        UsageError,
        as_dict,
        compare,
        diagnose,
        finish,
        forecast,
        init,
        log,
        read,
        read_all,
        should_stop,
        text,
        write_back,
        write_report,
    )

__version__ = "0.1.0"
__all__ = [
    "EXAMPLE",
    "Comparison",
    "Diagnosis",
    "Estimate",
    "Finding",
    "Forecast",
    "Logger",
    "Run",
    "StopTraining",
    "UnplateauError",
    "UnreadableError",
    "UsageError",
    "as_dict",
    "compare",
    "diagnose",
    "finish",
    "forecast",
    "init",
    "log",
    "read",
    "read_all",
    "should_stop",
    "text",
    "write_back",
    "write_report",
]


def __getattr__(name: str) -> Any:
    """What ``__all__`` names, loaded where it is asked for (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
