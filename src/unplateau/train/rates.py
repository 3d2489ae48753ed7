"""The learning rate of a run: its schedule, the same object that the diagnosis makes of ``config.json``, and its peak where none is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ..errors import UsageError
from ..planned import configured
from ..run import Fact, Schedule
from ..schedules._branched import Branched
from ..schedules._capped import Capped
from .settings import Settings

#: peak x width of AdamW: 4e-3 at width 128 and 1e-3 at 512 (BASELINES in docs/LOG.md; width: Yang et al. 2022, table 3)
ADAMW_WIDTH = 0.512
#: of Muon's matrices, whatever the width: its updates have a fixed norm (Jordan 2024)
PEAKS: Mapping[str, float] = {"muon": 0.02}
WSD_DECAY = 5  # wsd's decay is the last 1/5 of the run (Hägele et al. 2024, section 3: 10 to 20 % suffice)
ENDLESS = ("constant", "inverse_sqrt")


def own_peak(settings: Settings) -> float:
    """The peak learning rate of an optimiser at a width.

    >>> own_peak(Settings(optimizer="adamw", n_embd=128))
    0.004
    """
    return PEAKS.get(settings.optimizer) or float(f"{ADAMW_WIDTH / settings.n_embd:.2g}")


def ends(settings: Settings) -> dict[str, int]:
    """Where the decay begins and ends, of what the settings leave open."""
    if settings.schedule in ENDLESS:
        return {}
    end = settings.decay_end or settings.max_steps
    found = {} if settings.decay_end else {"decay_end": end}
    if settings.schedule == "wsd" and not settings.decay_start:
        found["decay_start"] = end - max(1, end // WSD_DECAY)
    return found


def schedule_of(settings: Settings) -> Schedule:
    """The learning rate as a function of the step, for settings whose peak and ends are known.

    >>> lr = schedule_of(Settings(schedule="cosine", peak_lr=1e-3, floor_lr=1e-4, warmup_steps=500, decay_end=20_000))
    >>> f"{lr(14_500):.2e}"
    '2.65e-04'
    """
    found = configured({name: Fact(value) for name, value in asdict(settings).items()})
    if found is None:
        raise UsageError(
            f"the schedule {settings.schedule} lacks its peak_lr, or its end: give --peak_lr and --max_steps"
        )
    return found


#: a run that goes on with these as they were has its schedule made longer or shorter, and no other one
SAME = ("schedule", "peak_lr", "warmup_steps")


def going_on(was: Mapping[str, Any], now: Settings, step: int, lr: float | None = None) -> Schedule:
    """The schedule of a run that goes on after ``step`` steps with settings ``now``; they ``was`` others before.

    ``lr``: the rate at ``step`` as it was saved; None is what ``was`` makes of it. A schedule that is only made longer
    does not rise again: it stays where it was until the longer one has come down to it. Raises ``UsageError`` where
    that is 0, since nothing would be learned.

    >>> was = Settings(schedule="linear", peak_lr=1.0, warmup_steps=0, decay_end=1_000)
    >>> longer = Settings(schedule="linear", peak_lr=1.0, warmup_steps=0, decay_end=2_000)
    >>> lr = going_on(asdict(was), longer, step=800)
    >>> [round(lr(step), 2) for step in (799, 800, 1_500, 1_600, 1_800)]
    [0.2, 0.2, 0.2, 0.2, 0.1]
    """
    after = schedule_of(now)
    if step < now.warmup_steps or any(was.get(name) != getattr(now, name) for name in SAME):
        return after
    before = schedule_of(Settings(**{name: was[name] for name in asdict(now) if name in was}))
    here = before(step) if lr is None else lr
    longer = now.max_steps > max(step, was.get("max_steps", step))
    if not here and not now.eval_only and (longer or after(step) > 0):
        raise UsageError(
            f"the learning rate has come down to 0 by step {step:,}: more steps would learn nothing. Go on from an "
            "earlier checkpoint (--init_from=RUN/checkpoints/STEP --out_dir=NEW), or give another --peak_lr"
        )
    return after if after(step) <= here else Branched(before, Capped(after, here), step - 1)
