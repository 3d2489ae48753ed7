"""A plan as the files that a trainer would have left: its log and its configuration, in its own words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from ..config import in_own_words
from ..curve import Curve
from .plan import Plan
from .world import series_of

PEAK_FLOPS = 312e12  # FLOP/s of an A100, by which nanoGPT counts its mfu
USED = (0.25, 0.45)  # share of it that people get
DEVICES = 8
JITTER = 0.003  # sd of the logarithm of a step's time
EVALUATING = 1 / 3  # of a training step's time that a forward pass takes
MEASURED = 5  # steps after which nanoGPT begins to print its mfu
REPEATED = (
    0.4  # of the way to the next evaluation that a run got to after the checkpoint that it was resumed from
)
GPT2_VOCABULARY = 50304
NANOGPT = (  # keys of its config in the order of its own files
    *("out_dir", "eval_interval", "log_interval", "eval_iters", "init_from", "dataset"),
    *(
        "gradient_accumulation_steps",
        "batch_size",
        "block_size",
        "n_layer",
        "n_head",
        "n_embd",
        "dropout",
        "bias",
    ),
    *("learning_rate", "max_iters", "weight_decay", "beta1", "beta2", "grad_clip"),
    *("decay_lr", "warmup_iters", "lr_decay_iters", "min_lr", "dtype"),
)

Files = dict[str, str]
Series = Mapping[str, Curve]


@dataclass(frozen=True, slots=True)
class Dialect:
    """A trainer: what it can be told, and the files of a run."""

    name: str
    files: Callable[[Plan], Files]
    schedules: tuple[str, ...] = ("cosine", "linear", "wsd")
    architecture: str = "gpt2"
    refused: Mapping[str, str] = field(default_factory=dict)  # cause -> why it leaves no trace there


def json(value: Any, *, indent: int = 2) -> str:
    text = msgspec.json.encode(value)
    return (msgspec.json.format(text, indent=indent) if indent else text).decode() + "\n"


def manifest(plan: Plan) -> str:
    return json(dict(plan.data))


def logged_at(steps: int, *curves: Curve) -> Iterator[tuple[int, tuple[float | None, ...]]]:
    """Each step up to ``steps`` at which one of ``curves`` has a value, and the values there."""
    at = [dict(zip(c.step.tolist(), c.value.tolist(), strict=True)) for c in curves]
    for step in sorted(set().union(*at)):
        if step <= steps:
            yield step, tuple(known.get(step) for known in at)


# --- nanoGPT


def nanogpt(plan: Plan) -> Files:
    """train.log, as train.py prints to a file, and config.py."""
    series = series_of(plan)
    now = _nanogpt_config(plan, "resume" if plan.resumed_at is not None else plan.settings["init_from"])
    if plan.resumed_at is None:
        log = [*_head(plan, now), *_lines(plan, series, 0, plan.steps)]
    else:
        past = plan.with_settings(**plan.before)
        first = _nanogpt_config(past, plan.settings["init_from"])
        every = plan.settings["eval_interval"]
        died = plan.resumed_at + round(REPEATED * every) if every > 1 else plan.resumed_at
        log = [*_head(plan, first), *_lines(plan, series, 0, died)]
        log += [*_head(plan, now, resumes=True), *_lines(plan, series, plan.resumed_at, plan.steps)]
    return {"train.log": "\n".join(log) + "\n", "config.py": now, "manifest.json": manifest(plan)}


def _nanogpt_config(plan: Plan, init_from: str) -> str:
    told = {**plan.settings, "init_from": init_from, "out_dir": "out", "dataset": f"text{plan.seed}"}
    own = in_own_words("nanogpt", told)
    if init_from == "gpt2":
        own = {k: v for k, v in own.items() if k not in ("n_layer", "n_head", "n_embd", "bias")}
    return "".join(f"{key} = {own[key]!r}\n" for key in NANOGPT if key in own)


def _head(plan: Plan, config: str, *, resumes: bool = False) -> Iterator[str]:
    shape, vocab = plan.shape, plan.settings["vocab_size"]
    yield f"Overriding config with config.py:\n{config}"
    yield f"tokens per iteration will be: {plan.tokens_per_step:,}"
    if plan.settings["init_from"] == "gpt2" and not resumes:
        yield "Initializing from OpenAI GPT-2 weights: gpt2"
    else:
        yield f"found vocab_size = {vocab} (inside data/text{plan.seed}/meta.pkl)"
        yield "Resuming training from out" if resumes else "Initializing a new model from scratch"
    yield f"number of parameters: {shape.params / 1e6:.2f}M"
    yield "using fused AdamW: True"


def _lines(plan: Plan, series: Series, first: int, last: int) -> Iterator[str]:
    clock, mfu = _Clock(plan), -1.0
    losses = [series[n] for n in ("train_loss", "val_loss", "batch_loss")]
    best = float("inf")
    for step, (train, val, batch) in logged_at(last, *losses):
        if step < first:
            continue
        if train is not None and val is not None:
            yield f"step {step}: train loss {train:.4f}, val loss {val:.4f}"
            if step > 0 and (val < best or step == plan.resumed_at):
                best = min(best, val)
                yield "saving checkpoint to out"
        if batch is not None:
            if step - first >= MEASURED:
                mfu = clock.share(step) if mfu < 0 else 0.9 * mfu + 0.1 * clock.share(step)
            ms = clock.milliseconds(step, evaluated=train is not None)
            yield f"iter {step}: loss {batch:.4f}, time {ms:.2f}ms, mfu {mfu * 100:.2f}%"


class _Clock:
    """How long each step takes."""

    def __init__(self, plan: Plan) -> None:
        rng = plan.rng("clock")
        flops = plan.shape.flops_per_token * plan.tokens_per_step
        self.used = rng.uniform(*USED)
        self.ms = 1000 * flops / (DEVICES * PEAK_FLOPS * self.used)
        self.jitter = np.exp(rng.normal(0, JITTER, plan.steps + 1))
        told = plan.settings
        evaluated = 2 * told["eval_iters"] * told["batch_size"] * told["block_size"]
        self.evaluation = self.ms * EVALUATING * evaluated / plan.tokens_per_step * DEVICES

    def milliseconds(self, step: int, *, evaluated: bool = False) -> float:
        return float(self.ms * self.jitter[step] + (self.evaluation if evaluated else 0.0))

    def share(self, step: int) -> float:
        return float(self.used / self.jitter[step])


# --- Hugging Face's Trainer


def huggingface(plan: Plan) -> Files:
    """trainer_state.json, the model's config.json and training_args.json."""
    series = series_of(plan, averaged=True)
    return {
        "trainer_state.json": json(_state(plan, series)),
        "config.json": json(_model(plan)),
        "training_args.json": json(_arguments(plan)),
        "manifest.json": manifest(plan),
    }


