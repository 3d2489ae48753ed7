"""What a run may be stopped for: causes, and verdicts on its curve."""

from __future__ import annotations

from difflib import get_close_matches

from ..errors import UsageError, printable
from ..given import names as names_of


def checked(stop_on: object) -> frozenset[str]:
    """``stop_on``, a name or several, as a set. Raises ``UsageError`` for a name that is never raised.

    >>> checked(["divergd"])
    Traceback (most recent call last):
    unplateau.errors.UsageError: stop_on: nothing is called 'divergd'; did you mean diverged?
    """
    names = frozenset(names_of(stop_on, "stop_on"))
    if names:
        from ..plugins import discover
        from ..watch.judging import RAISED

        known = [*RAISED, *discover("hypotheses")]
        for name in sorted(names.difference(known)):
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
            raise UsageError(f"stop_on: nothing is called {printable(name)!r}; {hint}")
    return names
