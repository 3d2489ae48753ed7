"""The text itself can't be predicted better: noise, damage, or a mixture that has little to learn.

Claim: the loss stands on the entropy of the data, not on the model.
Mechanism: characters damaged by a bad decoder, shuffled or random tokens, boilerplate and tables have an
entropy that no model gets under; the loss falls to it and stays.
Supported by: a manifest whose unigram and bigram entropy lie close together and close to the loss: context
tells nothing; or whose bigram entropy is above that of any natural text, for characters; or in which the rarest followers
of each token come far too often, as in no text, code or table: a share of the tokens is drawn at random.
Refuted by: a loss well below the bigram entropy of the data, or (characters) of natural text; a loss well
above a bigram entropy that lies under the unigram one: then the model has not learnt what the data allows.
Needs: a manifest with entropies. Without one, a loss of characters can be held against natural text.
What to do: look at ten random training windows; measure the entropies
(unplateau prepare --manifest-only DATA); filter, or decode again.
Sources: Shannon 1951 (Prediction and entropy of printed English); metaseq's OPT chronicle (escaped
JSON in the data).
"""

from __future__ import annotations

from math import exp, log, log1p

import numpy as np

from ..run import Run
from . import Evidence, Finding, Hypothesis, Remedy
from ._rates import rates_of
from ._say import LIKELY, SURE, against, finding, pro, state_of

NAME = "noisy-data"
ALPHABET = (30, 256)  # distinct characters of texts in an alphabet or of code, as a character vocabulary
NATURAL = (
    2.2,
    2.65,
)  # nats per character; bigram entropies of the texts in benchmarks/planted, rounded outwards
CONTEXT = 0.25  # nats between unigram and bigram entropy; natural text has .6 to 1
LEARNT = 2e5  # tokens; by then a small model has passed the bigram level at any sane learning rate
ODD = 0.5  # chance of noise in data that are harder than text, and not noise alone
MIXED = 0.08  # share of random tokens; 16 texts, tables and codes as letters, bytes and BPE give .018 at most, words of a small text .055
SANE = 4.0  # times the published rules
JUMP = 0.3  # nats that an evaluation jumps by and comes back from, as in instability: noise of the data is always there
ASKS = (
    "a manifest with the entropies of the data: unplateau prepare --manifest-only DATA (docs/manifest.md)",
    "ten random training windows",
)
REMEDY = Remedy(
    {}, "cleaning the data; a fresh run", "none", "look at ten random training windows before anything else"
)


def test(run: Run) -> Finding:
    level = _level(run)
    if level is None:
        return Finding(NAME, "untestable", missing=("a longer log: at least four evaluations", *ASKS))
    unigram, bigram = run.get("unigram_entropy"), run.get("bigram_entropy")
    if (share := run.get("random_share")) is not None and share > MIXED:
        return _of_random(run, share)
    if unigram and bigram:
        return _against_entropies(run, level, float(unigram), float(bigram))
    if not _characters(run):
        return Finding(NAME, "untestable", missing=ASKS)
    return _against_natural_text(run, level, int(run.get("vocab_size")))


def _of_random(run: Run, share: float) -> Finding:
    """Tokens drawn from the whole vocabulary, mixed into the text: each costs ln(vocabulary), and where they stand."""
    vocab = run.get("vocab_size") or exp(run.get("unigram_entropy") or 1.0)
    where = -share * log(share) - (1 - share) * log1p(-share) if share < 1 else 0.0
    said = (
        f"the rarest followers of the frequent tokens come as often as where {share:.0%} of all tokens are drawn at random; "
        f"in text, code and tables up to {MIXED:.0%}"
    )
    stake = share * log(vocab) + where
    return finding(
        NAME, SURE, [pro(said, run.source("random_share"))], stake=stake, remedy=REMEDY, missing=ASKS[1:]
    )


def _characters(run: Run) -> bool:
    """True for a text of characters, of an alphabet or of code."""
    return bool(run.get("char_level")) and ALPHABET[0] <= (run.get("vocab_size") or 0) <= ALPHABET[1]


def _level(run: Run) -> float | None:
    """The loss on the training text at the end, where it is evaluated; else the trend of the judged loss."""
    judged, train = state_of(run).level, run.series.get("train_loss")
    if judged is None or train is None or len(train.finite) < 4:
        return judged.value if judged else None
    return min(judged.value, float(np.median(train.finite.value[-4:])))


