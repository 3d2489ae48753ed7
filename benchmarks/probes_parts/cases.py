"""The runs that are probed: healthy, or with a cause planted; their texts; and which probes work on which of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "planted"))

import numpy as np
from texts import ALPHABET, code, shorten, split
from texts import Data as Kept

Config = dict[str, int | float | str]

LONGEST = 3_000_000  # characters of a text
MID = 0.6  # of the steps: where a run is probed that is not done
STEPS = 600
USUAL: Config = {
    "preset": "nanogpt",
    "device": "cpu",
    "compile": "off",
    "dtype": "float32",
    "attention": "sdpa",
    "matmul": "highest",
    "log_style": "none",
    "vocab_size": len(ALPHABET),
    "block_size": 32,
    "batch_size": 20,
    "gradient_accumulation_steps": 1,
    "n_layer": 2,
    "n_head": 4,
    "n_embd": 48,
    "bias": "False",
    "dropout": 0.0,
    "peak_lr": 2e-3,
    "floor_lr": 1e-4,
    "warmup_steps": 30,
    "max_steps": STEPS,
    "beta2": 0.99,
    "weight_decay": 0.1,
    "eval_iters": 0,
    "eval_tokens": 40_000,
}


@dataclass(frozen=True, slots=True)
class Case:
    """A run: its text, what was planted, and the run without it. ``train``: characters kept of the text; 0 is all."""

    name: str
    text: str
    cause: str = ""
    over: Config = field(default_factory=dict)
    mended: str = ""
    train: int = 0

    @property
    def config(self) -> Config:
        """All that the trainer is told, but where."""
        told = USUAL | self.over
        steps = int(told["max_steps"])
        every = {"eval_interval": round(MID * steps), "checkpoint_interval": round(MID * steps)}
        return {"decay_end": steps, **every, "keep_every": round(MID * steps), "log_interval": 5} | told


KEEN: Config = {"peak_lr": 6e-3, "floor_lr": 0.0}
CAUSES: tuple[tuple[str, str, Config, str], ...] = (  # name, cause, settings, the run without it
    ("gentle", "", {}, ""),
    ("keen", "", KEEN, ""),
    ("constant", "lr-not-annealed", KEEN | {"schedule": "constant"}, "keen"),
    ("floor-.5", "lr-not-annealed", KEEN | {"floor_lr": 3e-3}, "keen"),
    ("lr-x10", "lr-too-high", {"peak_lr": 2e-2, "floor_lr": 1e-3}, "gentle"),
    ("lr-x30", "lr-too-high", {"peak_lr": 6e-2, "floor_lr": 3e-3}, "gentle"),
    ("lr-x.1", "lr-too-low", {"peak_lr": 2e-4, "floor_lr": 1e-5}, "gentle"),
    ("lr-x.03", "lr-too-low", {"peak_lr": 6e-5, "floor_lr": 3e-6}, "gentle"),
    ("batch-2", "batch-too-small", {"batch_size": 2}, "gentle"),
    ("batch-160", "batch-too-large", {"batch_size": 160, "max_steps": 75, "warmup_steps": 5}, "gentle"),
    ("dropout-.3", "over-regularised", {"dropout": 0.3}, "gentle"),
    ("dropout-.1", "over-regularised", {"dropout": 0.1}, "gentle"),
    ("decay-5", "over-regularised", {"weight_decay": 5.0}, "gentle"),
    ("decay-.5", "over-regularised", {"weight_decay": 0.5}, "gentle"),
    ("smoothing-.2", "over-regularised", {"label_smoothing": 0.2}, "gentle"),
    ("width-16", "capacity", {"n_layer": 1, "n_head": 2, "n_embd": 16, "peak_lr": 5e-3}, "width-32"),
    ("width-32", "", {"n_layer": 1, "n_head": 2, "n_embd": 32, "peak_lr": 5e-3}, ""),
    ("bfloat16", "", {"dtype": "bfloat16"}, "gentle"),
)
#: a text so short that it is read many times: there dropout may be worth its price
REPEATED: tuple[tuple[str, str, Config, str], ...] = (
    ("repeated", "repetition", {}, ""),
    ("repeated-dropout-.2", "over-regularised", {"dropout": 0.2}, "repeated"),
)
MEMORISED: tuple[tuple[str, str, Config, str], ...] = (
    ("memorised", "repetition", {}, ""),
    ("memorised-dropout-.2", "over-regularised", {"dropout": 0.2}, "memorised"),
)
CASES = tuple(
    Case(f"{text}.{name}", text, cause, over, f"{text}.{mended}" if mended else "", train)
    for text in ("sotu", "code")
    for cases, train in ((CAUSES, 0), (REPEATED, 50_000), (MEMORISED, 8_000))
    for name, cause, over, mended in cases
)


#: probe -> where, at what shares of the tokens so far, and on which cases
BOTH = ("mid", "end")
HEALTHY, FEW = ("gentle", "keen"), ("repeated-dropout-.2", "memorised-dropout-.2")
RATES = ("lr-x10", "lr-x30", "lr-x.1", "lr-x.03")
PLAN: dict[str, tuple[tuple[str, ...], tuple[float, ...], tuple[str, ...]]] = {
    "cooldown": (BOTH, (0.1, 0.45, 0.2), (*HEALTHY, "constant", "floor-.5", "lr-x10", "lr-x.1", "dropout-.3", "batch-2")),
    "learning_rate": (BOTH, (0.4, 0.2), (*HEALTHY, "constant", *RATES, "dropout-.3", "width-16", "batch-2", "batch-160")),
    "regularisation": (BOTH, (0.2, 0.1), ("dropout-.3", "dropout-.1", "decay-.5", "decay-5", "smoothing-.2", *FEW)),
    "batch_size": (BOTH, (0.4, 1.5, 0.2), (*HEALTHY, "batch-2", "batch-160", "constant", "lr-x10", "lr-x.1")),
    "precision": (BOTH, (0.1, 0.2), ("bfloat16",)),
}  # fmt: skip


def jobs() -> Iterator[tuple[Case, str, float, str]]:
    """All trials, those of the largest of the usual budgets first."""
    for turn in range(3):
        for text in ("sotu", "code"):
            for name, (ats, shares, cases) in PLAN.items():
                for case in CASES:
                    if case.text == text and case.name.partition(".")[2] in cases and turn < len(shares):
                        yield from ((case, at, shares[turn], name) for at in ats)


# --- data


def whole(text: str) -> str:
    """A text in the shared alphabet; other characters become spaces."""
    if text == "code":
        joined = "\n".join(code(Path()))
    else:
        from unplateau.prepare.embedded import embedded_text

        joined = "\n".join(content for _, content in embedded_text())
    joined = joined[:LONGEST]
    return joined.translate({ord(c): " " for c in set(joined) - set(ALPHABET)})


def data_of(case: Case, out: Path) -> Path:
    """The folder of a case's train.bin and val.bin; made where it is missing."""
    folder = out / "data" / f"{case.text}-{case.train}"
    if (folder / "val.bin").exists():
        return folder
    table = np.zeros(128, np.uint16)
    table[[ord(c) for c in ALPHABET]] = np.arange(len(ALPHABET))
    train, val = (table[np.frombuffer(part.encode(), np.uint8)] for part in split(whole(case.text)))
    folder.mkdir(parents=True, exist_ok=True)
    shorten(train, Kept(train=case.train)).tofile(folder / "train.bin")
    val.tofile(folder / "val.bin")
    return folder
