"""One look at a run's folder, in a process of its own: ``python -m unplateau.integrations._examine FOLDER [--show]``.

Prints one JSON object: how the run stands, and what was raised and cleared since the last look. What was raised before
stands in ``findings.json`` of the folder, so that nothing is said twice, also after a resume. With ``--show`` the whole
diagnosis is in it, as trackers hold it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

STATE = "findings.json"
SHOW = "--show"


def examine(folder: Path, *, show: bool = False) -> dict[str, Any]:
    """How the run in ``folder`` stands: its verdict, what is raised, and what is new since the last look; ``show``: all of it."""
    from ..watch.ledger import Ledger
    from ..watch.watching import Watcher
    from ._findings import shown

    watcher = Watcher(folder / "log.jsonl", ledger=Ledger(folder, folder / STATE))
    found = watcher.poll()
    if found is None or not found.runs:
        return {"waiting": found.waiting if found is not None else "", "events": [], "standing": []}
    run = found.runs[0]
    whole = watcher.diagnosis(run.key) if show else None
    return {
        "shown": None if whole is None else shown(whole).plain(),
        "step": run.evaluated,
        "verdict": run.verdict,
        "headline": run.headline,
        "standing": [asdict(one) for one in run.standing],
        "events": [asdict(one) for one in found.events if one.kind in ("raised", "cleared", "trouble")],
        "waiting": "",
    }


def main(argv: Sequence[str]) -> int:
    """Print what ``examine`` finds in the folder that is named."""
    from ..errors import UnplateauError

    try:
        told = examine(Path(argv[0]), show=SHOW in argv[1:])
    except UnplateauError as error:
        told = {"waiting": str(error), "events": [], "standing": []}
    sys.stdout.write(json.dumps(told, default=str) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