def _against_entropies(run: Run, loss: float, unigram: float, bigram: float) -> Finding:
    source = run.source("bigram_entropy")
    empty = unigram - bigram < CONTEXT
    if not empty and _characters(run) and bigram > NATURAL[1]:
        return _above_natural_text(run, loss, bigram, source)
    fact = f"unigram entropy {unigram:.2f}, bigram entropy {bigram:.2f} nats: one token of context tells {unigram - bigram:.2f}"
    if loss < bigram - CONTEXT:
        return finding(
            NAME,
            0.05,
            [against(f"the loss {loss:.2f} lies {bigram - loss:.2f} nats under the bigram entropy", source)],
        )
    if not empty and loss > bigram + CONTEXT:
        said = (
            f"the loss {loss:.2f} lies {loss - bigram:.2f} nats over what one token of context gives: "
            "the data allows less, the model has not learnt its pairs"
        )
        return finding(NAME, 0.1, [against(fact, source), against(said, source)])
    evidence = [
        (pro if empty else against)(fact, source),
        pro(f"the loss stands at {loss:.2f} nats", state_of(run).series),
    ]
    return finding(
        NAME,
        SURE if empty else 0.3,
        evidence,
        stake=max(loss - NATURAL[0], 0.1),
        remedy=REMEDY,
        missing=ASKS[1:],
    )


def _above_natural_text(run: Run, loss: float, bigram: float, source: str) -> Finding:
    """Where the data themselves are harder than text, whatever the model has learnt of them.

    A loss far below their pairs says that they hold structure too: noise on top of text, or text of an odd kind.
    """
    fact = f"pairs of the data's characters have an entropy of {bigram:.2f} nats; of natural texts and of code it is {NATURAL[0]} to {NATURAL[1]}"
    evidence = [pro(fact, source)]
    if structure := loss < bigram - CONTEXT:
        said = (
            f"the loss {loss:.2f} lies {bigram - loss:.2f} nats under it: there is more to learn than noise"
        )
        evidence.append(against(said, state_of(run).series))
    chance = ODD if structure else LIKELY
    return finding(NAME, chance, evidence, stake=bigram - NATURAL[1], remedy=REMEDY, missing=ASKS[1:])


def _against_natural_text(run: Run, loss: float, vocab: int) -> Finding:
    fact = f"{loss:.2f} nats per character over {vocab} characters; bigram entropies of natural texts are {NATURAL[0]} to {NATURAL[1]}"
    if loss <= NATURAL[1]:
        return finding(
            NAME, 0.08 if loss < NATURAL[0] else 0.2, [against(fact, state_of(run).series)], missing=ASKS
        )
    evidence = [pro(fact, state_of(run).series)]
    others = _others(run)
    evidence += others
    probability = 0.25 if others else 0.65
    return finding(NAME, probability, evidence, stake=loss - NATURAL[0], remedy=REMEDY, missing=ASKS)


def _others(run: Run) -> list[Evidence]:
    """What else would keep a model of characters above the bigram level."""
    found = []
    seen, rates, lr = run.get("tokens_seen"), rates_of(run), run.get("lr_share")
    if seen is not None and seen < LEARNT:
        found.append(against(f"only {seen:,.0f} tokens seen", run.source("tokens_seen")))
    if rates is not None and max(rates.above, rates.below) > SANE:
        found.append(against(str(rates), "peak_lr, params"))
    state = state_of(run)
    if high := [bump for bump in state.bumps if bump.size > JUMP]:
        said = f"{state.series} jumps by {high[0].size:.2f} nats at step {high[0].step:,} and comes back: so do weights, no data"
        found.append(against(said, state.series))
    if state.verdict in ("diverged", "rising"):
        found.append(
            against(
                f"the loss is {state.verdict} (share of peak lr {lr if lr is not None else 0:.0%})",
                "val_loss",
            )
        )
    return found


HYPOTHESIS = Hypothesis(
    name=NAME,
    claim="The loss stands on the entropy of the data.",
    needs=("val_loss|train_loss|batch_loss",),
    test=test,
    asks=ASKS,
)
