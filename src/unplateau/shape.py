"""The shape of a decoder, counted instead of built: parameters, FLOPs and the memory to train it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: bytes of one activation under autocast
BYTES = {"float32": 4, "tf32": 4, "bfloat16": 2, "float16": 2}
#: bytes a parameter: float32 weight 4, gradient 4, Adam's two moments 8 (nanoGPT, Trainer with autocast)
STATE_BYTES = 16
#: what an architecture has, where a config does not say it: keyword arguments of Shape
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "gpt2": {"learned_positions": True},
    "llama": {"gated": True},
    "mistral": {"gated": True},
    "qwen2": {"gated": True, "qkv_bias": True},
    "qwen3": {"gated": True},
    "gemma": {"gated": True},
    "nanochat": {"norm_weights": 0, "tied": False},
    "modern": {"norm_weights": 0},  # the trainer's own
}
FAMILIES = {"gpt2": ("gpt2", "nanogpt"), "llama": ("llama", "smollm", "tinyllama")}
WHOLE = {"modern"}  # names that are not looked for inside another: ModernBERT is none of ours
#: facts that are told to Shape under the same name
TOLD = (
    *("n_layer", "n_embd", "n_head", "vocab_size", "block_size", "n_kv_head", "head_dim"),
    *("mlp_hidden", "bias", "tied"),
)
MULTIPLE = 256  # Llama rounds 8/3 of its width up to a multiple of this, where no width is given


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Widths and depths, in nanoGPT's words. The diagnosis counts with it; the trainer builds from it.

    >>> seed = Shape(n_layer=12, n_embd=384, n_head=12, vocab_size=50304, block_size=1024)
    >>> f"{seed.params:,} of which {seed.params_non_embedding / 1e6:.2f}M are not embeddings"
    '40,560,000 of which 21.24M are not embeddings'
    >>> gpt2 = Shape(n_layer=12, n_embd=768, n_head=12, vocab_size=50257, block_size=1024, bias=True)
    >>> f"{gpt2.params_total:,}"
    '124,439,808'
    >>> nanochat = Shape(n_layer=20, n_embd=1280, n_head=10, vocab_size=65536, block_size=2048,
    ...                  learned_positions=False, norm_weights=0, tied=False)
    >>> f"{nanochat.params:,}"
    '560,988,160'
    >>> llama = Shape(n_layer=32, n_embd=4096, n_head=32, vocab_size=32000, block_size=4096, tied=False,
    ...               gated=True, mlp_hidden=11008, learned_positions=False)
    >>> f"{llama.params:,}"
    '6,738,415,616'
    """

    n_layer: int
    n_embd: int
    n_head: int
    vocab_size: int
    block_size: int
    n_kv_head: int | None = None  # fewer than n_head: grouped-query attention
    head_dim: int | None = None  # where it is not n_embd / n_head
    mlp_hidden: int | None = None  # where it is not mlp_ratio x n_embd
    mlp_ratio: float = 4.0
    gated: bool = False  # SwiGLU has three matrices, GELU has two
    bias: bool = False  # of linear layers and norms
    qkv_bias: bool = False  # of query, key and value alone (Qwen2)
    norm_weights: int = 1  # vectors per norm: 0 for a bare RMSNorm; a bias adds one
    tied: bool = True
    learned_positions: bool = True

    @property
    def head_width(self) -> int:
        return self.head_dim or self.n_embd // self.n_head

    @property
    def hidden(self) -> int:
        if self.mlp_hidden:
            return self.mlp_hidden
        if self.gated:
            return -(-int(8 * self.n_embd / 3) // MULTIPLE) * MULTIPLE
        return int(self.mlp_ratio * self.n_embd)

    @property
    def norm_params(self) -> int:
        return (self.norm_weights + self.bias) * self.n_embd

    @property
    def block_params(self) -> int:
        """Weights of one block: attention, MLP, two norms, and their biases."""
        queries, keys = self.n_head * self.head_width, (self.n_kv_head or self.n_head) * self.head_width
        attention = self.n_embd * (2 * queries + 2 * keys)
        mlp = (3 if self.gated else 2) * self.n_embd * self.hidden
        biases = (queries + 2 * keys) * (self.bias or self.qkv_bias)
        biases += self.bias * (2 * self.n_embd + (2 if self.gated else 1) * self.hidden)
        return attention + mlp + biases + 2 * self.norm_params

    @property
    def params_non_embedding(self) -> int:
        """Blocks and norms."""
        return self.n_layer * self.block_params + self.norm_params

    @property
    def params(self) -> int:
        """Tied embeddings counted once; position embeddings not counted, as nanoGPT prints it."""
        return (1 if self.tied else 2) * self.vocab_size * self.n_embd + self.params_non_embedding

    @property
    def params_total(self) -> int:
        """All weights, learned positions included."""
        return self.params + (self.block_size * self.n_embd if self.learned_positions else 0)

    @property
    def matmul_params(self) -> int:
        """Weights that multiply each token: looking a token up costs nothing, the output matrix does."""
        return self.vocab_size * self.n_embd + self.params_non_embedding

    @property
    def flops_per_token(self) -> float:
        """Forward and backward: 6 N + 12 L C T (PaLM, appendix B; nanoGPT's estimate_mfu).

        >>> seed = Shape(n_layer=12, n_embd=384, n_head=12, vocab_size=50304, block_size=1024)
        >>> f"{seed.flops_per_token:.3e}"
        '3.000e+08'
        """
        attention = 12 * self.n_layer * self.n_head * self.head_width * self.block_size
        return float(6 * self.matmul_params + attention)

    def memory(self, batch_size: int, dtype: str = "bfloat16", *, flash: bool = True) -> float:
        """Bytes to train with Adam: state, plus the activations of one micro-batch.

        Activations: Korthikanti et al. 2022, eq. 1 and 4: a layer keeps sbh (34 + 5 a s / h) bytes in
        16 bits, of which 2 sbh are dropout masks of one byte; flash attention does not keep the 5 a s / h.
        The output keeps 4 s b h, and the logits in float32, twice (with their gradient). Not counted:
        what the allocator loses, and the buffers of the framework.

        >>> seed = Shape(n_layer=12, n_embd=384, n_head=12, vocab_size=50304, block_size=1024)
        >>> f"{seed.memory(16, 'float16') / 2**30:.1f} GiB"
        '9.2 GiB'
        """
        tokens, wide = batch_size * self.block_size, BYTES.get(dtype, 4) / 2
        mlp = (self.hidden / self.n_embd / 4) * (24 if self.gated else 16)  # of the 34 sbh, 16 are the MLP's
        layer = tokens * self.n_embd * ((16 + mlp) * wide + 2)
        if not flash:
            layer += 5 * self.n_head * tokens * self.block_size * wide
        output = tokens * (4 * wide * self.n_embd + 8 * self.vocab_size)
        return STATE_BYTES * self.params_total + self.n_layer * layer + output

    @classmethod
    def of(cls, known: Mapping[str, Any]) -> Shape | None:
        """The shape that facts by VOCABULARY's names tell; None where they don't, or can't be.

        >>> tiny = {"n_layer": 2, "n_embd": 64, "vocab_size": 86, "block_size": 48, "n_head": 4}
        >>> Shape.of(tiny) is None  # of what architecture?
        True
        >>> Shape.of({**tiny, "architecture": "gpt2"}).params
        104128
        >>> Shape.of({**tiny, "architecture": "modern"}).params  # norms without weights
        103808
        """
        family = architecture(known.get("architecture"))
        if family is None or any(
            not _counts(known.get(name)) for name in ("n_layer", "n_embd", "vocab_size")
        ):
            return None
        told = {n: known[n] for n in TOLD if _counts(known.get(n)) or isinstance(known.get(n), bool)}
        return cls(**{"n_head": 1, "block_size": 0, **family, **told})


def _counts(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def architecture(name: Any) -> dict[str, Any] | None:
    """What a model's family implies for its shape; None where the name is not known.

    >>> architecture("LlamaForCausalLM"), architecture("Mamba"), architecture("ModernBertDecoder")
    ({'learned_positions': False, 'gated': True}, None, None)
    """
    low = str(name or "").lower()
    for family, known in ARCHITECTURES.items():
        if low == family or (family not in WHOLE and any(w in low for w in FAMILIES.get(family, (family,)))):
            return {"learned_positions": False, **known}
    return None
