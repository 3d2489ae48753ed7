"""How much of each split is evaluated, chosen once a run and kept in its folder. No torch.

``eval_tokens`` or ``eval_iters`` say it, of each split alike. Else it is as much as a standard error of .002 wants by the
spread of a cheap model's losses (``survey``), within the tokens that nanoGPT's default estimate reads, 200 batches of
each of two splits, and those that are trained on between two evaluations: they then take a quarter of a run at most, as
a pass forward is a third of a step. The plan is known before the first step: a network that has learned nothing loses
the same everywhere, so its own spread would promise too much.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..durable import sync, told, write_durably
from ..errors import UnreadableError, why
from .data import Corpus
from .settings import Settings
from .survey import Sample, Survey

ITERS = 200  # batches; of each split in nanoGPT's default
SHARES = {"val": 4, "train": 2, "seen": 1, "fresh": 1}  # of the tokens that an evaluation may read
FOLDER, PLAN, WINDOWS = "evaluations", "plan.json", "windows.npz"
SCHEMA = "unplateau.evaluations/1"
LIMIT = 1 << 20  # bytes of a plan

Corpora = Sequence[tuple[Corpus, float]]
Surveys = Mapping[tuple[str, int], tuple[float, Survey]]
Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """The windows of one split of one data set; ``weight`` in the mixture of the split."""

    split: str
    source: int
    weight: float
    sample: Sample

    @property
    def key(self) -> str:
        return f"{self.split}/{self.source}"

    def in_words(self) -> str:
        """What is read of it."""
        all_of = len(self.sample.survey.stream)
        if self.sample.whole:
            return f"{self.split}: all of its {all_of:,} tokens, in windows of {self.sample.survey.length:,}"
        return f"{self.split}: {self.sample.tokens:,} of {all_of:,} tokens, the same each time"


def parts_of(settings: Settings, corpora: Corpora, folder: Path | None = None) -> tuple[Part, ...]:
    """What a run evaluates: as ``evaluations/plan.json`` of its ``folder`` has it, or else chosen now and written there.

    A plan for other data, another ``block_size``, ``eval_tokens`` or ``eval_iters`` is made anew. Beside it,
    ``windows.npz`` has what a reader needs to recompute the losses that are told (``arrays_of``). Raises
    ``UnreadableError`` for a damaged plan.
    """
    surveys = _surveys(settings, corpora)
    identities = _identities(settings, surveys, corpora)
    kept = None if folder is None else _kept(folder, identities)
    counts = kept or _counts(settings, surveys)
    pairs = zip(surveys.items(), counts, strict=True)
    parts = tuple(Part(split, i, weight, survey.sample(n)) for ((split, i), (weight, survey)), n in pairs)
    if folder is not None:
        write_arrays(place_of(folder) / WINDOWS, arrays_of(parts))
        if kept is None:
            _keep(folder, identities, counts)
    return parts


def _surveys(settings: Settings, corpora: Corpora) -> Surveys:
    """By split and source: its weight, and its windows. A split too short for one window is left out."""
    return {
        (split, source): (weight, Survey(corpus.splits[split], settings.block_size))
        for split in SHARES
        for source, (corpus, weight) in enumerate(corpora)
        if split in corpus.splits and len(corpus.splits[split]) > settings.block_size
    }


def _counts(settings: Settings, surveys: Surveys) -> list[int]:
    """Windows to read of each."""
    if settings.eval_tokens or settings.eval_iters:
        asked = settings.eval_tokens // settings.block_size
        asked = asked if settings.eval_tokens else settings.eval_iters * settings.batch_size
        return [min(s.windows, max(1, round(w * asked))) for w, s in surveys.values()]
    total = min(2 * ITERS * settings.batch_size, _between(settings))
    shares = [SHARES[split] * weight for (split, _), (weight, _) in surveys.items()]
    return dealt(total, [survey.needed() for _, survey in surveys.values()], shares)


def _between(settings: Settings) -> int:
    """Windows that are trained on between two evaluations."""
    steps = min(settings.eval_interval or settings.max_steps, settings.max_steps)
    return steps * settings.tokens_per_step // settings.block_size


def dealt(total: int, wanted: Sequence[int], shares: Sequence[float]) -> list[int]:
    """``total`` dealt by shares; what one does not want goes to the others; at least 1 each.

    >>> dealt(80, [10, 100, 100], [4, 2, 1])
    [10, 46, 23]
    """
    given: dict[int, int] = {}
    while waiting := [i for i in range(len(wanted)) if i not in given]:
        left, all_shares = total - sum(given.values()), sum(shares[i] for i in waiting)
        part = {i: max(1, int(left * shares[i] / all_shares)) for i in waiting}
        content = {i: wanted[i] for i in waiting if wanted[i] <= part[i]}
        given |= content or part
    return [given[i] for i in range(len(wanted))]


def place_of(run: Path) -> Path:
    """The folder of a run's evaluations; made where it is not there."""
    with told(run / FOLDER):
        (run / FOLDER).mkdir(parents=True, exist_ok=True)
        sync(run)
    return run / FOLDER


def arrays_of(parts: Sequence[Part]) -> dict[str, NDArray[Any]]:
    """Of each part: the first token of each window, and where the estimate is corrected, by what.

    ``SPLIT.starts`` (windows,); ``SPLIT.control`` (windows, orders), the cheap model's losses; ``SPLIT.shift`` (orders,),
    its mean over all windows that it read less that over these. ``SPLIT`` is ``val``, or ``val.0`` in a mixture.
    """
    single = len({part.source for part in parts}) == 1
    out: dict[str, NDArray[Any]] = {}
    for part in parts:
        name = part.split if single else part.key.replace("/", ".")
        out[f"{name}.starts"] = part.sample.starts
        if (fit := part.sample.fit) is not None:
            out[f"{name}.control"], out[f"{name}.shift"] = fit
    return out


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Durably, as numpy's ``.npz``."""
    buffer = io.BytesIO()
    np.savez(buffer, **cast("dict[str, Any]", arrays))
    write_durably(path, buffer.getvalue())


def _keep(folder: Path, identities: Rows, counts: Sequence[int]) -> None:
    rows = [one | {"windows": n} for one, n in zip(identities, counts, strict=True)]
    data = json.dumps({"schema": SCHEMA, "parts": rows}, indent=1).encode() + b"\n"
    write_durably(place_of(folder) / PLAN, data)


def _kept(folder: Path, identities: Rows) -> list[int] | None:
    """The windows of each part by the plan; None where there is none, or it is for other data or another size."""
    path = folder / FOLDER / PLAN
    if not path.is_file():
        return None
    try:
        with path.open("rb") as file:
            rows = json.loads(file.read(LIMIT))["parts"]
        counts = [int(row.pop("windows")) for row in rows]
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UnreadableError(
            f"{FOLDER}/{PLAN} is damaged ({why(error)}): remove it, and other windows may be evaluated from here on"
        ) from None
    return counts if rows == identities and min(counts, default=0) > 0 else None


def _identities(settings: Settings, surveys: Surveys, corpora: Corpora) -> Rows:
    """What the windows of each part are of; with the same of all, they are the same.

    ``eval_iters`` stands there without the size of a batch: a branch with other batches keeps its parent's windows.
    """
    asked = {"eval_iters": settings.eval_iters} if settings.eval_iters else {}
    return [
        {
            "split": split,
            "source": source,
            "block_size": survey.length,
            "of": survey.windows,
            "data": corpora[source][0].fingerprint,
            "eval_tokens": settings.eval_tokens,
            **asked,
        }
        for (split, source), (_, survey) in surveys.items()
    ]
