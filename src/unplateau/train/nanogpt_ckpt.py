"""nanoGPT's ``ckpt.pt``: weights, Adam's moments and place of a run, read safely, and written for it to resume.

Nothing in the file is executed: it is loaded with ``weights_only=True``, which builds tensors and plain values alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf, isfinite
from pathlib import Path
from typing import IO, Any, cast

import torch
from torch import Tensor, nn

from ..durable import DurableFile
from ..errors import UnreadableError, UsageError
from ..shape import Shape
from .distributed import as_held
from .gpt2_names import ours, theirs
from .models import sizes
from .torch_file import load_torch

MODEL_ARGS = ("n_layer", "n_head", "n_embd", "block_size", "bias", "vocab_size", "dropout")
#: of Adam, for each parameter
MOMENTS = ("step", "exp_avg", "exp_avg_sq")

#: by our names of parameters
Weights = Mapping[str, Tensor]
Moments = Mapping[str, Mapping[str, Tensor]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ckpt:
    """What nanoGPT saves, under our names of weights; tensors may be mapped from the file."""

    shape: Shape
    dropout: float
    weights: Weights
    step: int  # optimiser steps done (iter_num)
    best_val_loss: float  # nats per token; infinite where there was no evaluation
    moments: Moments = field(default_factory=dict)  # Adam's step and moments of each weight; empty: none yet
    config: Mapping[str, Any] = field(default_factory=dict)  # nanoGPT's own words
    lr: float = 0.0  # at that step
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.1  # of the weights with two dimensions


# --- reading


def read_ckpt(path: Path, *, going_on: bool = True) -> Ckpt:
    """Read ``ckpt.pt``; raises ``UnreadableError`` for what is none, is damaged, or would run code.

    Moments that don't fit the weights, as of a model with frozen ones, are refused where the run is ``going_on``, else left out.
    """
    data = load_torch(path)
    model, args = data.get("model"), data.get("model_args")
    if not isinstance(model, dict) or not isinstance(args, dict):
        raise UnreadableError(f"{path.name} is not nanoGPT's: it holds no 'model' and 'model_args'")
    weights = _weights(model, path.name)
    shape = _shape(args, weights, path.name)
    weights = {key: weights[key] for key in sizes("gpt2", shape)}
    optimizer = data.get("optimizer")
    groups = optimizer.get("param_groups") if isinstance(optimizer, dict) else None
    first = groups[0] if isinstance(groups, list) and groups and isinstance(groups[0], dict) else {}
    betas = first.get("betas")
    beta1, beta2 = betas if isinstance(betas, tuple | list) and len(betas) == 2 else (None, None)
    return Ckpt(
        shape=shape,
        dropout=float(_number(args.get("dropout"), 0.0)),
        weights=weights,
        step=int(_number(data.get("iter_num"), 0)),
        best_val_loss=float(_number(data.get("best_val_loss"), inf)),
        moments=_moments(optimizer, weights, path.name, strict=going_on),
        config=data["config"] if isinstance(data.get("config"), dict) else {},
        lr=float(_number(first.get("lr"), 0.0)),
        betas=(_number(beta1, 0.9), _number(beta2, 0.95)),
        weight_decay=float(_number(first.get("weight_decay"), 0.1)),
    )


def _number(value: Any, default: float) -> float:
    if isinstance(value, Tensor) and value.numel() == 1:
        value = value.item()
    return value if isinstance(value, int | float) and not isinstance(value, bool) else default


def _weights(model: Mapping[Any, Any], name: str) -> dict[str, Tensor]:
    named = {ours(str(key)): value for key, value in model.items()}
    weights = {k: v for k, v in named.items() if k is not None and isinstance(v, Tensor)}
    if "embed.weight" not in weights:
        raise UnreadableError(f"{name} holds no transformer.wte.weight, so no GPT of nanoGPT's")
    table = weights.get("unembed.weight")
    if table is not None and torch.equal(table, weights["embed.weight"]):
        del weights["unembed.weight"]
    return weights


def _shape(args: Mapping[Any, Any], weights: Weights, name: str) -> Shape:
    counts: dict[str, Any] = {key: args.get(key) for key in MODEL_ARGS if key not in {"bias", "dropout"}}
    for key, value in counts.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise UnreadableError(f"{name}: model_args says {key} is {value!r}; expected a count")
    shape = Shape(**counts, bias=bool(args.get("bias")), tied="unembed.weight" not in weights)
    for key, size in sizes("gpt2", shape).items():
        found = tuple(weights[key].shape) if key in weights else "missing"
        if found != size:
            raise UnreadableError(f"{name}: {theirs(key)} is {found}; its model_args make it {size}")
    if more := sorted(set(weights) - set(sizes("gpt2", shape))):
        raise UnreadableError(f"{name} holds {theirs(more[0])}, which its model_args do not make")
    return shape


def _moments(optimizer: Any, weights: Weights, name: str, *, strict: bool) -> dict[str, dict[str, Tensor]]:
    state = optimizer.get("state") if isinstance(optimizer, dict) else None
    if not isinstance(state, dict) or not state:
        return {}
    order = _order({key: weights[key].ndim for key in weights})
    moments = {key: state.get(number) for number, key in enumerate(order)}
    if not strict and not all(_fit(found, weights[key]) for key, found in moments.items()):
        return {}
    for key, found in moments.items():
        if not isinstance(found, dict) or any(not isinstance(found.get(m), Tensor) for m in MOMENTS):
            raise UnreadableError(f"{name}: Adam's moments of {theirs(key)} are missing")
        if found["exp_avg"].shape != weights[key].shape or found["exp_avg_sq"].shape != weights[key].shape:
            raise UnreadableError(f"{name}: Adam's moments of {theirs(key)} have another shape than it")
    return {key: {m: found[m] for m in MOMENTS} for key, found in moments.items() if found is not None}


def _fit(found: Any, weight: Tensor) -> bool:
    step, *moments = (found.get(name) if isinstance(found, dict) else None for name in MOMENTS)
    return isinstance(step, Tensor) and all(
        isinstance(m, Tensor) and m.shape == weight.shape for m in moments
    )


def _order(ndim: Mapping[str, int]) -> list[str]:
    """nanoGPT's numbers of parameters: those of two dimensions in the model's order, then the others."""
    return [n for n, d in ndim.items() if d >= 2] + [n for n, d in ndim.items() if d < 2]


# --- writing


def write_ckpt(path: Path, ckpt: Ckpt) -> str:
    """Write what nanoGPT resumes from, whole or not at all; its sha256.

    Raises ``UsageError`` for a model that nanoGPT doesn't have, and ``UnplateauError`` where it can't be written.
    """
    _check(ckpt)
    model: dict[str, Tensor] = {str(theirs(name)): w.detach() for name, w in ckpt.weights.items()}
    model["lm_head.weight"] = model["transformer.wte.weight"]
    args = {key: getattr(ckpt.shape, key) for key in MODEL_ARGS if key != "dropout"}
    data = {
        "model": model,
        "optimizer": _optimizer(ckpt),
        "model_args": {**args, "dropout": ckpt.dropout},
        "iter_num": ckpt.step,
        "best_val_loss": ckpt.best_val_loss if isfinite(ckpt.best_val_loss) else 1e9,  # as nanoGPT begins
        "config": dict(ckpt.config),
    }
    with DurableFile(path) as file:
        torch.save(data, cast(IO[bytes], _Stream(file)))
        return file.commit()


def _check(ckpt: Ckpt) -> None:
    expected = sizes("gpt2", ckpt.shape)
    found = {name: tuple(w.shape) for name, w in ckpt.weights.items()}
    plain = ckpt.shape.tied and ckpt.shape.learned_positions and ckpt.shape.hidden == 4 * ckpt.shape.n_embd
    if not plain or found != expected:
        raise UsageError(
            "nanoGPT's ckpt.pt holds gpt2 alone, tied, with learned positions and an MLP of 4 x n_embd; "
            "this model is another"
        )


def _optimizer(ckpt: Ckpt) -> dict[str, Any]:
    """The state of the AdamW that nanoGPT makes: two groups, the first of which decays."""
    order = _order({name: w.ndim for name, w in ckpt.weights.items()})
    meta = [nn.Parameter(torch.empty_like(ckpt.weights[name], device="meta")) for name in order]
    decayed = [p for p in meta if p.ndim >= 2]
    groups = [
        {"params": decayed, "weight_decay": ckpt.weight_decay},
        {"params": meta[len(decayed) :], "weight_decay": 0.0},
    ]
    state = torch.optim.AdamW(groups, lr=ckpt.lr, betas=ckpt.betas).state_dict()
    moments = enumerate(ckpt.moments.get(name) for name in order)
    state["state"] = {number: dict(found) for number, found in moments if found is not None}
    return state


class _Stream:
    """What ``torch.save`` writes to."""

    def __init__(self, file: DurableFile) -> None:
        self.write = file.write

    def flush(self) -> None:
        """Nothing: ``DurableFile.commit`` does it."""


# --- moments, to and from an optimiser


def moments_of(model: nn.Module, optimizer: Any) -> dict[str, dict[str, Tensor]]:
    """Adam's step and moments of each parameter that has them, by name; they are the optimiser's own tensors."""
    return {
        name: {key: optimizer.state[p][key] for key in MOMENTS}
        for name, p in model.named_parameters()
        if set(MOMENTS) <= set(optimizer.state.get(p, ()))
    }


def set_moments(model: nn.Module, optimizer: Any, moments: Moments) -> None:
    """Give an AdamW copies of ``moments``, so that its next step is the one that the saved run would have made."""
    for name, p in model.named_parameters():
        if name in moments:
            exp = {key: as_held(moments[name][key].to(p.device, copy=True), p) for key in MOMENTS[1:]}
            fused = optimizer.defaults.get("fused")  # its step lies where the weights do
            step = moments[name]["step"].to(p.device if fused else "cpu", copy=True)
            optimizer.state[p] = {"step": step, **exp}
