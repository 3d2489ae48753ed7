"""Real runs of others whose settings were sound, or that were never annealed: the public curves as runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

import numpy as np

from unplateau.curve import Curve
from unplateau.derive import derive
from unplateau.diagnosis import diagnose
from unplateau.run import Fact, Run

from .judge import Case, Judged, verdict

import curves  # isort: skip - judge puts its folder on the path

SET = "public curves"
#: column of schaipp_runs -> name of a fact
COLUMNS = {
    "n_layer": "n_layer", "n_embd": "n_embd", "n_head": "n_head", "lr": "peak_lr", "lr_last": "floor_lr",
    "iters": "max_steps", "warmup": "warmup_steps", "batch": "batch_size", "acc": "gradient_accumulation_steps",
    "seq": "block_size", "wd": "weight_decay", "beta2": "beta2", "clip": "grad_clip", "dropout": "dropout",
}  # fmt: skip
SIZES = {"25": "25M", "100": "100M"}


def judged(limit: int | None = None) -> list[Judged]:
    """The diagnosis of each; causes by what the schedule was, since nothing else was wrong with any."""
    found = [(case, run) for case, run in [*schaipp(), *mpl()]][:limit]
    return [verdict(case, diagnose(run)) for case, run in found]


def schaipp() -> Iterator[tuple[Case, Run]]:
    """SlimPajama runs from scratch: cosines are sound, ``wsd`` without decay stopped before it was annealed."""
    losses, rates = (
        _series("schaipp_val", {"val_loss": "val_loss"}),
        _series("schaipp_train", {"lr": "lr", "batch_loss": "train_loss"}),
    )
    for row in curves.rows("schaipp_runs"):
        constant = row["scheduler"] == "wsd"
        if row["resume_from"] or (constant and float(row["wsd_fract_decay"] or 0) > 0):
            continue  # a branch from a checkpoint begins in the middle
        facts = {n: Fact(_number(row[c]), "", "schaipp_runs.csv") for c, n in COLUMNS.items() if row[c]}
        if constant:
            del facts["floor_lr"]
        facts["schedule"] = Fact("constant" if constant else "cosine", "", "schaipp_runs.csv")
        series = losses[row["run"],] | rates[row["run"],]
        yield _case(row["run"], "schaipp", constant=constant), derive(Run(row["run"], "", series, facts))


def mpl() -> Iterator[tuple[Case, Run]]:
    """The 25M and 100M runs of the multi-power law from scratch; train loss and rate as logged."""
    found = _series("mpl_curves", {"batch_loss": "loss", "lr": "lr"}, ("size_M", "run"))
    for (size, name), series in sorted(found.items()):
        if name.startswith("wsdcon"):
            continue  # branches
        title = f"{SIZES[size]}-{name}"
        yield _case(title, "mpl", constant=name.startswith("constant")), derive(Run(title, "", series))


def _case(name: str, family: str, *, constant: bool) -> Case:
    return Case(name, SET, family, "lr-not-annealed" if constant else "still-learning")


def _number(text: str) -> int | float:
    value = float(text)
    return int(value) if value.is_integer() else value


def _series(
    name: str, columns: dict[str, str], key: Iterable[str] = ("run",)
) -> dict[tuple[str, ...], dict[str, Curve]]:
    """Curves by run: our name of a series <- its column; empty cells are no points."""
    rows: dict[tuple[str, ...], dict[str, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    for row in curves.rows(name):
        for ours, column in columns.items():
            if row[column]:
                rows[tuple(row[k] for k in key)][ours].append((float(row["step"]), float(row[column])))
    return {run: {n: _curve(n, points) for n, points in series.items()} for run, series in rows.items()}


def _curve(name: str, points: list[tuple[float, float]]) -> Curve:
    step, value = np.array(sorted(dict(points).items())).T
    return Curve(step.astype(np.int64), value, "" if name == "lr" else "nats")
