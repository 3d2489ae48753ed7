"""How each cause is planted: a severity of 0 leaves the run without it, 1 is as strong as one meets.

Most are settings, and the laws of ``world`` say what they cost; the rest change the losses or only what the log shows of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import acos, ceil, cos, log, log2, pi

import numpy as np

from ..units import NATS_PER
from .changes import at_best, falling, geometric, lasting, learned, resumed, with_peak
from .healthy import SHAPES
from .plan import Change, Floats, Plan, Steps

Planter = Callable[[Plan, float], Plan]
ALL = ("val_loss", "train_loss", "batch_loss")
TRAINING = ("train_loss", "batch_loss")

PASSES = 40.0  # over the data
COPIES = 0.9  # share of the train split
DAMAGED = 0.9  # share of the tokens
SEEN = 0.03  # nats by which text that was trained on once lies lower
OTHER_TEXT = (0.2, 0.6)  # nats of GPT-2's tokens that another text is harder
SMALLER = 50.0  # times fewer parameters
SMALLEST = ((2, 128, 4), (4, 128, 4), (4, 192, 6), (6, 256, 8), (8, 256, 8))  # layers, width, heads
SHORTEST = 16  # tokens of context
FEWER, LARGER = 20.0, 32.0  # times fewer steps; times more tokens a step
LEAST = 200  # steps
EARLIER = 0.8  # share of the run that the rate has been spent for
HOT, COLD = 30.0, 100.0  # times the peak, and below it
REWARMED = 0.9  # of the way back to the peak
DROPOUT = 0.6
ADAM = 2.0  # times 1 / (1 - beta2) steps of warm-up (Ma and Yarats 2019, arXiv 1910.04209)
SPIKES, HEIGHT, WIDTH = 8, (1.0, 5.0), 1 / 60  # number, nats, share of the run
LOST = 0.8  # of ln V, where a run that diverges ends up
THROWN, BACK = (0.5, 2.0), 0.05  # nats lost at a resume, share of the run in which they come back
KNOWN = 5e4  # effective steps that a published checkpoint has behind it
FINETUNED = 0.3  # of the peak of a fresh model
FOREIGN = (0.5, 4.0)  # nats above an even guess
EASY = 0.4  # added to the power of the fall: a text that is soon learnt
LONG = 100.0  # tokens per parameter; five times compute-optimal


def still_learning(plan: Plan, severity: float) -> Plan:
    return lasting(plan, max(LEAST, round(plan.steps / FEWER**severity)))


def converged(plan: Plan, severity: float) -> Plan:
    """A small model, annealed to zero after many tokens; the more severe, the sooner its text is learnt."""
    layers, width, heads = SHAPES[0]
    plan = falling(plan).with_settings(n_layer=layers, n_embd=width, n_head=heads, floor_lr=0.0)
    plan = at_best(plan)
    plan = lasting(plan, ceil(LONG * plan.shape.params / plan.tokens_per_step))
    plan = plan.with_data(unique_tokens=2 * plan.steps * plan.tokens_per_step)
    return replace(plan, text=replace(plan.text, power=plan.text.power + EASY * severity))


def capacity(plan: Plan, severity: float) -> Plan:
    target = plan.shape.params / SMALLER**severity
    own = tuple(plan.settings[n] for n in ("n_layer", "n_embd", "n_head"))
    sizes = [_sized(plan, s) for s in (*SMALLEST, *SHAPES, own)]
    best = min(sizes, key=lambda p: (abs(log(p.shape.params / target)), p.settings["n_layer"]))
    return plan if best.settings == plan.settings else at_best(best)


def _sized(plan: Plan, shape: tuple[int, int, int]) -> Plan:
    return plan.with_settings(n_layer=shape[0], n_embd=shape[1], n_head=shape[2])


def short_context(plan: Plan, severity: float) -> Plan:
    halvings = round(severity * log2(plan.settings["block_size"] / SHORTEST))
    block, batch = plan.settings["block_size"], plan.settings["batch_size"]
    return plan.with_settings(block_size=block >> halvings, batch_size=batch << halvings)


def repetition(plan: Plan, severity: float) -> Plan:
    seen, unique = plan.steps * plan.tokens_per_step, plan.data["unique_tokens"]
    fewer = round(geometric(unique, seen / PASSES, severity))
    return plan.with_data(
        unique_tokens=fewer,
        train_tokens=round(plan.data["train_tokens"] * fewer / unique),
        val_tokens=max(100_000, round(plan.data["val_tokens"] * fewer / unique)),
    )


def duplicates(plan: Plan, severity: float) -> Plan:
    own = plan.data["duplicate_share"]
    share = round(own + (COPIES - own) * severity, 4)
    return plan.with_data(
        duplicate_share=share,
        unique_tokens=round(plan.data["unique_tokens"] * (1 - share) / (1 - own)),
    )


def noisy_data(plan: Plan, severity: float) -> Plan:
    """Tokens replaced by others drawn from the whole text: neither they nor their context can be predicted."""
    damaged = 1 - (1 - DAMAGED * severity) ** 2
    unigram, bigram = plan.data["unigram_entropy"], plan.data["bigram_entropy"]

    def towards_chance(_: Steps, value: Floats) -> Floats:
        return np.asarray(value + damaged * np.maximum(0.0, unigram - value))

    plan = plan.with_data(bigram_entropy=round(bigram + damaged * (unigram - bigram), 3))
    return plan.training(Change(ALL, towards_chance))


def lr_not_annealed(plan: Plan, severity: float) -> Plan:
    plan = falling(plan)
    peak, floor = plan.settings["peak_lr"], plan.settings["floor_lr"]
    return plan.with_settings(floor_lr=float(f"{floor + (peak - floor) * severity:.3g}"))


def lr_exhausted(plan: Plan, severity: float) -> Plan:
    plan = falling(plan).with_settings(floor_lr=0.0)
    end = round(plan.steps * (1 - EARLIER * severity))
    return plan.with_settings(decay_end=max(plan.settings["warmup_steps"] + 1, end))


def lr_too_high(plan: Plan, severity: float) -> Plan:
    return with_peak(plan, plan.settings["peak_lr"] * HOT**severity)


def lr_too_low(plan: Plan, severity: float) -> Plan:
    return with_peak(plan, plan.settings["peak_lr"] / COLD**severity)


def no_warmup(plan: Plan, severity: float) -> Plan:
    """Adam's first steps at the full rate; 2 / (1 - beta2) steps of warm-up prevent all harm."""
    steps = round(plan.settings["warmup_steps"] * (1 - severity))
    enough = min(ADAM / (1 - plan.settings["beta2"]), plan.settings["warmup_steps"])
    return replace(plan.with_settings(warmup_steps=steps), thrown=max(0.0, 1 - steps / enough) ** 2)


