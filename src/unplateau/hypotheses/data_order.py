"""The data comes in a bad order: batches are alike within, and unlike from one to the next.

Claim: text is fed in file order, from too small a shuffle buffer, or in a fixed order each pass.
Mechanism: a batch of neighbours has a gradient of its own topic; the loss follows the topic instead of
the learning, and the last text seen is known best.
Supported by: a manifest that finds pieces of train further from the whole than documents drawn at
random, under a loader that reads the file from its start to its end.
Refuted by: a loader that draws its windows at random over all of the data, as nanoGPT's and ours do; a manifest
that finds pieces of train as like the whole as random documents are.
Needs: how the batches are drawn; a manifest, which says how far the text drifts.
What to do: shuffle documents over all shards before packing; a buffer as large as the data, or random
windows; another order in each pass.
Sources: marin-community/marin, report of the 32B run, 2025 (correlated batches by a linear congruence; a
Feistel permutation mended it); jingyaogong/minimind pull 503 (shuffle=True removed spikes);
AGNDM/build-nanogpt (shuffling the shards of FineWeb-Edu gave .004 nats: noise).
"""

from __future__ import annotations

from ..run import Fact, Run
from . import Evidence, Finding, Hypothesis, Remedy
from ._say import against, finding, pro

NAME = "data-order"
DRIFT = 0.02  # nats of divergence above chance; addresses in order of their years: .02, of topics mixed at random: 0
#: loaders that read a shard from its start to its end: DataLoaderLite of build-nanogpt, modded-nanogpt's
IN_ORDER = ("build-nanogpt", "build-nanogpt-stdout", "modded-nanogpt")
RANDOM = ("permutation", "nanogpt")  # what our own trainer calls its ways of drawing windows at random
ASKS = (
    "how batches are drawn (file order, shuffle buffer, random windows)",
    "a manifest: unplateau prepare --manifest-only DATA (docs/manifest.md)",
)
FIX = Remedy(
    {},
    "preparing the data again; a fresh run",
    "none",
    "shuffle documents over all shards before packing them",
)


def test(run: Run) -> Finding:
    drift = drift_of(run)
    if drawn := _at_random(run):
        return finding(NAME, 0.05, [drawn], missing=ASKS)
    if drift is None:
        return Finding(NAME, "untestable", missing=ASKS)
    excess, evidence = drift
    if excess <= 0:
        return finding(NAME, 0.05, [evidence])
    if run.format not in IN_ORDER:
        return finding(NAME, 0.35, [evidence], missing=ASKS[:1], stake=min(excess, 0.1), remedy=FIX)
    said = pro(f"{run.format} reads a shard from token 0 to its end", f"{run.format}'s data loader")
    chance = 0.7 if excess > DRIFT else 0.3
    return finding(NAME, chance, [evidence, said], stake=min(excess, 0.1), missing=ASKS[:1], remedy=FIX)


def _at_random(run: Run) -> Evidence | None:
    """The loader of nanoGPT, or of our own trainer, draws each window anew from all of the data."""
    nanogpt = run.format == "nanogpt"
    if not nanogpt and run.get("sampling") not in RANDOM:
        return None
    windows = run.get("batch_size")
    each = f"each of the {windows} windows of a micro-batch" if windows else "1 window after the other"
    if nanogpt:
        fact = f"nanoGPT's get_batch draws {each} uniformly at random over the whole file"
        return against(fact, "nanoGPT train.py, get_batch")
    return against(f"{each} is drawn at random over all of train", run.source("sampling"))


def drift_of(run: Run) -> tuple[float, Evidence] | None:
    """How much further pieces of train stray from the whole than chance lets them, nats, and the fact."""
    pieces, chance = run.get("order_divergence"), run.get("order_divergence_chance")
    if pieces is None or chance is None:
        return None
    fact = f"pieces of train stray {pieces:.4f} nats from all of it, as many tokens of random documents {chance:.4f} at most"
    shuffled = run.get("data_order") == "shuffled"
    excess = 0.0 if shuffled else float(pieces - chance)
    return excess, (pro if excess > 0 else against)(fact, run.source("order_divergence"))


def without(run: Run) -> Run | None:
    """The same run on shuffled documents."""
    if drift_of(run) is None:
        return None
    return run.with_facts(data_order=Fact("shuffled", "", "changed"))


HYPOTHESIS = Hypothesis(
    name=NAME,
    claim="Batches are drawn in an order that makes them alike within and unlike each other.",
    needs=("val_loss|train_loss|batch_loss",),
    test=test,
    without=without,
    asks=ASKS,
)
