"""The demo in words and as JSON: what each step means, the causes before and after the probes, predicted against achieved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..demo.job import HEALTHY, Loop
from ..demo.planted import RUN
from ..demo.steps import Done
from ..record import Entry
from .json import plain
from .lines import WIDTH, Line, render

SCHEMA = "unplateau.demo/1"
RANKED = ("supported", "undecided")
SHOWN = 3  # causes of a ranking that are shown
COLUMN = 36  # columns of one ranking beside the other

#: before each step, what it is for
PURPOSE = {
    "prepare": "Text that comes with the package, as tokens: one character each.",
    "train": "A small GPT, with a mistake in its config (plateau.toml).",
    "diagnose": "Why did its loss stop going down? By its log, config and data:",
    "probe": "What the log can't tell, short experiments do:",
    "fix": "The mended config, and what it will come to:",
    "train-mended": "The mended run:",
    "verify": "Did it come as predicted?",
}
#: rows of a verb's output that are shown: the first ones, and the last
ROWS = {
    "prepare": (7, 0),
    "train": (0, 2),
    "diagnose": (26, 0),
    "probe": (0, 16),
    "fix": (26, 8),
    "train-mended": (0, 2),
    "verify": (12, 0),
}


# --- while it happens


def meaning(name: str, loop: Loop) -> str:
    """What the step ``name`` showed, in a sentence or two; empty for one that shows nothing by itself."""
    words = {
        "train": _trained,
        "diagnose": _suspected,
        "probe": _settled,
        "fix": _to_mend,
        "train-mended": _trained_again,
        "verify": _held,
    }.get(name)
    return words(loop) if words else ""


def _trained(loop: Loop) -> str:
    return f"It ended at {loop.losses[RUN]:.4f} nats. The mistake: {loop.planted.mistake}."


def _suspected(loop: Loop) -> str:
    found = [_with_chance(one) for one in ranked(loop.before)[:SHOWN]]
    return f"Suspected: {', '.join(found)}." if found else "The log alone shows no cause to suspect."


def _settled(loop: Loop) -> str:
    cause = loop.mended or loop.planted.cause
    was, now = (_chance(findings, cause) for findings in (loop.before, loop.after))
    told = f"{cause}: {was} by the log, {now} with the probes."
    return (
        told if loop.mended else f"{told} No cause that a config could mend is supported: the demo ends here."
    )


def _to_mend(loop: Loop) -> str:
    return f"{loop.mended} is mended; what is expected of it is kept before it is run."


def _trained_again(loop: Loop) -> str:
    before, after = loop.losses[RUN], list(loop.losses.values())[-1]
    return f"It ended at {after:.4f} nats, where the first one ended at {before:.4f}."


def _held(loop: Loop) -> str:
    told = loop.verdict
    if told is None:
        return "No verdict was kept."
    return f"Predicted: {_predicted(told)}. Achieved: {told.achieved}. {_verdict(told)}"


def _predicted(told: Entry) -> str:
    return str(told.predicted) if told.predicted else "nothing, for no law prices this"


def _verdict(told: Entry) -> str:
    noise = "" if told.significant else ", and no more than noise"
    if told.hit is None:
        return f"{'A gain' if told.achieved.value > 0 else 'No gain'}{noise}."
    return f"{'A hit' if told.hit else 'A miss'}{noise}."


# --- at its end


def text(loop: Loop, *, width: int = WIDTH, colour: bool = False) -> str:
    """The end of the demo: causes before and after the probes, what was mended, what came of it."""
    return render(_lines(loop), width, colour=colour)


def report(loop: Loop) -> str:
    """What is kept on disk: each command with what it meant, and the end."""
    return render([*_commands(loop), *_lines(loop)])


def _commands(loop: Loop) -> Iterator[Line]:
    for one in loop.done:
        if one.step.shown:
            yield Line(f"$ {one.step.line}", "title", hang=4)
            said = meaning(one.step.name, loop)
            yield from [Line(f"=> {said}", hang=3)] if said else []
    yield Line()


def _lines(loop: Loop) -> Iterator[Line]:
    yield Line("WHAT CAME OF IT", "title")
    yield Line(f"planted    {loop.planted.cause}: {loop.planted.mistake}", hang=11)
    yield Line()
    yield Line(f"{'causes by the log':{COLUMN}}with the probes", "title", whole=True)
    for one, other in _side_by_side(ranked(loop.before), ranked(loop.after)):
        yield Line(f"{one:{COLUMN}}{other}", whole=True)
    yield Line()
    yield Line(f"found      {'yes' if found(loop) else 'no'}: {_found(loop)}", hang=11)
    if loop.verdict is not None:
        yield Line(f"predicted  {_predicted(loop.verdict)}", hang=11)
        yield Line(f"achieved   {loop.verdict.achieved}. {_verdict(loop.verdict)}", hang=11)
    yield Line(
        f"time       {loop.seconds:.0f} s, seed {loop.order.seed}; another seed gives other numbers", hang=11
    )


def _side_by_side(
    before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[str, str]]:
    for number in range(min(SHOWN, max(len(before), len(after)))):
        one, other = (
            f"{number + 1}. {_with_chance(ranking[number])}" if number < len(ranking) else ""
            for ranking in (before, after)
        )
        yield one, other


def found(loop: Loop) -> bool:
    """True where the first cause that is supported after the probes is the planted one."""
    return loop.mended == loop.planted.cause


def _found(loop: Loop) -> str:
    if found(loop):
        return f"{loop.mended} is the first that is supported"
    return f"{loop.mended or 'no cause that a config can mend'} is supported first"


def ranked(findings: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The supported and undecided causes, the first first; without readings of the curve that accuse nothing."""
    return [one for one in findings if one["verdict"] in RANKED and one["cause"] not in HEALTHY]


def _with_chance(one: Mapping[str, Any]) -> str:
    chance = f", {one['probability']:.0%}" if one.get("probability") is not None else ""
    return f"{one['cause']} ({one['verdict']}{chance})"


def _chance(findings: Sequence[Mapping[str, Any]], cause: str) -> str:
    one = next((f for f in findings if f["cause"] == cause), None)
    if one is None or one.get("probability") is None:
        return "not known"
    return f"{one['probability']:.0%} ({one['verdict']})"


# --- JSON


def document(loop: Loop) -> dict[str, Any]:
    """``demo --json``, and report.json."""
    told = loop.verdict
    said = {
        "schema": SCHEMA,
        "planted": loop.planted.cause,
        "mistake": loop.planted.mistake,
        "seed": loop.order.seed,
        "steps": [_step(one) for one in loop.done if one.step.shown],
        "seconds": loop.seconds,
        "cpu_seconds": loop.cpu,
        "losses": dict(loop.losses),
        "before": _ranking(loop.before),
        "after": _ranking(loop.after),
        "mended": loop.mended or None,
        "found": found(loop),
        "predicted": told.predicted.as_dict() if told and told.predicted else None,
        "achieved": told.achieved.as_dict() if told else None,
        "hit": told.hit if told else None,
        "significant": told.significant if told else None,
        "folder": str(loop.order.out),
    }
    out: dict[str, Any] = plain(said)
    return out


def _step(one: Done) -> dict[str, Any]:
    return {
        "name": one.step.name,
        "command": one.step.line,
        "seconds": one.seconds,
        "cpu_seconds": one.cpu,
        "exit": one.code,
    }


def _ranking(findings: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{key: one.get(key) for key in ("cause", "verdict", "probability")} for one in ranked(findings)]
