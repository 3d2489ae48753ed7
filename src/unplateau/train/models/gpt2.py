"""GPT-2 as nanoGPT builds it: LayerNorm, GELU, learned positions, tied tables, dropout.

B batch, T time, C width, H heads, D width of a head, V vocabulary. After ``torch.manual_seed(s)`` the weights are
those of nanoGPT's GPT, bit for bit: they are drawn in its order.
"""

from __future__ import annotations

from math import sqrt
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import UsageError
from ...shape import Shape
from ..attention import Attend, sdpa, seen
from ..settings import Settings
from ._roles import Fused, roles
from ._shapes import shape_of

POSITIONS = ("learned", "alibi", "none")
STD = 0.02  # of all weights (the code of Radford et al. 2019)
BRANCH_ENDS = ("out.weight", "down.weight")  # drawn narrower, by 1 / sqrt(2 L): section 2.3 there


class Attention(nn.Module):
    """Causal attention of ``n_head`` heads."""

    def __init__(self, shape: Shape, dropout: float, attend: Attend) -> None:
        super().__init__()
        C = shape.n_embd
        self.qkv = Fused(C, (C, C, C), bias=shape.bias)
        self.out = nn.Linear(C, C, bias=shape.bias)
        self.n_head, self.dropout, self.attend = shape.n_head, dropout, attend

    def forward(self, x_BTC: Tensor, mask: Tensor | None) -> Tensor:
        B, T, C = x_BTC.shape
        q, k, v = self.qkv(x_BTC).view(B, T, 3, self.n_head, -1).permute(2, 0, 3, 1, 4)
        dropout = self.dropout if self.training else 0.0
        y_BHTD = self.attend(q, k, v, dropout=dropout, mask=mask)
        y_BTC = self.out(y_BHTD.transpose(1, 2).reshape(B, T, C))
        return F.dropout(y_BTC, self.dropout, self.training)


class Mlp(nn.Module):
    """Two matrices with a GELU (the exact one, by erf) between."""

    def __init__(self, shape: Shape, dropout: float) -> None:
        super().__init__()
        self.up = nn.Linear(shape.n_embd, shape.hidden, bias=shape.bias)
        self.down = nn.Linear(shape.hidden, shape.n_embd, bias=shape.bias)
        self.dropout = dropout

    def forward(self, x_BTC: Tensor) -> Tensor:
        y_BTC: Tensor = self.down(F.gelu(self.up(x_BTC)))
        return F.dropout(y_BTC, self.dropout, self.training)


class Block(nn.Module):
    """Attention, then the MLP, each on a normed copy and added."""

    def __init__(self, shape: Shape, dropout: float, attend: Attend) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(shape.n_embd, bias=shape.bias)
        self.attention = Attention(shape, dropout, attend)
        self.mlp_norm = nn.LayerNorm(shape.n_embd, bias=shape.bias)
        self.mlp = Mlp(shape, dropout)

    def forward(self, x_BTC: Tensor, mask: Tensor | None) -> Tensor:
        x_BTC = x_BTC + self.attention(self.attention_norm(x_BTC), mask)
        y_BTC: Tensor = self.mlp(self.mlp_norm(x_BTC))
        return x_BTC + y_BTC


class Gpt2(nn.Module):
    """Maps tokens (B, T) to logits (B, T, V)."""

    name: ClassVar[str] = "gpt2"

    @staticmethod
    def shape(settings: Settings) -> Shape:
        if settings.n_kv_head not in {0, settings.n_head}:
            raise UsageError(f"gpt2 has no grouped queries: n_kv_head is {settings.n_kv_head}, expected 0")
        return shape_of(settings, POSITIONS, bias=settings.bias)

    def __init__(
        self, shape: Shape, *, dropout: float = 0.0, positions: str = "", attend: Attend = sdpa
    ) -> None:
        super().__init__()
        self.dropout, self.alibi_heads = dropout, shape.n_head if positions == "alibi" else 0
        self.embed = nn.Embedding(shape.vocab_size, shape.n_embd)
        self.positions = nn.Embedding(shape.block_size, shape.n_embd) if shape.learned_positions else None
        self.blocks = nn.ModuleList(Block(shape, dropout, attend) for _ in range(shape.n_layer))
        self.norm = nn.LayerNorm(shape.n_embd, bias=shape.bias)
        self.unembed: nn.Linear | None = nn.Linear(shape.n_embd, shape.vocab_size, bias=False)
        self.reset_parameters()
        if shape.tied:  # only now: nanoGPT draws the shared table twice
            self.embed.weight, self.unembed = self.unembed.weight, None

    def reset_parameters(self) -> None:
        """Draw all weights: nanoGPT's ``_init_weights``, then those that end a branch, narrower."""
        self.apply(_draw)
        for name, weight in self.named_parameters():
            if name.endswith(BRANCH_ENDS):
                nn.init.normal_(weight, std=STD / sqrt(2 * len(self.blocks)))

    def hidden(self, tokens_BT: Tensor, document_BT: Tensor | None = None) -> Tensor:
        x_BTC = self.embed(tokens_BT)
        if self.positions is not None:
            x_BTC = x_BTC + self.positions.weight[: tokens_BT.shape[1]]
        x_BTC = F.dropout(x_BTC, self.dropout, self.training)
        mask = seen(tokens_BT, document_BT, self.alibi_heads)
        for block in self.blocks:
            x_BTC = block(x_BTC, mask)
        y_BTC: Tensor = self.norm(x_BTC)
        return y_BTC

    def head(self, x_BTC: Tensor) -> Tensor:
        return F.linear(x_BTC, (self.unembed or self.embed).weight)

    def forward(self, tokens_BT: Tensor, document_BT: Tensor | None = None) -> Tensor:
        return self.head(self.hidden(tokens_BT, document_BT))

    def groups(self) -> dict[str, list[nn.Parameter]]:
        return roles(self)


def _draw(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=STD)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
    if isinstance(module, nn.LayerNorm):
        module.reset_parameters()


MODEL = Gpt2
