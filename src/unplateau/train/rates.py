"""The learning rate of a run: its schedule, the same object that the diagnosis makes of ``config.json``, and its peak where none is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from ..errors import UsageError
from ..planned import configured
from ..run import Fact, Schedule
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
