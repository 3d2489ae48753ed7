"""The data comes in a bad order: batches are alike within, and unlike from one to the next.

Claim: text is fed in file order, from too small a shuffle buffer, or in a fixed order each pass.
Mechanism: a batch of neighbours has a gradient of its own topic; the loss follows the topic instead of
the learning, and the last text seen is known best.
Supported by: one run with shuffled shards that does better; no log can show it alone.
Refuted by: a loader that draws its windows at random over all of the data, as nanoGPT's does.
Needs: how the batches are drawn; the loss by shard.
What to do: shuffle documents over all shards before packing; a buffer as large as the data, or random
windows; another order in each pass.
Sources: marin-community/marin, report of the 32B run, 2025 (correlated batches by a linear congruence; a
Feistel permutation mended it); jingyaogong/minimind pull 503 (shuffle=True removed spikes);
AGNDM/build-nanogpt (shuffling the shards of FineWeb-Edu gave .004 nats: noise).
"""

from __future__ import annotations

from ..run import Run
from . import Finding, Hypothesis
from ._say import against, finding

NAME = "data-order"
ASKS = (
    "how batches are drawn (file order, shuffle buffer, random windows)",
    "the first lines of a manifest (docs/manifest.md)",
)


def test(run: Run) -> Finding:
    if run.format != "nanogpt":
        return Finding(NAME, "untestable", missing=ASKS)
    windows = run.get("batch_size")
    each = f"each of the {windows} windows of a micro-batch" if windows else "1 window after the other"
    fact = f"nanoGPT's get_batch draws {each} uniformly at random over the whole file"
    return finding(NAME, 0.05, [against(fact, "nanoGPT train.py, get_batch")], missing=ASKS)


HYPOTHESIS = Hypothesis(
    name=NAME,
    claim="Batches are drawn in an order that makes them alike within and unlike each other.",
    needs=("val_loss|train_loss|batch_loss",),
    test=test,
    asks=ASKS,
)
