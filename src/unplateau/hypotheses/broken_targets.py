"""The loss does not measure the next token: labels, mask, shift or a factor are wrong.

Claim: the number that is minimised or logged is not the mean cross-entropy of the next token.
Mechanism: a mask lets the future through and the loss falls to nothing; labels are not shifted, or all
masked; losses of micro-batches are summed where the mean was meant, or divided twice.
Supported by: train and val both near 0; a first loss of k ln(vocabulary), k the number of accumulated
micro-batches; a batch loss that is a constant multiple of the evaluated one; batches that are learnt while the
same text, evaluated, is worse than an even guess, or worse than a table of token pairs though its pieces hardly
differ (a manifest tells); a loss far under that table's after few passes; a val loss that is never a number while training is fine.
Refuted by: a first loss of ln(vocabulary) and a last loss that text can have.
Needs: a loss; the loss at step 0, the vocabulary and the accumulation help.
What to do: train on random tokens, where nothing below ln(vocabulary) is possible; overfit one batch;
print one row of inputs and targets; divide the loss by the accumulation exactly once.
Sources: karpathy/minGPT issue 75 and huggingface/transformers issue 48745 (the future leaks: loss near 0);
huggingface/trl issue 1053 (all labels masked: eval loss nan), issue 2175 (means of unequal micro-batches);
Hoffmann et al. 2022 (arXiv 2203.15556: 1.69 nats remain at any size, web text).
"""

from __future__ import annotations

from math import log

import numpy as np

from ..curve import Curve
from ..planned import working_steps
from ..run import LOSSES, Run
from . import Evidence, Finding, Hypothesis, Remedy
from ._sampled import other_task, sampled
from ._say import EVEN, LEARNT, SURE, against, batches_between, finding, pro
from ._start import scratch, start_of, tamed, vocabulary

NAME = "broken-targets"
NOTHING = 0.1  # nats; the best models of characters of English need .6, of web text by tokens 1.7
LITTLE = 0.5  # nats; only templates, code by characters or memorised text get there
#: of the entropy of token pairs. Characters of English: .6 of 2.4 nats remain in the best models; by tokens more. In
#: benchmarks/planted .16 and more (95 % of the text copies), .03 and .04 where the future was let through
EASY = 0.1
ONCE = 2.0  # passes; below, val can't have been memorised, nor most of train
KS = range(2, 65)  # micro-batches that are accumulated
INIT = (0.985, 1.02)  # of k ln V: what initialisations give
SMALL_K = 8  # above, the bands of neighbouring k are too close for chance
SAME = 0.03  # relative; a ratio of two losses that is constant to this is a factor, no difference
VARIES = 1.3  # the loss must fall by this factor for a factor to be told from an offset
FOLLOWS = 0.1  # nats above the unigram entropy
PRINTED = 0.01  # nats; losses of four decimals keep two digits above
USELESS = 1.0  # nats, to rank by; a model of other targets is worth nothing
#: steps at a working rate until a sound model of 2 layers has left the unigram entropy: 60 to 360, docs/LOG.md (the loop)
TAUGHT = 400
UNTAUGHT = 0.15  # the probability where fewer were taken: a sound run looks like that too
COMMON = 4  # evaluations with a batch loss beside them
ASKS = ("the loss at step 0", "one printed row of inputs and targets", "a short run on random tokens")
FIX = Remedy(
    {},
    "a look at the code, and a run of 100 steps on random tokens",
    "losses before and after are not comparable",
    "print a row of inputs and targets; mask with -inf; divide by the accumulation exactly once",
)


def test(run: Run) -> Finding:
    if all(c.unit != "nats" for n, c in run.series.items() if n in LOSSES):
        return Finding(NAME, "untestable", missing=("losses in nats per token (--unit says the unit)",))
    for rule in (_never_a_number, _apart, _factor, _multiple, _nothing, _other_task):
        if found := rule(run):
            return found
    return _sound(run)


def _never_a_number(run: Run) -> Finding | None:
    """All labels of val are masked, or val is empty: a mean over nothing."""
    val, batch = run.series.get("val_loss"), tamed(run, "batch_loss") or tamed(run, "train_loss")
    if val is None or len(val) < 2 or len(val.finite) or batch is None:
        return None
    fact = f"all {len(val)} val losses are not finite while {len(batch):,} training losses are"
    evidence = [pro(fact + ": a mean over no labels", "val_loss")]
    return finding(NAME, 0.75, evidence, stake=0.05, remedy=FIX, missing=ASKS[1:2])


