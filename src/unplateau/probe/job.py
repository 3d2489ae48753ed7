"""The job as a whole: check the data, run the arms one after another, keep what they told, and go on where it was ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..diagnosis import Diagnosis
from ..errors import UsageError, printable
from ..probes import Arm, Trial
from .kept import Kept, alone, begin, evidence_of, finish, read_plan, write_plan
from .pace import Pace, too_long
from .plan import Budget, Plan, again_chosen, decided, nothing_left, open_causes, plan, ranked
from .process import FailedError, run_arm
from .proof import prove, same_fingerprints
from .site import Where
from .told import Outcome, keep, outcome_of, settled
from .words import words_of

if TYPE_CHECKING:
    from ..prepare._executor import Executor

LOOK = 2.0  # seconds between two looks at what the running arm has told so far
OVER = "the time of the budget is over"

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Job:
    """A ``plan`` that is carried out at a place. ``kept``: what outlives the process; ``chances``: of open causes, by now."""

    where: Where
    plan: Plan
    kept: Kept
    chances: dict[str, float]
    begun: float = field(default_factory=time.monotonic)
    pace: Pace = field(default_factory=Pace)

    @property
    def trials(self) -> tuple[Trial, ...]:
        return tuple(chosen.trial for chosen in self.plan.chosen)

    @property
    def checkpoint(self) -> tuple[int, str] | None:
        """Step and sha256, as evidence has them; None where arms are fresh."""
        return (self.where.step, self.kept.checkpoint) if self.kept.checkpoint else None

    @property
    def folder(self) -> Path:
        return evidence_of(self.where.root)

    def left(self) -> bool:
        """True while there is time."""
        most = self.plan.budget.seconds
        return most is None or time.monotonic() - self.begun < most


def job_of(where: Where, found: Diagnosis, budget: Budget, *, again: bool = False) -> Job:
    """A job that is to be carried out: a new plan; or the one that was begun on the same checkpoint with the same budget.

    Raises ``UsageError`` where there is nothing to run, or the budget is too small; ``UnplateauError`` where a kept plan
    can't be laid out any more.
    """
    sha256, root = where.sha256(), evidence_of(where.root)
    earlier = None if again else read_plan(root)
    if earlier is not None and goes_on(earlier, sha256, budget):
        return begun(where, found, budget, earlier)
    planned = plan(where, found, budget, again=again)
    if not planned.chosen:
        raise UsageError(f"there is nothing to run: {nothing_left(where, planned)}")
    probes = {c.trial.probe: c.budget for c in planned.chosen}
    return Job(where, planned, Kept(sha256, budget.said, probes, tuple(ranked(found))), dict(planned.chances))


def collected(where: Where, found: Diagnosis, budget: Budget) -> Job:
    """The job whose arms others have run. Raises ``UsageError`` where no plan of this checkpoint is kept."""
    root = evidence_of(where.root)
    earlier = read_plan(root)
    if earlier is None or earlier.checkpoint != where.sha256():
        raise UsageError(
            f"no plan for this checkpoint is kept in {printable(str(root))}: run it with --list first"
        )
    return begun(where, found, budget, earlier)


def begun(where: Where, found: Diagnosis, budget: Budget, kept: Kept) -> Job:
    """The job of a plan that was kept."""
    chances = open_causes(found)
    chosen = tuple(again_chosen(name, where, tokens, chances) for name, tokens in kept.probes.items())
    return Job(where, Plan(chosen, chances, budget), kept, dict(chances))


def goes_on(earlier: Kept, sha256: str, budget: Budget) -> bool:
    """True where ``earlier`` is of the same checkpoint and the same budget, and something of it is left."""
    return not earlier.finished and (earlier.checkpoint, earlier.asked) == (sha256, budget.said)


def commands(job: Job) -> Iterator[tuple[str, ...]]:
    """The words of all arms, each arm ready to be run by whoever reads them."""
    for trial in job.trials:
        yield from ready(job, trial)[0].values()


def keep_plan(job: Job) -> None:
    """Keep the plan for who collects."""
    with alone(job.where.root) as folder:
        write_plan(folder, job.kept)


def ready(job: Job, trial: Trial) -> tuple[Mapping[str, tuple[str, ...]], set[str]]:
    """The words of each arm of a trial, whose folder is made; and those that are done already."""
    place = job.folder / trial.probe
    words = {arm.name: words_of(job.where, arm, place / arm.name) for arm in trial.arms}
    return words, begin(place, job.kept.checkpoint, words)


def run(job: Job, say: Say) -> list[Outcome]:
    """Run what is left of the plan; what each probe came to, in the plan's order.

    Every probe's evidence is on disk before the next begins; where an arm fails, its probe ends. Raises ``UnplateauError``
    where nothing was told since arms failed, the data are not the run's, or another probe works there; ``StoppedError`` on
    a signal, with all that was finished kept.
    """
    with alone(job.where.root) as folder:
        write_plan(folder, job.kept)
        if not proved(job, folder, say):
            return [Outcome(trial, {}, missing=OVER + job.pace.eaten()) for trial in job.trials]
        return _told([_of_one(job, trial, say) for trial in job.trials])


def proved(job: Job, folder: Path, say: Say) -> bool:
    """Run the baseline, within the time of the budget; False where it did not come to its end."""
    began = time.monotonic()
    done = prove(job.where, folder, job.kept.checkpoint, say, lambda: not job.left())
    job.pace.baseline = time.monotonic() - began
    return done


def _told(outcomes: list[Outcome]) -> list[Outcome]:
    """``outcomes``; raises ``UnplateauError`` with the first arm's words where none told anything, and an arm failed."""
    failed = next((o.failed for o in outcomes if o.failed is not None), None)
    if failed is not None and not any(o.readings for o in outcomes):
        raise failed
    return outcomes


