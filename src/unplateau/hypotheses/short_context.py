"""The context is too short: what would foretell the next token lies before the window.

Claim: a longer block would lower the loss more than the same compute elsewhere.
Mechanism: the loss at a position falls with the number of tokens before it, fast at first, like a power
law; a mean over short windows holds many positions that know next to nothing.
Supported by: a block of 16 characters or fewer, where tokens of a small BPE are counted by the characters that they hold;
of 16 tokens or fewer of a vocabulary of words, such as GPT-2's.
Refuted by: a loss by position that is flat in the second half of the window; no common log has it.
Needs: the block's size; the val loss by position in the window.
What to do: measure the loss by position; if it still falls at the end, double the block and halve the
batch, at the same tokens per step.
Sources: Kaplan et al. 2020 (arXiv 2001.08361, section D.5: loss against position); Khandelwal et al. 2018
(arXiv 1805.04623: LSTMs use about 200 tokens); karpathy/llm.c issue 138 (T = 64).
"""

from __future__ import annotations

from math import isfinite

from ..run import Run
from . import Finding, Hypothesis, Remedy
from ._say import finding, pro

NAME = "short-context"
TINY = 16  # characters: three words; 8 and 4 letters cost .03 and .17 nats, 8 tokens of a BPE of 512 nothing (docs/LOG.md)
#: tokens of a vocabulary of words, at least: with GPT-2's the loss falls with the position, up to 1,024 and beyond (Kaplan 2020)
WORDS = 32_000
BYTES = 256  # tokens of a vocabulary of letters or bytes, at most
SHORT = 128  # tokens: less than the 200 that even LSTMs use (Khandelwal et al. 2018)
TO = 256  # tokens
ASKS = ("val loss by position in the window",)


def test(run: Run) -> Finding:
    block = run.get("block_size")
    if not isinstance(block, int | float) or not isfinite(block) or not 0 < block <= SHORT:
        return Finding(NAME, "untestable", missing=ASKS)
    kind = "characters" if run.get("char_level") else "tokens"
    fact = f"the model sees at most {block:,} {kind}"
    evidence = [pro(fact, run.source("block_size") or "block_size")]
    letters = _letters(run, block)
    if letters is not None and letters != block:
        fact += f", about {letters:,.0f} characters"
        evidence = [pro(fact, run.source("block_size") or "block_size")]
    tiny = (letters is not None and letters <= TINY) or (
        block <= TINY and (run.get("vocab_size") or 0) >= WORDS
    )
    chance = 0.75 if tiny else 0.3
    return finding(NAME, chance, evidence, stake=0.1, remedy=_remedy(run, int(block)), missing=ASKS)


def _letters(run: Run, block: float) -> float | None:
    """How many characters a block holds; None where nobody knows how many a token does."""
    size, vocab = run.get("bytes_per_token"), run.get("vocab_size")
    if run.get("char_level") or (vocab is not None and vocab <= BYTES):
        return float(block)
    return float(block * size) if size else None


def _remedy(run: Run, block: int) -> Remedy:
    patch = {"block_size": (block, TO)}
    batch = run.get("batch_size")
    if batch and batch * block >= TO:
        patch["batch_size"] = (batch, max(1, batch * block // TO))
    return Remedy(patch, "a new run: positions are learned from the start", "more memory per sequence")


def without(run: Run) -> Run | None:
    """The same run with a block of ``TO`` tokens."""
    from ..derive import changed

    block = run.get("block_size")
    return changed(run, {"block_size": TO}) if block and block <= SHORT else None


HYPOTHESIS = Hypothesis(
    name=NAME,
    claim="The context window is too short for what the text could tell.",
    needs=("block_size",),
    test=test,
    without=without,
    asks=("block_size", *ASKS),
)
