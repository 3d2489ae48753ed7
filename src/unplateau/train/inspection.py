"""A close look at a model, for the probes: ``evaluations/inspect.json`` in the run's folder, measured, not judged.

{"schema": "unplateau.inspection/1", "step", "block_size", and what was asked for:
"windows": {SPLIT: {"loss": [..], "cheap": [[..]]}}, of each window, in the order of the text, its mean loss, and that of a
cheap model by order (``foreseen``);
"context": {"tokens", "gain", "error", "positions": [{"from", "to", "loss", "error"}]}, where ``gain`` is what half a window of
context more brings to the same tokens at the end of a window (null for a window of fewer than four);
"targets": {NAME: {"loss", "better", "error"}}, the loss of the model's guesses as guesses of the next token, of the one that
was read (own), of the one before it (previous), of the next but one (two), of the next with no mask (unmasked), and of the
next of some other place (shuffled); ``better`` is by how much the next is guessed better, from the same windows; "future": how much
the loss of the first half of a window changes where its second half is another text;
"tensors": [{"name", "group", "parameters", "weight", "gradient", "moved", "taught"}], norms; ``moved``: share of the weights'
norm that the draw of this seed, shrunk by weight decay, does not explain (1 where that draw is another); ``taught``: whether
the optimiser has kept anything of a gradient (null where it keeps nothing)}. Losses are in nats per token.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..durable import write_durably
from ..errors import UsageError
from .attention import sdpa
from .batches import Batch, batch_at
from .chosen import Corpora, place_of
from .data import Corpus
from .distributed import Nobody
from .folder import RunFolder
from .foreseen import Windows, difficulty, windows_of
from .kernels import use
from .models import model_of
from .randomness import random_state, seed, set_random_state
from .session import Session
from .settings import INSPECTED, Settings
from .survey import F64

SCHEMA, FILE = "unplateau.inspection/1", "inspect.json"
PARTS = INSPECTED[:-1]  # all but "all"
TOKENS = 65_536  # of each split, where eval_tokens does not say it
LOGITS = 256 << 20  # bytes of float32 logits at once
MICROS = 4  # micro-batches that the gradient is the mean of
DIGITS = 7  # significant, of what is written

Model = Any  # a ``models.Model``, which is an nn.Module too


def parts_of(words: str) -> tuple[str, ...]:
    """What ``inspect`` asks for.

    >>> parts_of("windows, tensors"), len(parts_of("all")), parts_of("")
    (('windows', 'tensors'), 4, ())
    """
    named = words.replace(" ", "").split(",")
    return tuple(part for part in PARTS if part in named or "all" in named)


def inspect(session: Session, corpora: Corpora, folder: RunFolder | Nobody) -> None:
    """Look at ``session``'s model as its settings ask, and write down what is seen; of a mixture, at its first source.

    Raises ``UsageError`` where several processes share the run.
    """
    if not session.devices.alone or isinstance(folder, Nobody):
        raise UsageError("inspect looks at a model in one process: run it again without torchrun")
    settings, corpus = session.settings, corpora[0][0]
    wanted = parts_of(settings.inspect)
    windows, read = windows_of(corpus, settings.block_size, _windows(settings))
    if "train" not in windows or not len(read.starts):
        raise UsageError(f"inspect wants two windows of {settings.block_size:,} tokens or more in train")
    judged = windows.get("val", windows["train"])
    told: dict[str, Any] = {"schema": SCHEMA, "step": session.step, "block_size": settings.block_size}
    drawn, training = random_state(session.device), session.model.training
    session.model.eval()
    look: dict[str, Callable[[], Any]] = {
        "windows": lambda: _by_window(session, windows, read),
        "context": lambda: _context(session, judged),
        "targets": lambda: _targets(session, judged),
        "tensors": lambda: _tensors(session, corpus),
    }
    told |= {part: look[part]() for part in wanted}
    session.model.train(training)
    set_random_state(drawn, session.device)
    write_durably(place_of(folder.path) / FILE, json.dumps(_plain(told), allow_nan=False).encode() + b"\n")


def _windows(settings: Settings) -> int:
    return max(1, (settings.eval_tokens or TOKENS) // settings.block_size)


def _plain(value: Any) -> Any:
    """As JSON holds it: numbers that are not finite are null."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None
    return value


# --- losses


