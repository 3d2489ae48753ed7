"""Attention, as functions of queries, keys and values; and what a token may look at.

B batch, T time, H query heads, G key and value heads (G divides H), D width of a head. ``mask`` is None for plain
causal attention; else true where a key is seen, or a bias that is added to the scores.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ROTARY_BASE = 10_000.0  # Su et al. 2021, section 3.2.2


class Attend(Protocol):
    """What a model calls: ``(q_BHTD, k_BGTD, v_BGTD) -> y_BHTD``."""

    def __call__(
        self, q: Tensor, k: Tensor, v: Tensor, *, dropout: float = 0.0, mask: Tensor | None = None
    ) -> Tensor: ...


def sdpa(q: Tensor, k: Tensor, v: Tensor, *, dropout: float = 0.0, mask: Tensor | None = None) -> Tensor:
    """Attend by PyTorch's fused kernels: no T x T matrix is kept. Shapes as in ``Attend``."""
    grouped = k.shape[1] != q.shape[1]
    if mask is not None and mask.is_floating_point():
        mask = mask.to(q.dtype)
    return F.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, dropout_p=dropout, is_causal=mask is None, enable_gqa=grouped
    )


def explicit(q: Tensor, k: Tensor, v: Tensor, *, dropout: float = 0.0, mask: Tensor | None = None) -> Tensor:
    """Attend by softmax of the T x T matrix: the same, faster on some CPUs for short T.

    >>> q, k, v = torch.ones(3, 1, 2, 4, 8).unbind()
    >>> torch.allclose(explicit(q, k[:, :1], v[:, :1]), sdpa(q, k[:, :1], v[:, :1]))
    True
    """
    H, T, D = q.shape[1:]
    if k.shape[1] != H:
        k, v = (x.repeat_interleave(H // x.shape[1], dim=1) for x in (k, v))
    score_BHTT = (q * D**-0.5) @ k.transpose(-2, -1)
    if mask is None:
        mask = causal(T, q.device)
    if mask.is_floating_point():
        score_BHTT = score_BHTT + mask
    else:  # added in place: filling by a mask copies all scores, and all their gradients
        score_BHTT += torch.zeros_like(mask, dtype=score_BHTT.dtype).masked_fill(~mask, -torch.inf)
    share_BHTT = F.softmax(score_BHTT, dim=-1).to(v.dtype)
    return F.dropout(share_BHTT, dropout) @ v


def causal(T: int, device: torch.device) -> Tensor:
    """(T, T), true where the key of the column is not later than the query of the row."""
    return torch.ones(T, T, dtype=torch.bool, device=device).tril()


def seen(tokens_BT: Tensor, document_BT: Tensor | None = None, alibi_heads: int = 0) -> Tensor | None:
    """The mask of a batch: None where it is only causal, else it broadcasts to (B, H, T, T).

    With ``document_BT``, a number for each token's document, a token sees none of another document. With
    ``alibi_heads`` it is ALiBi's bias: minus slope times distance (Press et al. 2022, section 3).

    >>> seen(torch.zeros(1, 3), document_BT=torch.tensor([[7, 8, 8]]))[0, 0].int().tolist()
    [[1, 0, 0], [0, 1, 0], [0, 1, 1]]
    """
    if document_BT is None and not alibi_heads:
        return None
    T, device = tokens_BT.shape[1], tokens_BT.device
    mask = causal(T, device)
    if document_BT is not None:
        mask = mask & (document_BT[:, None, :, None] == document_BT[:, None, None, :])
    if not alibi_heads:
        return mask
    slope_H = torch.tensor(slopes(alibi_heads), device=device)
    place_T = torch.arange(T, device=device)
    bias_HTT = slope_H[:, None, None] * (place_T[None, :] - place_T[:, None])
    return bias_HTT.masked_fill(~mask, -torch.inf)


def slopes(n_head: int) -> list[float]:
    """ALiBi's slope of each head: 2^(-8 i / n), i from 1; between powers of two, every other of the next one's.

    Press et al. 2022, section 3, and ``get_slopes`` of their code.

    >>> slopes(4), slopes(3)
    ([0.25, 0.0625, 0.015625, 0.00390625], [0.0625, 0.00390625, 0.25])
    """
    whole = 2 ** math.floor(math.log2(n_head))
    first = [2 ** (-8 * i / whole) for i in range(1, whole + 1)]
    return first + [2 ** (-4 * i / whole) for i in range(1, 2 * (n_head - whole), 2)]


class Rotary(nn.Module):
    """Cosines and sines of rotary positions, made once for contexts of up to T tokens.

    Channels i and i + D / 2 turn by t / base^(2 i / D) at place t (Su et al. 2021, equation 15); the first half's sines
    are negative.
    """

    cos: Tensor
    sin: Tensor

    def __init__(self, T: int, D: int, base: float = ROTARY_BASE) -> None:
        super().__init__()
        self.T, self.D, self.base = T, D, base
        self.register_buffer("cos", torch.empty(T, 1, D), persistent=False)
        self.register_buffer("sin", torch.empty(T, 1, D), persistent=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Fill the tables: also after ``to_empty`` of a model that was built on the meta device."""
        device = self.cos.device
        rate_D = self.base ** -(torch.arange(0, self.D, 2, dtype=torch.float32, device=device) / self.D)
        angle_TD = torch.outer(torch.arange(self.T, dtype=torch.float32, device=device), rate_D)[:, None, :]
        self.cos.copy_(torch.cat([angle_TD.cos(), angle_TD.cos()], dim=-1))
        self.sin.copy_(torch.cat([-angle_TD.sin(), angle_TD.sin()], dim=-1))

    def forward(self, T: int) -> tuple[Tensor, Tensor]:
        """The first T places, (T, 1, D) each; the empty axis is that of the heads, see ``rotate``."""
        return self.cos[:T], self.sin[:T]


def rotate(x_BTHD: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn channels i and i + D / 2 of each head by the angles of its place (Su et al. 2021, equation 34).

    The halves are paired as in Hugging Face's Llama. Queries and keys are turned at once, heads side by side.
    """
    cos, sin = cos.to(x_BTHD.dtype), sin.to(x_BTHD.dtype)
    other_BTHD = x_BTHD.roll(x_BTHD.shape[-1] // 2, dims=-1)
    return torch.addcmul(x_BTHD * cos, other_BTHD, sin)
