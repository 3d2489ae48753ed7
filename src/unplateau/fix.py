"""From a diagnosis to the config of a run that is mended: which settings change, what that will come to, and as what text.

Facts in, data out: nothing is written here, and nothing is run. What a remedy changes is canonical (``Remedy.patch``);
``config.spelling`` says it in the trainer's words, ``config.edit`` in the user's own file, ``launch`` where it starts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isclose
from pathlib import Path
from typing import Any, Literal

from .budget import unpriced
from .config import read_config
from .config.as_toml import ended_so
from .config.edit import edited
from .config.spelling import spelled
from .counterfactual import BATCH, DATA, SIZES
from .derive import DERIVED, changed
from .diagnosis import Diagnosis
from .errors import UsageError, printable
from .estimate import Estimate
from .fixed import diff_of, marked, unheaded
from .futures import losses
from .hypotheses import Finding, Plan, Remedy
from .launch import OURS, File, Launch, Order, as_words, config_text, launched, startable
from .premises import unit_of
from .run import Run

INIT = "init_from"
#: settings that a run may take up at any checkpoint: with them a remedy goes with a branch as well as with a fresh run
ANYWHERE = frozenset(
    [
        "dropout",
        "label_smoothing",
        "weight_decay",
        "grad_clip",
        "dtype",
        "eval_iters",
        "eval_tokens",
        "eval_interval",
    ]
)
COUNTED = (DERIVED | set(DATA)) - {
    "tokens_per_step"
}  # what the data are, and what follows: no setting says it
Kind = Literal["fresh", "branch", "either"]


@dataclass(frozen=True, slots=True)
class Choice:
    """The findings that are mended together. ``patch``: canonical, setting -> (old, new), without where it starts.

    ``start``: the step of the checkpoint that it goes on from, 0 for a fresh run; ``notes``: what was left out, and why.
    """

    findings: tuple[Finding, ...]
    patch: Mapping[str, tuple[Any, Any]]
    start: int = 0
    notes: tuple[str, ...] = ()

    @property
    def causes(self) -> tuple[str, ...]:
        return tuple(finding.cause for finding in self.findings)


@dataclass(frozen=True, slots=True)
class Expected:
    """What the mended run comes to at ``step``, and what is gained below the trend of now; None where no law says."""

    step: int
    loss: Estimate | None = None
    gain: Estimate | None = None
    basis: str = ""  # what the gain rests on, where that is no law


@dataclass(frozen=True, slots=True)
class Mended:
    """A mended config. ``patch``: what changes in it, own key -> (old, new); ``text``: the file, ``name`` that of the old one.

    ``whole``: the text is a config that needs no other; else it holds the changed settings alone.
    """

    run: Run
    choice: Choice
    expected: Expected
    patch: Mapping[str, tuple[Any, Any]]
    text: str
    name: str
    diff: str
    launch: Launch
    whole: bool
    notes: tuple[str, ...]


# --- which causes


def choose(found: Diagnosis, causes: Sequence[str] = (), path: Path | None = None) -> Choice:
    """The findings named in ``causes``, or all that are supported, and their patches together.

    Of two that set one thing otherwise, the one that is ranked first holds. Of those that are supported, one that goes
    on from a checkpoint which the run at ``path`` does not keep is left out, with a note. Raises ``UsageError`` for a
    cause that can't be mended by a config, in one line that says why.
    """
    known = {finding.cause: finding for finding in found.findings}
    notes: list[str] = []
    if causes:
        picked = [finding for finding in found.findings if finding.cause in causes]
        for finding in picked:
            _mendable(finding)
        notes += [
            f"{f.cause} is {f.verdict} ({f.probability or 0:.0%}): a probe would tell first"
            for f in picked
            if f.verdict != "supported"
        ]
    else:
        picked, notes = _supported(found.run, known.values(), path)
    return _together(found.run, picked, notes)


def _supported(
    run: Run, findings: Sequence[Finding] | Any, path: Path | None
) -> tuple[list[Finding], list[str]]:
    supported = [finding for finding in findings if finding.verdict == "supported"]
    if not supported:
        raise UsageError(
            "no cause is supported by this log: name one with --cause, or see what unplateau diagnose asks for"
        )
    picked, notes = [], []
    for finding in supported:
        try:
            _mendable(finding)
            if path is not None and finding.remedy and kind_of(finding.remedy) == "branch":
                startable(run, path, _start(run, [finding]), finding.cause)
            picked.append(finding)
        except UsageError as error:
            notes.append(str(error))
    if not picked:
        raise UsageError("; ".join(notes))
    return picked, notes


def _mendable(finding: Finding) -> None:
    """Raise ``UsageError`` where there is no patch that mends it."""
    name, remedy = finding.cause, finding.remedy
    if finding.verdict == "refuted":
        against = next((e.fact for e in finding.evidence if e.points == "against"), "nothing points to it")
        raise UsageError(f"{name} is refuted: {against}; there is nothing to mend")
    if finding.verdict == "untestable":
        raise UsageError(
            f"{name} is untestable here: send {' or '.join(finding.missing) or 'more of the run'} first"
        )
    if remedy is None:
        fact = finding.evidence[0].fact if finding.evidence else finding.verdict
        raise UsageError(f"{name} has no remedy to write down: {fact}")
    if not remedy.patch or COUNTED & set(remedy.patch):
        raise UsageError(f"{name} is mended by no setting: {remedy.advice or 'see unplateau causes ' + name}")


def _start(run: Run, findings: Sequence[Finding]) -> int:
    """The step of the checkpoint that a branch goes on from."""
    starts = [f.remedy.plan.start for f in findings if f.remedy and f.remedy.plan and f.remedy.plan.start]
    return [*starts, int(run.get("steps_done") or 0)][0]


def _together(run: Run, findings: Sequence[Finding], notes: Sequence[str]) -> Choice:
    """The remedies that go together; of two that don't, the one that is ranked first."""
    patch: dict[str, tuple[Any, Any]] = {}
    kept: list[Finding] = []
    said, kind = list(notes), "either"
    for finding in findings:
        remedy = finding.remedy
        assert remedy is not None  # _mendable
        own = kind_of(remedy)
        if clash := _clash(remedy, own, patch, kind):
            said.append(f"{finding.cause} is left out: {clash}; mend it by itself")
            continue
        kind = kind if own == "either" else own
        kept.append(finding)
        patch |= {name: (run.get(name, old), new) for name, (old, new) in remedy.patch.items()}
    patch.pop(INIT, None)
    start = _start(run, kept) if kind == "branch" else 0
    return Choice(tuple(kept), {n: c for n, c in patch.items() if c[0] != c[1]}, start, tuple(said))


