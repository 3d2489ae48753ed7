"""The best small recipe that we measured: rotary positions, QK-norm, ReLU squared, bare RMSNorms.

B batch, T time, C width, H query heads, G key heads, D width of a head, V vocabulary. Norms have no weights; the
token's vector is normed before the first block; matrices that end a branch start at zero, so that each block starts
as the identity (modded-nanogpt, nanochat). Measured in ``docs/LOG.md``.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...shape import Shape
from ..attention import Attend, Rotary, rotate, sdpa, seen
from ..settings import Settings
from ._roles import Fused, roles
from ._shapes import shape_of

POSITIONS = ("rope", "alibi", "none")
EMBED_STD = 0.02  # of the embedding, which is normed where it is read
ZERO = ("out.weight", "down.weight", "unembed.weight")  # at first: the ends of branches, and an untied head
EPSILON = 1e-6  # of the norms


def norm(x: Tensor) -> Tensor:
    """Divide by the root of the mean square of the last axis (Zhang & Sennrich 2019, without weights)."""
    return F.rms_norm(x, (x.shape[-1],), eps=EPSILON)


class Attention(nn.Module):
    """Causal attention of queries and keys of unit root mean square (Henry et al. 2020)."""

    def __init__(self, shape: Shape, dropout: float, attend: Attend) -> None:
        super().__init__()
        self.n_head, self.n_key, self.width = shape.n_head, shape.n_kv_head or shape.n_head, shape.head_width
        queries, keys = self.n_head * self.width, self.n_key * self.width
        self.qkv = Fused(shape.n_embd, (queries, keys, keys))
        self.out = nn.Linear(queries, shape.n_embd, bias=False)
        self.dropout, self.attend = dropout, attend

    def forward(self, x_BTC: Tensor, turn: tuple[Tensor, Tensor] | None, mask: Tensor | None) -> Tensor:
        B, T, _ = x_BTC.shape
        heads_BTHD = self.qkv(x_BTC).view(B, T, -1, self.width)
        qk, v = torch.split(heads_BTHD, [self.n_head + self.n_key, self.n_key], dim=2)
        qk = norm(qk)
        if turn is not None:
            qk = rotate(qk, *turn)
        q, k = torch.split(qk, [self.n_head, self.n_key], dim=2)
        dropout = self.dropout if self.training else 0.0
        y_BHTD = self.attend(
            q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), dropout=dropout, mask=mask
        )
        y_BTC: Tensor = self.out(y_BHTD.transpose(1, 2).reshape(B, T, -1))
        return y_BTC


class Mlp(nn.Module):
    """Two matrices with a squared ReLU between (So et al. 2021)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.up = nn.Linear(shape.n_embd, shape.hidden, bias=False)
        self.down = nn.Linear(shape.hidden, shape.n_embd, bias=False)

    def forward(self, x_BTC: Tensor) -> Tensor:
        y_BTC: Tensor = self.down(F.relu(self.up(x_BTC)).square())
        return y_BTC


class Block(nn.Module):
    """Attention, then the MLP, each on a normed copy and added."""

    def __init__(self, shape: Shape, dropout: float, attend: Attend) -> None:
        super().__init__()
        self.attention = Attention(shape, dropout, attend)
        self.mlp = Mlp(shape)
        self.dropout = dropout

    def forward(self, x_BTC: Tensor, turn: tuple[Tensor, Tensor] | None, mask: Tensor | None) -> Tensor:
        y_BTC = self.attention(norm(x_BTC), turn, mask)
        x_BTC = x_BTC + F.dropout(y_BTC, self.dropout, self.training)
        return x_BTC + F.dropout(self.mlp(norm(x_BTC)), self.dropout, self.training)


class Modern(nn.Module):
    """Maps tokens (B, T) to logits (B, T, V)."""

    name: ClassVar[str] = "modern"

    @staticmethod
    def shape(settings: Settings) -> Shape:
        return shape_of(settings, POSITIONS, norm_weights=0)

    def __init__(
        self, shape: Shape, *, dropout: float = 0.0, positions: str = "", attend: Attend = sdpa
    ) -> None:
        super().__init__()
        self.dropout, self.alibi_heads = dropout, shape.n_head if positions == "alibi" else 0
        rotated = (positions or POSITIONS[0]) == "rope"
        self.rotary = Rotary(shape.block_size, shape.head_width) if rotated else None
        self.embed = nn.Embedding(shape.vocab_size, shape.n_embd)
        self.blocks = nn.ModuleList(Block(shape, dropout, attend) for _ in range(shape.n_layer))
        self.unembed = None if shape.tied else nn.Linear(shape.n_embd, shape.vocab_size, bias=False)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw all weights: matrices uniform with a variance of 1 / width of what they read."""
        for name, weight in self.named_parameters():
            if name.endswith(ZERO):
                nn.init.zeros_(weight)
            elif name == "embed.weight":
                nn.init.normal_(weight, std=EMBED_STD)
            else:
                bound = (3 / weight.shape[1]) ** 0.5
                nn.init.uniform_(weight, -bound, bound)

    def hidden(self, tokens_BT: Tensor, document_BT: Tensor | None = None) -> Tensor:
        x_BTC = F.dropout(norm(self.embed(tokens_BT)), self.dropout, self.training)
        mask = seen(tokens_BT, document_BT, self.alibi_heads)
        turn = self.rotary(tokens_BT.shape[1]) if self.rotary is not None else None
        for block in self.blocks:
            x_BTC = block(x_BTC, turn, mask)
        return norm(x_BTC)

    def head(self, x_BTC: Tensor) -> Tensor:
        return F.linear(x_BTC, (self.unembed or self.embed).weight)

    def forward(self, tokens_BT: Tensor, document_BT: Tensor | None = None) -> Tensor:
        return self.head(self.hidden(tokens_BT, document_BT))

    def groups(self) -> dict[str, list[nn.Parameter]]:
        return roles(self)


MODEL = Modern
