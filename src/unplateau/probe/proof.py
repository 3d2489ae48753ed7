"""That the data are the run's own, before anything is trained on them: by their fingerprint, else by the loss."""

from __future__ import annotations

from collections.abc import Callable
from math import hypot, sqrt
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UnreadableError
from ..probes import Arm
from ..probes._paired import LOG, losses_of, mean_of
from .kept import begin, finish
from .process import Enough, run_arm
from .site import Where, object_at
from .words import words_of

PROBE, ARM = "baseline", "checkpoint"  # its folder below evidence
TOKENS = 65_536  # evaluated of each split, at most
#: nats between two evaluations of one text in other precisions and by other code; other texts differ by several tenths
SAME = 0.1
ERRORS = 4  # standard errors beyond that
GRACE = 5.0  # seconds to end in: an evaluation saves nothing before its end

Say = Callable[[str], None]


def prove(where: Where, evidence: Path, checkpoint: str, say: Say, enough: Enough = lambda: False) -> bool:
    """Evaluate the checkpoint on the data, once, where their hashes do not prove them already.

    It ends as soon as the fingerprints of the data are there and are those of the run; an evaluation that a killed
    probe left behind is taken as it is. False where ``enough`` came first: then nothing is proved. Raises
    ``UnreadableError`` where the data are not what the run was trained on.
    """
    if where.same_data or where.checkpoint is None or where.kind == "none":
        return True
    arm = Arm(ARM, 0, {}, where.step, (f"--eval_tokens={TOKENS}", "--sampling=permutation"))
    place = evidence / PROBE
    words = words_of(where, arm, place / ARM)
    if ARM not in begin(place, checkpoint, {ARM: words}) and not _known(where, place / ARM):
        say(f"{PROBE}: the checkpoint of step {where.step:,} on these data")
        ended = run_arm(
            words, place / ARM, lambda: enough() or same_fingerprints(where.folder, place / ARM), GRACE
        )
        if not ended and not _known(where, place / ARM):
            return False
    finish(place, ARM)
    if not same_fingerprints(where.folder, place / ARM):
        _by_loss(where, place / ARM)
    return True


def _known(where: Where, arm: Path) -> bool:
    """True where ``arm`` tells already what it is run for: the fingerprints, or else the loss."""
    if same_fingerprints(where.folder, arm):
        return True
    return (arm / LOG).is_file() and "val" in losses_of(arm).evaluated.get(where.step, {})


def same_fingerprints(run: Path, arm: Path) -> bool:
    """True where both evaluated the same data, by what the trainer keeps of them; False where that can't be told.

    Raises ``UnreadableError`` where they are others.
    """
    mine, theirs = (_data(folder) for folder in (run, arm))
    common = mine.keys() & theirs.keys()
    if any(mine[key] != theirs[key] for key in common):
        raise UnreadableError(
            "the data are not those of this run: their tokens have another fingerprint; give --data DIR"
        )
    return bool(common)


def _data(folder: Path) -> dict[tuple[str, int], Any]:
    rows = object_at(folder / "evaluations" / "plan.json").get("parts")
    known = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    return {(str(r.get("split")), int(r.get("source") or 0)): r["data"] for r in known if r.get("data")}


def _by_loss(where: Where, arm: Path) -> None:
    """Compare the loss with the one that the log has of this step; nothing where it has none."""
    curve = where.run.series.get("val_loss")
    logged = (
        {}
        if curve is None
        else dict(zip(curve.finite.step.tolist(), curve.finite.value.tolist(), strict=True))
    )
    found = losses_of(arm)
    measured = found.evaluated.get(where.step, {}).get("val")
    windows = found.windows(where.step, "val")
    if where.step not in logged or measured is None or windows is None or len(windows) < 4:
        return
    tokens, block = where.run.get("eval_tokens"), where.run.get("block_size") or 1
    of_log = float(np.std(windows)) / sqrt(max(1.0, tokens / block)) if tokens else 0.0
    margin = SAME + ERRORS * hypot(mean_of(windows).sd, of_log)
    if abs(measured[0] - logged[where.step]) > margin:
        raise UnreadableError(
            f"the checkpoint's val loss on these data is {measured[0]:.3f}, the log has {logged[where.step]:.3f} at step "
            f"{where.step:,}: they are not the data of this run, or not its checkpoint; give --data DIR"
        )