def _apart(run: Run) -> Finding | None:
    """What the optimiser is shown is learnt, and the next token of the same text is not: two different targets."""
    vocab, train = vocabulary(run), tamed(run, "train_loss")
    batch = batches_between(run, train) if vocab and train is not None else None
    if vocab is None or train is None or batch is None:
        return None
    _, i, j = np.intersect1d(batch.step, train.step, return_indices=True)
    shown, asked = batch.value[i][-COMMON:], train.value[j][-COMMON:]
    even = log(vocab)
    if len(shown) < COMMON or shown.max() > even - LEARNT or asked.min() < even + EVEN:
        return None
    fact = (
        f"batches end at {np.median(shown):.3f} nats, and the text that they are of, evaluated, at {np.median(asked):.2f}: "
        f"worse than an even guess over {vocab:,} tokens, {even:.2f}"
    )
    return finding(NAME, SURE, [pro(fact, "batch_loss, train_loss")], stake=USELESS, remedy=FIX)


def _other_task(run: Run) -> Finding | None:
    """Batches that are learnt further below the text that they are of, evaluated, than their order can do."""
    told = sampled(run)
    why = other_task(run, told) if told is not None else None
    if told is None or why is None:
        return None
    evidence = [pro(str(told), "batch_loss, train_loss"), pro(why, run.source("order_divergence"))]
    return finding(NAME, 0.8, evidence, stake=USELESS, remedy=FIX)


def _multiple(run: Run) -> Finding | None:
    """A first loss of k ln V."""
    start = start_of(run)
    if start is None or scratch(run) is False:
        return None
    given = (run.get("gradient_accumulation_steps"), run.get("world_size"))
    for k in sorted(KS, key=lambda k: k not in given):  # above 50 the bands of neighbours overlap
        by, word = (start.ratio / k, "times") if start.ratio > 1 else (start.ratio * k, "divided by")
        if not INIT[0] <= by <= INIT[1]:
            continue
        told = k in given
        fact = f"{start}: ln(vocabulary) {word} {k}" + (", the micro-batches of a step" if told else "")
        evidence = [pro(fact, f"{start.series}, {run.source('vocab_size') or 'vocab_size'}")]
        chance = SURE if told else 0.6 if k <= SMALL_K and start.ratio > 1 else 0.3
        return finding(NAME, chance, evidence, stake=0.3, remedy=FIX, missing=("accumulation", *ASKS[1:]))
    return None


def _factor(run: Run) -> Finding | None:
    """A batch loss that is a constant multiple of the evaluated one."""
    ratio = _ratios(run)
    if ratio is None:
        return None
    middle = float(np.median(ratio))
    times = middle if middle > 1 else 1 / middle
    spread = 1.4826 * float(np.median(np.abs(ratio / middle - 1)))
    told = [n for n in (run.get("gradient_accumulation_steps"), run.get("world_size")) if n and n > 1]
    k = next((n for n in told if abs(times / n - 1) < SAME), round(times))
    if k < KS[0] or spread > 2 * SAME or abs(times / k - 1) > SAME:
        return None
    if k not in told and k > SMALL_K:
        return None
    fact = f"batch_loss is {middle:.4g} times the evaluated loss at {len(ratio)} steps, within {spread:.1%}"
    evidence = [pro(fact, "batch_loss, train_loss")]
    if k in told:
        evidence.append(pro(f"a step has {k} micro-batches", run.source("gradient_accumulation_steps")))
    return finding(NAME, SURE if k in told else 0.75, evidence, stake=0.05, remedy=FIX, missing=ASKS[1:])


def _ratios(run: Run) -> np.ndarray | None:
    """Batch loss over evaluated loss at common steps; None where a factor can't be told."""
    batch, other = tamed(run, "batch_loss"), tamed(run, "train_loss") or tamed(run, "val_loss")
    if batch is None or other is None:
        return None
    _, i, j = np.intersect1d(batch.step, other.step, return_indices=True)
    a, b = batch.value[i], other.value[j]
    keep = (a > PRINTED) & (b > PRINTED)
    a, b = a[keep], b[keep]
    if len(a) < COMMON or float(b.max()) < VARIES * float(b.min()):
        return None
    return np.asarray(a / b)


