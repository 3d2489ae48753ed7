"""Findings as a table, and the numbers of the forecast, in a trackio run: local, unless the user opened it elsewhere."""

from __future__ import annotations

from ..diagnosis import Diagnosis
from ..errors import UsageError, why
from ..futures import Forecast
from ._findings import COLUMNS, PREFIX, numbers, rows, step_of


def write(found: Diagnosis, ahead: Forecast | None = None) -> str:
    """Log the table ``unplateau/findings`` and numbers to the open run, at its last step; where they went, in words.

    Raises ``UsageError`` where trackio is missing, or no run is open.
    """
    try:
        import trackio
    except ImportError:
        raise UsageError("trackio is not installed: pip install trackio") from None
    table = trackio.Table(columns=list(COLUMNS), data=rows(found))
    try:
        trackio.log({f"{PREFIX}/findings": table, **numbers(found, ahead)}, step=step_of(found))
    except RuntimeError as error:
        raise UsageError(f"no run of trackio is open; call trackio.init first ({why(error)})") from None
    return "the open trackio run"
