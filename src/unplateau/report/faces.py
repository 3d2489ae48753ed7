"""How a run, a diagnosis and a forecast look in a notebook: the verdict, the picture, the numbers.

What a notebook shows needs no script and nothing from elsewhere; every foreign word in it is escaped.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..curve import Curve
from ..diagnosis import Diagnosis
from ..futures import Forecast
from ..run import Run
from .facts import short_facts, written
from .page.html import Child, Html, join, tag, trusted

STYLE = (
    ".up-note{max-width:52rem}.up-note svg{width:100%;height:auto;margin:.3rem 0}.up-note table{margin:.3rem 0}"
    ".up-note .up-wide{overflow-x:auto}.up-note td{text-align:left;padding:.1rem .8rem .1rem 0}.up-note td:not(:last-child){white-space:nowrap}"
)
DRAWN = ("curve", "budget")


def run(value: Run) -> Html:
    """A run: its losses, and what was understood of it; no verdict, for that takes a diagnosis."""
    from ..derive import derive
    from ..state import state_of

    known = derive(value)
    plain = Diagnosis(known, state_of(known), (), ())
    rows = [_series(name, curve) for name, curve in known.series.items()]
    said = [tag("p", " ".join(line.text for line in short_facts(known) if line.ink != "title"))]
    said += [tag("p", f"{len(known.warnings)} warnings: see .warnings")] if known.warnings else []
    return _note(
        f"{known.name} ({known.format or 'unknown format'})",
        _pictures(plain, None, ("curve",)),
        _table(("series", "points", "steps", "from", "to", "unit"), rows),
        *said,
    )


def diagnosis(value: Diagnosis) -> Html:
    """A diagnosis: the verdict, the curve with its law, the budget, the causes that may hold."""
    from .budget import parts_of, total_of
    from .causes import claims
    from .headline import chance, headline

    parts: list[Child] = [tag("p", tag("b", headline(value, claims())))]
    parts.append(_pictures(value, None, DRAWN))
    if value.budget is not None and value.budget.rows:
        told = [*parts_of(value.budget), total_of(value, value.budget)]
        parts.append(
            _table(
                ("part of the loss", "nats", "90 % interval"), [(p.name, p.value, p.interval) for p in told]
            )
        )
    held = [f for f in value.findings if f.verdict in ("supported", "undecided")]
    rows = [(f.cause, f"{f.verdict}{chance(f)}", f.evidence[0].fact if f.evidence else "") for f in held]
    parts.append(_table(("cause", "verdict", "evidence"), rows))
    return _note(value.run.name, *parts)


def forecast(value: Forecast) -> Html:
    """A forecast: where it ends, the curve with its futures, and each of them in numbers."""
    from ..diagnosis import diagnose
    from .forecast import COLUMNS, cells, named, title_of

    rows = [(named(value, future), *cells(future)) for future in value.futures]
    return _note(
        value.run.name,
        tag("p", tag("b", title_of(value))),
        _pictures(diagnose(value.run), value, ("curve",)),
        _table(["future", *(title for title, _ in COLUMNS)], rows),
    )


def _note(name: str, *parts: Child) -> Html:
    return tag("div", tag("style", trusted(STYLE)), tag("p", name), *parts, class_="up-note")


def _pictures(found: Diagnosis, ahead: Forecast | None, names: tuple[str, ...]) -> Html:
    """Pictures that stand alone: each brings its style and its paper, whatever the notebook's colours are."""
    from .figures import figures_of

    return join(trusted(figure.svg) for figure in figures_of(found, ahead) if figure.name in names)


def _series(name: str, curve: Curve) -> tuple[str, ...]:
    if not len(curve):
        return (name, "0", "", "", "", curve.unit)
    steps = f"{int(curve.step[0]):,} to {int(curve.step[-1]):,}"
    return (name, f"{len(curve):,}", steps, written(curve.first), written(curve.last), curve.unit)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Html:
    """A table; nothing where it has no rows."""
    if not rows:
        return Html("")
    head = tag("tr", *(tag("th", word, scope="col") for word in heads))
    body = (tag("tr", *(tag("td", cell) for cell in row)) for row in rows)
    return tag("div", tag("table", tag("thead", head), tag("tbody", *body)), class_="up-wide")
