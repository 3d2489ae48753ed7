"""Labelled real cases: top-1 and top-3 on those that carry a log or loss points."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unplateau.curve import Curve
from unplateau.derive import derive
from unplateau.diagnosis import READINGS, Diagnosis, diagnose
from unplateau.reading import read_runs
from unplateau.run import Fact, Run

from .judge import SHARED
from .page import percent, table

LABELS = Path(__file__).with_name("real_cases.toml")
TOP = 3
#: word of a case's config -> name of a fact
WORDS = {
    "lr": "peak_lr", "min_lr": "floor_lr", "steps": "max_steps", "max_iters": "max_steps",
    "tok_per_iter": "tokens_per_step", "block": "block_size", "T": "block_size", "batch": "batch_size",
    "B": "batch_size", "ga": "gradient_accumulation_steps", "gpus": "world_size", "dtype": "dtype",
    "n_layer": "n_layer", "n_head": "n_head", "n_embd": "n_embd", "epochs": "epochs_planned",
    "beta2": "beta2", "clip": "grad_clip", "z_loss": "z_loss", "gpu": "gpu",
}  # fmt: skip
DTYPES = {"fp16": "float16", "bf16": "bfloat16"}
#: what a model's name says by convention
MODELS = {"GPT-2 124M": {"n_layer": 12, "n_head": 12, "n_embd": 768, "vocab_size": 50257, "block_size": 1024}}
MPL = (
    "mpl-100M-schedules",
    "100",
    "constant_24000",
)  # the case, and the run of benchmarks/curves that shows it


@dataclass(frozen=True, slots=True)
class Answer:
    """One case and what was said of it."""

    name: str
    category: str
    causes: tuple[str, ...]
    evidence: str  # "log", "curve" or "n points"
    first: str | None  # the headline's cause
    ranked: tuple[str, ...]  # supported and undecided, as ranked
    accused: tuple[str, ...]  # supported causes that are no right answer

    @property
    def outcome(self) -> str:
        """right, abstained, wrong; where nothing is to be named, silence or a reading is right."""
        if self.nothing:
            return "wrong" if self.first and self.first not in (*READINGS, *self.causes) else "right"
        if self.first is None or (self.first in READINGS and not self.healthy):
            return "abstained"
        return "right" if self.first in self.causes else "wrong"

    @property
    def healthy(self) -> bool:
        return any(c in READINGS for c in self.causes)

    @property
    def nothing(self) -> bool:
        """No cause is to be named: a healthy run, or a fault that nobody knows or none of the causes names."""
        return not self.causes or set(self.causes) <= set(READINGS)

    @property
    def in_top(self) -> bool:
        return self.outcome == "right" or bool(set(self.ranked[:TOP]) & set(self.causes))


def labels() -> dict[str, dict[str, Any]]:
    """id -> causes and why."""
    return tomllib.loads(LABELS.read_text("utf-8"))


def answers(shared: Path = SHARED) -> list[Answer]:
    """All cases that carry a log or loss points; none where the folder is not there."""
    file = shared / "logs" / "cases.jsonl"
    if not file.is_file():
        return []
    known = labels()
    found = []
    for line in file.read_text("utf-8").splitlines():
        case = json.loads(line)
        if (evidence := run_of(case, shared / "logs")) is not None:
            kind, run = evidence
            found.append(
                answer(case["id"], case["category"], tuple(known[case["id"]]["causes"]), kind, diagnose(run))
            )
    return found


def answer(name: str, category: str, causes: Sequence[str], kind: str, diagnosis: Diagnosis) -> Answer:
    """Score one diagnosis."""
    open_ = [f for f in diagnosis.findings if f.verdict in ("supported", "undecided")]
    accused = [f.cause for f in open_ if f.verdict == "supported" and f.cause not in (*READINGS, *causes)]
    top = diagnosis.first
    return Answer(
        name,
        category,
        tuple(causes),
        kind,
        top.cause if top else None,
        tuple(f.cause for f in open_),
        tuple(accused),
    )


def run_of(case: dict[str, Any], logs: Path) -> tuple[str, Run] | None:
    """The run of a case: from its log, else from public curves, else from its loss points; None without any."""
    config = facts(case["config"])
    folder = logs / case["log"].removeprefix("real/") if case["log"] else None
    if folder is not None and folder.is_dir():
        (log,) = [p for p in folder.iterdir() if p.name not in ("meta.json", "README.md")]
        run = read_runs(str(log))[0]
        return "log", derive(run.with_facts(**{n: f for n, f in config.items() if n not in run.facts}))
    if case["id"] == MPL[0]:
        return "curve", constant_run()
    if not case["loss_points"]:
        return None
    kind = f"{len(case['loss_points'])} point" + "s" * (len(case["loss_points"]) > 1)
    return kind, derive(Run(case["id"], "", series(case["loss_points"]), config))


def facts(config: dict[str, Any]) -> dict[str, Fact]:
    """The case's settings in the words of VOCABULARY; what has no word there is left out."""
    told = {WORDS[k]: v for k, v in config.items() if k in WORDS} | MODELS.get(config.get("model", ""), {})
    if "dtype" in told:
        told["dtype"] = DTYPES.get(told["dtype"], told["dtype"])
    return {name: Fact(value, "", "cases.jsonl") for name, value in told.items()}


