"""The tokens and the model do not belong together: another tokenizer, or a vocabulary of another size.

Claim: the data was cut into tokens by another tokenizer than the model was made for.
Mechanism: fresh weights guess evenly, so the first loss is ln(vocabulary), whatever the text. A
checkpoint that reads another tokenizer's numbers starts near or above ln(vocabulary) instead of 2 to 4.
Supported by: a checkpoint whose first loss is that of an even guess or worse; fresh weights whose first
loss is that of a smaller vocabulary than configured; a val loss worse than an even guess while train learns; a
manifest in which parts of val are train's text once their token numbers are set back by some.
Refuted by: a fresh first loss within .3 nats of ln(vocabulary), where val does not lie far above train: the model fits
train's tokens, val's may be another tokenizer's all the same. A vocabulary padded from 50,257 to 50,304 is worth .0009 nats
and speeds up the matrix product.
Needs: the vocabulary's size, and the loss before the first update; or a manifest.
What to do: decode a batch and read it; compare the largest token in the shards with vocab_size; use the
checkpoint's own tokenizer.
Sources: Karpathy, A Recipe for Training Neural Networks, 2019 ("verify loss @ init"); karpathy/nanoGPT
train.py (50,304: 50,257 padded to a multiple of 64); SCIENCE.md section 7.
"""

from __future__ import annotations

from math import exp, log

from ..run import Run
from . import Evidence, Finding, Hypothesis, Remedy
from ._say import SURE, against, finding, gap_trend, pro, worse_than_even
from ._start import INIT, Start, scratch, start_of, vocabulary
from .val_mismatch import Renumbered, renumbered
from .val_mismatch import test as unlike

NAME = "tokenizer-mismatch"
LARGE = 1.0  # nats above an even guess; no common initialisation of a fresh model gives it
SMALL = 0.5  # nats below an even guess; a fresh model can't know that much
GPT2 = 50257  # tokens of GPT-2's vocabulary
PADDED = (64, 128, 256, 512)  # multiples that vocabularies are padded to
KNOWS = 0.5  # of ln V; a checkpoint that fits its tokens starts below: GPT-2 on web text at .3
OPEN = 0.2  # chance of another tokenizer's val, where val lies above train for a reason that no one knows
EVEN = 0.5  # nats; val's numbers off by one cost 5 nats in letters and 4 in a BPE of 512, each in its share of val
MANIFEST = (
    "whether val bears train's token numbers: unplateau prepare --manifest-only DATA (docs/manifest.md)"
)
ASKS = ("the loss at step 0", "one decoded batch, and the largest token in the shards")
FIX = Remedy(
    {},
    "tokenizing again; no training",
    "losses under two tokenizers compare only as bits per byte",
    "use the checkpoint's tokenizer, and vocab_size of its size",
)


def test(run: Run) -> Finding:
    numbers = renumbered(run)
    if numbers is not None and numbers.off:
        return _counted(run, numbers)
    found = _by_losses(run)
    if found.verdict != "refuted" or (numbers is not None and not _strays(run)):
        return found
    if (above := _val_alone(run)) is None:
        return found
    asks = (MANIFEST, "one decoded batch of val") if numbers is None else ("one decoded batch of val",)
    return finding(NAME, OPEN, [above, *found.evidence], missing=asks)


def _counted(run: Run, numbers: Renumbered) -> Finding:
    """The finding where a manifest tells val's numbers from train's."""
    gap = gap_trend(run)
    worth = max(gap.mean, 0.0) if gap is not None else EVEN * numbers.share
    return finding(NAME, SURE, [pro(str(numbers), run.source("val_renumbered"))], stake=worth, remedy=FIX)


def _strays(run: Run) -> bool:
    """Whether val's token frequencies stray from train's further than chance lets them."""
    strays, chance = run.get("val_divergence"), run.get("val_divergence_chance")
    return strays is not None and chance is not None and strays > chance


def _val_alone(run: Run) -> Evidence | None:
    """That val lies above train as an unlike text does; the first loss tells of train's tokens alone."""
    gap = gap_trend(run)
    if gap is None or gap.mean < EVEN or unlike(run).verdict != "supported":
        return None
    said = f"val lies {gap.mean:.2f} nats above train from the start: its tokens may be another tokenizer's"
    return pro(said, "val_loss, train_loss")


def _by_losses(run: Run) -> Finding:
    """The finding without a manifest."""
    start = start_of(run)
    padding = _padding(run)
    if worse := worse_than_even(run):
        return finding(NAME, 0.75, [worse], stake=1.0, remedy=FIX, missing=ASKS)
    if start is None:
        if not padding:
            return Finding(NAME, "untestable", missing=ASKS)
        return finding(NAME, 0.2, padding, missing=ASKS)
    source = f"{start.series}, {run.source('vocab_size') or 'vocab_size'}"
    fact = f"{start}: {start.above:+.3f} nats"
    if scratch(run) is False:
        return _checkpoint(run, start, fact, source, padding)
    if start.above > LARGE:
        end = f"{fact}; a tokenizer can't do that to fresh weights: the initialisation, the targets or the unit can"
        return finding(NAME, 0.3, [against(end, source), *padding], missing=ASKS)
    if start.above < -SMALL:
        return _below(run, start, fact, source)
    chance = 0.02 if abs(start.above) <= INIT else 0.15
    return finding(NAME, chance, [against(fact, source), *padding], missing=ASKS)


def _checkpoint(run: Run, start: Start, fact: str, source: str, padding: list[Evidence]) -> Finding:
    """The finding where training began from a checkpoint: it should know its tokens."""
    if str(run.get("init_from")) == "resume" or start.ratio < KNOWS:
        return finding(NAME, 0.05, [against(fact + ", so the weights know these tokens", source), *padding])
    if start.above < -LARGE:
        return finding(NAME, 0.3, [pro(fact, source), *padding], missing=ASKS)
    said = fact + f" although training began from {run.get('init_from')}"
    return finding(NAME, 0.75, [pro(said, source), *padding], stake=0.5, remedy=FIX)


def _below(run: Run, start: Start, fact: str, source: str) -> Finding:
    """The finding where the first loss is that of a smaller vocabulary, or of weights that are not fresh."""
    guess = exp(max(0.0, min(start.loss, start.even)))
    said = f"{fact}, the even guess of {guess:,.0f} tokens"
    fresh, sure = scratch(run) is True, "assumed" not in run.source("vocab_size")
    if not (fresh and sure) or start.loss <= 0:
        unknown = "whether the weights were fresh (init_from), and vocab_size as it ran"
        return finding(NAME, 0.3, [pro(said, source)], missing=(unknown, *ASKS))
    return finding(NAME, 0.7, [pro(said, source)], stake=0.1, remedy=FIX)


def _padding(run: Run) -> list[Evidence]:
    """A padded vocabulary is often blamed, and harmless."""
    vocab = vocabulary(run)
    if vocab is None or not GPT2 < vocab < GPT2 + max(PADDED) or all(vocab % p for p in PADDED):
        return []
    worth = log(vocab) - log(GPT2)
    fact = f"{vocab:,} is GPT-2's {GPT2:,} padded: ln({vocab}) - ln({GPT2}) = {worth:.4f} nats"
    return [against(fact, run.source("vocab_size") or "vocab_size")]


HYPOTHESIS = Hypothesis(
    name=NAME,
    claim="The tokens were made by another tokenizer than the model's, or for another vocabulary.",
    needs=("vocab_size|val_renumbered", "val_loss|train_loss|batch_loss|val_renumbered"),
    test=test,
    asks=("vocab_size", "the loss at step 0"),
)