def collect(job: Job) -> list[Outcome]:
    """Read what others have run, and keep what it told. Raises ``UnreadableError`` where their data were not the run's."""
    with alone(job.where.root) as folder:
        for trial in job.trials:
            for arm in trial.arms:
                same_fingerprints(job.where.folder, folder / trial.probe / arm.name)
        return [_kept(job, outcome_of(trial, folder / trial.probe), over=False) for trial in job.trials]


def spread(job: Job, executor: Executor, say: Say) -> list[Outcome]:
    """Run all arms of all trials at once, by an ``executor`` (Ray's); then as ``run``."""
    with alone(job.where.root) as folder:
        write_plan(folder, job.kept)
        if not proved(job, folder, say):
            return [Outcome(trial, {}, missing=OVER + job.pace.eaten()) for trial in job.trials]
        waiting: list[tuple[tuple[str, ...], str]] = []
        for trial in job.trials:
            words, done = ready(job, trial)
            waiting += [(w, str(folder / trial.probe / n)) for n, w in words.items() if n not in done]
        for (_, place), _ in zip(waiting, executor.map(run_alone, waiting), strict=True):
            finish(Path(place).parent, Path(place).name)
            say(f"{Path(place).parent.name} {Path(place).name}: done")
        return [_kept(job, outcome_of(t, folder / t.probe), over=True) for t in job.trials]


def run_alone(item: tuple[tuple[str, ...], str]) -> bool:
    """One arm, to its end, wherever the executor has its workers."""
    words, place = item
    return run_arm(words, Path(place))


def _of_one(job: Job, trial: Trial, say: Say) -> Outcome:
    """Run the arms of a trial, until its end or until it is decided."""
    place = job.folder / trial.probe
    if trial.probe in _done(job):
        return outcome_of(trial, place)
    if _answered(job, trial):
        return _kept(job, Outcome(trial, {}, missing="what it tells of is decided already"), over=True)
    words, done = ready(job, trial)
    for number, arm in enumerate(trial.arms, 1):
        if arm.name in done:
            continue
        if reason := _no_time(job, trial, number):
            return Outcome(trial, {}, missing=reason)
        said = f"{trial.probe} {number}/{len(trial.arms)} {arm.name}"
        say(f"{said}: {_doing(arm.steps, arm.start)}")
        began = time.monotonic()
        try:
            ended = _run(job, trial, arm, words[arm.name])
        except FailedError as error:
            say(str(error))
            return Outcome(trial, {}, missing=str(error), failed=error)
        if not ended:
            say(f"{said}: {'ended, what it tells is decided' if job.left() else 'stopped early, ' + OVER}")
            return _kept(job, outcome_of(trial, place), over=False)
        finish(place, arm.name)
        job.pace.took(_expected(job, trial) / len(trial.arms), time.monotonic() - began)
        if line := job.pace.first(_ahead(job, trial, number)):
            say(line)
    return _kept(job, outcome_of(trial, place), over=True)


def _expected(job: Job, trial: Trial) -> float:
    """Seconds of a trial by the logged step times; 0 where none are logged."""
    hours = next((c.hours for c in job.plan.chosen if c.trial is trial), None)
    return 3600 * hours.value if hours is not None else 0.0


def _ahead(job: Job, trial: Trial, number: int) -> float:
    """The same of all that is left after arm ``number`` of ``trial``."""
    later = job.trials[job.trials.index(trial) + 1 :]
    rest = _expected(job, trial) * (1 - number / len(trial.arms))
    return rest + sum(_expected(job, one) for one in later if one.probe not in _done(job))


def _no_time(job: Job, trial: Trial, number: int) -> str:
    """Why arm ``number`` of ``trial`` is not begun; empty where there is time for it and those after it."""
    if not job.left():
        return OVER + job.pace.eaten()
    most = job.plan.budget.seconds
    if most is None:
        return ""
    needed = _expected(job, trial) * (1 - (number - 1) / len(trial.arms))
    reason = too_long(job.pace.seconds(needed), most - (time.monotonic() - job.begun))
    return reason and reason + job.pace.eaten()


def _run(job: Job, trial: Trial, arm: Arm, words: tuple[str, ...]) -> bool:
    """One arm; False where it was stopped: what it could tell is decided, or there is no time left."""
    looked, place = time.monotonic(), job.folder / trial.probe

    def enough() -> bool:
        nonlocal looked
        if time.monotonic() - looked < LOOK:
            return False
        looked = time.monotonic()
        # one that looks alone is at its end once it has told anything
        return not job.left() or (arm.steps > 0 and settled(outcome_of(trial, place), job.chances))

    return run_arm(words, place / arm.name, enough)


def _doing(steps: int, start: int) -> str:
    where = f" from step {start:,}" if start else " from scratch"
    return f"{steps:,} steps{where}" if steps else f"looks at step {start:,}"


def _answered(job: Job, trial: Trial) -> bool:
    """True where every cause that the trial tells of was decided by a probe before it."""
    causes = {p.cause for p in trial.predictions} & job.chances.keys()
    return all(decided(job.chances[cause]) for cause in causes)


def _kept(job: Job, found: Outcome, *, over: bool) -> Outcome:
    """Write the evidence down, and go on from the probabilities that it leaves. ``over``: no arm of it is left to run."""
    name = found.trial.probe
    if name in _done(job):
        return found
    if found.readings:
        keep(found, job.folder, job.checkpoint)
        job.chances.update(found.after(job.chances))
    if found.readings or over:
        now = read_plan(job.folder) or job.kept
        write_plan(job.folder, replace(now, done=tuple(dict.fromkeys((*now.done, name)))))
    return found


def _done(job: Job) -> tuple[str, ...]:
    return job.kept.done
