"""Decoders, one file each: plug-ins that export ``MODEL``; a new file is held to the family's contract suite.

B batch, T time, C width, H heads, G key heads, D width of a head, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from types import MappingProxyType
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from ...errors import UsageError, printable
from ...plugins import discover
from ...shape import Shape
from ..attention import Attend, sdpa
from ..settings import Settings
from ._roles import fused

__all__ = ["Model", "fused", "model_kind", "model_of", "sizes"]


class Model(Protocol):
    """What a ``MODEL`` is: an ``nn.Module`` class with these."""

    name: ClassVar[str]

    def __init__(
        self, shape: Shape, *, dropout: float = 0.0, positions: str = "", attend: Attend = sdpa
    ) -> None: ...

    @staticmethod
    def shape(settings: Settings) -> Shape:
        """What ``settings`` ask for; raises ``UsageError`` where that can't be built. Counts, builds nothing."""

    def hidden(self, tokens_BT: Tensor, document_BT: Tensor | None = None) -> Tensor:
        """The last layer's output (B, T, C); with ``document_BT`` no token sees another document's."""

    def head(self, x_BTC: Tensor) -> Tensor:
        """Logits (B, T, V) of ``hidden``'s output."""

    def forward(self, tokens_BT: Tensor, document_BT: Tensor | None = None) -> Tensor:
        """``head(hidden(tokens_BT, document_BT))``."""

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """All parameters by role: see ``_roles``."""


def model_kind(name: str) -> Any:
    """The ``MODEL`` of that name; raises ``UsageError`` with the nearest known one.

    >>> model_kind("lama")
    Traceback (most recent call last):
    unplateau.errors.UsageError: no architecture 'lama'; did you mean llama? Known: gpt2, llama, modern
    """
    known = discover("models")
    if name in known:
        return known[name]
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise UsageError(f"no architecture {printable(name)!r}; {hint}Known: {', '.join(known)}")


def model_of(settings: Settings, attend: Attend = sdpa) -> nn.Module:
    """The untrained model that ``settings`` ask for; its weights are drawn from torch's own random numbers."""
    kind = model_kind(settings.architecture)
    shape = kind.shape(settings)
    model = kind(shape, dropout=settings.dropout, positions=settings.positions, attend=attend)
    assert isinstance(model, nn.Module)
    return model


@cache
def sizes(architecture: str, shape: Shape) -> Mapping[str, tuple[int, ...]]:
    """The sizes of a model's parameters by name, in their order; nothing is allocated.

    >>> tiny = Shape(n_layer=1, n_embd=8, n_head=2, vocab_size=10, block_size=4, learned_positions=False)
    >>> list(sizes("modern", tiny).items())[:2]
    [('embed.weight', (10, 8)), ('blocks.0.attention.qkv.weight', (24, 8))]
    """
    with torch.device("meta"):
        model = model_kind(architecture)(shape)
    return MappingProxyType({name: tuple(p.shape) for name, p in model.named_parameters()})
