"""The val split is not a fair sample of what the model trains on.

Claim: val and train differ in kind, so val loss measures the difference between two texts, not learning.
Mechanism: val is another source, another time, a short contiguous slice, or was cleaned otherwise.
Supported by: a val loss below train by several standard errors, both evaluated alike (where the log tells how far
the loss of other text of the kind may be, that counts too: the same windows each time are off by the same); or a gap that
stands from the first evaluations, while the model knows only letter and word frequencies and can have
memorised nothing, and then stops growing while train falls on; or a manifest in which a model of token
pairs, counted on train, loses more on val than on held-out train.
Refuted by: val and train within noise of each other; a manifest that finds val as like train as fair
samples are. Undecided where a manifest finds train's text in it under other token numbers: that is tokenizer-mismatch.
Needs: train and val loss, both evaluated with dropout off; or a manifest.
What to do: draw val by hash of the document, at random over all of the data, at least 1M tokens;
unplateau prepare draws it so, and --manifest-only measures the one that you have.
Sources: SCIENCE.md section 5; nanoGPT's estimate_loss evaluates both splits alike.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import hypot

import numpy as np

from ..run import Run
from . import Evidence, Finding, Hypothesis, Remedy
from ._say import LIKELY, SURE, Trend, against, both_losses, finding, gap_trend, pro

NAME = "val-mismatch"
ERRORS = 4.0  # standard errors of the mean gap; 1 in 15,000 by chance
SMALL = 0.02  # nats; a gap that no decision hangs on
AT_ONCE = 0.5  # of the final gap at the first evaluation
BELOW, ABOVE = 0.05, 0.2  # nats; a fair sample of few documents strays by less, see docs/LOG.md
FOLLOWS = 0.7  # of train's fall that the gap may grow by while val still follows train; see docs/LOG.md
EARLY = 0.25  # of the final gap that must stand at the first evaluation; memorising has none there
UNFAIR = 0.05  # nats that a model of pairs finds val harder or easier by; splits at random by document stay under it
OPEN = 0.2  # chance of a gap that is there in the windows read, within the error of other text of the kind
SURELY = 3.0  # standard errors of that; 1 in 400 by chance
#: standard errors that do where val's frequencies stray ``FURTHER`` than whole pieces of train do: a val of two texts has a
#: large error because of what is wrong with it. Fair vals stray .1 to .9 of what pieces do (24 data sets, docs/LOG.md)
NEARLY, FURTHER = 2.0, 2.0
FIX = Remedy(
    {},
    "preparing the data again; no training",
    "losses before and after are not comparable",
    "draw val at random by document over all of the data, 1M tokens or more",
)
ASKS = ("how val was drawn: unplateau prepare --manifest-only DATA (docs/manifest.md)",)


def test(run: Run) -> Finding:
    found = _tested(run)
    numbers = renumbered(run)
    if numbers is None or not numbers.off or found.probability is None:
        return found
    explained = against(f"{numbers}: that alone makes it another text", run.source("val_renumbered"))
    chance = min(found.probability, OPEN)
    return finding(NAME, chance, [explained, *found.evidence], stake=found.stake, missing=ASKS)


@dataclass(frozen=True, slots=True)
class Renumbered:
    """The share of val's blocks whose numbers are off by ``offset``, and what 95 % of sound vals stay at."""

    share: float
    chance: float
    offset: int | None

    @property
    def off(self) -> bool:
        """True where so many blocks are no chance."""
        return self.share > self.chance

    def __str__(self) -> str:
        if not self.off or not self.offset:
            return f"{self.share:.1%} of val fits train better under other numbers, by chance up to {self.chance:.1%}"
        by = f"set back by {self.offset:,}" if self.offset > 0 else f"set on by {-self.offset:,}"
        return f"{self.share:.0%} of val is train's text once its token numbers are {by} (by chance up to {self.chance:.1%})"


def renumbered(run: Run) -> Renumbered | None:
    """What a manifest says of the numbers of val's tokens; None where it says nothing."""
    share, chance = run.get("val_renumbered"), run.get("val_renumbered_chance")
    return None if share is None or chance is None else Renumbered(share, chance, run.get("val_offset"))


