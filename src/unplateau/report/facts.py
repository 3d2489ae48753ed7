"""What was understood of a log: its facts, series and warnings, short or with every source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import isfinite, log10
from typing import Any

from ..curve import Curve
from ..errors import printable
from ..run import Fact, Run
from ..units import count, tokens_each
from .lines import WIDTH, Line, render
from .redact import redacted, shown_value

LONGEST = 160  # characters of one value
DIGITS = 3  # of a number that was counted
WHOLE = 12  # digits that a number is written with in full; larger ones are powers of ten
LEAST = 1000  # bytes that are told in kB, MB, ...
PREFIXES = ("", "k", "M", "G", "T", "P", "E")
#: how warnings begin, or what they hold, that change how numbers are to be understood: the first of these first
CHANGING = (
    *("no cross-entropy is below 0", "no loss is, so", "no rate is, so"),
    *("the log has no steps", "steps are W&B's own", "--unit says", "the log does not say", "taken as bits"),
    *("damaged", "more logs left out", "of several runs", "holds most and is read"),
    *("run was resumed", "steps begin again", "logged more than once", "no loss per token", "is not finite"),
)


def short_facts(run: Run) -> Iterator[Line]:
    """The five numbers that one asks for first; what is not known is said to be unknown."""
    yield Line("FACTS", "title")
    yield Line("; ".join(_short(run)), indent=2, hang=2)


def _short(run: Run) -> Iterator[str]:
    tokens, params, lr = run.get("tokens_seen"), run.get("params"), run.get("lr_now")
    yield f"tokens seen {_counted(tokens)}"
    ratio = run.get("tokens_per_param")
    yield f"parameters {_counted(params)}" + (
        f" ({tokens_each(ratio)} tokens each)" if _number(ratio) else ""
    )
    share = run.get("lr_share")
    if _number(lr):
        yield f"learning rate now {lr:.2e}" + (f", {share:.0%} of its peak" if _number(share) else "")
    else:
        yield "learning rate unknown" + (f", now {share:.0%} of its peak" if _number(share) else "")
    passes = run.get("passes")
    yield f"passes over the data {f'{passes:.2g}' if _number(passes) else 'unknown'}"
    hours = run.get("hours_left")
    yield f"hours left {f'{hours:,.2g}' if _number(hours) else 'unknown'}"


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _counted(value: Any) -> str:
    return count(value) if _number(value) else "unknown"


def fact_lines(run: Run) -> Iterator[Line]:
    """Every fact with its unit and its source."""
    if not run.facts:
        return
    yield Line("FACTS", "title")
    for name, fact in run.facts.items():
        shown = measured(replace(fact, value=shown_value(name, fact.value)))
        yield Line(f"{name} = {shown}  [{fact.source}]", indent=2, hang=4)


def measured(fact: Fact) -> str:
    """A fact's value with its unit; what was counted with no more digits than it is good for.

    >>> measured(Fact(0.0034021, "h", "counted")), measured(Fact(2_200_000, "bytes", "counted"))
    ('0.0034 h', '2.2 MB')
    >>> measured(Fact(0.9995, "", "config.py:3")), measured(Fact(7_759_462_400, "tokens", "counted"))
    ('0.9995', '7,759,462,400 tokens')
    """
    value, unit = fact.value, fact.unit
    if not _number(value) or not isfinite(value):
        return f"{written(value)} {unit}".rstrip()
    if unit == "bytes" and abs(value) >= LEAST:
        return _bytes(value)
    if isinstance(value, float) and fact.source.startswith("counted"):
        many = DIGITS <= log10(abs(value) or 1) < WHOLE
        return f"{f'{value:,.0f}' if many else f'{value:.{DIGITS}g}'} {unit}".rstrip()
    return f"{written(value)} {unit}".rstrip()


def _bytes(value: float) -> str:
    shown = float(f"{value:.{DIGITS}g}")  # 999.6 MB are 1 GB
    power = min(len(PREFIXES) - 1, int(log10(abs(shown)) / 3))
    return f"{shown / 1000**power:.{DIGITS}g} {PREFIXES[power]}B"


def written(value: Any) -> str:
    """A value on one line, cut where it is long.

    >>> written(40_560_000), written(2.65e-4), written([1, 2])
    ('40,560,000', '0.000265', '[1, 2]')
    """
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    return printable(f"{value:.6g}" if isinstance(value, float) else str(value), LONGEST)


def warning_lines(run: Run, shown: int, rows: int = 0) -> Iterator[Line]:
    """What the reader met on the way: ``shown`` warnings, at most ``rows`` rows of each."""
    if run.warnings:
        yield Line("WARNINGS", "title")
    for warning in ordered(run.warnings)[:shown]:
        yield Line(redacted(warning), "doubt", indent=2, hang=4, most=rows)
    yield from rest(len(run.warnings), shown)


def ordered(warnings: Sequence[str]) -> list[str]:
    """Warnings that change how numbers are to be understood before the others, else as they came.

    >>> ordered(["read 'nll' as val_loss", "x.gz is damaged after 9 unpacked bytes", "the log has no steps: ..."])
    ['the log has no steps: ...', 'x.gz is damaged after 9 unpacked bytes', "read 'nll' as val_loss"]
    """
    return sorted(
        warnings, key=lambda w: next((i for i, mark in enumerate(CHANGING) if mark in w), len(CHANGING))
    )


def rest(number: int, shown: int) -> Iterator[Line]:
    """A line that counts what the short form leaves out."""
    if number > shown:
        yield Line(f"and {number - shown} more (-v)", "dim", indent=2)


def text(runs: Sequence[Run], *, width: int = WIDTH, colour: bool = False) -> str:
    """``unplateau read``: series, facts and warnings of each run."""
    lines: list[Line] = []
    for run in runs:
        lines += [Line()] if lines else []
        lines += [Line(f"{run.name} ({run.format or 'unknown format'})", "title", most=1)]
        lines += [Line("SERIES", "title"), *(_series(n, c) for n, c in run.series.items())]
        lines += [*fact_lines(run), *warning_lines(run, len(run.warnings))]
    return render(lines, width, colour=colour)


def _series(name: str, curve: Curve) -> Line:
    if not len(curve):
        return Line(f"{name}: no points", indent=2)
    unit = f" {curve.unit}" if curve.unit else ""
    ends = f"{written(curve.first)} to {written(curve.last)}{unit}"
    steps = f"steps {int(curve.step[0]):,} to {int(curve.step[-1]):,}"
    return Line(f"{name}: {len(curve):,} points, {steps}, {ends}", indent=2, hang=4)