def _nothing(run: Run) -> Finding | None:
    """Train and val both end near 0 together: the future leaks into the input."""
    levels = _levels(run)
    val, train = levels.get("val_loss"), levels.get("train_loss", levels.get("batch_loss"))
    if val is None or train is None or not 0 <= max(val, train) < LITTLE:
        return None
    fact = f"train lies around {train:.4f} and val around {val:.4f} nats at the end"
    if easier := _under_pairs(run, max(val, train)):
        return finding(NAME, 0.8, [pro(fact, "val_loss"), easier], stake=USELESS, remedy=FIX)
    evidence = [pro(fact + "; web text keeps 1.69 nats per token, English 0.6 per character", "val_loss")]
    if scratch(run) is not True or max(val, train) >= NOTHING:
        unknown = ("what the text is: templates and tables can be that easy", *ASKS[1:])
        chance = 0.5 if max(val, train) < NOTHING else 0.3
        return finding(NAME, chance, evidence, stake=0.1, missing=unknown)
    return finding(NAME, 0.8, evidence, stake=0.5, remedy=FIX, missing=ASKS[1:])


def _under_pairs(run: Run, level: float) -> Evidence | None:
    """That no model of this text gets so low after so few passes; None where that is not known."""
    pairs, passes = run.get("bigram_entropy"), run.get("passes")
    if not pairs or passes is None or passes >= ONCE or level >= EASY * pairs:
        return None
    fact = f"that is {level / pairs:.0%} of the entropy of token pairs, {pairs:.2f} nats, after {passes:.1f} passes; text keeps a quarter of it"
    return pro(fact, run.source("bigram_entropy"))


def _levels(run: Run) -> dict[str, float]:
    """The median of the last up to five points of each loss in nats."""
    found = {}
    for name in ("val_loss", "train_loss", "batch_loss"):
        curve: Curve | None = tamed(run, name)
        if curve is not None and len(curve) > 1 and curve.unit in ("nats", ""):
            found[name] = float(np.median(curve.value[-min(5, len(curve) // 2) :]))
    return found


def taught(run: Run) -> int | None:
    """Steps that the run has taken at a working learning rate; None where that is not known."""
    done = run.get("steps_done")
    return None if run.schedule is None or not done else working_steps(run.schedule, int(done))


def _sound(run: Run) -> Finding:
    """The finding where no rule struck: refuted with the first and the last loss, as far as they are known."""
    start, levels = start_of(run), _levels(run)
    evidence: list[Evidence] = []
    if start is not None:
        fact = f"{start}, {start.ratio:.3f} of it"
        evidence.append(against(fact, f"{start.series}, {run.source('vocab_size') or 'vocab_size'}"))
    vocab = vocabulary(run)
    for name, level in levels.items():
        sound = level >= LITTLE
        said = "a loss that text can have" if sound else "little"
        if vocab and level > log(vocab) + EVEN:
            said = f"above an even guess over {vocab:,} tokens: learnt and lost, or never learnt"
        fact = f"{name} lies around {level:.3f} nats at the end, {said}"
        evidence.append((against if sound else pro)(fact, name))
    unigram = run.get("unigram_entropy")
    if unigram and any(abs(v - unigram) < FOLLOWS for v in levels.values()):
        fact = f"the loss ends at the unigram entropy of {unigram:.3f}: nothing was learned from context"
        if (taken := taught(run)) is not None and taken < TAUGHT:
            why = against(f"{fact}, in {taken:,} steps at a working learning rate", "schedule")
            return finding(NAME, UNTAUGHT, [*evidence, why], missing=ASKS[1:])
        return finding(NAME, 0.5, [*evidence, pro(fact, run.source("unigram_entropy"))], missing=ASKS[1:])
    if not evidence:
        return Finding(NAME, "untestable", missing=ASKS)
    known = start is not None and INIT[0] - 0.05 <= start.ratio <= INIT[1] + 0.1
    low = any(level < LITTLE for level in levels.values())
    return finding(NAME, 0.15 if low else 0.03 if known else 0.1, evidence, missing=ASKS)


HYPOTHESIS = Hypothesis(
    name=NAME,
    claim="Labels, mask, shift or a factor are wrong: the loss is not that of the next token.",
    needs=("val_loss|train_loss|batch_loss",),
    test=test,
    asks=("a loss from step 0 on", "vocab_size"),
)
