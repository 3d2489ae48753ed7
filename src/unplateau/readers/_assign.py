"""Which column of a foreign table is which series: by a documented order, shown to the user, overridable.

Order for each series, first match wins (words are compared in lower case, without punctuation):

1. what the user says with ``--map``;
2. a loss in nats (loss, nll, cross entropy) before bits and perplexity; bits per byte and per character stand
   beside it as val_bpb, and are the loss only where there is no other;
3. val, valid, validation, eval, dev before test and heldout; a name without further words before one with;
4. for the batch loss: a name that ends in ``step``, then a plain one, then one with further words, then
   a mean over an epoch;
5. the leftmost column.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ..errors import printable
from ..run import LOSSES, SERIES
from . import Options
from ._names import PLAIN, TRAIN, VAL, absent, plain, series_of

#: names of the optimiser step, best first
STEPS = (
    *("global step", "trainer global step", "train global step", "step", "iter", "iteration", "iter num"),
    *("optimizer step", "optimiser step", "training step", "train step", "train iter", "train iteration"),
    *("steps", "iters", "iterations", "update", "updates", "num updates", "current step", "current steps"),
    *("step num", "num steps", "training iteration", "it", "n iter", "num iter", "num iters"),
    *("n iters", "n step", "n steps", "batch", "batches", "batch idx", "x"),
)
EPOCHS = ("epoch", "epochs", "ep", "train epoch", "trainer epoch")
#: names of a column that tells several runs of one file apart; the weak ones only where steps would repeat
RUNS = (
    "run",
    "run id",
    "run name",
    "runid",
    "experiment",
    "exp",
    "exp name",
    "experiment name",
    "trial",
    "trial id",
)
WEAK_RUNS = ("name", "id", "seed", "variant", "model", "config", "job", "arm", "size m", "group")
KINDS = ("series", "metric", "tag", "variable", "key", "name")  # of a long table: one row a number
TEST = frozenset({"test", "heldout", "holdout"})
#: words beside "loss" that make it another thing than the loss of the model at that step
NOT_THE_LOSS = frozenset(
    {
        "scale",
        "scaler",
        "aux",
        "auxiliary",
        "best",
        "min",
        "max",
        "std",
        "var",
        "box",
        "cls",
        "dfl",
        "seg",
        "obj",
    }
    | {
        "smooth",
        "smoothed",
        "ema",
        "improvement",
        "delta",
        "diff",
        "ratio",
        "gap",
        "time",
        "count",
        "balance",
    }
    | {"weight", "kl", "reg", "l1", "l2", "router", "z", "final", "initial", "last", "prev", "previous"}
)
MS = frozenset(
    {"step ms", "ms per iter", "ms per step", "iter ms", "ms iter", "ms step", "dt ms", "step time ms"}
)
PERPLEXITY, BITS, BPB, BPC = "perplexity", "bits", "bits per byte", "bits per character"
#: a word of the name -> the unit it speaks of, and its rank below nats
UNIT_WORDS = {
    "ppl": (PERPLEXITY, 2),
    "perplexity": (PERPLEXITY, 2),
    "bits": (BITS, 1),
    "bpb": (BPB, 3),
    "bpc": (BPC, 4),
}
BESIDE = {"val_loss": "val_bpb", "batch_loss": "train_bpb"}
LOSS_WORDS = frozenset({"loss", "nll", "xent", "ce", "crossentropy"})


@dataclass(frozen=True, slots=True)
class Chosen:
    """A column and what it is read as."""

    column: str
    unit: str = ""  # of a loss: nats where the name says no other


@dataclass(frozen=True, slots=True)
class Columns:
    """What the columns of one table are."""

    step: str | None = None
    epoch: str | None = None
    run: str | None = None
    series: Mapping[str, Chosen] = field(default_factory=dict)
    mapped: frozenset[str] = frozenset()  # series that the user named

    @property
    def has_loss(self) -> bool:
        return bool(self.series.keys() & set(LOSSES))


def assign(names: Iterable[str], options: Options) -> Columns:
    """Tell what each column is.

    >>> found = assign(["iter", "train/loss", "eval/nll", "val_ppl", "lr"], Options())
    >>> found.step, {series: c.column for series, c in found.series.items()}
    ('iter', {'batch_loss': 'train/loss', 'val_loss': 'eval/nll', 'lr': 'lr'})
    """
    columns = list(dict.fromkeys(names))
    mapped = _mapped(columns, options)
    ranked: dict[str, tuple[tuple[int, ...], Chosen]] = {}
    for i, column in enumerate(columns):
        if column in mapped.values():
            continue
        found = meaning(column)
        if found and found[0] not in mapped:
            series, rank, unit = found
            best = ranked.get(series)
            if best is None or (*rank, i) < best[0]:
                ranked[series] = ((*rank, i), Chosen(column, unit))
    chosen = {name: found for name, (_, found) in ranked.items()}
    if not chosen.keys() & set(LOSSES) and not set(mapped) & set(LOSSES):
        for loss, beside in BESIDE.items():  # better judged by bits per byte than not at all
            if beside in chosen:
                chosen[loss] = chosen.pop(beside)
    for name, column in mapped.items():
        if name not in ("step", "run"):
            chosen[name] = Chosen(column, _unit(plain(column).split())[0])
    return Columns(
        mapped.get("step") or first_of(columns, STEPS),
        mapped.get("epoch") or first_of(columns, EPOCHS),
        mapped.get("run") or first_of(columns, RUNS),
        dict(sorted(chosen.items(), key=lambda item: columns.index(item[1].column))),
        frozenset(mapped),
    )


def _mapped(columns: list[str], options: Options) -> dict[str, str]:
    """The user's own choice; raises ``UnreadableError`` for a column that is not there."""
    found = {}
    for series, wanted in options.columns.items():
        same = [c for c in columns if c.strip() == wanted.strip()]
        if not same:
            raise absent(series, wanted, columns)
        found[series] = same[0]
    return found


