"""Diagnoses as SARIF 2.1.0 (OASIS), the form in which code hosts and editors take the results of tools.

A supported cause is a warning, an undecided one a note, and what ``--fail-on`` names an error. What is refuted or
untestable is no result. Nothing in it changes when the same log is diagnosed again: no times, no absolute places.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from hashlib import sha256
from os.path import normpath
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .. import __version__
from ..diagnosis import READINGS, Diagnosis
from ..errors import printable
from ..hypotheses import Finding
from ..places import look
from .causes import known
from .headline import STATE, headline
from .json import plain
from .patch import own_patch
from .redact import redacted

VERSION = "2.1.0"
SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
BASE = (
    "%SRCROOT%"  # the folder in which the verb was called; code hosts take it for the root of the repository
)
#: verdicts on a curve that are results of their own, and how grave each is
CURVES = {"diverged": "error", "rising": "warning", "flat": "note"}
SHOWN = ("supported", "undecided")
LINE = re.compile(r"\blog line (\d{1,12})\b")
CONFIG_LINE = re.compile(r"([\w.\-]{1,120}):(\d{1,9})")
LONGEST, EVIDENCE = 2_000, 2  # characters of a message, and sentences of evidence in it
DIGITS = 32  # of a fingerprint, hexadecimal


def sarif(
    found: Sequence[Diagnosis], path: Path, *, config: Path | None = None, failing: Collection[str] = ()
) -> dict[str, Any]:
    """One SARIF log of all of ``found``. ``path``, ``config``: as they were given; ``failing``: what is an error."""
    rules = _rules()
    places = {rule["id"]: number for number, rule in enumerate(rules)}
    results = [
        {"ruleIndex": places[result["ruleId"]], **result}
        for one in found
        for result in _results(one, _Files(path, one.run.name, config), failing)
    ]
    driver = {"name": "unplateau", "semanticVersion": __version__, "rules": rules}
    warnings = [_notification(warning) for one in found for warning in one.run.warnings]
    told: dict[str, Any] = plain(
        {
            "$schema": SCHEMA,
            "version": VERSION,
            "runs": [
                {
                    "tool": {"driver": driver},
                    "columnKind": "unicodeCodePoints",
                    "originalUriBaseIds": {BASE: {"description": {"text": "the working folder"}}},
                    "invocations": [{"executionSuccessful": True, "toolExecutionNotifications": warnings}],
                    "results": results,
                }
            ],
        }
    )
    return told


def _rules() -> list[dict[str, Any]]:
    """Each cause with its page, then the verdicts on a curve; an id is a name of CONTRACT.md."""
    causes = [
        _rule(h.name, h.claim, page, "note" if h.name in READINGS else "warning") for h, page in known()
    ]
    curves = [_rule(name, _sentence(said), "", CURVES.get(name, "none")) for name, said in STATE.items()]
    return [*causes, *curves]


def _rule(name: str, claim: str, page: str, level: str) -> dict[str, Any]:
    return {
        "id": name,
        "shortDescription": {"text": claim},
        "fullDescription": {"text": claim},
        "help": {"text": page or claim, "markdown": _markdown(page or claim)},
        "defaultConfiguration": {"level": level},
    }


def _markdown(page: str) -> str:
    r"""The page of a cause, each ``Word:`` a paragraph of its own.

    >>> _markdown("It is so.\n\nClaim: this\nand that.\nNeeds: a log.")
    'It is so.\n\n**Claim:** this and that.\n\n**Needs:** a log.'
    """
    parts = (" ".join(part.split()) for part in re.split(r"\n(?=\n|[A-Z][A-Za-z ]{1,30}: )", page.strip()))
    return "\n\n".join(re.sub(r"^([A-Z][A-Za-z ]{1,30}): ", r"**\1:** ", part) for part in parts if part)


def _notification(warning: str) -> dict[str, Any]:
    return {"level": "note", "message": {"text": _text(warning)}}


# --- results


def _results(found: Diagnosis, files: _Files, failing: Collection[str]) -> Iterator[dict[str, Any]]:
    verdict = found.state.verdict
    if verdict in CURVES or verdict in failing:
        level = "error" if verdict in failing else CURVES[verdict]
        yield _result(files, files.place(()), rule=verdict, level=level, message=headline(found))
    for finding in found.findings:
        if finding.verdict in SHOWN:
            yield _of_cause(found, finding, files, failing)


def _of_cause(found: Diagnosis, finding: Finding, files: _Files, failing: Collection[str]) -> dict[str, Any]:
    grave = "note" if finding.verdict == "undecided" or finding.cause in READINGS else "warning"
    level = "error" if finding.verdict == "supported" and finding.cause in failing else grave
    place = files.place(_sources(found, finding))
    told = _result(files, place, rule=finding.cause, level=level, message=_message(found, finding))
    effect = None if finding.effect is None else finding.effect.as_dict()
    told["properties"] |= {"verdict": finding.verdict, "probability": finding.probability, "effect": effect}
    if finding.probability is not None:
        told["rank"] = round(100 * finding.probability, 1)
    return told


def _sources(found: Diagnosis, finding: Finding) -> Iterator[str]:
    """Where the evidence for a cause comes from; then the facts that it names, and those that the remedy changes."""
    given = [e.source for e in finding.evidence if e.points == "for"]
    yield from given
    patch = finding.remedy.patch if finding.remedy is not None else {}
    for name in (*(name for source in given for name in source.split(", ")), *patch):
        yield found.run.source(name)


def _result(
    files: _Files, place: dict[str, Any] | None, *, rule: str, level: str, message: str
) -> dict[str, Any]:
    same = sha256(f"{rule}\n{files.uri}\n{files.run}".encode()).hexdigest()[:DIGITS]
    return {
        "ruleId": rule,
        "level": level,
        "message": {"text": _text(message)},
        **({"locations": [place]} if place else {}),
        # the first is what GitHub tells old results from new ones by; else it hashes a line, and lines move
        "partialFingerprints": {"primaryLocationLineHash": f"{same}:1", "causeOfRun/v1": same},
        "properties": {"run": printable(files.run)},
    }


def _message(found: Diagnosis, finding: Finding) -> str:
    """How sure a cause is, the first of its evidence, and what to do; what it says is told by its rule."""
    chance = "" if finding.probability is None else f", {finding.probability:.0%}"
    facts = [e.fact for e in finding.evidence if e.points == "for"][:EVIDENCE]
    told = "; ".join(facts) or "nothing speaks for it, and nothing rules it out"
    said = f"{finding.verdict.capitalize()}{chance}: {told}."
    patch = {} if finding.remedy is None else own_patch(found.run, finding.remedy.patch)
    changes = ", ".join(f"{key} = {new}" for key, (_, new) in patch.items())
    advice = "" if finding.remedy is None else finding.remedy.advice or changes
    return f"{said} What to do: {advice}." if advice else said


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _text(text: str) -> str:
    """Foreign text as a SARIF message: on one line, no secrets, no link and no placeholder (sections 3.11.5, 3.11.6).

    >>> _text("see [here](http://x) and {0}")
    'see [here] (http://x) and { 0}'
    """
    plain_text = redacted(printable(" ".join(text.split()), LONGEST))
    return re.sub(r"\{(?=\d)", "{ ", plain_text.replace("](", "] ("))


# --- places


class _Files:
    """The log that a run was read from, and its config, as far as they can be told by their names."""

    def __init__(self, path: Path, run: str, config: Path | None) -> None:
        self.run, self.log, self.config = run, _log(path, run), config

    @property
    def uri(self) -> str:
        return "" if self.log is None else _uri(self.log)

    def place(self, sources: Iterable[str]) -> dict[str, Any] | None:
        """The first line that ``sources`` name; else line 1, which stands for the whole log. None for standard input."""
        for source in sources:
            if (log := LINE.search(source)) and self.log is not None:
                return _location(self.log, int(log[1]))
            if (line := CONFIG_LINE.fullmatch(source)) and (config := self._beside(line[1])):
                return _location(config, int(line[2]))
        return None if self.log is None else _location(self.log, 1)

    def _beside(self, name: str) -> Path | None:
        if self.config is not None and self.config.name == name:
            return self.config
        folder = self.log.parent if self.log is not None else None
        return folder / name if folder is not None and (folder / name).is_file() else None


def _log(path: Path, name: str) -> Path | None:
    """The log of the run called ``name``; in a folder it is found by its name, else the folder stands for it."""
    if str(path) == "-":
        return None
    if not path.is_dir():
        return path
    named = [log for place in look(path) for log in place.logs if name.startswith(log.name)]
    exact = path / name
    return exact if exact.is_file() else next(iter(named), path)


def _location(path: Path, line: int) -> dict[str, Any]:
    near = {"uriBaseId": BASE} if not _uri(path).startswith("file:") else {}
    artifact = {"uri": _uri(path), **near}
    return {"physicalLocation": {"artifactLocation": artifact, "region": {"startLine": max(line, 1)}}}


def _uri(path: Path) -> str:
    """Relative to the working folder where it lies in it, so that it is the same on every machine."""
    here, whole = Path.cwd(), Path(normpath(path.absolute()))
    return quote(os.fsencode(whole.relative_to(here))) if whole.is_relative_to(here) else whole.as_uri()
