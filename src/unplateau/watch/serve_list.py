"""The list of the runs below a folder, as HTML: a row each, those that need somebody first.

What a row says is what the watcher saw (seen.py); the words are here. Foreign words are escaped by
report/page/html.py, and nowhere else.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from ..report.page.html import Html, join, tag, text, trusted
from ..report.redact import redacted
from .seen import Update, Watched
from .telling import trouble

#: how a run stands -> the sign before its word (shape as well as colour) and what the word means; those that
#: need somebody come first
STANDS = {
    "diverged": ("✕", "the loss has gone up for good, or is not a number any more"),
    "stalled": (
        "‖",
        "its log has not grown for much longer than it used to take, and its end is not reached",
    ),
    "rising": ("↗", "the loss rises"),
    "flat": ("→", "the loss does not fall any more"),
    "slowing": ("⤵", "the loss falls more slowly than before"),
    "falling": ("↘", "the loss falls"),
    "too-short": ("·", "too few points to judge yet"),
    "waiting": ("…", "not read yet"),
    "silent": ("‖", "its log has not grown for a day; it does not tell whether the run has ended"),
    "finished": ("■", "it has reached its planned end"),
}
NEAR = (
    0.99  # of the planned steps: a log that ends after that has ended with its run, between two of its lines
)
HOUR, DAY = 3600.0, 86400.0  # s
LEAST = 600.0  # s; an evaluation, or a save, of a run that is near its end may take some minutes
NO_NEWS = "still-learning"  # a reading that holds of most runs
HEADS = (
    ("state", "State"),
    ("name", "Run"),
    ("loss", "Loss"),
    ("step", "Step"),
    ("ahead", "At its planned end"),
    ("left", "Left"),
    ("written", "Last line"),
)


def address(key: str) -> str:
    """The name of a run in addresses: of letters and digits only, whatever its folder is called.

    >>> address("../a run/train.log")
    '25e7a4c3641c'
    """
    return hashlib.blake2s(key.encode("utf-8", "surrogateescape"), digest_size=6).hexdigest()


def stands(run: Watched, now: float | None = None) -> str:
    """How a run stands at ``now`` (seconds since 1970; default: the clock's), as a key of ``STANDS``.

    The watcher calls a run quiet when it has seen it slower than it had seen it before. A log that was left before the
    watch began tells less: that it is not written for longer than the run should have taken to its end, or for a day.
    """
    if run.step is None or not run.verdict:
        return "waiting"
    if run.verdict == "diverged":
        return "diverged"
    silent = _silent(run, time.time() if now is None else now)
    if run.end is not None and run.step >= (run.end * NEAR if silent else run.end - 1):
        return "finished"
    if silent:
        return "stalled" if run.quiet or run.end is not None else "silent"
    return run.verdict


def _silent(run: Watched, now: float) -> bool:
    left = run.left.high * HOUR if run.left is not None else DAY
    return run.quiet or (run.written > 0 and now - run.written > min(max(left, LEAST), DAY))


def said(word: str) -> str:
    """A key of ``STANDS`` as it is written."""
    return word.replace("-", " ")


def ordered(update: Update) -> list[Watched]:
    """The runs, those that need somebody first, then the last written."""
    places = list(STANDS)
    return sorted(update.runs, key=lambda run: (places.index(stands(run)), -run.written, run.name))


def summary(update: Update) -> Html:
    """How many runs stand how.

    >>> from pathlib import Path
    >>> summary(Update(1, 0.0, Path("runs"), waiting="there is no runs yet"))
    '<p id="summary">there is no runs yet</p>'
    """
    if not update.runs:
        return tag("p", update.waiting or "no run yet", troubles(update), id="summary")
    counted = Counter(stands(run) for run in update.runs)
    chips = [
        tag("span", _sign(word), f" {counted[word]} {said(word)}", class_=f"chip {word}")
        for word in STANDS
        if word in counted
    ]
    runs = "1 run" if len(update.runs) == 1 else f"{len(update.runs)} runs"
    return tag("p", f"{runs}: ", chips, troubles(update), id="summary")


def troubles(update: Update) -> Html:
    """What went wrong and was not mended since: a command of the user's that failed, with its exit code."""
    return join(
        tag("span", "✗ ", redacted(trouble(event)), " (", ago(event.when), ")", class_="part trouble")
        for event in update.troubles
    )


def table(update: Update) -> Html:
    """The whole list."""
    heads = [_head(key, word) for key, word in HEADS]
    rows = [row(run) for run in ordered(update)]
    return tag(
        "table",
        tag("caption", "The runs, those that need somebody first", class_="unseen"),
        tag("thead", tag("tr", heads)),
        tag("tbody", rows),
        class_="runs",
        data_live="runs",
    )


def _head(key: str, word: str) -> Html:
    """A head to sort by; the script makes the button work."""
    return tag("th", tag("button", word, type="button", data_sort=key), scope="col", class_=f"c-{key}")


def row(run: Watched) -> Html:
    """The row of one run; each cell bears what the script sorts by."""
    word, key = stands(run), address(run.key)
    cells = (
        _cell("state", str(list(STANDS).index(word)), _state(word)),
        _cell("name", run.name.lower(), _name(run, key)),
        _cell("loss", _order(run.loss), _loss(run)),
        _cell("step", _order(run.step), _step(run)),
        _cell("ahead", _order(run.planned[1].value if run.planned else None), _ahead(run)),
        _cell("left", _order(run.left.value if run.left else None), _left(run)),
        _cell("written", _order(run.written or None), ago(run.written)),
    )
    return tag("tr", cells, id=f"run-{key}", class_=word)


def _cell(name: str, order: str, *children: Html | str) -> Html:
    return tag("td", *children, class_=f"c-{name}", data_order=order)


def _order(value: float | None) -> str:
    return "" if value is None else f"{value:.9g}"


def _sign(word: str) -> Html:
    return tag("span", STANDS[word][0], class_="sign", aria_hidden="true")


def _state(word: str) -> Html:
    return tag("span", _sign(word), f" {said(word)}", class_=f"state {word}", title=STANDS[word][1])


def _name(run: Watched, key: str) -> Html:
    link = trusted(f'<a href="run/{key}">{text(run.name)}</a>')
    causes = ", ".join(one.name for one in run.standing if one.name not in (run.verdict, NO_NEWS))
    return join(link, tag("span", causes, class_="causes") if causes else None)


def _loss(run: Watched) -> Html | str:
    if run.loss is None:
        return ""
    return join(
        f"{run.loss:.4g}" if run.loss >= 1000 else f"{run.loss:.3f}",
        tag("span", f" {run.series}", class_="dim"),
    )


def _step(run: Watched) -> Html | str:
    if run.step is None:
        return ""
    if run.end is None:
        return f"{run.step:,}"
    return join(f"{run.step:,}", tag("span", f" of {run.end:,}", class_="dim"))


def _ahead(run: Watched) -> Html | str:
    if run.planned is None or stands(run) in ("diverged", "finished", "stalled", "silent"):
        return ""
    value = run.planned[1]
    return join(f"{value.value:.3f}", tag("span", f" ({value.low:.3f} to {value.high:.3f})", class_="dim"))


def _left(run: Watched) -> str:
    if run.left is None or stands(run) in ("diverged", "finished", "stalled", "silent"):
        return ""
    return hours(run.left.value)


def line(run: Watched | None, update: Update | None = None) -> Html:
    """How a run stands, in one line: above its page, where it changes with every line of its log."""
    wrong = troubles(update) if update is not None else Html()
    if run is None or run.step is None:
        return wrong
    written = join("last line ", ago(run.written)) if run.written else None
    left = f"{given} left" if (given := _left(run)) else None
    parts = [_state(stands(run)), join("step ", _step(run)), left, written]
    return join((tag("span", part, class_="part") for part in parts if part), wrong)


def hours(value: float) -> str:
    """A length of time in h, in two digits.

    >>> hours(0.004), hours(0.5), hours(5.61), hours(50.2), hours(400)
    ('14 s', '30 min', '5.6 h', '50 h', '17 d')
    """
    for size, unit in ((1 / 3600, "s"), (1 / 60, "min"), (1.0, "h")):
        most = {"s": 90 / 3600, "min": 1.5, "h": 96.0}[unit]
        if value < most:
            shown = value / size
            return f"{shown:.1f} {unit}" if unit == "h" and shown < 10 else f"{shown:.0f} {unit}"
    return f"{value / 24:.0f} d"


def ago(when: float) -> Html | str:
    """A point in time; the script says how long ago that is, and keeps saying it."""
    if not when:
        return ""
    # beyond the year 9999 no clock is right: a file system may tell anything
    if not 0 < when < 2.5e11:
        return "unknown"
    at = datetime.fromtimestamp(when, UTC)
    return trusted(f'<time datetime="{at:%Y-%m-%dT%H:%M:%SZ}">{at:%Y-%m-%d %H:%M} UTC</time>')


def rows_of(update: Update, addresses: Sequence[str]) -> dict[str, str]:
    """The rows of the runs at ``addresses``; of those that are gone, an empty string."""
    by_address = {address(run.key): run for run in update.runs}
    return {one: row(by_address[one]) if one in by_address else "" for one in addresses}
