"""Text from a checkpoint, a token at a time.

B batch, T time, V vocabulary. The whole context is read again for each token: simple, and fast enough to look at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UnreadableError, UsageError, printable
from .checkpoints import found_at, read
from .configure import CONFIG, resolve
from .machine import device_of
from .models import model_of
from .nanogpt_ckpt import read_ckpt
from .settings import Settings
from .start import CKPT, SHAPE


@dataclass(frozen=True, slots=True)
class Trained:
    """A model at a step of its run; ``run`` is the run's folder."""

    model: nn.Module
    settings: Settings
    step: int
    run: Path

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device


def trained(path: Path, device: str = "auto") -> Trained:
    """The model at ``path``: a run's folder (its last checkpoint), one of its checkpoints, or nanoGPT's ckpt.pt.

    Raises ``UnreadableError`` where there is none, or it is damaged.
    """
    file = path if path.is_file() else path / CKPT
    own = not file.is_file() or (path / "checkpoints").is_dir()
    found = _own(path) if own else _nanogpt(file)
    found.model.to(device_of(replace(found.settings, device=device))).eval()
    return found


def _own(path: Path) -> Trained:
    place = found_at(path)
    run = next((p for p in (place, *place.parents) if (p / CONFIG).is_file()), None)
    if run is None:
        raise UnreadableError(f"no {CONFIG} above {printable(str(place))} says what model it holds")
    settings, state = resolve(run).settings, read(place)
    model = model_of(settings)
    try:
        model.load_state_dict(dict(state.tensors["model"]))
    except RuntimeError:
        raise UnreadableError(
            f"the weights in {printable(str(place))} are not those that {CONFIG} says"
        ) from None
    return Trained(model, settings, state.step, run)


def _nanogpt(file: Path) -> Trained:
    ckpt = read_ckpt(file)
    shape = {name: getattr(ckpt.shape, name) for name in SHAPE}
    dataset = ckpt.config.get("dataset", "")
    settings = Settings(architecture="gpt2", tied=ckpt.shape.tied, dataset=str(dataset), **shape)
    model = model_of(settings)
    model.load_state_dict(dict(ckpt.weights))
    return Trained(model, settings, ckpt.step, file.parent)


@torch.no_grad()
def tokens_after(
    found: Trained, start: Sequence[int], *, temperature: float, top_k: int, seed: int
) -> Iterator[int]:
    """Tokens that follow ``start``, without end; ``temperature`` 0 takes the likeliest, ``top_k`` 0 is no limit.

    Raises ``UsageError`` for an empty start, or a token that the model does not have.
    """
    if not start or max(start) >= found.settings.vocab_size:
        raise UsageError(
            f"a start of 1 token or more below {found.settings.vocab_size:,} is wanted; found {list(start)[:8]}"
        )
    generator = torch.Generator(found.device).manual_seed(seed)
    context_BT = torch.tensor([list(start)], device=found.device)
    while True:
        logits_V = found.model(context_BT[:, -found.settings.block_size :])[0, -1].float()
        token = _drawn(logits_V, temperature, top_k, generator)
        context_BT = torch.cat([context_BT[:, -found.settings.block_size :], token.view(1, 1)], dim=1)
        yield int(token)


def _drawn(logits_V: Tensor, temperature: float, top_k: int, generator: torch.Generator) -> Tensor:
    """One token of the softmax of ``logits / temperature``, of the ``top_k`` likeliest."""
    if temperature == 0:
        return logits_V.argmax()
    if 0 < top_k < len(logits_V):
        least = logits_V.topk(top_k).values[-1]
        logits_V = logits_V.masked_fill(logits_V < least, -torch.inf)
    return torch.multinomial(F.softmax(logits_V / temperature, dim=-1), 1, generator=generator)
