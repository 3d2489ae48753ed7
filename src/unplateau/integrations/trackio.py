"""Findings as a table, and the numbers of the forecast, in a trackio run: local, unless the user opened it elsewhere."""

from __future__ import annotations

from ..diagnosis import Diagnosis
from ..errors import UsageError, why
from ..futures import Forecast
from ._findings import shown
from ._shown import COLUMNS, PREFIX, Shown


def write(found: Diagnosis, ahead: Forecast | None = None) -> str:
    """Log the table ``unplateau/findings`` and numbers to the open run, at its last step; where they went, in words.

    Raises ``UsageError`` where trackio is missing, or no run is open.
    """
    told = shown(found, ahead)
    return put(told, step=told.step)


def put(told: Shown, *, step: int | None = None, **beside: float) -> str:
    """Log the table and the numbers, with what stands ``beside`` them; ``step``: trackio's own, None for its next.

    Raises ``UsageError`` as ``write`` does.
    """
    try:
        import trackio
    except ImportError:
        raise UsageError("trackio is not installed: pip install trackio") from None
    table = trackio.Table(columns=list(COLUMNS), data=[list(row) for row in told.rows])
    try:
        trackio.log({f"{PREFIX}/findings": table, **told.numbers, **beside}, step=step)
    except RuntimeError as error:
        raise UsageError(f"no run of trackio is open; call trackio.init first ({why(error)})") from None
    return "the open trackio run"