def _state(plan: Plan, series: Series) -> dict[str, Any]:
    history: list[dict[str, Any]] = []
    names = ("batch_loss", "lr", "grad_norm", "val_loss")
    per_epoch = plan.data["train_tokens"] / plan.tokens_per_step
    for step, (loss, lr, norm, val) in logged_at(plan.steps, *(series[n] for n in names)):
        if step == 0:
            continue  # the Trainer's first record is that of its first interval
        at = {"epoch": round(step / per_epoch, 6), "step": step}
        if loss is not None and norm is not None:
            history.append({"grad_norm": _number(norm), "learning_rate": lr, "loss": _number(loss), **at})
        if val is not None:
            history.append({"eval_loss": _number(val, 10), **at})
    told = plan.settings
    ends = {"global_step": plan.steps, "max_steps": told["max_steps"], "logging_steps": told["log_interval"]}
    sizes = {"eval_steps": told["eval_interval"], "train_batch_size": told["batch_size"]}
    return {**ends, **sizes, "epoch": round(plan.steps / per_epoch, 6), "log_history": history}


def _number(value: float, digits: int = 4) -> float | str:
    """As the Trainer writes it: JSON has no NaN, so a lost number is its name."""
    return round(value, digits) if np.isfinite(value) else str(value)


def _model(plan: Plan) -> dict[str, Any]:
    told = plan.settings
    if told["architecture"] == "gpt2":
        words = ("n_layer", "n_embd", "n_head", "vocab_size")
        return {"model_type": "gpt2", "n_positions": told["block_size"], **{n: told[n] for n in words}}
    return {
        "model_type": "llama",
        "num_hidden_layers": told["n_layer"],
        "hidden_size": told["n_embd"],
        "num_attention_heads": told["n_head"],
        "intermediate_size": plan.shape.hidden,
        "vocab_size": told["vocab_size"],
        "max_position_embeddings": told["block_size"],
        "tie_word_embeddings": told["tied"],
    }