@torch.no_grad()
def _losses(session: Session, model: Model, batch: Batch, *, targets_BT: Tensor | None = None) -> Tensor:
    """Of each token of a batch on the device (B, T), as guesses of its targets, or of others."""
    with session.autocast():
        logits_BTV = model(batch.x, batch.document_BT).float()
    targets_BT = batch.y if targets_BT is None else targets_BT
    losses_N = F.cross_entropy(logits_BTV.flatten(0, 1), targets_BT.flatten(), reduction="none")
    return losses_N.view(targets_BT.shape).double().cpu()


def _batches(session: Session, windows: Windows) -> Iterator[Batch]:
    """The windows, as many at once as logits fit."""
    s = session.settings
    rows = max(1, LOGITS // (4 * s.block_size * windows.stream.vocab_size))
    for first in range(0, len(windows.starts), rows):
        yield batch_at(windows.stream, windows.starts[first : first + rows], s).to(session.device)


def _by_window(session: Session, judged: dict[str, Windows], read: Windows) -> dict[str, Any]:
    cheap = difficulty(judged, read)
    found = {}
    for split, windows in judged.items():
        rows = [_losses(session, session.model, batch).mean(1) for batch in _batches(session, windows)]
        found[split] = {"loss": torch.cat(rows).numpy(), "cheap": cheap[split]}
    return found


def _error(values: Any) -> float:
    """Standard error of the mean of windows."""
    values = np.asarray(values, dtype=np.float64)
    return float(values.std(ddof=1) / len(values) ** 0.5) if len(values) > 1 else float("nan")


# --- context


def _context(session: Session, windows: Windows) -> dict[str, Any] | None:
    """Losses by position; and the tokens of the last quarter of a window again, half a window nearer to its start."""
    length, stream = session.settings.block_size, windows.stream
    half, last = length // 2, length - max(1, length // 4)
    start_N = windows.starts[windows.starts + half + length + 1 <= len(stream)]
    if length < 4 or not len(start_N):
        return None
    full, gains = [], []
    whole, nearer = (_batches(session, Windows(stream, length, start_N + by)) for by in (0, half))
    for here, later in zip(whole, nearer, strict=True):
        losses_BT = _losses(session, session.model, here)
        nearer_BT = _losses(session, session.model, later)
        full.append(losses_BT)
        gains.append((nearer_BT[:, last - half : length - half] - losses_BT[:, last:]).mean(1))
    gain = torch.cat(gains).numpy()
    return {
        "tokens": int(gain.size * (length - last)),
        "gain": float(gain.mean()),
        "error": _error(gain),
        "positions": _by_position(torch.cat(full).numpy()),
    }


def _by_position(losses_NT: F64) -> list[dict[str, float]]:
    """Means between powers of two."""
    ends = [0, *(1 << n for n in range(losses_NT.shape[1].bit_length())), losses_NT.shape[1]]
    pairs = [(a, b) for a, b in pairwise(ends) if b > a]
    parts = [(a, b, losses_NT[:, a:b].mean(1)) for a, b in pairs]
    return [{"from": a, "to": b, "loss": float(m.mean()), "error": _error(m)} for a, b, m in parts]


# --- targets


def _targets(session: Session, windows: Windows) -> dict[str, Any]:
    """The model's guesses held against other tokens than the next; and against another future."""
    generator = torch.Generator().manual_seed(session.settings.seed)
    blind = _unmasked(session)
    losses: dict[str, list[Tensor]] = {}
    changes: list[Tensor] = []
    for batch in _batches(session, windows):
        for name, found_B in _held_against(session, batch, generator, blind):
            losses.setdefault(name, []).append(found_B)
        changes.append(_change(session, batch, generator, windows.stream.vocab_size))
    means = {name: torch.cat(parts).numpy() for name, parts in losses.items()}
    told: dict[str, Any] = {
        name: {
            "loss": float(mean.mean()),
            "better": float((mean - means["next"]).mean()),
            "error": _error(mean - means["next"]),
        }
        for name, mean in means.items()
    }
    return {**told, "future": float(torch.cat(changes).abs().max()) if changes else None}


def _held_against(
    session: Session, batch: Batch, generator: torch.Generator, blind: Model | None
) -> Iterator[tuple[str, Tensor]]:
    """By name, the mean loss of each window (B,), over places where all of these targets are inside it."""
    x, y = batch.x, batch.y
    inside = slice(1, x.shape[1] - 1) if x.shape[1] > 2 else slice(0, None)
    order = torch.randperm(y.numel(), generator=generator).to(y.device)
    others = {
        "next": y,
        "own": x,
        "previous": torch.cat([x[:, :1], x[:, :-1]], 1),
        "two": torch.cat([y[:, 1:], y[:, -1:]], 1),
        "shuffled": y.flatten()[order].view_as(y),
    }
    for name, targets_BT in others.items():
        yield name, _losses(session, session.model, batch, targets_BT=targets_BT)[:, inside].mean(1)
    if blind is not None:
        yield "unmasked", _losses(session, blind, batch)[:, inside].mean(1)


def _change(session: Session, batch: Batch, generator: torch.Generator, vocab_size: int) -> Tensor:
    """By how much the losses of the first half of each window change with the second half (B, places)."""
    half = batch.x.shape[1] // 2
    other = batch.x.clone()
    drawn = torch.randint(vocab_size, other[:, half:].shape, generator=generator)
    other[:, half:] = drawn.to(other.device)
    changed = Batch(other, batch.y, batch.starts, batch.document_BT)
    before = _losses(session, session.model, batch)[:, :half]
    return _losses(session, session.model, changed)[:, :half] - before


def _unmasked(session: Session) -> Model | None:
    """The same weights with the causal mask forgotten; None where the mask is more than that."""
    s = session.settings
    if s.document_mask or s.positions == "alibi":
        return None
    model = model_of(s, _everywhere).to(session.device).eval()
    model.load_state_dict(session.model.state_dict())
    return model


def _everywhere(
    q: Tensor, k: Tensor, v: Tensor, *, dropout: float = 0.0, mask: Tensor | None = None
) -> Tensor:
    """Attention to all of a window, before and after."""
    del mask
    return sdpa(
        q,
        k,
        v,
        dropout=dropout,
        mask=torch.ones(1, 1, q.shape[2], k.shape[2], dtype=torch.bool, device=q.device),
    )


# --- tensors


def _tensors(session: Session, corpus: Corpus) -> list[dict[str, Any]]:
    """Of each parameter: its gradient over some micro-batches, and whether it ever moved."""
    model: Model = session.model
    gradient, first = _gradients(session, corpus), _first_weights(session)
    group = {weight: name for name, part in model.groups().items() for weight in part}
    return [
        {
            "name": name,
            "group": group[weight],
            "parameters": weight.numel(),
            "weight": float(weight.detach().double().norm()),
            "gradient": gradient[name],
            "moved": _moved(weight.detach().double().cpu(), first[name].detach().double()),
            "taught": _taught(session, weight),
        }
        for name, weight in model.named_parameters()
    ]


def _gradients(session: Session, corpus: Corpus) -> dict[str, float]:
    """The norm of each one's mean gradient, in float32, so that nothing underflows."""
    s, model = session.settings, session.model
    found, _ = windows_of(corpus, s.block_size, MICROS * s.batch_size)
    windows = found["train"]
    for batch in _micros(session, windows):
        loss = F.cross_entropy(model(batch.x, batch.document_BT).flatten(0, 1).float(), batch.y.flatten())
        torch.autograd.backward(loss * (len(batch.x) / len(windows.starts)))
    norms = {n: 0.0 if w.grad is None else float(w.grad.double().norm()) for n, w in model.named_parameters()}
    model.zero_grad(set_to_none=True)
    return norms


def _micros(session: Session, windows: Windows) -> Iterator[Batch]:
    """No more at once than the run itself has."""
    parts = np.array_split(windows.starts, MICROS)
    for part in (part for part in parts if len(part)):
        yield from _batches(session, Windows(windows.stream, windows.length, part))


def _first_weights(session: Session) -> dict[str, Tensor]:
    """The weights that a run of these settings begins with."""
    seed(session.settings.seed)
    return dict(model_of(session.settings, use(session.settings)).named_parameters())


def _moved(now: Tensor, first: Tensor) -> float:
    """The share of the norm of ``now`` that is no multiple of ``first``: weight decay alone shrinks all alike."""
    size, before = float(now.norm()), float((first * first).sum())
    if not size:
        return 0.0
    shrunk = float((now * first).sum()) / before if before else 0.0
    return float((now - shrunk * first).norm()) / size


def _taught(session: Session, weight: Tensor) -> bool | None:
    kept = [
        t
        for t in session.optimizer.state.get(weight, {}).values()
        if torch.is_tensor(t) and t.shape == weight.shape
    ]
    held = any(session.optimizer.state.values())
    return any(bool(t.any()) for t in kept) if held else None
