"""The model's guesses held against the next token and against others: what was it trained to predict?

A model whose labels were not shifted, or shifted twice, guesses another token better than the next one; one whose labels
were shuffled guesses none better than chance; one whose mask let the future through is better without a mask. The trainer's
own loss is the next token's, whatever the run's was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ..errors import UnreadableError
from ..hypotheses.broken_targets import TAUGHT, taught
from ..run import Run
from . import Normal, Prediction, Probe, Reading, Site, Trial
from ._looked import ARM, about, arm, cost, looked, number, tokens_for

NAME, CAUSE = "targets", "broken-targets"
PASSES = 8.0  # of val's tokens: six targets, and two for the future
OTHERS = {
    "own": "the token that it has just read",
    "previous": "the token before the one that it has read",
    "two": "the next token but one",
    "shuffled": "a token of some other place",
}
COPIED = 0.5  # nats; a model that was trained to repeat what it reads loses less, whatever its size
BLIND = "the next token with no mask"
ALIKE = 0.05  # nats; less is not told
MOST = 1.0  # nats; a difference beyond it tells no more
ERRORS = 4.0  # standard errors that count as sure
LEAK = 0.05  # nats by which a model has to be better without its mask; one that is short of training may be, by less
FUTURE = 1e-3  # nats; rounding changes an earlier loss by less
NOISE = 0.3  # nats x sqrt(windows): of the contrast, benchmarks/looking.py


def design(run: Run, site: Site) -> Trial | None:
    tokens = tokens_for(run, site, PASSES)
    if not tokens:
        return None
    question = "which token does the model guess best: the next one, or another"
    noise = NOISE * (int(run.get("block_size")) / tokens) ** 0.5
    steps = taught(run)
    predicted = PREDICTIONS if steps is None or steps >= TAUGHT else EARLY
    return Trial(NAME, question, (arm(site, "targets", tokens),), predicted, cost(tokens, PASSES), noise)


#: measured by benchmarks/looking.py: 16 healthy runs from 60 steps on, -1 to -.01; wrong labels 0 to 1, a lost mask .3
PREDICTIONS = (
    Prediction(
        CAUSE,
        Normal(0.6, 0.4),
        Normal(-0.75, 0.42),
        "with it the model guesses another token at least as well as the next one; without it far worse",
    ),
)

#: of a run that was hardly taught: the two healthy ones of 60 steps gave -.04 and -.01, those of 300 steps -1 and -.7
EARLY = (replace(PREDICTIONS[0], if_not=Normal(-0.3, 0.4)),)


def read(trial: Trial, folders: Mapping[str, Path]) -> tuple[Reading, ...]:
    del trial
    targets = looked(folders[ARM], "targets")
    if not isinstance(targets, dict) or "next" not in targets:
        raise UnreadableError("inspect.json is damaged (targets): remove the arm's folder")
    gains = {words: _gain(targets, name) for name, words in OTHERS.items() if _counts(targets, name)}
    leaks = _gain(targets, "unmasked") if "unmasked" in targets else (0.0, 0.0)
    if leaks[0] > max(LEAK, ERRORS * leaks[1]):
        gains[BLIND] = leaks
    if not gains:
        raise UnreadableError("inspect.json tells no other targets: remove the arm's folder")
    best = max(gains, key=lambda words: gains[words][0])
    gain, error = gains[best]
    nats, same = number(targets["next"], "loss"), abs(gain) < ALIKE
    than = "as well as" if same else f"{abs(gain):.2f} nats {'better' if gain > 0 else 'worse'} than"
    fact = f"the model guesses {best} {than} the next one ({nats:.2f} nats)"
    future = number(targets, "future")
    if future > FUTURE:  # the model itself, not what it was trained with
        gain = max(gain, nats)
        fact += f"; what comes later changes the loss of an earlier token by up to {future:.3f} nats"
    return (Reading(CAUSE, about(gain, error, least=-MOST, most=MOST), fact),)


def _counts(targets: Mapping[str, object], name: str) -> bool:
    """An untrained model with tied tables guesses what it reads; one that was trained to, does it with next to no loss."""
    row = targets.get(name)
    return isinstance(row, dict) and (name != "own" or number(row, "loss") < COPIED)


def _gain(targets: Mapping[str, object], name: str) -> tuple[float, float]:
    """By how much ``name`` is guessed better than the next token, and the error of that."""
    row = targets.get(name)
    told = row if isinstance(row, dict) else {}
    better, error = number(told, "better"), number(told, "error")
    if not abs(better) < float("inf"):
        raise UnreadableError(f"inspect.json tells no loss of {name}: the checkpoint is broken")
    return -better, error if error < float("inf") else 0.0


PROBE = Probe(
    name=NAME,
    tells=(CAUSE,),
    question="is it the next token that the model guesses best?",
    design=design,
    read=read,
)
