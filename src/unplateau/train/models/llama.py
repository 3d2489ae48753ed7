"""Llama: RMSNorm, rotary positions, SwiGLU, grouped queries, no biases (Touvron et al. 2023).

B batch, T time, C width, H query heads, G key heads, D width of a head, V vocabulary. Layers and pairing of rotated
channels are those of Hugging Face's LlamaForCausalLM, so that weights can be moved there and back.
"""

from __future__ import annotations

from math import sqrt
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
STD = 0.02  # of all weights; those that end a branch 1 / sqrt(2 L) of it, as in GPT-2
BRANCH_ENDS = ("out.weight", "down.weight")
EPSILON = 1e-5  # of the norms, as in Llama 2


class Attention(nn.Module):
    """Causal attention; each key head serves H / G query heads."""

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
    """SwiGLU (Shazeer 2020): gate and values are one matrix, the gate's rows first."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate_up = Fused(shape.n_embd, (shape.hidden, shape.hidden))
        self.down = nn.Linear(shape.hidden, shape.n_embd, bias=False)

    def forward(self, x_BTC: Tensor) -> Tensor:
        gate, up = self.gate_up(x_BTC).chunk(2, dim=-1)
        y_BTC: Tensor = self.down(F.silu(gate) * up)
        return y_BTC


class Block(nn.Module):
    """Attention, then the MLP, each on a normed copy and added."""

    def __init__(self, shape: Shape, dropout: float, attend: Attend) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(shape.n_embd, eps=EPSILON)
        self.attention = Attention(shape, dropout, attend)
        self.mlp_norm = nn.RMSNorm(shape.n_embd, eps=EPSILON)
        self.mlp = Mlp(shape)
        self.dropout = dropout

    def forward(self, x_BTC: Tensor, turn: tuple[Tensor, Tensor] | None, mask: Tensor | None) -> Tensor:
        y_BTC = self.attention(self.attention_norm(x_BTC), turn, mask)
        x_BTC = x_BTC + F.dropout(y_BTC, self.dropout, self.training)
        return x_BTC + F.dropout(self.mlp(self.mlp_norm(x_BTC)), self.dropout, self.training)


class Llama(nn.Module):
    """Maps tokens (B, T) to logits (B, T, V)."""

    name: ClassVar[str] = "llama"

    @staticmethod
    def shape(settings: Settings) -> Shape:
        return shape_of(settings, POSITIONS, gated=True)

    def __init__(
        self, shape: Shape, *, dropout: float = 0.0, positions: str = "", attend: Attend = sdpa
    ) -> None:
        super().__init__()
        self.dropout, self.alibi_heads = dropout, shape.n_head if positions == "alibi" else 0
        rotated = (positions or POSITIONS[0]) == "rope"
        self.rotary = Rotary(shape.block_size, shape.head_width) if rotated else None
        self.embed = nn.Embedding(shape.vocab_size, shape.n_embd)
        self.blocks = nn.ModuleList(Block(shape, dropout, attend) for _ in range(shape.n_layer))
        self.norm = nn.RMSNorm(shape.n_embd, eps=EPSILON)
        self.unembed = None if shape.tied else nn.Linear(shape.n_embd, shape.vocab_size, bias=False)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw all weights."""
        for name, weight in self.named_parameters():
            if weight.ndim == 1:
                nn.init.ones_(weight)
            else:
                ends = name.endswith(BRANCH_ENDS)
                nn.init.normal_(weight, std=STD / sqrt(2 * len(self.blocks)) if ends else STD)

    def hidden(self, tokens_BT: Tensor, document_BT: Tensor | None = None) -> Tensor:
        x_BTC = F.dropout(self.embed(tokens_BT), self.dropout, self.training)
        mask = seen(tokens_BT, document_BT, self.alibi_heads)
        turn = self.rotary(tokens_BT.shape[1]) if self.rotary is not None else None
        for block in self.blocks:
            x_BTC = block(x_BTC, turn, mask)
        y_BTC: Tensor = self.norm(x_BTC)
        return y_BTC

    def head(self, x_BTC: Tensor) -> Tensor:
        return F.linear(x_BTC, (self.unembed or self.embed).weight)

    def forward(self, tokens_BT: Tensor, document_BT: Tensor | None = None) -> Tensor:
        return self.head(self.hidden(tokens_BT, document_BT))

    def groups(self) -> dict[str, list[nn.Parameter]]:
        return roles(self)


MODEL = Llama