A = {"fresh": "a fresh run", "branch": "to go on from a checkpoint"}


def _clash(remedy: Remedy, own: Kind, patch: Mapping[str, tuple[Any, Any]], kind: str) -> str:
    """Why a remedy does not go with those that are chosen already; empty where it does."""
    if "either" not in (own, kind) and own != kind:
        return f"it wants {A[own]}, what is ranked before it {A[kind]}"
    for name, (_, new) in remedy.patch.items():
        if name in patch and patch[name][1] != new:
            return f"it wants {name} = {new}, what is ranked before it {patch[name][1]}"
    return ""


def kind_of(remedy: Remedy) -> Kind:
    """How the run that a remedy makes begins.

    >>> kind_of(Remedy({"dropout": (0.2, 0.0)}, "", "")), kind_of(Remedy({"n_embd": (64, 128)}, "", ""))
    ('either', 'fresh')
    """
    if INIT in remedy.patch or (remedy.plan is not None and remedy.plan.start):
        return "branch"
    return "either" if set(remedy.patch) <= ANYWHERE else "fresh"


# --- what is expected


def expected(found: Diagnosis, choice: Choice) -> Expected:
    """What the laws say of the mended run, else its reference class; a step alone where neither does."""
    return _by_laws(found, choice) or _by_class(found, choice) or Expected(_compared(found, choice))


