"""Where a run's sources disagree: a comment with the count, the log with the config, the plan with itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import log

import numpy as np

from .config._dialect import claimed_params
from .run import Run
from .units import count

CLAIMED = 0.15  # share: a size in a name is rounded ("124M" for 123.65M, "1.5B" for 1.56B), not more
LOGGED = 0.01  # share that a logged number may differ from the counted one; logs round to .01M
RATE = 0.01  # share that a logged learning rate may differ from the configured schedule
SCALE = 1e-3  # share of the peak below which a difference of rates is of no account
POINTS = 0.1  # share of the logged rates that must differ; the first step after a resume may
START = 1.0  # nats between the first loss and ln(vocabulary): initialisation gives some .1


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Two sources that can't both be right, as a sentence with both numbers."""

    fact: str
    source: str


def contradictions(run: Run) -> tuple[Contradiction, ...]:
    """All that disagree in a run that ``derive`` has completed.

    >>> from unplateau.run import Fact
    >>> facts = {"params": Fact(40_560_000), "claims": Fact([["~125M parameters", "config.py:17"]], "", "config.py")}
    >>> contradictions(Run("demo", facts=facts))[0].fact
    'the config says ~125M parameters; counted from the shape it is 40.6M'
    """
    return tuple(c for check in CHECKS for c in check(run))


def _claims(run: Run) -> Iterator[Contradiction]:
    params = run.get("params")
    for text, source in run.get("claims", []):
        claimed = claimed_params(text)
        if not params or claimed is None:
            continue
        counts = [n for n in (params, run.get("params_total"), run.get("params_non_embedding")) if n]
        if all(abs(log(claimed / n)) > CLAIMED for n in counts):
            said = (
                f"the name says {text.partition(' ')[0]}"
                if " in the name " in text
                else f"the config says {text}"
            )
            shape = "logged" if run.get("params_logged") == params else "counted from the shape"
            yield Contradiction(f"{said}; {shape} it is {count(params)}", source)


def _overridden(run: Run) -> Iterator[Contradiction]:
    for name, held, where, ran, there in run.get("config_overridden", []):
        yield Contradiction(
            f"{name} is {held} in {where}, but {there} says {ran}: the log holds", f"{where}, {there}"
        )


def _logged_params(run: Run) -> Iterator[Contradiction]:
    logged, kind = run.get("params_logged"), str(run.get("params_logged_kind", ""))
    counted = run.get("params_total" if kind.startswith("all") else "params")
    other = run.get("params_total")
    if not logged or not counted or "counted" not in run.source("params"):
        return
    # nanoGPT prints .01M; a small model's count is known no better than half of that
    slack = max(LOGGED * counted, 5_000.0)
    if all(abs(logged - n) > slack for n in (counted, other or counted)):
        text = f"the log prints {count(logged)} parameters; counted from the shape it is {count(counted)}"
        yield Contradiction(text, _both(run.source("params_logged"), run.source("n_embd")))


def _tokens_per_step(run: Run) -> Iterator[Contradiction]:
    parts = [run.get(n) for n in ("batch_size", "gradient_accumulation_steps", "block_size")]
    logged = run.get("tokens_per_step")
    guessed = "assumed" in run.source("gradient_accumulation_steps")
    if not logged or not all(parts) or guessed or "counted" in run.source("tokens_per_step"):
        return
    product = parts[0] * parts[1] * parts[2]
    if product != logged:
        text = f"{logged:,} tokens a step by {run.source('tokens_per_step')}; {parts[0]} x {parts[1]} x {parts[2]} = {product:,}"
        yield Contradiction(text, _both(run.source("tokens_per_step"), run.source("batch_size")))


