"""The data comes in a bad order: batches are alike within, and unlike from one to the next.

Claim: text is fed in file order, from too small a shuffle buffer, or in a fixed order each pass.
Mechanism: a batch of neighbours has a gradient of its own topic; the loss follows the topic instead of
the learning, and the last text seen is known best.
Supported by: batches whose loss lies below that of the same weights on windows drawn from all of train, four standard
errors and more, by a distance that moves with the step (nanoGPT logs both); a manifest that finds pieces of train further
from the whole than documents drawn at random, under a loader that reads the file from its start to its end.
Refuted by: a loader that draws its windows at random over all of the data, as nanoGPT's and ours do, and batches that lie
no lower than train; a manifest that finds pieces of train as like the whole as random documents are.
Needs: how the batches are drawn; losses of batches and of train, evaluated; a manifest, which says how far the text drifts.
What to do: shuffle documents over all shards before packing; a buffer as large as the data, or random
windows; another order in each pass.
Sources: marin-community/marin, report of the 32B run, 2025 (correlated batches by a linear congruence; a
Feistel permutation mended it); jingyaogong/minimind pull 503 (shuffle=True removed spikes);
AGNDM/build-nanogpt (shuffling the shards of FineWeb-Edu gave .004 nats: noise).
"""

from __future__ import annotations

from ..run import Fact, Run
from . import Evidence, Finding, Hypothesis, Remedy
from ._sampled import BELOW, STRAYS, Sampled, other_task, sampled
from ._say import SURE, against, finding, pro
from ._start import tamed

NAME = "data-order"
LOSSES = "batch_loss, train_loss"
DRIFT = 0.02  # nats of divergence above chance; addresses in order of their years: .02, of topics mixed at random: 0
#: loaders that read a shard from its start to its end: DataLoaderLite of build-nanogpt, modded-nanogpt's
IN_ORDER = ("build-nanogpt", "build-nanogpt-stdout", "modded-nanogpt")
#: nats; batches so far below train are learnt by heart, or have other targets: order has cost .16 to .5 (benchmarks/planted)
FURTHEST = 1.0
OPEN, CONSTANT, FURTHER = (
    0.12,
    0.45,
    0.4,
)  # strengths: nothing measured; a distance that does not move; one beyond FURTHEST
NO_BETTER = 0.1  # nats; as in broken-targets
STAKE = 0.1  # nats
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
    drift, told = drift_of(run), sampled(run)
    if told is not None and unfair(told):
        return _unfair(told, drift, _other_targets(run, told))
    if drawn := _at_random(run):
        return _random(run, drawn, told, drift)
    if drift is None:
        return Finding(NAME, "untestable", missing=ASKS)
    excess, evidence = drift
    if excess <= 0:
        return finding(NAME, 0.05, [evidence])
    stake = min(excess, STAKE)
    if run.format not in IN_ORDER:
        return finding(NAME, 0.35, [evidence], missing=ASKS[:1], stake=stake, remedy=FIX)
    said = pro(f"{run.format} reads a shard from token 0 to its end", f"{run.format}'s data loader")
    chance = 0.7 if excess > DRIFT else 0.3
    return finding(NAME, chance, [evidence, said], stake=stake, missing=ASKS[:1], remedy=FIX)


def unfair(told: Sampled) -> bool:
    """True for batches that lie below the train that they are drawn from, by more than noise and by what matters."""
    return told.errors < -BELOW and told.offset.high < -DRIFT


def _other_targets(run: Run, told: Sampled) -> Evidence | None:
    """That train, evaluated, is read no better than by how often its tokens come: then batches are learnt for another task."""
    if other := other_task(run, told):
        return against(other, LOSSES)
    unigram, train = run.get("unigram_entropy"), tamed(run, "train_loss")
    if not unigram or train is None or train.last < unigram - NO_BETTER:
        return None
    fact = f"train, evaluated, ends at {train.last:.2f} nats, what the frequencies of its tokens alone give ({unigram:.2f}): other targets?"
    return against(fact, "train_loss")


def _unfair(told: Sampled, drift: tuple[float, Evidence] | None, other: Evidence | None) -> Finding:
    """What trains is not a fair sample of what is evaluated; where that moves with the step, the order it is."""
    evidence = [pro(str(told), LOSSES), *([drift[1]] if drift else [])]
    moves = f"that distance moves from one evaluation to the next, {told.times:.1f} times the variance of their noise"
    evidence.append((pro if told.strays > STRAYS else against)(moves, LOSSES))
    chance = SURE if told.strays > STRAYS else CONSTANT
    if told.offset.value < -FURTHEST:
        evidence.append(
            against(f"it is more than {FURTHEST:g} nat: memorised batches, or other targets", LOSSES)
        )
        chance = FURTHER
    if other is not None:
        evidence.append(other)
        chance = FURTHER
    return finding(NAME, chance, evidence, missing=ASKS[:1], stake=min(-told.offset.value, STAKE), remedy=FIX)


def _random(run: Run, drawn: Evidence, told: Sampled | None, drift: tuple[float, Evidence] | None) -> Finding:
    """Refuted where more than the format says so: people change get_batch, and the log looks as before."""
    evidence = [drawn, *([against(str(told), LOSSES)] if told is not None else [])]
    alike = drift is not None and drift[0] <= 0
    evidence += [drift[1]] if drift is not None and alike else []
    if alike or run.get("sampling") in RANDOM or (told is not None and _fair(run, told)):
        return finding(NAME, 0.05, evidence)
    return finding(NAME, OPEN, evidence, missing=ASKS, stake=STAKE)


def _fair(run: Run, told: Sampled) -> bool:
    """Batches that lie no lower than train; under dropout, which lifts them, those whose distance does not move."""
    return not (run.get("dropout") or 0) > 0 or told.strays <= STRAYS


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
    """The same run on shuffled documents; None where the log has it, not the data: no setting says how batches are drawn."""
    told = sampled(run)
    if drift_of(run) is None or (told is not None and unfair(told)):
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