def _by_laws(found: Diagnosis, choice: Choice) -> Expected | None:
    plans = [f.remedy.plan for f in choice.findings if f.remedy and f.remedy.plan]
    end = _compared(found, choice)
    plan = plans[0] if len(choice.findings) == 1 and plans else _joint(found, choice, plans, end)
    ahead = found.outlook
    if ahead is None or plan is None or plan.given is not None or unpriced(ahead, plan.run):
        return None
    loss = Estimate.of(losses(ahead, plan.run, plan.end), unit_of(ahead.run))
    alone = choice.findings[0].remedy if len(choice.findings) == 1 else None
    gain = alone.gain if alone else Estimate.of(ahead.level - losses(ahead, plan.run, plan.end), loss.unit)
    return Expected(plan.end, loss, gain) if gain is not None else None


def _by_class(found: Diagnosis, choice: Choice) -> Expected | None:
    """What a reference class says of one cause that is mended in a run of as many steps as this one."""
    remedy, now = choice.findings[0].remedy, found.state.level
    end = _compared(found, choice)
    if len(choice.findings) > 1 or remedy is None or remedy.gain is None or not remedy.basis or now is None:
        return None
    if end != int(found.run.get("steps_done") or 0):
        return None
    gain = remedy.gain
    loss = Estimate(now.value - gain.value, now.value - gain.high, now.value - gain.low, gain.unit)
    return Expected(end, loss, gain, remedy.basis)


def _compared(found: Diagnosis, choice: Choice) -> int:
    """The step at which the mended run is compared."""
    plans = [f.remedy.plan for f in choice.findings if f.remedy and f.remedy.plan]
    return plans[0].end if plans else _end(found.run, choice)


def _end(run: Run, choice: Choice) -> int:
    """The step at which a mended run is compared: where its own plan ends, at most where this one is."""
    done, end = int(run.get("steps_done") or 0), choice.patch.get("max_steps", (None, None))[1]
    return min(done, int(end)) if end and done else int(end or done)


def _joint(found: Diagnosis, choice: Choice, plans: Sequence[Plan], end: int) -> Plan | None:
    """Several remedies as one run, where each of them alone is one that the laws speak of."""
    if len(plans) < len(choice.findings) or choice.start or any(p.end != end or p.given for p in plans):
        return None
    return Plan(changed(found.run, {name: new for name, (_, new) in choice.patch.items()}), end)


def _alone(choice: Choice, told: Expected) -> Iterator[str]:
    """Where no law speaks of all remedies together: what each is said to gain by itself."""
    for finding in choice.findings if told.gain is None and len(choice.findings) > 1 else ():
        if finding.remedy and finding.remedy.gain:
            yield f"{finding.cause} alone would gain {finding.remedy.gain}; what the rest adds, no law says"


# --- as a text


def mend(found: Diagnosis, choice: Choice, file: File | None, path: Path, *, to: str = "") -> Mended:
    """The mended config of the run at ``path``, from its config ``file`` where there is one.

    ``to``: the name of the file that it will be written to. Raises ``UsageError`` where the trainer has no words for
    the patch, or its file can't be changed in place.
    """
    run = found.run
    own = _own(run, choice, file)
    told = expected(found, choice)
    launch = launched(Order(run, path, choice.causes, own, choice.start, file, to))
    wanted = {**{key: new for key, (_, new) in own.items()}, **launch.settings}
    whole = file is not None
    notes = (*choice.notes, *_alone(choice, told), *launch.notes)
    before = file.text if file else ""
    if file is not None:
        body = edited(
            unheaded(before), file.name, {**file.ran, **wanted}, {k: old for k, (old, _) in own.items()}
        )
        notes += _checked(body, file, choice)
    else:
        body = as_words(run, wanted, {k: old for k, (old, _) in own.items()})
    patch = {
        **own,
        **{k: (launch.was.get(k), v) for k, v in launch.settings.items() if launch.was.get(k) != v},
    }
    head = [*comments(found, choice, told, notes), *(f"run it: {line}" for line in launch.lines)]
    name = file.name if file else ""
    diff = diff_of(before, marked(body, name or config_text(run), head), name, to)
    if file is not None and to:
        was = {key: old for key, (old, _) in patch.items()}
        form = ended_so(body, name, to, was, own=file.dialect == OURS)
    else:
        form = body, name or config_text(run)
    return Mended(run, choice, told, patch, marked(*form, head), name, diff, launch, whole, notes)