def lr_rewarmed(plan: Plan, severity: float) -> Plan:
    """Resumed late with a longer schedule, which raises the rate; the log ends where the first plan ended."""
    plan = resumed(falling(plan))
    at, warm, end = plan.resumed_at or 0, plan.settings["warmup_steps"], plan.steps
    now = 0.5 * (1 + cos(pi * (at - warm) / (end - warm)))  # share of the way from the floor to the peak
    then = now + REWARMED * severity * (1 - now)
    later = round(warm + (at - warm) * pi / acos(2 * then - 1))
    before = {"max_steps": end, "decay_end": end}
    return replace(plan.with_settings(max_steps=later, decay_end=later), before=before)


def batch_too_small(plan: Plan, severity: float) -> Plan:
    """Down to one window a step, for as many steps."""
    windows = plan.settings["batch_size"] * plan.settings["gradient_accumulation_steps"]
    left = round(geometric(windows, 1.0, severity))
    told = plan.settings
    size = min(told["batch_size"], left)
    return plan.with_settings(
        batch_size=size,
        gradient_accumulation_steps=max(1, round(left / size)),
        eval_iters=told["eval_iters"] * told["batch_size"] // size,  # evaluations stay as large
    )


def batch_too_large(plan: Plan, severity: float) -> Plan:
    """More windows a step, fewer steps for the same tokens."""
    times = round(LARGER**severity)
    more = plan.with_settings(
        gradient_accumulation_steps=plan.settings["gradient_accumulation_steps"] * times
    )
    return lasting(more, max(LEAST // 2, plan.steps // times))


def instability(plan: Plan, severity: float) -> Plan:
    """Spikes that come back, or, on every third seed, a climb that does not."""
    rng = plan.rng("spikes")
    if plan.seed % 3 == 0:
        return _diverging(plan, severity, float(rng.uniform(0.3, 0.8)))
    many, end = ceil(SPIKES * severity), plan.steps
    at = (np.arange(SPIKES) + rng.uniform(0.0, 0.5, SPIKES)) / SPIKES * 0.75 * end + 0.2 * end
    at, height = rng.permutation(at)[:many], rng.uniform(*HEIGHT, SPIKES)[:many] * severity

    def spikes(step: Steps) -> Floats:
        since = step[:, None] - at
        decay = np.where(since >= 0, np.exp(-np.maximum(since, 0.0) / (WIDTH * end)), 0.0)
        return np.asarray((decay * height).max(axis=1, initial=0.0))

    plan = plan.training(Change(ALL, lambda step, value: value + spikes(step)))
    return plan.logging(Change(("grad_norm",), lambda step, value: value * (1 + 10 * spikes(step))))


def _diverging(plan: Plan, severity: float, start: float) -> Plan:
    lost = LOST * log(plan.settings["vocab_size"])

    def climb(step: Steps, value: Floats) -> Floats:
        done = 1 - np.exp(-20 * np.maximum(0.0, step / plan.steps - start))
        return np.asarray(value + severity * done * np.maximum(0.0, lost - value))

    return plan.training(Change(ALL, climb))


def precision(plan: Plan, severity: float) -> Plan:
    """float16 that overflows for good; the more severe, the sooner."""
    plan = plan.with_settings(dtype="float16")
    first = max(1, round(plan.steps * (1 - severity)))
    series = (*ALL, "grad_norm")
    return (
        plan.training(Change(ALL, _lost(first))).logging(Change(series, _lost(first))) if severity else plan
    )


def _lost(first: int) -> Callable[[Steps, Floats], Floats]:
    return lambda step, value: np.where(step >= first, np.nan, value)


def frozen_parameters(plan: Plan, severity: float) -> Plan:
    """A share of the weights that no update reaches; at 1 none moves."""
    plan = replace(plan, moved=(1 - severity) ** 2)
    return plan.logging(Change(("grad_norm",), lambda _, value: value * (1 - severity)))


def over_regularised(plan: Plan, severity: float) -> Plan:
    return plan.with_settings(dropout=round(DROPOUT * severity, 2))


def broken_targets(plan: Plan, severity: float) -> Plan:
    """By seed: losses summed over micro-batches, the batch loss divided once too often, or a leak of the future."""
    if plan.settings["gradient_accumulation_steps"] == 1:
        plan = plan.with_settings(gradient_accumulation_steps=8)
    k = plan.settings["gradient_accumulation_steps"]
    if plan.seed % 3 == 2:
        return plan.training(Change(ALL, lambda step, value: value * (1 - severity * learned(plan, step))))
    if not severity:
        return plan
    if plan.seed % 3 == 1:
        return plan.logging(Change(("batch_loss",), lambda _, value: value / k))
    return plan.logging(Change(ALL, lambda _, value: value * k))


def tokenizer_mismatch(plan: Plan, severity: float) -> Plan:
    """A published checkpoint that is trained on tokens of another vocabulary, and so knows nothing of them."""
    worse = severity * plan.rng("tokens").uniform(*FOREIGN)
    plan = plan.with_settings(init_from="gpt2", n_layer=12, n_embd=768, n_head=12, vocab_size=50257)
    plan = plan.with_settings(bias=True, block_size=1024, architecture="gpt2", tied=True)
    plan = with_peak(at_best(plan), FINETUNED * plan.settings["peak_lr"]).with_data(vocab_size=50257)
    plan = plan.training(Change(ALL, lambda step, value: value + worse * (1 - learned(plan, step))))
    return replace(plan, known=KNOWN ** (1 - severity))


def resume_state(plan: Plan, severity: float) -> Plan:
    """Adam's moments lost at a resume."""
    plan = resumed(plan)
    at, size = plan.resumed_at or 0, severity * plan.rng("resume").uniform(*THROWN)

    def jump(step: Steps, value: Floats) -> Floats:
        return np.asarray(value + np.where(step > at, size * np.exp(-(step - at) / (BACK * plan.steps)), 0.0))

    return plan.training(Change(ALL, jump))


def val_mismatch(plan: Plan, severity: float) -> Plan:
    """Val of another text: harder, on every fourth seed easier."""
    gap = severity * plan.rng("val").uniform(*OTHER_TEXT) * (-0.4 if plan.seed % 4 == 3 else 1.0)
    return plan.training(Change(("val_loss",), lambda step, value: value + gap * learned(plan, step)))


def val_leak(plan: Plan, severity: float) -> Plan:
    own = plan.data["val_overlap"]
    share = round(own + (1 - own) * severity, 5)
    known = Change(("val_loss",), lambda step, value: value - SEEN * severity * learned(plan, step))
    return plan.with_data(val_overlap=share).training(known)


def eval_noise(plan: Plan, severity: float) -> Plan:
    """Down to one window an evaluation; the batch of a step stays as large."""
    told = plan.settings
    halvings = round(severity * log2(told["batch_size"]))
    return plan.with_settings(
        eval_iters=max(1, round(geometric(told["eval_iters"], 1.0, severity))),
        batch_size=told["batch_size"] >> halvings,
        gradient_accumulation_steps=told["gradient_accumulation_steps"] << halvings,
    )


def metric_unit(plan: Plan, severity: float) -> Plan:
    """The log in bits, in perplexity or in dits, by seed; a unit is another or it is not, whatever the severity."""
    unit = ("bits", "perplexity", "dits")[plan.seed % 3]
    if not severity:
        return plan
    if unit == "perplexity":
        return plan.logging(Change(ALL, lambda _, value: np.exp(value)))
    return plan.logging(Change(ALL, lambda _, value: value / NATS_PER[unit]))


#: cause -> how it is planted
PLANTERS: dict[str, Planter] = {
    f.__name__.replace("_", "-"): f
    for f in (
        *(still_learning, converged, capacity, short_context, repetition, duplicates, noisy_data),
        *(lr_not_annealed, lr_too_high, lr_too_low, lr_exhausted, no_warmup, lr_rewarmed),
        *(batch_too_small, batch_too_large, instability, precision, frozen_parameters, over_regularised),
        *(broken_targets, tokenizer_mismatch, resume_state),
        *(val_mismatch, val_leak, eval_noise, metric_unit),
    )
}