def series(points: Iterable[Sequence[float | None]]) -> dict[str, Curve]:
    """Points are (step, train, val), null where not logged; both null at a known step is a loss that was nan."""
    placed = [p for p in points if p[0] is not None]
    name = "train_loss" if any(p[2] is not None for p in placed) else "batch_loss"
    lost = [p[0] for p in placed if p[1] is None and p[2] is None]
    train = [(p[0], p[1]) for p in placed if p[1] is not None] + [(step, np.nan) for step in lost]
    val = [(p[0], p[2]) for p in placed if p[2] is not None]
    rows = {name: train, "val_loss": val}
    return {n: Curve(*map(np.array, zip(*sorted(r), strict=True)), "nats") for n, r in rows.items() if r}


def constant_run() -> Run:
    """The constant-rate run of the public curves that the case is about; its train loss every 128 steps."""
    import curves

    rows = [r for r in curves.rows("mpl_curves") if (r["size_M"], r["run"]) == MPL[1:]]
    step = np.array([int(float(r["step"])) for r in rows])
    told = {"batch_loss": "loss", "lr": "lr"}
    made = {
        n: Curve(step, np.array([float(r[c]) for r in rows]), "nats" * (n != "lr")) for n, c in told.items()
    }
    return derive(Run(MPL[0], "", made))


def summary(found: Sequence[Answer]) -> str:
    """Cases with a cause to name, and cases with none, apart."""
    rows = []
    for title, group in (
        ("a cause is to be named", [a for a in found if not a.nothing]),
        ("healthy, unknown, or no cause of ours", [a for a in found if a.nothing]),
    ):
        counts = Counter(a.outcome for a in group)
        told = [counts["right"], sum(a.in_top for a in group), counts["abstained"], counts["wrong"]]
        told += [sum(bool(a.accused) for a in group)]
        rows.append([title, len(group), *(percent(n, len(group)) for n in told)])
    return table(["cases", "n", "top 1", f"top {TOP}", "abstained", "another first", "accused wrongly"], rows)


def each_case(found: Sequence[Answer]) -> str:
    """One row a case: its id, what was expected, what was said."""
    return table(
        ["case", "evidence", "right answers", "said first", "ranked", "outcome"],
        [
            [
                a.name,
                a.evidence,
                ", ".join(a.causes) or "none",
                a.first or "nothing",
                ", ".join(a.ranked[:TOP]),
                a.outcome,
            ]
            for a in found
        ],
    )