def _tested(run: Run) -> Finding:
    """The finding before what the numbers of val's tokens tell."""
    told = sampled(run)
    gap = gap_trend(run)
    if gap is not None:
        found = _by_losses(run, gap)
        return found if told is None else _weighed(found, told, gap)
    if told is None:
        return Finding(NAME, "untestable", missing=("four evaluations of both train and val loss", *ASKS))
    unfair, size, evidence = told
    chance = 0.4 if unfair is None else 0.8 if unfair else 0.05
    return finding(NAME, chance, evidence, stake=min(abs(size), 1.0), missing=ASKS, remedy=FIX)


def sampled(run: Run) -> tuple[bool | None, float, list[Evidence]] | None:
    """What a manifest says of val: unfair, fair or neither; nats that it is harder by; None where it says nothing."""
    size, error = run.get("val_gap"), run.get("val_gap_error")
    strays, chance = run.get("val_divergence"), run.get("val_divergence_chance")
    if strays is None or chance is None:
        return None
    said = f"val's token frequencies stray {strays:.4f} nats from train's; 95 % of fair samples stay under {chance:.4f}"
    evidence = [(pro if strays > chance else against)(said, run.source("val_divergence"))]
    if size is None or not error:
        return (None if strays > chance else False), 0.0, evidence
    pieces = run.get("order_divergence")
    apart = pieces is not None and strays > chance and strays > FURTHER * pieces
    harder = abs(size) > UNFAIR and abs(size) > (NEARLY if apart else SURELY) * error
    said = f"a model of token pairs loses {size:+.3f} +- {error:.3f} nats on val against held-out train"
    evidence.append((pro if harder else against)(said, run.source("val_gap")))
    if apart:
        said = f"whole pieces of train, as long as val, stray {pieces:.4f} on average: {strays / max(pieces, 1e-9):.1f} times less"
        evidence.append(pro(said, run.source("order_divergence")))
    if run.get("val_contiguous"):
        evidence.append(pro("val is 1 piece of the same text, no sample of it", run.source("val_contiguous")))
    unfair = True if harder and strays > chance else False if not harder and strays <= chance else None
    return unfair, float(size), evidence


def _weighed(found: Finding, told: tuple[bool | None, float, list[Evidence]], gap: Trend) -> Finding:
    """What the losses say, with what the manifest says of how val was drawn."""
    unfair, size, evidence = told
    known, both = found.probability or 0.0, (*found.evidence, *evidence)
    if unfair is None:
        return replace(found, evidence=both)
    if not unfair:
        return finding(NAME, min(known, 0.15), both, stake=found.stake, missing=ASKS)
    agree = size * gap.mean > 0 and abs(gap.mean) > SMALL
    chance = max(known, LIKELY + 0.1) if agree else max(known, 0.3)
    return finding(NAME, chance, both, stake=max(found.stake, min(abs(size), 1.0)), missing=ASKS, remedy=FIX)


def _by_losses(run: Run, gap: Trend) -> Finding:
    stays, source = lasting_error(run)
    error = hypot(gap.mean_error, stays)
    surely = hypot(gap.surely(ERRORS) * gap.mean_error, ERRORS * stays)
    fact = f"val - train is {gap.mean:+.3f} +- {error:.3f} nats over the last {gap.n} evaluations"
    if gap.mean < -surely and gap.mean < -SMALL:
        return _below(run, gap, pro(f"{fact}, {-gap.mean / error:.0f} standard errors below", source))
    here = abs(gap.mean) > max(SMALL, gap.surely(ERRORS) * gap.mean_error)
    if here and abs(gap.mean) < surely:  # in these windows; other text of the kind may show none
        return finding(NAME, OPEN, [against(fact, source)], missing=ASKS)
    if gap.mean < SMALL or gap.mean < surely:
        return finding(NAME, 0.05, [against(fact, source)])
    return _above(run, gap, pro(fact, source))


