"""Runs and diagnoses as JSON, to the letter of the contract; the schemas lie in ``unplateau/schemas``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from typing import Any

import msgspec
import numpy as np

from ..budget import Budget
from ..curve import Curve, Steps, Values
from ..diagnosis import Diagnosis
from ..errors import printable
from ..estimate import Estimate
from ..hypotheses import Finding, Hypothesis, Remedy
from ..record import Tally
from ..run import Fact, Run
from ..state import State
from .patch import own_patch
from .redact import redacted, shown_value

READ, DIAGNOSIS, CAUSES = "unplateau.read/1", "unplateau.diagnosis/1", "unplateau.causes/1"
LONGEST = 1 << 20  # characters of one string; the longest honest one is the echo of a config
POINTS = 1 << 15  # of a series that are written at once
INTEGER = 1 << 53  # beyond this a reader of JSON (RFC 8259, section 6) may round; given as a float


def dumps(value: Any) -> str:
    r"""One JSON object on one line; non-finite numbers are null.

    >>> dumps({"loss": float("nan"), "by": {1: (2.5, "a\x1b")}})
    '{"loss":null,"by":{"1":[2.5,"a?"]}}'
    """
    return msgspec.json.encode(plain(value)).decode()


def plain(value: Any) -> Any:
    """``value`` out of what JSON knows; numpy's scalars and arrays too."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, int):
        return value if abs(value) < INTEGER else plain(_float(value))
    if isinstance(value, float):
        return float(value) if isfinite(value) else None
    if isinstance(value, Mapping):
        return {clean(str(k)): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(v) for v in value]
    return plain(value.tolist()) if hasattr(value, "tolist") else clean(str(value))


def _float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def clean(text: str) -> str:
    """Foreign text that may be shown: no control characters but the ends of lines, no secrets."""
    return redacted("\n".join(printable(line, LONGEST) for line in text.split("\n")))


def reading(runs: Sequence[Run]) -> dict[str, Any]:
    """``read --json``; ``reading_chunks`` gives the same in little memory."""
    formats = sorted({run.format for run in runs})
    return {"schema": READ, "format": ", ".join(formats), "runs": [_run(run) for run in runs]}


def _run(run: Run) -> dict[str, Any]:
    series = {name: curve.as_dict() for name, curve in run.series.items()}
    return {"name": run.name, "series": series, **_beside(run)}


def _beside(run: Run) -> dict[str, Any]:
    return {"facts": facts(run.facts), "warnings": list(run.warnings)}


def reading_chunks(runs: Sequence[Run]) -> Iterator[str]:
    r"""``dumps(reading(runs))`` in pieces, straight from the arrays: a log of 100 MB has millions of points.

    >>> runs = [Run("demo", "table", {"val_loss": Curve([1, 2], [2.5, float("nan")], "nats")})]
    >>> "".join(reading_chunks(runs)) == dumps(reading(runs))
    True
    """
    head = dumps(reading([]) | {"format": ", ".join(sorted({run.format for run in runs}))})
    yield head.removesuffix("]}")
    for i, run in enumerate(runs):
        yield f'{"," if i else ""}{{"name":{dumps(run.name)},"series":{{'
        named = {clean(name): curve for name, curve in run.series.items()}
        for j, (name, curve) in enumerate(named.items()):
            yield f"{',' if j else ''}{dumps(name)}:{{"
            yield from _curve(curve)
        yield "}," + dumps(_beside(run)).removeprefix("{")
    yield "]}"


def _curve(curve: Curve) -> Iterator[str]:
    """What ``Curve.as_dict`` gives, without its first brace."""
    yield '"step":['
    yield from _numbers(curve.step)
    yield '],"value":['
    yield from _numbers(curve.value)
    yield f'],"unit":{dumps(curve.unit)}'
    if len(lost := curve.non_finite_steps):
        yield ',"non_finite_steps":['
        yield from _numbers(lost)
        yield "]"
    yield "}"


def _numbers(array: Steps | Values) -> Iterator[str]:
    """The numbers of a list; msgspec writes nan and infinities as null."""
    for i in range(0, len(array), POINTS):
        part = array[i : i + POINTS]
        exact = part.dtype.kind == "f" or int(np.abs(part).max()) < INTEGER
        written = msgspec.json.encode(part.tolist()).decode() if exact else dumps(part)
        yield ("," if i else "") + written[1:-1]