def first_of(columns: Iterable[str], wanted: Iterable[str]) -> str | None:
    """The column whose name comes first in ``wanted``; one that begins with ``_`` only after all others."""
    by_name: dict[str, str] = {}
    for column in sorted(columns, key=lambda c: c.startswith("_")):
        by_name.setdefault(plain(column), column)
    return next((by_name[name] for name in wanted if name in by_name), None)


def meaning(column: str) -> tuple[str, tuple[int, ...], str] | None:
    """The series that a name means, its rank (least is best), and its unit.

    >>> meaning("val/bpb"), meaning("loss"), meaning("loss_scale"), meaning("lr-AdamW")
    (('val_bpb', (3, 0, 0), 'bits per byte'), ('batch_loss', (0, 1, 0), 'nats'), None, ('lr', (1,), ''))
    """
    words = plain(column).split()
    if not words or column.startswith("_"):
        return None
    held = set(words)
    unit, rank = _unit(words)
    if rank or held & LOSS_WORDS or {"cross", "entropy"} <= held:
        loss = _loss(words, held, unit, rank)
        # no loss per token: a series of its own, as other readers name it
        return (BESIDE[loss[0]], *loss[1:]) if loss and unit in (BPB, BPC) else loss
    known = series_of(column)
    if known:
        return known, (0,), ""
    if words[0] == "lr" and len(words) <= 3:  # lr-AdamW, lr/group0: of one group of several
        return "lr", (1,), ""
    return ("step_ms", (0,), "") if " ".join(words) in MS else None


def _loss(words: list[str], held: set[str], unit: str, rank: int) -> tuple[str, tuple[int, ...], str] | None:
    if held & NOT_THE_LOSS or len(words) > 8:
        return None
    further = len(held - PLAIN - VAL - TRAIN - TEST - {"epoch", "per", "byte", "token", "bits", *UNIT_WORDS})
    if held & (VAL | TEST) and not held & TRAIN:
        return "val_loss", (rank, int(bool(held & TEST)), further), unit
    kind = 0 if words[-1] in ("step", "batch") else (1 if not further else 2) + 2 * ("epoch" in held)
    return "batch_loss", (rank, kind, further), unit


def _unit(words: list[str]) -> tuple[str, int]:
    held = set(words)
    if {"per", "byte"} <= held:
        return BPB, 3
    return next((UNIT_WORDS[w] for w in words if w in UNIT_WORDS), ("nats", 0))


def is_evaluated(column: str) -> bool:
    """True for a loss whose name says the train split: evaluated there, if logged only beside val.

    >>> is_evaluated("train/loss"), is_evaluated("loss"), is_evaluated("train_loss_step")
    (True, False, False)
    """
    words = plain(column).split()
    return bool(TRAIN & set(words)) and not {"step", "batch", "running"} & set(words)


def shown(columns: Columns, roles: Mapping[str, str]) -> str:
    """One line for the user: what was read as what; ``roles`` renames a series."""
    named = [(c.column, roles.get(name, name)) for name, c in columns.series.items()]
    if columns.step:
        named.insert(0, (columns.step, "step"))
    said = [
        f"{printable(column)!r} as {name}"
        for column, name in named
        if plain(column).replace(" ", "_") != name
    ]
    return f"read column {', '.join(said)}" if said else ""


def own_name(column: str) -> str | None:
    """The name under which a column that means no series is kept; None where it would pass for one."""
    name = printable(column.strip())
    return None if not name or name in SERIES or name.startswith("_") else name
