"""How fast this machine is now: the time that arms took against what the logged step times gave for them."""

from __future__ import annotations

from dataclasses import dataclass, field

LEAST = 1.0  # seconds; what is shorter took nothing worth a word
ROOM = 1.5  # of the time that is left: what a trial may be expected to take and is begun all the same, for it may stop early


@dataclass(slots=True)
class Pace:
    """Arms that are done: seconds that were expected of each, and that it took; ``baseline``: what was evaluated first."""

    expected: list[float] = field(default_factory=list)
    measured: list[float] = field(default_factory=list)
    baseline: float = 0.0

    def took(self, expected: float, measured: float) -> None:
        """Note an arm; one of which nothing was expected tells nothing."""
        if expected > 0:
            self.expected.append(expected)
            self.measured.append(measured)

    @property
    def slower(self) -> float:
        """How many times longer arms take than expected; 1 where none is done.

        >>> Pace([5.0, 10.0], [10.0, 35.0]).slower
        3.0
        """
        return sum(self.measured) / sum(self.expected) if self.expected else 1.0

    def seconds(self, expected: float) -> float:
        """What takes ``expected`` seconds by the log, as it is here."""
        return self.slower * expected

    def eaten(self) -> str:
        """What the baseline took of the budget, and what to do.

        >>> Pace(baseline=118.0).eaten()
        '; the baseline took 118 s of it: give a larger --budget, for it is not run again once it is done'
        >>> Pace(baseline=0.2).eaten()
        '; give a larger --budget'
        """
        if self.baseline < LEAST:
            return "; give a larger --budget"
        return f"; the baseline took {self.baseline:.0f} s of it: give a larger --budget, for it is not run again once it is done"

    def first(self, ahead: float) -> str:
        """A line after the first arm, with what is ``ahead``; empty after others, or where nothing is.

        >>> Pace([5.0], [14.0]).first(20.0)
        'the first arm took 14 s, 2.8 times what the logged speed gives: the rest takes some 56 s'
        """
        if len(self.expected) != 1 or ahead <= 0:
            return ""
        return (
            f"the first arm took {self.measured[0]:.0f} s, {self.slower:.1f} times what the logged speed gives: "
            f"the rest takes some {self.seconds(ahead):.0f} s"
        )


def too_long(needed: float, left: float) -> str:
    """Why a trial that takes ``needed`` seconds is not begun with ``left`` of them; empty where it is.

    >>> too_long(80.0, 40.0), too_long(50.0, 40.0)
    ('it would take some 80 s here, and 40 s of the budget are left', '')
    """
    if needed <= ROOM * left:
        return ""
    return f"it would take some {needed:.0f} s here, and {left:.0f} s of the budget are left"
