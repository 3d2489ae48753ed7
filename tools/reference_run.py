"""docs/reference-run.md: what two published diagnoses claim of the reference run, held against its log.

Every verdict is computed from the example that the package ships; nothing here knows a result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import log
from pathlib import Path

import numpy as np

import unplateau
from unplateau.diagnosis import Diagnosis, diagnose
from unplateau.estimate import Estimate
from unplateau.hypotheses import Finding
from unplateau.hypotheses.repetition import BITS
from unplateau.laws.power import posterior
from unplateau.reading import read_runs
from unplateau.units import count

EXAMPLE = Path(unplateau.__file__).parent / "examples" / "reference-run"
FINEWEB_FILE = 727e6  # GPT-2 tokens in a full file of FineWeb's sample-10BT; if the run's data was one such
FITTED = 10_000  # steps that the power law is fitted on, before the stretch that is called a plateau
STRETCH = 8  # three doublings: over more the curve is no power law (residuals twice the noise), over less it has no floor
SEND = "the number of unique training tokens (`--unique-tokens N`), or a manifest of the data"


@dataclass(frozen=True, slots=True)
class Answer:
    """A claim's verdict with its numbers, and what would settle it where that is missing."""

    verdict: str
    facts: tuple[str, ...]
    send: str = ""


def main() -> str:
    """The page."""
    run = read_runs(str(EXAMPLE / "train.log"), config=EXAMPLE / "config.py")[0]
    diagnosis = diagnose(run)
    rows = [(claim, who, answer(diagnosis)) for claim, who, answer in CLAIMS]
    parts = [HEAD, _summary(diagnosis), "| claim | of | verdict |", "|---|---|---|"]
    parts += [f"| {claim} | {who} | **{a.verdict}** |" for claim, who, a in rows]
    for claim, _, a in rows:
        parts += ["", f"## {claim}", "", f"**{a.verdict}**", "", *(f"- {fact}" for fact in a.facts)]
        parts += [f"- To settle it, send: {a.send}"] if a.send else []
    return "\n".join(parts) + "\n"


HEAD = """# The reference run, and what was said of it

<!-- written by tools/docs.py (make docs); change the code, not this file -->

A nanoGPT run of 40.56M parameters on FineWeb, its log up to step 14,800 of 20,000. Two published answers to "why did
the loss stop going down?" (1 and 2 below, both written by language models) disagree with each other and with the log.
Here each of their claims is tested. "Undecided" and "untestable" say that this log can't tell, and what could.
"""


def _summary(d: Diagnosis) -> str:
    top = [f"{f.cause} ({f.verdict})" for f in d.findings if f.verdict in ("supported", "undecided")]
    return (
        f"Our own reading: the loss is **{d.state.verdict}**, {d.state.slope}; in order: {', '.join(top)}.\n"
    )


def of(d: Diagnosis, cause: str) -> Finding:
    return next(f for f in d.findings if f.cause == cause)


def facts_of(*findings: Finding) -> tuple[str, ...]:
    return tuple(f"{e.fact} ({e.points} `{f.cause}`; {e.source})" for f in findings for e in f.evidence)


def same_as(cause: str) -> Callable[[Diagnosis], Answer]:
    """A claim that is one of the causes."""

    def answer(d: Diagnosis) -> Answer:
        f = of(d, cause)
        return Answer(
            f.verdict, facts_of(f), "; ".join(f.missing) if f.verdict in ("undecided", "untestable") else ""
        )

    return answer


def epochs(d: Diagnosis) -> Answer:
    seen = d.run.get("tokens_seen")
    if d.run.get("passes") is not None:
        return Answer("supported", (f"{d.run.get('passes'):.1f} passes",))
    return Answer(
        "undecided",
        (
            f"{count(seen)} tokens seen; nothing in log or config says how many the file holds",
            f"if it was one full file of FineWeb's sample-10BT ({count(FINEWEB_FILE)} tokens): {seen / FINEWEB_FILE:.1f} passes",
            f"if it held 4B, as the second answer guesses: {seen / 4e9:.1f} passes",
        ),
        SEND,
    )


def memorised(d: Diagnosis) -> Answer:
    bits = float(d.run.series["train_loss"].finite.value[-4:].mean()) / log(2)
    stored = BITS * d.run.get("params")
    most = stored / bits
    gap = of(d, "repetition")
    verdict = "refuted" if gap.verdict == "refuted" and most < FINEWEB_FILE else "undecided"
    return Answer(
        verdict,
        (
            f"{count(d.run.get('params'))} parameters store at most {count(stored)} bits (3.6 each, Morris et al. 2025)",
            f"at {bits:.2f} bits a token that is {count(most)} tokens: {d.run.get('tokens_seen') / most:,.0f} passes by now",
            *facts_of(gap),
        ),
    )


def regularisation(d: Diagnosis) -> Answer:
    over, memory, spikes = (of(d, c) for c in ("over-regularised", "repetition", "instability"))
    clip = d.run.facts["grad_clip"]
    verdict = "refuted" if memory.verdict == "refuted" and spikes.verdict == "refuted" else "undecided"
    clipped = f"gradients are clipped at {clip.value:g} ({clip.source}): there is clipping"
    return Answer(verdict, (clipped, *facts_of(memory, over, spikes)))