def _own(run: Run, choice: Choice, file: File | None) -> dict[str, tuple[Any, Any]]:
    """What changes, in the trainer's own words."""
    name = file.dialect if file else str(run.get("config_dialect", ""))
    wanted = {setting: new for setting, (_, new) in choice.patch.items()}
    by_hand = ", ".join(f"{setting} = {new} (was {old})" for setting, (old, new) in choice.patch.items())
    if not name:
        raise UsageError(
            f"the trainer's config is not known: give it with --config FILE, or set by hand: {by_hand}"
        )
    new = spelled(name, wanted, run.facts, file.settings) if file else spelled(name, wanted, run.facts)
    if new.unsaid:
        raise UsageError(
            f"{name} has no setting for {', '.join(new.unsaid)}: its code must be changed; wanted: {by_hand}"
        )
    before = {setting: run.get(setting) for setting in wanted if run.get(setting) is not None}
    was: dict[str, Any] = dict(spelled(name, before, run.facts).own)
    was |= {key: s.value for key, s in file.settings.found.items()} if file else {}
    own = {key: (was.get(key), value) for key, value in new.own.items() if not _same(was.get(key), value)}
    if not own:
        raise UsageError(f"no word of {name} would change anything; wanted: {by_hand}")
    return own


def _checked(body: str, file: File, choice: Choice) -> tuple[str, ...]:
    """Read what was written: the patched facts must be there. What else follows from them is said."""
    before, after = read_config(file.text, name=file.name), read_config(body, name=file.name)
    # what a trainer has no word for because it is so by itself: float32, and a decay that ends with the run
    silent = {
        ("dtype", "float32"),
        *(("decay_end", fact.value) for name, fact in after.items() if name == "max_steps"),
    }
    for setting, (_, new) in choice.patch.items():
        got = after[setting].value if setting in after else None
        if not _same(got, new) and not (got is None and (setting, new) in silent):
            raise UsageError(
                f"{file.name} can't say {setting} = {new}: it would be read as {got}; set it by hand"
            )
    moved = [
        f"{name} is {after[name].value} with that, and was {fact.value}"
        for name, fact in before.items()
        if name in after and not name.startswith("config_") and name not in {*choice.patch, *APART}
        if not _same(after[name].value, fact.value) and not (file.ran and name in file.overridden)
    ]
    return tuple(moved)


APART = ("out_dir", "init_from", "claims", "run_name", *BATCH, *SIZES, *DATA)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, int | float) and isinstance(other, int | float) and not isinstance(one, bool):
        return isclose(one, other, rel_tol=1e-9)
    return bool(one == other)


def comments(found: Diagnosis, choice: Choice, told: Expected, notes: Sequence[str]) -> list[str]:
    """Why, and what is expected, in lines for the head of a config."""
    lines: list[str] = []
    for finding in choice.findings:
        chance = f" ({finding.probability:.0%})" if finding.probability is not None else ""
        lines.append(f"{finding.cause}{chance}, {finding.verdict}, of {printable(found.run.name)}")
        lines += [f"why: {e.fact}" for e in finding.evidence if e.points == "for"][:1]
        if (remedy := finding.remedy) is not None:
            parts = (
                ("what", remedy.advice),
                ("holds", remedy.condition),
                ("cost", remedy.cost),
                ("risk", remedy.risk),
            )
            lines += [f"{word}: {said}" for word, said in parts if said]
    return [*lines, f"expected: {expectation(told)}", *(f"note: {note}" for note in notes)]


def expectation(told: Expected) -> str:
    """What is expected, in words.

    >>> expectation(Expected(900))
    'not known: no law prices it; the run so far is compared at step 900'
    """
    if told.loss is None or told.gain is None:
        return f"not known: no law prices it; the run so far is compared at step {told.step:,}"
    said = f"{told.gain} below the trend of now: {told.loss} at step {told.step:,}"
    return f"{said}; no law: {told.basis}" if told.basis else said
