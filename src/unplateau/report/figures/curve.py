"""The picture of one run: its losses against tokens, the law through them, what is ahead, and the learning rate below."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ...curve import Curve
from ...diagnosis import Diagnosis
from ...futures import Forecast
from ...run import Run
from ...units import count
from .law import RATES, law_tracks, rate_tracks
from .measure import LOSSES, OTHER, Amounts, bumps_of, errors, shown
from .plot import Flag, Mark, Panel, Plot, Track
from .scale import padded
from .thin import grain, shared, smoothed, thinned

#: share of the run that the first view begins at: four doublings, as the report's own chart; before that the loss only falls
SHOWN = 1 / 16
START = 0.01  # the same where the loss came back up: before it the state is not judged
SMOOTH = 120  # means over equal parts of the axis
DENSE = 4 * SMOOTH  # points; from here on the eye sees a band, not a curve
TAIL = 0.99  # share of the noisy points that the first view holds; a spike above it is marked at the edge
UP = ("diverged", "too-short", "rising")  # verdicts for which the whole of what was judged is shown
FEWEST = 2  # points that make a picture


def curve_plot(found: Diagnosis, ahead: Forecast | None, runs: int = 1) -> Plot | None:
    """The losses of a run as a plot; None where it has no two of them. ``runs``: of the page that it is for."""
    run, state = found.run, found.state
    amounts, columns = Amounts.of(run), shared(runs)
    curves = shown(run, state)
    if not curves or max(len(curve) for _, curve in curves) < FEWEST:
        return None
    tracks = [t for name, curve in curves for t in _loss_tracks(found, name, curve, amounts, columns)]
    foreseen = law_tracks(found, ahead, amounts)
    every = [*tracks, *foreseen]
    whole = _whole(every)
    if whole is None:
        return None
    flags = tuple(_flags(found, amounts))
    whole = (whole[0], max([whole[1], *(flag.x for flag in flags if flag.kind == "lost")]))
    view = (max(whole[0], _start(found) * _last(tracks)), whole[1])
    unit = curves[0][1].unit
    losses = Panel(
        "loss",
        f"loss, {unit}" if unit else "loss, in a unit that the log does not tell",
        tuple(every),
        _view(every, view),
    )
    below = (_rates(found, ahead, amounts, columns), _norms(run, amounts, columns))
    rest = [panel for panel in below if panel is not None]
    return Plot(
        label=amounts.unit,
        unit=amounts.unit,
        view=view,
        whole=whole,
        panels=(losses, *rest),
        flags=flags,
        grain=grain(runs),
    )


def _loss_tracks(
    found: Diagnosis, name: str, curve: Curve, amounts: Amounts, columns: int
) -> Iterator[Track]:
    """A series as it was logged; where it is dense, faint, with its means over it."""
    label, ink = LOSSES.get(name, OTHER)
    label = label or name
    x, y = amounts.at(curve.step), curve.value
    kept = thinned(x, y, columns)
    half, how = errors(found.run, found.state, name, curve)
    if name == "batch_loss" and len(curve) > DENSE:
        yield Track(name, f"{label}, as logged", ink, "faint", x[kept], y[kept], scaling=False)
        mean_x, mean_y = smoothed(x, y, SMOOTH)
        said = f"its means over {SMOOTH} equal parts of the axis"
        yield Track(f"{name}_mean", said, ink, "line", mean_x, mean_y, width=2)
        return
    low, high = (None, None) if half is None else (y[kept] - half[kept], y[kept] + half[kept])
    said = f"{label} (90 % bars, {how})" if how else label
    mark: Mark = (
        "slants"
        if name == "batch_loss"
        else "dots"
        if name == found.state.series or name in ("val_loss", "fresh_loss")
        else "crosses"
    )
    yield Track(name, said, ink, mark, x[kept], y[kept], low, high, bars=half is not None)


def _start(found: Diagnosis) -> float:
    """The share of the run that the first view begins at."""
    return START if found.state.verdict in UP else SHOWN


def _last(tracks: Sequence[Track]) -> float:
    return max(float(t.x[-1]) for t in tracks if len(t.x))


def _whole(tracks: Sequence[Track]) -> tuple[float, float] | None:
    """From the first amount above 0, which a logarithmic axis needs, to the last; None where there is no such range."""
    above = [t.x[t.x > 0] for t in tracks]
    ends = [(float(x[0]), float(x[-1])) for x in above if len(x)]
    if not ends:
        return None
    first, last = min(a for a, _ in ends), max(b for _, b in ends)
    return (first, last) if last > first else None


def _view(tracks: Sequence[Track], view: tuple[float, float]) -> tuple[float, float]:
    """The lowest and the highest y to show: all measured points of the view, but not the tails of a noisy series."""
    low, high = np.inf, -np.inf
    for track in tracks:
        inside = (track.x >= view[0]) & (track.x <= view[1]) & np.isfinite(track.y)
        if not inside.any():
            continue
        y = track.y[inside]
        top = np.quantile(y, TAIL) if track.mark == "faint" else y.max()
        if track.scaling:
            low, high = min(low, float(y.min())), max(high, float(top))
        else:
            low = min(low, float(np.quantile(y, 1 - TAIL) if track.mark == "faint" else y.min()))
    return padded(low, high, 0.05)


def _rates(found: Diagnosis, ahead: Forecast | None, amounts: Amounts, columns: int) -> Panel | None:
    """The learning rate as logged, and as planned where that is known."""
    run, tracks = found.run, []
    logged, schedule = run.series.get("lr"), run.schedule
    last = float(run.get("steps_done") or 0)
    if logged is not None and len(seen := logged.finite) > 1:
        x = amounts.at(seen.step)
        kept = thinned(x, seen.value, columns)
        tracks.append(
            Track("lr", "learning rate, as logged", "ink", "line", x[kept], seen.value[kept], width=1.6)
        )
    end = run.get("planned_end")
    stop = max(last, float(end) if end else 0.0)
    if schedule is not None and not run.has("step_unit") and stop > 1 and (not tracks or stop > last):
        first = last if tracks else 1.0
        even, early = np.linspace(first, stop, RATES), np.geomspace(max(first, 1.0), stop, RATES)
        steps = np.unique(np.rint(np.append(even, early)))
        value = np.array([schedule(int(step)) for step in steps.tolist()])
        tracks.append(
            Track(
                "lr_plan",
                "learning rate, as planned",
                "plan",
                "line",
                amounts.at(steps),
                value,
                width=1.6,
                dash=1,
            )
        )
    if not tracks:
        return None
    tracks += rate_tracks(ahead, amounts)
    top = max(float(t.y.max()) for t in tracks)
    return Panel("lr", "learning rate", tuple(tracks), (0.0, 1.08 * top)) if top > 0 else None


def _norms(run: Run, amounts: Amounts, columns: int) -> Panel | None:
    """The gradient norm, where it was logged, on a logarithmic axis."""
    logged = run.series.get("grad_norm")
    if logged is None or len(seen := logged.finite) < FEWEST or not (above := seen.value > 0).any():
        return None
    x, y = amounts.at(seen.step[above]), seen.value[above]
    kept = thinned(x, y, columns)
    track = Track("grad_norm", "gradient norm, as logged", "batch", "line", x[kept], y[kept], width=1)
    low, high = float(y.min()), float(y.max())
    return Panel("grad_norm", "gradient norm", (track,), (low / 1.2, high * 1.2), log=True)


def _flags(found: Diagnosis, amounts: Amounts) -> Iterator[Flag]:
    """What happened on the way: resumes, bumps, losses that are no numbers, where one phase ends and the next begins."""
    run, state = found.run, found.state
    curve = run.series.get(state.series)

    def at(step: float) -> float:
        return float(amounts.at([step])[0])

    for step in sorted({int(s) for name in ("resumed_after", "resumed_at") for s in _steps(run, name)}):
        yield Flag("resume", at(step), f"the run was resumed at step {step:,}")
    for bump in bumps_of(state):
        value = curve.at(bump.step) if curve is not None else None
        said = f"bump at step {bump.step:,}: {bump.size:.3g} above its neighbours, {bump.errors:.1f} standard errors"
        yield Flag("bump", at(bump.step), said, value)
    for name in LOSSES:
        lost = run.series[name].non_finite_steps if name in run.series else np.empty(0)
        if len(lost):
            said = f"{name} is nan or infinite at {count(len(lost))} steps, first at step {int(lost[0]):,}"
            yield Flag("lost", at(float(lost[0])), said)
    for phase in state.phases[1:]:
        yield Flag(
            "phase", at(phase.first), f"from step {phase.first:,}: {phase.per_doubling:+.2g} per doubling"
        )


def _steps(run: Run, name: str) -> Sequence[float]:
    """The steps that a fact lists."""
    listed = run.get(name)
    return [s for s in listed if isinstance(s, (int, float))] if isinstance(listed, (list, tuple)) else []


def words(found: Diagnosis, plot: Plot) -> str:
    """The picture in words, for those who can't see it."""
    losses = [t for t in plot.panels[0].tracks if t.mark != "line" and len(t.y)]
    ends = ", ".join(f"{t.label.partition(' (')[0]} from {t.y[0]:.3f} to {t.y[-1]:.3f}" for t in losses)
    ahead = [t.label for t in plot.panels[0].tracks if t.key == "plan" or t.key.startswith("future")]
    then = f" Ahead: {'; '.join(ahead)}." if ahead else ""
    flags = [f.label for f in plot.flags if f.kind in ("resume", "lost")][:3]
    also = f" {'; '.join(flags)}." if flags else ""
    return f"Loss against {plot.unit}: {ends}, the curve {found.state.verdict}.{then}{also}"
