"""What a watch sees, as values: how each run stands, and what happened to it since the last look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..estimate import Estimate

#: appeared: a log, or a run in it; evaluated: a new evaluation was judged; raised, cleared: a finding;
#: resumed: the run went back to an earlier step; restarted: another run began in the same log;
#: rotated: the log was moved aside and begun anew; cut: it became shorter; gone: it is not there any more;
#: quiet, alive: it stopped growing, it grows again; ended: the planned end is reached; ran: the user's own
#: command ended; trouble: something could not be read, kept or run
Kind = Literal[
    "appeared",
    "evaluated",
    "raised",
    "cleared",
    "resumed",
    "restarted",
    "rotated",
    "cut",
    "gone",
    "quiet",
    "alive",
    "ended",
    "ran",
    "trouble",
]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. ``run``: the key of a ``Watched``, empty where it is of the whole path."""

    when: float  # seconds since 1970
    kind: Kind
    run: str
    text: str  # a sentence
    name: str = ""  # the cause or the curve's verdict that was raised or cleared
    step: int | None = None
    calm: bool = False  # of what was raised: it asks for nothing but to go on as planned
    old: bool = False  # it was raised on a run, one of several, that had ended before anybody watched it


@dataclass(frozen=True, slots=True)
class Standing:
    """A finding that was raised and not cleared: a supported cause, or the verdict on the curve."""

    name: str
    since_step: int  # the first evaluation at which it held without a break
    since: float  # seconds since 1970; when that was seen
    probability: float | None  # at the last evaluation at which it held
    calm: bool = False  # it asks for nothing but to go on as planned
    before: bool = False  # it held before that step too, when nobody watched


@dataclass(frozen=True, slots=True)
class Watched:
    """One run as it stands. ``step`` is None until it was judged; then ``verdict`` and ``headline`` are empty too."""

    key: str  # unique in this watch, the same as long as the log lies there
    name: str
    path: Path  # of the log
    format: str = ""
    verdict: str = ""  # falling, slowing, flat, rising, diverged or too-short
    headline: str = ""  # the verdict in a sentence or two
    series: str = ""  # the loss that is shown: of the last evaluation
    unit: str = ""
    loss: float | None = None  # its value at step ``evaluated``; None where that is no number
    step: int | None = None  # the last logged step
    evaluated: int | None = None  # the step of the last evaluation that was judged
    end: int | None = None  # the planned one
    planned: tuple[int, Estimate] | None = None  # the planned end, and the loss there
    left: Estimate | None = None  # hours to the planned end
    pace: str = ""  # where ``left`` comes from
    rate: Estimate | None = None  # nats per hour from here
    standing: tuple[Standing, ...] = ()  # what was raised and not cleared, the first in rank first
    findings: Mapping[str, tuple[str, float | None]] | None = None  # cause -> verdict, probability; as ranked
    written: float = 0.0  # seconds since 1970; when the log last grew
    judged: str = ""  # the loss that ``verdict`` is of; empty where it is ``series``
    quiet: bool = False  # it has not grown for much longer than it used to take


@dataclass(frozen=True, slots=True)
class Update:
    """All runs as they stand, the last written first, and what happened since the update before."""

    number: int  # 1, 2, ...
    when: float  # seconds since 1970
    path: Path
    runs: tuple[Watched, ...] = ()
    events: tuple[Event, ...] = ()
    waiting: str = ""  # why there is no run yet; else empty
    troubles: tuple[
        Event, ...
    ] = ()  # what went wrong and was not mended since, the last first: a command that failed

    def run(self, key: str) -> Watched | None:
        """The run of that key; None where there is none."""
        return next((one for one in self.runs if one.key == key), None)
