"""Names of GPT-2's weights: ours, and those of OpenAI, which nanoGPT and Hugging Face keep."""

from __future__ import annotations

import re

#: theirs, ours
TABLE = (
    ("transformer.wte.", "embed."),
    ("transformer.wpe.", "positions."),
    ("transformer.h.", "blocks."),
    ("transformer.ln_f.", "norm."),
    ("lm_head.", "unembed."),
    ("ln_1.", "attention_norm."),
    ("attn.c_attn.", "attention.qkv."),
    ("attn.c_proj.", "attention.out."),
    ("ln_2.", "mlp_norm."),
    ("mlp.c_fc.", "mlp.up."),
    ("mlp.c_proj.", "mlp.down."),
)
#: put in front by torch.compile and DistributedDataParallel
WRAPPERS = ("_orig_mod.", "module.")
#: causal masks that old versions saved as buffers
MASK = re.compile(r"\.attn\.(masked_)?bias$")
PART = re.compile(r"^((?:transformer\.h|blocks)\.\d+\.)?(.+?)(weight|bias)$")


def ours(name: str) -> str | None:
    """Our name of their weight; None for one that GPT-2 doesn't have, and for its mask.

    >>> ours("_orig_mod.transformer.h.3.attn.c_attn.weight"), ours("transformer.h.0.attn.bias")
    ('blocks.3.attention.qkv.weight', None)
    """
    for wrapper in WRAPPERS:
        name = name.removeprefix(wrapper)
    return None if MASK.search(name) else _renamed(name, dict(TABLE))


def theirs(name: str) -> str | None:
    """Their name of our weight; None for one that GPT-2 doesn't have.

    >>> theirs("blocks.3.attention.qkv.weight"), theirs("blocks.3.mlp.gate.weight")
    ('transformer.h.3.attn.c_attn.weight', None)
    """
    return _renamed(name, {mine: other for other, mine in TABLE})


def _renamed(name: str, table: dict[str, str]) -> str | None:
    match = PART.match(name)
    if match is None:
        return None
    block, part, kind = match.groups()
    if part not in table:
        return None
    if block is None:
        return table[part] + kind
    stack, number, _ = block.rsplit(".", 2)
    return f"{table[f'{stack}.'].removesuffix('.')}.{number}.{table[part]}{kind}"
