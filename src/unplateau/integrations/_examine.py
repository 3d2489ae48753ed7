"""One look at a run's folder, in a process of its own: ``python -m unplateau.integrations._examine FOLDER [--show]``.

Prints one JSON object: how the run stands, and what was raised and cleared since the last look. What was raised before
stands in ``findings.json`` of the folder, so that nothing is said twice, also after a resume. With ``--show`` the whole
diagnosis is in it, as trackers hold it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..watch.seen import Update

STATE = "findings.json"
SHOW = "--show"


def examine(folder: Path, tell: Callable[[dict[str, Any]], None], *, show: bool = False) -> None:
    """Tell how the run in ``folder`` stands: its verdict, what is raised, and what is new since the last look; ``show``: all of it.

    What was told is kept as told afterwards: a look that is ended before is made up for by the next.
    """
    from ..watch.ledger import Ledger
    from ..watch.watching import Watcher
    from ._findings import shown

    watcher = Watcher(folder / "log.jsonl", ledger=Ledger(folder, folder / STATE))
    found = watcher.poll()
    if found is None or not found.runs:
        return tell({"waiting": found.waiting if found is not None else "", "events": [], "standing": []})
    whole = watcher.diagnosis(found.runs[0].key) if show else None
    tell({**stands(found), "shown": None if whole is None else shown(whole).plain()})
    return watcher.told()


def stands(found: Update) -> dict[str, Any]:
    """The first run of ``found``, as one object."""
    run = found.runs[0]
    return {
        "step": run.evaluated,
        "verdict": run.verdict,
        "headline": run.headline,
        "standing": [asdict(one) for one in run.standing],
        "events": [asdict(one) for one in found.events if one.kind in ("raised", "cleared", "trouble")],
        "waiting": "",
    }


def main(argv: Sequence[str]) -> int:
    """Print what ``examine`` tells of the folder that is named."""
    from ..errors import UnplateauError

    try:
        examine(Path(argv[0]), say, show=SHOW in argv[1:])
    except UnplateauError as error:
        say({"waiting": str(error), "events": [], "standing": []})
    return 0


def say(told: dict[str, Any]) -> None:
    """One object on standard output, at once."""
    sys.stdout.write(json.dumps(told, default=str) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