def facts(known: Mapping[str, Fact]) -> dict[str, Any]:
    """Facts with their unit and source; secrets hidden."""
    return {
        name: {"value": shown_value(name, fact.value), "unit": fact.unit, "source": fact.source}
        for name, fact in known.items()
    }


def diagnosis(found: Diagnosis) -> dict[str, Any]:
    """``diagnose --json`` for one run."""
    return {"schema": DIAGNOSIS, **_diagnosis(found)}


def diagnoses(found: Sequence[Diagnosis]) -> dict[str, Any]:
    """``diagnose --json``: one run at the top level, several in a list."""
    if len(found) == 1:
        return diagnosis(found[0])
    return {"schema": DIAGNOSIS, "diagnoses": [_diagnosis(d) for d in found]}


def _diagnosis(found: Diagnosis) -> dict[str, Any]:
    return {
        "run": found.run.name,
        "facts": facts(found.run.facts),
        "state": _state(found.state),
        "findings": [_finding(f, found.run) for f in found.findings],
        "contradictions": [{"fact": c.fact, "source": c.source} for c in found.contradictions],
        "warnings": list(found.run.warnings),
        "budget": _budget(found.budget) if found.budget is not None and found.budget.rows else None,
        "forecast": _forecast(found),
    }


def _budget(budget: Budget) -> dict[str, Any]:
    """The rows, which add up with the unexplained to the loss, and the effects of causes."""
    return {
        "loss": budget.loss,
        "rows": [{"name": row.name, "nats": _est(row.nats), "note": row.note} for row in budget.rows],
        "unexplained": _est(budget.unexplained),
        "together": _est(budget.together),
        "overlap": _est(budget.overlap),
    }


def _forecast(found: Diagnosis) -> dict[str, Any]:
    """By the name of the future; empty where none is planned, or no law says."""
    planned = found.planned
    return {} if planned is None else {"as_planned": {"step": planned[0], "loss": _est(planned[1])}}


def _est(estimate: Estimate | None) -> dict[str, float | str] | None:
    return None if estimate is None else estimate.as_dict()


def _state(state: State) -> dict[str, Any]:
    return {
        "verdict": state.verdict,
        "series": state.series,
        "slope": _est(state.slope),
        "since_step": state.since_step,
        "smallest_visible_slope": state.smallest_visible_slope,
        "noise": state.noise,
        "level": _est(state.level),
        "phases": [
            {
                "first_step": p.first,
                "last_step": p.last,
                "loss_from": p.loss_from,
                "loss_to": p.loss_to,
                "per_1000_steps": p.per_1000_steps,
                "per_doubling": p.per_doubling,
            }
            for p in state.phases
        ],
        "bumps": [{"step": b.step, "size": b.size, "standard_errors": b.errors} for b in state.bumps],
    }


def _finding(finding: Finding, run: Run) -> dict[str, Any]:
    return {
        "cause": finding.cause,
        "verdict": finding.verdict,
        "probability": finding.probability,
        "effect": _est(finding.effect),
        "unpriced": finding.unpriced,
        "basis": finding.basis,
        "evidence": [{"fact": e.fact, "points": e.points, "source": e.source} for e in finding.evidence],
        "missing": [*finding.missing, *_by_probe(finding)],
        "remedy": None if finding.remedy is None else _remedy(finding.remedy, run),
    }


def _by_probe(finding: Finding) -> list[str]:
    return [f"a probe: {' or '.join(finding.probes)} (unplateau probe RUN)"] if finding.probes else []


def _remedy(remedy: Remedy, run: Run) -> dict[str, Any]:
    return {
        "patch": {key: list(change) for key, change in own_patch(run, remedy.patch).items()},
        "gain": _est(remedy.gain),
        "cost": remedy.cost,
        "risk": remedy.risk,
        "advice": remedy.advice,
        "condition": remedy.condition,
        "basis": remedy.basis,
    }


def causes(
    known: Sequence[tuple[Hypothesis, str]], record: Mapping[str, Tally] | None = None
) -> dict[str, Any]:
    """``causes --json``: each hypothesis with its page, and with its record, null where it has none."""
    from .causes import as_dict

    record = record or {}
    listed = [
        {
            "cause": h.name,
            "claim": h.claim,
            "needs": list(h.needs),
            "page": page,
            "record": as_dict(record.get(h.name)),
        }
        for h, page in known
    ]
    return {"schema": CAUSES, "causes": listed}
