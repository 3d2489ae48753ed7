"""A run that begins where another one was: from any checkpoint, with changed settings, in a folder of its own.

It reads the same batches, draws the same random numbers and is evaluated on the same windows as the run that it comes
from, so what differs between two branches is what was changed. The parent is only read.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from ..checkpoint import read_checkpoint
from .checkpoints import last_told
from .settings import TYPES, Settings
from .start import Start, start_of

if TYPE_CHECKING:
    from .loop import Result

CONFIG = "config.json"  # in a run's folder
LIMIT = 1 << 20  # bytes of it that are read
#: settings that are not the parent's: where a run is, what it is called, what it runs on
OWN = ("out_dir", "init_from", "run_name", "device")
#: and of nanoGPT's: these are by what there is
MACHINE = (*OWN, "dtype", "compile")


def branch(
    checkpoint: Path, out_dir: Path, changes: Sequence[str] = (), stream: TextIO | None = None
) -> Result:
    """Train on from ``checkpoint`` (ours, or nanoGPT's ckpt.pt) in ``out_dir``; raises what ``loop.train`` raises.

    ``changes`` are words as on the command line, ``--peak_lr=1e-4``; all else is as the checkpoint's run had it.
    """
    from .configure import resolve
    from .loop import train

    words = [f"--init_from={checkpoint}", f"--out_dir={out_dir}", *changes]
    return train(resolve(None, words), stream)


def inherited(word: str) -> tuple[Mapping[str, Any], str, str, Mapping[str, str]]:
    """The settings that ``init_from=word`` brings along, the place they stand, the preset they are of, and their origins.

    None of them where ``word`` is no checkpoint. Raises ``UsageError`` or ``UnreadableError`` as ``start_of`` does.
    """
    start = start_of(Settings(init_from=word))
    if start.kind == "own":
        place, plain = last_told(start.path)
        told = plain.get("settings")
        found = told if isinstance(told, dict) else {}
        return _known(found, OWN), f"checkpoints/{place.name}", "modern", _origins(place)
    if start.kind == "nanogpt":
        facts = {name: fact.value for name, fact in read_checkpoint(start.path).items()}
        return _known(facts, MACHINE), start.path.name, "nanogpt", {}
    return {}, "", "modern", {}


def _origins(place: Path) -> Mapping[str, str]:
    """Where the settings of a checkpoint's run came from, as its config.json has it; nothing where there is none."""
    try:
        with (place.parent.parent / CONFIG).open("rb") as file:
            found = json.loads(file.read(LIMIT))["origin"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}
    return (
        {name: where for name, where in found.items() if isinstance(where, str)}
        if isinstance(found, dict)
        else {}
    )


def _known(found: Mapping[str, Any], without: Sequence[str]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name in TYPES and name not in without}


def adopt(start: Start, folder: Path) -> None:
    """Evaluate in ``folder`` what the run of ``start`` evaluated, where the data and the context are the same."""
    from .chosen import FOLDER as EVALUATIONS
    from .chosen import PLAN, place_of

    plan = start.path.parent.parent / EVALUATIONS / PLAN
    if start.kind == "own" and plan.is_file() and not (folder / EVALUATIONS / PLAN).exists():
        shutil.copyfile(plan, place_of(folder) / PLAN)