def _plan(run: Run) -> Iterator[Contradiction]:
    end, decay, warmup = (run.get(n) for n in ("planned_end", "decay_end", "warmup_steps"))
    peak, floor, where = run.get("peak_lr"), run.get("floor_lr"), run.source("decay_end")
    if end and decay and run.get("schedule") != "constant":
        if decay > end:
            left = run.schedule(end) / run.schedule.peak if run.schedule and run.schedule.peak else None
            share = f", where it is still {left:.0%} of its peak" if left is not None else ""
            text = f"the decay ends at step {decay:,}, after the run's planned end at {end:,}{share}"
            yield Contradiction(text, _both(where, run.source("max_steps")))
        elif decay < end:
            text = f"the decay ends at step {decay:,}, before the run's planned end at {end:,}"
            yield Contradiction(text, _both(where, run.source("max_steps")))
    if peak and floor and floor > peak:
        text = f"the learning rate's floor {floor:.2e} is above its peak {peak:.2e}"
        yield Contradiction(text, _both(run.source("floor_lr"), run.source("peak_lr")))
    if warmup and end and warmup >= end:
        text = f"warmup takes {warmup:,} steps, the whole run {end:,}"
        yield Contradiction(text, run.source("warmup_steps"))


def _both(*sources: str) -> str:
    return ", ".join(dict.fromkeys(source for source in sources if source))


def _rate(run: Run) -> Iterator[Contradiction]:
    logged, plan = run.series.get("lr"), run.schedule
    if logged is None or plan is None or plan.name == "recorded" or not len(seen := logged.finite):
        return
    if run.has("skipped_steps"):
        return  # the schedule waits while updates are skipped
    # a trainer logs the rate of this step or of the next, and counts warmup from 0 or from 1
    planned = np.array([[plan(max(0, s + d)) for d in (-1, 0, 1)] for s in seen.step.tolist()])
    # a logged rate has few digits; near zero only its distance on the peak's scale counts
    slack = np.maximum(RATE * planned.max(axis=1), SCALE * plan.peak)
    far = np.maximum(planned.min(axis=1) - seen.value, seen.value - planned.max(axis=1)) - slack
    off = far > 0
    if off.mean() <= POINTS:
        return
    i = int(np.argmax(far))
    text = (
        f"the logged learning rate differs from the configured {plan.name} at {off.mean():.0%} of its points: "
        f"{seen.value[i]:.2e} against {planned[i, 1]:.2e} at step {int(seen.step[i]):,}"
    )
    yield Contradiction(text, f"lr, {run.source('schedule')}")


def _first_loss(run: Run) -> Iterator[Contradiction]:
    vocab, scratch = run.get("vocab_size"), run.get("init_from", "scratch") == "scratch"
    for name in ("val_loss", "batch_loss"):
        curve = run.series.get(name)
        at = curve.at(0) if curve is not None and curve.unit == "nats" else None
        if at is None or not vocab or not scratch or vocab < 2 or not np.isfinite(at):
            continue
        if abs(at - log(vocab)) > START:
            text = f"{name} at step 0 is {at:.2f}; an untrained model of {vocab:,} tokens has ln({vocab:,}) = {log(vocab):.2f}"
            yield Contradiction(text, f"{name}, {run.source('vocab_size')}")
        return


def _evaluation(run: Run) -> Iterator[Contradiction]:
    tokens, val = run.get("eval_tokens"), run.get("val_tokens")
    if tokens and val and tokens > val:
        text = f"one evaluation draws {tokens:,} tokens with replacement from a val split of {val:,}"
        yield Contradiction(text, _both(run.source("eval_iters"), run.source("val_tokens")))
    every, done = run.get("eval_interval"), run.get("planned_end")
    at_the_end = run.has("eval_windows")  # our own trainer evaluates there too
    if every and done and every > done and not at_the_end:
        text = f"evaluations are {every:,} steps apart, the whole run {done:,}"
        yield Contradiction(text, run.source("eval_interval"))


CHECKS: tuple[Callable[[Run], Iterator[Contradiction]], ...] = (
    *(_claims, _overridden, _logged_params, _tokens_per_step, _plan, _rate, _first_loss, _evaluation),
)
