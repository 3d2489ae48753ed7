"""All that a run can be told, typed, each with its default, unit and meaning; and where each value came from.

The names are those of ``facts.VOCABULARY`` where it has one, so that ``config.json`` needs no translation;
nanoGPT's own words are taken as well (``config.nanogpt``). The page of reference is generated from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

#: what ``inspect`` may name
INSPECTED = ("windows", "context", "targets", "tensors", "all")


def setting(default: Any, meaning: str, unit: str = "", group: str = "") -> Any:
    """A field of ``Settings``: its default, what it means, and its unit."""
    return field(default=default, metadata={"meaning": meaning, "unit": unit, "group": group})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One run. Raises ``ValueError`` for values that make no run together (``check``).

    >>> Settings(batch_size=12, block_size=64, gradient_accumulation_steps=2).tokens_per_step
    1536
    """

    # --- where
    out_dir: str = setting("out", "folder of the run", group="where")
    dataset: str = setting("", "prepared folder, or nanoGPT's data folder; several with weights: a=3,b=1")
    init_from: str = setting(
        "scratch", "scratch, resume, a checkpoint, nanoGPT's ckpt.pt, or a folder of GPT-2 weights"
    )
    # --- model
    architecture: str = setting("modern", "gpt2, llama or modern, or a plug-in's name", group="model")
    n_layer: int = setting(6, "blocks")
    n_head: int = setting(6, "query heads")
    n_kv_head: int = setting(0, "key and value heads; 0 is as many as n_head")
    n_embd: int = setting(384, "width")
    mlp_hidden: int = setting(0, "width of the hidden layer of the MLP; 0 is the architecture's own")
    vocab_size: int = setting(0, "rows of the embedding; 0 is what the data say")
    block_size: int = setting(256, "context in training", "tokens")
    bias: bool = setting(False, "biases in linear layers and norms (gpt2)")
    tied: bool = setting(True, "the embedding is also the output matrix")
    positions: str = setting("", "learned, rope, alibi or none; empty is the architecture's own")
    dropout: float = setting(0.0, "probability")
    document_mask: bool = setting(False, "attention ends at the document's first token")
    # --- batches
    batch_size: int = setting(16, "of one micro-batch on one device", "sequences", "batches")
    gradient_accumulation_steps: int = setting(1, "micro-batches of a step, all devices together")
    sampling: Literal["permutation", "nanogpt", "one"] = setting(
        "permutation",
        "permutation: each window once a pass; nanogpt: drawn with replacement, as train.py does; "
        "one: the first batch again and again, which a sound trainer learns by heart",
    )
    seed: int = setting(1337, "of the weights, the order of the data, and dropout")
    # --- steps and schedule
    max_steps: int = setting(2000, "optimiser steps", "steps", "schedule")
    schedule: str = setting("linear", "linear, cosine, wsd, inverse_sqrt or constant")
    peak_lr: float = setting(0.0, "highest learning rate; 0 is the optimiser's own for this width")
    floor_lr: float = setting(0.0, "learning rate at the end of the decay")
    warmup_steps: int = setting(100, "of rising learning rate", "steps")
    decay_start: int = setting(0, "step at which wsd's decay begins; 0 is its last fifth", "steps")
    decay_end: int = setting(0, "step at which the floor is reached; 0 is max_steps", "steps")
    decay_form: str = setting("linear", "of wsd: linear, 1-sqrt or cosine")
    # --- optimiser
    optimizer: str = setting("muon", "adamw; or muon for matrices with adamw for the rest", group="optimiser")
    beta1: float = setting(0.9, "Adam's")
    beta2: float = setting(0.95, "Adam's")
    weight_decay: float = setting(0.1, "decoupled; of matrices only")
    grad_clip: float = setting(1.0, "largest gradient norm; 0 is none")
    label_smoothing: float = setting(0.0, "probability mass; the plain loss is what is logged")
    z_loss: float = setting(0.0, "coefficient of log(Z)^2; logged apart")
    ema: float = setting(0.0, "decay of an average of the weights, saved beside them; 0 is none")
    # --- machine
    device: str = setting("auto", "cpu, cuda, mps; auto is the best there is", group="machine")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = setting(
        "auto",
        "of matrix products; auto: bfloat16 on a card that has it, and on a CPU where it is timed to be clearly quicker",
    )
    compile: Literal["auto", "on", "off"] = setting("auto", "on, off, or by the length of the run")
    attention: Literal["auto", "sdpa", "explicit"] = setting(
        "auto", "PyTorch's fused kernels, or the softmax of a matrix; auto: what is timed to be quicker"
    )
    matmul: Literal["auto", "highest", "high", "medium"] = setting(
        "auto", "precision of float32 products, in PyTorch's words; auto: the quickest that is like float32"
    )
    parallel: Literal["ddp", "fsdp"] = setting(
        "ddp", "what each process of torchrun holds: ddp: the whole model; fsdp: a shard of it"
    )
    # --- evaluation, log and checkpoints
    eval_interval: int = setting(250, "between evaluations; 0 is at the end alone", "steps", "evaluation")
    eval_tokens: int = setting(0, "in one evaluation of one split; 0: for a standard error of .002", "tokens")
    eval_iters: int = setting(
        0, "in one evaluation of one split, as nanoGPT counts; 0 is by eval_tokens", "batches"
    )
    eval_only: bool = setting(False, "evaluate once and stop")
    log_interval: int = setting(10, "between lines of the log", "steps")
    checkpoint_interval: int = setting(0, "between checkpoints; 0 is at each evaluation", "steps")
    keep_every: int = setting(0, "checkpoints kept for good; 0 is the last and the best alone", "steps")
    nanogpt_ckpt: bool = setting(False, "write nanoGPT's ckpt.pt as well")
    huggingface: bool = setting(False, "write the weights as a folder for Hugging Face transformers as well")
    on_nan: Literal["stop", "skip"] = setting("stop", "at a loss that is no number: stop, or skip the step")
    log_style: Literal["rich", "nanogpt", "none"] = setting("rich", "lines on the terminal")
    tensorboard: bool = setting(False, "write TensorBoard events")
    wandb: bool = setting(False, "log to Weights & Biases, if it is installed")
    trackio: bool = setting(False, "log to trackio, if it is installed")
    wandb_project: str = setting("unplateau", "the project at Weights & Biases")
    run_name: str = setting("", "what trackers call the run")
    # --- probing
    inspect: str = setting(
        "",
        "what to look at closely at the end, into evaluations/inspect.json: some of windows, context, targets, tensors, "
        "or all",
        group="probing",
    )

    @property
    def tokens_per_step(self) -> int:
        """Tokens of one optimiser step, all devices together."""
        return self.batch_size * self.block_size * self.gradient_accumulation_steps


TYPES: Mapping[str, Any] = get_type_hints(Settings)
DEFAULTS: Mapping[str, Any] = {f.name: f.default for f in fields(Settings)}


@dataclass(frozen=True, slots=True)
class Resolved:
    """Settings, and of each the place that it came from: ``config.py:14``, ``--key``, ``preset nanogpt``, ``default``.

    ``notes`` are sentences for people: what was taken otherwise than it stood there.
    """

    settings: Settings
    origin: Mapping[str, str]
    notes: tuple[str, ...] = ()


def choices(name: str) -> tuple[str, ...]:
    """The values that a setting can have; empty where they are not few."""
    kind = TYPES[name]
    return tuple(get_args(kind)) if get_origin(kind) is Literal else ()