def lasting_error(run: Run) -> tuple[float, str]:
    """Standard error of val - train, nats, that all evaluations share, and the series it is from; 0 where none is told.

    Evaluations that read the same windows are all off by the same, so their scatter shows nothing of it.
    """
    told = ["val_loss", "train_loss"]
    if run.get("eval_windows") != "fixed":
        return 0.0, ", ".join(told)
    found = []
    for split in ("val", "train"):
        names = (f"{split}_text_error", f"{split}_loss_error")  # the first counts that documents differ
        known = [n for n in names if n in run.series and len(run.series[n].finite)]
        found += [run.series[n].finite.last for n in known[:1]]
        told += known[:1]
    return hypot(*found), ", ".join(told)


def _below(run: Run, gap: Trend, fact: Evidence) -> Finding:
    evidence = [fact]
    if run.get("eval_modes_equal") and gap.mean > -BELOW:
        return finding(NAME, 0.4, evidence, stake=0.01, remedy=FIX, missing=ASKS)
    if run.get("eval_modes_equal"):
        evidence.append(
            pro(
                "both splits are evaluated alike (dropout off), 0 nats come from that",
                run.source("eval_modes_equal"),
            )
        )
        return finding(NAME, SURE, evidence, stake=0.01, remedy=FIX)  # it costs no loss: it hides some
    return finding(NAME, 0.3, evidence, missing=("whether train loss was evaluated with dropout off",))


def _above(run: Run, gap: Trend, fact: Evidence) -> Finding:
    early, share = early_gap(run)
    growth = gap_growth(run)
    evidence = [fact, _early_fact(early, share, gap)]
    if growth is not None:
        said = f"in the second half the gap grows by {growth:.0%} of what train falls"
        evidence.append((pro if growth < FOLLOWS else against)(said, "val_loss, train_loss"))
    # nothing can be memorised before the first evaluation, whatever the gap does later
    follows = (growth is not None and growth < FOLLOWS) or early > AT_ONCE * gap.end
    passes = run.get("passes")
    if passes is not None:
        said = f"{passes:.1f} passes over the training data"
        evidence.append((pro if passes < 1.5 else against)(said, run.source("passes")))
    stood = early > EARLY * gap.end and early > SMALL
    if not follows or not stood:
        return finding(NAME, 0.1 if growth is not None and growth > 1 else 0.3, evidence, missing=ASKS)
    if gap.mean < ABOVE:
        return finding(NAME, 0.4, evidence, stake=gap.mean, remedy=FIX, missing=ASKS)
    probability = LIKELY + 0.1 if passes is None else SURE if passes < 1.5 else 0.4
    return finding(NAME, probability, evidence, stake=gap.mean, remedy=FIX, missing=ASKS)


def _early_fact(early: float, share: float, gap: Trend) -> Evidence:
    fact = f"at the first evaluation, {share:.0%} into the run, the gap was {early:+.3f} nats already"
    return (pro if early > EARLY * gap.end else against)(fact, "val_loss, train_loss")


def early_gap(run: Run) -> tuple[float, float]:
    """val - train at the first evaluation after step 0, and its share of the run."""
    found = both_losses(run)
    assert found is not None
    step, _, gap = found
    k = int(np.argmax(step > 0))
    return float(gap[k]), float(step[k] / step[-1])


def gap_growth(run: Run, share: float = 0.5) -> float | None:
    """How much val - train grows per nat that train falls over the last ``share`` of the run; None if train stands."""
    found = both_losses(run)
    if found is None:
        return None
    step, train, gap = found
    keep = (step > 0) & (step >= step[-1] * (1 - share))
    t, gap = train[keep], gap[keep]
    if len(t) < 4 or t[0] - t[-1] < SMALL:
        return None
    fall = t.mean() - t
    spread = float(((fall - fall.mean()) ** 2).sum())
    return float(((fall - fall.mean()) * (gap - gap.mean())).sum() / spread) if spread > 0 else None


HYPOTHESIS = Hypothesis(
    name=NAME,
    claim="Val is not a fair sample of the training text, so the level of val loss misleads.",
    needs=("val_loss|val_divergence", "train_loss|val_divergence"),
    test=test,
    asks=("val and train loss, evaluated alike, or a manifest (unplateau prepare --manifest-only DATA)",),
)
