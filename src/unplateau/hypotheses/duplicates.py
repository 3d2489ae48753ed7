"""The training set repeats itself: copies of documents make the unique text smaller than it looks.

Claim: a part of the tokens is spent on copies, and on memorising them.
Mechanism: web crawls hold the same page many times, licences and templates more often still; a copy
teaches little after its first pass, and the most frequent ones are learned by heart.
Supported by: a manifest that counts less than 70 % of the training tokens as unique.
Refuted by: a manifest that counts more than 95 % as unique.
Needs: tokens of the training set with and without duplicates. No log can show it.
What to do: deduplicate by document and by near copy (MinHash), then split.
Sources: Lee et al. 2021 (arXiv 2107.06499); Hernandez et al. 2022 (arXiv 2205.10487: .1 % of the data
repeated 100 times costs a model half of its size); Muennighoff et al. 2023 (arXiv 2305.16264).
"""

from __future__ import annotations

from math import isfinite

from ..run import Fact, Run
from ..units import count
from . import Finding, Hypothesis, Remedy
from ._say import against, finding, pro

NAME = "duplicates"
MANY, FEW = 0.3, 0.05  # share of the tokens that are copies; C4 and RefinedWeb lie between before MinHash
ASKS = ("a manifest: unplateau prepare --manifest-only DATA (docs/manifest.md)",)
NEAR = ("near copies, which were not looked for: unplateau prepare without --dedup off",)
FIX = Remedy(
    {},
    "preparing the data again; no training",
    "less text is left: more passes over it for the same steps",
    "deduplicate by document and near copy, then split",
)


def test(run: Run) -> Finding:
    told = counted(run)
    if told is None:
        return Finding(NAME, "untestable", missing=ASKS)
    share, fact, source = told
    if share <= FEW and run.get("near_looked_for") is False:
        return finding(NAME, 0.2, [against(f"{fact}, of identical ones alone", source)], missing=NEAR)
    if share <= FEW:
        return finding(NAME, 0.03, [against(fact, source)])
    chance = 0.75 if share >= MANY else 0.35
    return finding(NAME, chance, [pro(fact, source)], stake=0.05 * share, remedy=FIX)


def counted(run: Run) -> tuple[float, str, str] | None:
    """The share of the training tokens that are copies, in words, and its source."""
    share = _number(run, "duplicate_share")
    if share is not None and share <= 1:
        said = f"{share:.1%} of the training tokens stand in copies"
        return share, said, run.source("duplicate_share")
    total, unique = _number(run, "train_tokens"), _number(run, "unique_tokens")
    if not total or not unique or unique > total:
        return None
    share = 1 - unique / total
    fact = f"{count(unique)} of {count(total)} training tokens are unique: {share:.1%} are copies"
    return share, fact, f"{run.source('train_tokens')}, {run.source('unique_tokens')}"


def _number(run: Run, name: str) -> float | None:
    value = run.get(name)
    return float(value) if isinstance(value, int | float) and isfinite(value) and value >= 0 else None


def without(run: Run) -> Run | None:
    """The same run on text without copies, as much of it as there is."""
    told = counted(run)
    if told is None or told[0] <= FEW:
        return None
    clean = {"duplicate_share": Fact(0.0, "fraction", "changed")}
    return run.with_facts(**clean)


HYPOTHESIS = Hypothesis(
    name=NAME,
    claim="Copies within the training set waste its tokens.",
    needs=("duplicate_share|unique_tokens", "duplicate_share|train_tokens"),
    test=test,
    without=without,
    asks=ASKS,
)
