"""A simulation on disk: run/, mended/ where a cause was planted, and truth.json beside them, where no diagnosis looks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import UnreadableError, UsageError, printable, why
from . import HEALTHY, SCHEMA, Simulation
from .dialects import Files, json


def write(made: Simulation, out: Path) -> dict[str, Any]:
    """Write ``made`` into ``out``, which must be empty or not there yet; the object of ``simulate --json``."""
    folders = (
        {"run": made.files} if made.cause == HEALTHY else {"run": made.files, "mended": made.mended_files}
    )
    truth = made.truth()
    try:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise UsageError(
                f"{printable(str(out))} is there already and not empty; nothing was written. Give another --out"
            )
        for name, files in folders.items():
            _fill(out / name, files)
        (out / "truth.json").write_text(json(truth), encoding="utf-8")
    except OSError as error:
        raise UnreadableError(f"can't write {printable(str(out))}: {error.strerror or why(error)}") from None
    paths = {name: str(out / name) for name in folders}
    return {"schema": SCHEMA, **truth, "paths": {**paths, "truth": str(out / "truth.json")}}


def _fill(folder: Path, files: Files) -> None:
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")


def text(told: dict[str, Any]) -> str:
    """What was written, in words."""
    paths, run, cost = told["paths"], told["run"], told["cost"]
    loss = "no number" if run["final_loss"] is None else f"{run['final_loss']:.4f} nats"
    lines = [
        f"{paths['run']}: {told['dialect']}, {run['steps']:,} steps, final loss {loss} without its noise"
    ]
    if "mended" in paths:
        price = "the loss is lost" if cost is None else f"{cost:+.4f} nats"
        lines.append(f"{paths['mended']}: the same without {told['cause']}, which costs {price}")
    return "\n".join([*lines, f"{paths['truth']}: the truth"]) + "\n"
