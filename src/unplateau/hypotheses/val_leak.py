"""Val holds text that is also in train, so val loss measures memory and looks better than it is.

Claim: documents of the val split, or near copies of them, are in the training set.
Mechanism: the split was drawn by line or by chunk of a corpus with duplicates, or before deduplication;
what is memorised in train is then known in val.
Supported by: a manifest that finds 2 % of val or more in train; no log can show it alone.
Refuted by: a manifest that finds less than .2 %; a val loss that rises above train as passes add up: leaked text would stay at train's level.
Undecided where text repeats itself across the splits (boilerplate, code) and that flatters nobody: were the leaked share s known as
well as train, val would lie s / (1 - s) x |val - train| too low; below .012 nats that is no better number than an honest one.
Needs: the data: a manifest of both splits.
What to do: deduplicate first, then split by hash of the document;
--manifest-only counts the overlap of what you have.
Sources: Lee et al. 2021 (arXiv 2107.06499: 4.6 % of C4's validation set is near-duplicated in train);
ai-forever/ru-gpts issue 23 (perplexity 3 to 8 with val inside train, 13 to 18 without).
"""

from __future__ import annotations

from ..run import Fact, Run
from ..units import count
from . import SMALL, Evidence, Finding, Hypothesis, Remedy
from ._say import against, finding, gap_trend, pro

NAME = "val-leak"
APART = 0.1  # nats of val above train that leaked text would not show
ERRORS = 4.0  # standard errors of the gap
MUCH, LITTLE = 0.02, 0.002  # share of val that stands in train; Lee et al. found .046 in C4
SOME = 0.35  # chance of a leak that is there, and little or harmless
#: nats, to rank by: what a leaked text is known better by; ru-gpts: perplexity 3 to 8 with val inside train, 13 to 18 without
KNOWN, LEAST = 1.0, 0.01
PASSES = 2.0  # epochs; below, train itself is not memorised
FIX = Remedy(
    {},
    "preparing the data again; no training",
    "losses before and after are not comparable",
    "deduplicate, then split by hash of the document",
)
ASKS = ("a manifest of both splits: unplateau prepare --manifest-only DATA (docs/manifest.md)",)

ALONE = ("val loss on the documents that train does not hold, evaluated alone",)


def test(run: Run) -> Finding:
    overlap = run.get("val_overlap")
    if isinstance(overlap, int | float) and 0 <= overlap <= 1:
        return _counted(run, float(overlap))
    gap = gap_trend(run)
    if gap is None:
        return Finding(NAME, "untestable", missing=ASKS)
    fact = f"val - train is {gap.mean:+.3f} +- {gap.mean_error:.3f} nats over the last {gap.n} evaluations"
    if gap.mean > max(APART, ERRORS * gap.mean_error):
        said = fact + ": text that train holds would lie at train's level"
        return finding(NAME, 0.08, [against(said, "val_loss, train_loss")])
    passes = run.get("passes")
    if passes is None or passes < PASSES:
        return Finding(NAME, "untestable", missing=ASKS)
    evidence: list[Evidence] = [
        pro(f"{fact} after {passes:.1f} passes over the training set", run.source("passes") or "passes")
    ]
    return finding(NAME, 0.2, evidence, missing=ASKS)


def _counted(run: Run, overlap: float) -> Finding:
    """The finding where the splits were compared."""
    size = run.get("val_tokens")
    fact = f"{overlap:.2%} of the val split also stands in the train split"
    fact += f": {count(overlap * size)} of {count(size)} tokens" if size else ""
    source = run.source("val_overlap")
    if overlap < LITTLE:
        return finding(NAME, 0.02, [against(fact, source)])
    harmless = _harmless(run, overlap)
    if harmless:
        return finding(NAME, SOME, [pro(fact, source), harmless], remedy=FIX, missing=ALONE)
    chance = 0.85 if overlap >= MUCH else SOME
    return finding(
        NAME, chance, [pro(fact, source)], stake=max(LEAST, KNOWN * overlap), remedy=FIX, missing=ALONE
    )


def _harmless(run: Run, overlap: float) -> Evidence | None:
    """That the leak can't make the number better than it is; None where it can, or nobody knows.

    With a share s of val at train's level t, val is v = (1 - s) u + s t, where u is its loss without the leak: u - v = s / (1 - s) (v - t).
    """
    gap = gap_trend(run)
    if gap is None or overlap >= 1:
        return None
    worth = overlap / (1 - overlap) * (abs(gap.mean) + ERRORS * gap.mean_error)
    if worth >= SMALL:
        return None
    fact = f"val - train is {gap.mean:+.3f} +- {gap.mean_error:.3f} nats: known as well as train, that share lowers val by {worth:.4f} at most"
    return against(fact, "val_loss, train_loss")


def without(run: Run) -> Run | None:
    """The same run whose val split holds nothing of train."""
    if not run.get("val_overlap"):
        return None
    return run.with_facts(val_overlap=Fact(0.0, "fraction", "changed"))


HYPOTHESIS = Hypothesis(
    name=NAME,
    claim="Text of the val split is also in the training set.",
    needs=("val_overlap|val_loss", "val_overlap|train_loss"),
    test=test,
    without=without,
    asks=ASKS,
)