def _arguments(plan: Plan) -> dict[str, Any]:
    told = plan.settings
    words = {
        "batch_size": "per_device_train_batch_size",
        "gradient_accumulation_steps": "gradient_accumulation_steps",
        "block_size": "block_size",
        "peak_lr": "learning_rate",
        "warmup_steps": "warmup_steps",
        "max_steps": "max_steps",
        "beta1": "adam_beta1",
        "beta2": "adam_beta2",
        "weight_decay": "weight_decay",
        "grad_clip": "max_grad_norm",
        "eval_interval": "eval_steps",
        "log_interval": "logging_steps",
    }
    own = {key: told[name] for name, key in words.items()}
    own |= {
        "lr_scheduler_type": in_own_words("huggingface", told)["lr_scheduler_type"],
        "optim": "adamw_torch",
    }
    own[{"bfloat16": "bf16", "float16": "fp16"}[told["dtype"]]] = True
    if told["schedule"] == "cosine":
        own["lr_scheduler_kwargs"] = {"min_lr": told["floor_lr"]}
    if told["schedule"] == "wsd":
        decay = told["max_steps"] - told["decay_start"]
        own["lr_scheduler_kwargs"] = {"num_decay_steps": decay, "min_lr": told["floor_lr"]}
    if told["dropout"]:
        own["attention_dropout"] = told["dropout"]
    if told["init_from"] != "scratch":
        own["model_name_or_path"] = told["init_from"]
    if plan.resumed_at is not None:
        own["resume_from_checkpoint"] = f"checkpoint-{plan.resumed_at}"
    return own


# --- our own run folder


def own(plan: Plan) -> Files:
    """config.json in VOCABULARY's words and log.jsonl, a record a line."""
    told = {**plan.settings, "tokens_per_step": plan.tokens_per_step}
    told["eval_tokens"] = told["eval_iters"] * told["batch_size"] * told["block_size"]
    told["eval_modes_equal"] = True
    if plan.resumed_at is not None:
        told["init_from"] = "resume"
    series = series_of(plan)
    if plan.resumed_at is None:
        log = list(_records(plan, series, 0, plan.steps))
    else:
        died = plan.resumed_at + round(REPEATED * plan.settings["eval_interval"])
        log = [*_records(plan, series, 0, died), *_records(plan, series, plan.resumed_at, plan.steps)]
    return {"log.jsonl": "".join(log), "config.json": json(told), "manifest.json": manifest(plan)}


def _records(plan: Plan, series: Series, first: int, last: int) -> Iterator[str]:
    names = ("train_loss", "val_loss", "batch_loss", "lr", "grad_norm", "tokens")
    clock = _Clock(plan)
    for step, values in logged_at(last, *(series[n] for n in names)):
        if step < first:
            continue
        found = {n: float(f"{v:.6g}") for n, v in zip(names, values, strict=True) if v is not None}
        if "tokens" in found:
            found |= {"tokens": step * plan.tokens_per_step, "step_ms": round(clock.milliseconds(step), 2)}
        yield json({"step": step, **found}, indent=0)


DIALECTS = {
    d.name: d
    for d in (
        Dialect("nanogpt", nanogpt, schedules=("cosine",)),
        Dialect(
            "hf",
            huggingface,
            schedules=("cosine", "linear", "wsd"),
            architecture="llama",
            refused={
                "eval-noise": "the Trainer evaluates all of val, the same windows each time",
                "lr-exhausted": "the Trainer's schedules end where its run ends",
            },
        ),
        Dialect("jsonl", own),
    )
}