def beta2(d: Diagnosis) -> Answer:
    value = float(d.run.get("beta2"))
    steps = 1 / (1 - value)
    tokens = count(steps * d.run.get("tokens_per_step"))
    fact = f"beta2 {value:g} averages squared gradients over {steps:,.0f} steps, {tokens} tokens; no law prices it"
    return Answer(
        "untestable", (fact,), "a probe: a few hundred steps at beta2 .95 and .99 from one checkpoint"
    )


def rising(d: Diagnosis) -> Answer:
    val = d.run.series["val_loss"].finite
    law = posterior(val.between(FITTED / STRETCH, FITTED + 1), d.state.noise or 0.01)
    last = int(val.step[-1])
    told = Estimate.of(law.at(last), "nats")
    before = val.at(last - 500)
    verdict = "supported" if d.state.verdict == "rising" else "refuted"
    return Answer(
        verdict,
        (
            f"val loss at step {last:,} is {val.last:.4f}; 500 steps before it was {before:.4f}",
            f"the slope is {d.state.slope} since step {d.state.since_step:,}: the interval lies "
            + ("above" if d.state.verdict == "rising" else "below")
            + " zero",
            f"a power law through the three doublings up to step {FITTED:,} gives {told} for step {last:,}; {val.last:.3f} was logged",
            f"one evaluation scatters by {d.state.noise:.3f} nats, so .001 up or down says nothing",
        ),
    )


def wiggles(d: Diagnosis) -> Answer:
    val = d.run.series["val_loss"].finite
    up = np.diff(val.value)
    largest = int(np.argmax(up))
    noise = d.state.noise or 0.0
    verdict = of(d, "instability").verdict
    return Answer(
        verdict,
        (
            f"the largest rise between two evaluations is {up[largest]:.4f}, at step {val.step[largest + 1]:,}",
            f"that is {up[largest] / noise / 2**0.5:.1f} standard errors of such a difference",
            f"{len(d.state.bumps)} evaluations lie more than 4 standard errors above their neighbours",
            *facts_of(of(d, "instability")),
        ),
    )


def floor(d: Diagnosis) -> Answer:
    val = d.run.series["val_loss"].finite
    law = posterior(val.between(int(val.step[-1]) / STRETCH, np.inf), d.state.noise or 0.01)
    f = of(d, "converged")
    return Answer(
        f.verdict,
        (
            *facts_of(f, of(d, "still-learning")),
            f"a power law through the last three doublings has its floor at {law.parameters['L0']}",
            f"the same law at step {2 * int(val.step[-1]):,}, twice the steps: {Estimate.of(law.at(2 * float(val.step[-1])), 'nats')}, before any annealing",
        ),
    )


def too_close(d: Diagnosis) -> Answer:
    f, leak = of(d, "val-mismatch"), of(d, "val-leak")
    verdict = "undecided" if leak.verdict in ("untestable", "undecided") else leak.verdict
    return Answer(verdict, facts_of(f, leak), "; ".join(leak.missing) or SEND)


def noise_in_data(d: Diagnosis) -> Answer:
    found = [of(d, c) for c in ("noisy-data", "duplicates")]
    verdict = found[0].verdict if found[0].verdict == found[1].verdict else "undecided"
    facts = facts_of(*found) or ("log and config say nothing of the text itself",)
    return Answer(verdict, facts, "; ".join(dict.fromkeys(m for f in found for m in f.missing)))


def size(d: Diagnosis) -> Answer:
    f = of(d, "capacity")
    return Answer(
        f.verdict,
        (*(c.fact for c in d.contradictions if "says" in c.fact), *facts_of(f)),
        "; ".join(f.missing),
    )


CLAIMS: tuple[tuple[str, str, Callable[[Diagnosis], Answer]], ...] = (
    ("It is massively overfitting one Parquet file", "1, 2", same_as("repetition")),
    ("Train and val track closely, a classic sign of overfitting", "1", same_as("repetition")),
    ("It has done two or three full epochs", "2", epochs),
    ("It has memorised almost everything useful", "2", memorised),
    ("The learning rate is too high, and hurts", "1, 2", same_as("lr-too-high")),
    ('The learning rate has not come down yet ("decay might be too slow")', "1", same_as("lr-not-annealed")),
    ("A warm-up of 500 steps is too short", "1", same_as("no-warmup")),
    ("beta2 = .99 slows convergence", "1", beta2),
    ("The model is too small; 125M parameters, or 40M", "1, 2", size),
    ("Dropout, weight decay and clipping are too weak", "1, 2", regularisation),
    ("Dropout without biases regularises too much", "1", same_as("over-regularised")),
    ("Noise, duplicates and boilerplate in the data", "1, 2", noise_in_data),
    ("Val is too similar to train, which masks the problem", "1", too_close),
    ("float16 with GradScaler gives trouble", "1", same_as("precision")),
    ("eval_iters = 200 is too few", "1", same_as("eval-noise")),
    ("Something is wrong with the vocabulary of 50,304", "1", same_as("tokenizer-mismatch")),
    ("Small rises, at 9,500 say, suggest instability", "1", wiggles),
    ("At step 14,500 it is already rising", "2", rising),
    ("3.55 to 3.6 is the floor of this model and data: stop", "2", floor),
)
