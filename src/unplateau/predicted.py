"""Forecasts as they were stored, read back as predictions of one run, and whether a run is the one that was meant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import hypot, isclose
from typing import Any

import msgspec

from .errors import printable
from .estimate import Estimate
from .run import Run
from .settings import MADE, Setting, in_words

WITHOUT = "without "  # the start of the name of a future that mends a cause
PLANNED = "as planned"
#: of a patch: where a run starts from and is written to, no setting of the experiment
PLACES = ("out_dir", "init_from", "wandb_run_name", "run_name")


@dataclass(frozen=True, slots=True)
class Prediction:
    """What was, or would have been, said of AFTER. ``date``: when it was stored; empty where it was made afterwards.

    ``since``: the step of BEFORE that the gain is below; ``step``: the one of AFTER that it is for. ``gain``: None where no
    law prices it, ``why`` then says so.
    """

    name: str
    gain: Estimate | None
    since: int
    step: int
    date: str = ""
    patch: Mapping[str, tuple[Any, Any]] | None = None
    causes: tuple[str, ...] = ()  # that it mends
    why: str = ""
    basis: str = ""  # what the gain rests on, where that is no law


class _Future(msgspec.Struct):
    """What is needed of a stored future; the rest is for people."""

    name: str
    step: int
    patch: dict[str, tuple[Any, Any]] = {}
    loss: Estimate | None = None
    gain: Estimate | None = None
    causes: tuple[str, ...] = ()
    basis: str = ""
    settings: dict[str, tuple[Any, Any]] = {}  # the patch in our own words, without where it starts


class _Forecast(msgspec.Struct):
    last_step: int
    futures: list[_Future]
    date: str = ""
    now: Estimate | None = None


def chosen(
    stored: Sequence[Mapping[str, Any]], after: Run, changes: Sequence[Setting], cause: str | None
) -> Prediction | None:
    """The last stored prediction of ``after``: of mending ``cause``, else of the settings that it has; None where none was."""
    known = [made for one in stored for made in _predictions(one)]
    if cause is not None:
        mine = [made for made in known if cause in made.causes]
        return next((made for made in reversed(mine) if made.causes == (cause,)), mine[-1] if mine else None)
    has = in_words(after)
    fits = [
        made
        for made in known
        if made.patch and not unlike(after, made.patch) and set(made.patch) - set(PLACES) <= has.keys()
    ]
    if not fits and not [one for one in changes if one.canonical in MADE]:
        fits = [made for made in known if made.name == PLANNED]
    return fits[-1] if fits else None


def _predictions(stored: Mapping[str, Any]) -> list[Prediction]:
    """The futures of a stored forecast; none of one that is damaged."""
    try:
        one = msgspec.convert(stored, _Forecast, strict=False)
    except (msgspec.ValidationError, ValueError):
        return []
    return [
        Prediction(
            printable(f.name, 200),
            f.gain or _gain(one.now, f.loss),
            one.last_step,
            f.step,
            printable(one.date, 40) or "an unknown date",
            f.settings or f.patch,
            f.causes or causes_of(f.name),
            "" if f.gain or f.loss else "no law prices it",
            printable(f.basis, 200),
        )
        for f in one.futures
    ]


def _gain(now: Estimate | None, loss: Estimate | None) -> Estimate | None:
    """What a loss is below the trend of now, their errors taken as independent."""
    if now is None or loss is None:
        return None
    value = now.value - loss.value
    below = hypot(now.value - now.low, loss.high - loss.value)
    above = hypot(now.high - now.value, loss.value - loss.low)
    return Estimate(value, value - below, value + above, now.unit)


def causes_of(name: str) -> tuple[str, ...]:
    """The causes that a future mends, by its name.

    >>> causes_of("without capacity, no-warmup"), causes_of("as planned")
    (('capacity', 'no-warmup'), ())
    """
    return tuple(name.removeprefix(WITHOUT).split(", ")) if name.startswith(WITHOUT) else ()


def unlike(after: Run, patch: Mapping[str, tuple[Any, Any]]) -> list[str]:
    """The settings of ``patch`` that ``after`` is known not to have, in words."""
    has = in_words(after)
    return [
        f"{printable(key)} is {printable(str(has[key]))}, not {printable(str(new))}"
        for key, (_, new) in patch.items()
        if key not in PLACES and key in has and has[key] != new and not close(has[key], new)
    ]


def close(one: Any, other: Any) -> bool:
    """True for two numbers that are the same but for their last digits.

    >>> close(1e-4, 0.0001), close("a", 1)
    (True, False)
    """
    numbers = all(isinstance(x, int | float) for x in (one, other))
    return numbers and isclose(one, other, rel_tol=1e-6)
