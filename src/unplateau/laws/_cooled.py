"""Cooldowns that a probe measured on a run: two branches of it, one held at its rate and one brought to zero.

Both read the same batches and are evaluated on the same windows, so that their difference is known far better than the
loss of either (probes/cooldown.py). It is given to the law as that, a difference.
"""

from __future__ import annotations

from math import hypot

import numpy as np

from ..evidence import Told, newest
from ..run import Run, Schedule
from ..schedules._branched import Branched
from ..schedules.constant import Constant
from ..schedules.recorded import Recorded
from ._annealing import Pace, Path
from ._posterior import Observed

PROBE, CAUSE = "cooldown", "lr-not-annealed"
#: of what a cooldown measured: sd by which one of another length strays from what the law makes of it. With it six demos (benchmarks/demo.csv
#: and the default seed; arms of 30 steps, cooldowns of 120) stray from what was foretold by 1.0 sd; with the error of measurement alone by 1.8
BENDS = 0.25


def told_of(run: Run) -> tuple[Told, ...]:
    """The cooldowns of ``run`` that were measured from a known step, over a known number of them, while its rate was up."""
    return tuple(
        one for one in newest(run.probed) if (one.probe, one.cause) == (PROBE, CAUSE) and _whole(run, one)
    )


def _whole(run: Run, one: Told) -> bool:
    """True where all that the law needs of it is told."""
    in_nats = one.contrast is not None and one.contrast.unit.startswith("nats")
    return (
        in_nats
        and bool(one.step and one.steps)
        and run.schedule is not None
        and run.schedule(one.step or 0) > 0
    )


def branches(run: Run, one: Told, pace: Pace | None = None) -> Observed:
    """What ``one`` measured at the end of its branches: how much higher the cooled one is than the held one, nats.

    ``one`` is of ``told_of``.
    """
    assert one.contrast is not None
    assert run.schedule is not None
    start, steps, peak = one.step or 0, one.steps or 0, run.schedule.peak
    rate, end = run.schedule(start), start + steps

    def path(after: Schedule) -> Path:
        return Path.of(Branched(run.schedule, after, start), end, peak, pace)  # type: ignore[arg-type]

    down, hold = path(Recorded((start, end), (rate, 0.0))), path(Constant(rate))
    error = hypot(one.contrast.sd, BENDS * abs(one.contrast.value))
    return Observed(down, np.array([float(end)]), np.array([-one.contrast.value]), error, against=hold)
