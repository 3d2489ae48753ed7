"""The verb that settles causes by experiment: probe."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import UnreadableError, UsageError, printable
from ._core import DONE, amount, group, log_options, look, runs_of, say

if TYPE_CHECKING:
    from ..diagnosis import Diagnosis
    from ..probe.job import Job
    from ..probe.plan import Budget
    from ..probe.site import Where
    from ..probe.told import Outcome

TIME = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|min|h)")
SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600}


def seconds(value: str) -> float:
    """The type of ``--budget``: 90s, 10m, 2h, 1.5h."""
    found = TIME.fullmatch(value.strip().lower())
    told = float(found[1]) * SECONDS[found[2]] if found else 0.0
    if told <= 0:
        raise UsageError(
            f"--budget wants a time like 10m or 2h; found {printable(value)!r} (tokens: --budget-tokens)"
        )
    return told


@group.command()
@log_options
@click.option(
    "--plan", "plan_only", is_flag=True, help="Say what would be run, and what each cause predicts; stop."
)
@click.option(
    "--budget",
    type=seconds,
    metavar="TIME",
    help="What all may take, by the logged step times: 10m, 2h; default: 20 % of the run's tokens so far.",
)
@click.option(
    "--budget-tokens",
    type=amount("--budget-tokens"),
    metavar="N",
    help="Tokens to train on in all arms together (also 5M).",
)
@click.option(
    "--out", metavar="DIR", help="Where evidence and arms go; default: the run's folder, or beside it."
)
@click.option(
    "--list", "listed", is_flag=True, help="Print the commands of all arms, for a scheduler; run none."
)
@click.option("--collect", is_flag=True, help="Read arms that were run by the commands of --list.")
@click.option("--ray", is_flag=True, help="Run the arms side by side, as tasks of Ray.")
@click.option("--again", is_flag=True, help="Make a new plan, also where one was begun or is done.")
def probe(
    path: str,
    *,
    as_json: bool,
    plan_only: bool,
    budget: float | None,
    budget_tokens: int | None,
    out: str | None,
    listed: bool,
    collect: bool,
    ray: bool,
    again: bool,
    **given: Any,
) -> int:
    """Settle by short experiments what the log can't tell.

    PATH is a run's folder, or nanoGPT's out_dir with its ckpt.pt and log (then
    --data DIR names its data). Arms branch off the newest checkpoint, read the
    same batches, and are ordinary run folders in PATH/evidence, or beside a
    folder that is not ours, in PATH-probes/evidence. Ended at any instant, the
    same command goes on.
    """
    if sum((plan_only, listed, collect, ray)) > 1:
        raise UsageError("--plan, --list, --collect and --ray are four ways to do it: give one")
    if budget is not None and budget_tokens is not None:
        raise UsageError("--budget and --budget-tokens are two words for one thing: give one")
    from ..probe.job import collected, job_of
    from ..probe.plan import budget_of
    from ..probe.site import where

    found = diagnosed(path, out, given)
    data = Path(given["data"]) if given.get("data") else None
    place = where(found.run, Path(path), data, Path(out) if out else None)
    spent = budget_of(found.run, seconds=budget, tokens=budget_tokens)
    if plan_only:
        return show_plan(place, found, spent, again=again, as_json=as_json)
    job = collected(place, found, spent) if collect else job_of(place, found, spent, again=again)
    if listed:
        return show_commands(job, path, out)
    outcomes = carried_out(job, collect=collect, ray=ray)
    return show_outcomes(job, outcomes, diagnosed(path, out, given), as_json=as_json)


def diagnosed(path: str, out: str | None, given: dict[str, Any]) -> Diagnosis:
    """The diagnosis of the one run at ``path``, with the evidence that is there by now."""
    from ..diagnosis import diagnose
    from .logs import without_losses

    folders = (str(out),) if out and any(Path(out, "evidence").glob("*.json")) else ()
    runs = runs_of(path, **{**given, "evidence": (*given.get("evidence", ()), *folders)})
    if len(runs) > 1:
        names = printable(", ".join(run.name for run in runs), 200)
        raise UsageError(f"probe wants one run, and here are {len(runs)}: {names}; give one of them alone")
    found = diagnose(runs[0])
    if found.empty:
        raise UnreadableError(without_losses(runs))
    return found


def carried_out(job: Job, *, collect: bool, ray: bool) -> Sequence[Outcome]:
    """Run the arms, or read those that others ran."""
    from ..probe import job as jobs
    from ..probe.process import stoppable

    with stoppable():
        if collect:
            return jobs.collect(job)
        if not ray:
            return jobs.run(job, progress)
        from ..probe.side_by_side import on_ray

        return on_ray(job, progress)


def progress(line: str) -> None:
    """A line of progress, on standard error."""
    say(f"{line}\n", sys.stderr)


def show_plan(place: Where, found: Diagnosis, spent: Budget, *, again: bool, as_json: bool) -> int:
    """Print what would be run."""
    from ..probe.plan import plan, ranked
    from ..probe.site import suppose
    from ..report import json
    from ..report.probe import document, plan_text

    place = suppose(place)
    planned = plan(place, found, spent, again=again)
    if as_json:
        say(json.dumps(document(planned, place, ranked(found))) + "\n")
    else:
        say(plan_text(planned, place, **look()))
    return DONE


def show_commands(job: Job, path: str, out: str | None) -> int:
    """Print the command of each arm, and the one that reads them; the plan is kept for it."""
    from ..probe.job import commands, keep_plan
    from ..probe.words import line

    keep_plan(job)
    for words in commands(job):
        say(f"{line(words)}\n")
    ends = [path, *(["--out", out] if out else []), "--collect"]
    say(f"{line(ends, 'probe')}\n")
    progress(f"the plan is kept in {job.folder}: run these in any order, the last one at the end")
    return DONE


def show_outcomes(job: Job, outcomes: Sequence[Outcome], after: Diagnosis, *, as_json: bool) -> int:
    """Print what came, and how the causes rank now."""
    from ..probe.plan import ranked
    from ..report import json
    from ..report.probe import document, outcome_text

    before = job.kept.before
    if as_json:
        say(json.dumps(document(job.plan, job.where, before, outcomes, ranked(after))) + "\n")
    else:
        say(outcome_text(outcomes, before, after, job.folder, holds=job.chances, **look()))
    return DONE
