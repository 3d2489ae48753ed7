"""The unit in which a picture counts time: of a run of seconds not thousandths of an hour, of weeks not hundreds."""

from __future__ import annotations

#: up to so many hours (as in unplateau.cost.SPANS): the word, how many of it an hour has
UNITS = ((1 / 30, "seconds", 3600.0), (1.5, "minutes", 60.0), (100.0, "hours", 1.0))
DAYS = ("days", 1 / 24)
WORDS = frozenset({word for _, word, _ in UNITS} | {DAYS[0]})


def unit_of(hours: float) -> tuple[str, float]:
    """The unit for times of up to ``hours``, and how many of it an hour has.

    >>> unit_of(0.003), unit_of(0.2), unit_of(46.0), unit_of(240.0)[0]
    (('seconds', 3600.0), ('minutes', 60.0), ('hours', 1.0), 'days')
    """
    return next(((word, times) for most, word, times in UNITS if hours < most), DAYS)
