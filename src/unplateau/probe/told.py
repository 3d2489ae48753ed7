"""What the arms of a trial showed: readings into log odds, a file of evidence, and whether more would change anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import UnplateauError, UnreadableError
from ..estimate import Estimate
from ..evidence import ArmRun, Evidence, Told, posterior, write
from ..plugins import discover
from ..probes import Probe, Reading, Trial
from ..probes._paired import loss_at
from .information import log_odds
from .plan import decided

NOTHING = "it told nothing"


class Arms(dict[str, Path]):
    """The folders of the arms by name; one that has not begun is one line, not a fault."""

    def __missing__(self, name: str) -> Path:
        raise UnreadableError(f"the arm {name} has not been run")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a trial came to. ``odds``: by cause; ``missing``: why nothing can be told, empty where something can."""

    trial: Trial
    folders: Mapping[str, Path]
    readings: tuple[Reading, ...] = ()
    odds: Mapping[str, float] | None = None
    missing: str = ""
    failed: UnplateauError | None = None  # an arm's complaint

    @property
    def said(self) -> str:
        """In a sentence."""
        return "; ".join(r.fact for r in self.readings) or f"{NOTHING}: {self.missing}"

    def after(self, chances: Mapping[str, float]) -> dict[str, float]:
        """The probability of each cause that it told of, from what it was before."""
        odds = self.odds or {}
        return {cause: posterior(chances[cause], [odds[cause]]) for cause in odds if cause in chances}


def outcome_of(trial: Trial, folder: Path) -> Outcome:
    """Read the arms below ``folder`` as far as they have come; never raises for what an arm lacks."""
    folders = Arms({arm.name: folder / arm.name for arm in trial.arms if (folder / arm.name).is_dir()})
    probe: Probe = discover("probes")[trial.probe]
    predicted = {p.cause: p for p in trial.predictions}
    try:
        readings = tuple(r for r in probe.read(trial, folders) if r.cause in predicted)
    except UnplateauError as error:
        return Outcome(trial, folders, missing=str(error))
    if not readings:
        return Outcome(trial, folders, missing="its arms show nothing of any cause")
    odds = {r.cause: log_odds(predicted[r.cause], r.contrast) for r in readings}
    return Outcome(trial, folders, readings, odds)


def settled(found: Outcome, chances: Mapping[str, float]) -> bool:
    """True where every open cause that the trial tells of is decided: more steps of its arms would change nothing."""
    wanted = {p.cause for p in found.trial.predictions} & chances.keys()
    after = found.after(chances)
    return bool(wanted) and all(cause in after and decided(after[cause]) for cause in wanted)


def keep(found: Outcome, evidence: Path, checkpoint: tuple[int, str] | None) -> Path:
    """Write the evidence of a trial that told something, durably; its file."""
    told = tuple(
        Told(r.cause, r.fact, (found.odds or {})[r.cause], found.trial.probe, "", r.effect, r.contrast)
        for r in found.readings
    )
    arms = tuple(arms_of(found))
    return write(
        evidence, Evidence(found.trial.probe, found.trial.question, arms, told, found.said, checkpoint)
    )


def arms_of(found: Outcome) -> list[ArmRun]:
    """The arms as they were run; ``run`` and ``loss`` of those that were."""
    return [
        ArmRun(
            arm.name,
            arm.steps,
            arm.patch,
            str(found.folders[arm.name]) if arm.name in found.folders else None,
            _loss(found.folders[arm.name]) if arm.name in found.folders else None,
        )
        for arm in found.trial.arms
    ]


def _loss(folder: Path) -> Estimate | None:
    try:
        return loss_at(folder)
    except UnplateauError:
        return None
