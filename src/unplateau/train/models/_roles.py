"""What each weight of a decoder is for: optimisers treat matrices, tables and vectors apart."""

from __future__ import annotations

from torch import nn

BLOCKS = "blocks."  # what the names of weights inside blocks start with
TABLES = {"embed.weight": "embedding", "unembed.weight": "head"}


def roles(model: nn.Module) -> dict[str, list[nn.Parameter]]:
    """All parameters, each once, by role.

    ``matrices`` are the 2-D weights inside blocks, ``embedding`` and (where it is not the same) ``head`` the
    tables of the vocabulary, ``vectors`` all else: norms, biases, learned positions.
    """
    found: dict[str, list[nn.Parameter]] = {"matrices": [], "embedding": [], "head": [], "vectors": []}
    for name, parameter in model.named_parameters():
        matrix = name.startswith(BLOCKS) and parameter.ndim == 2
        found[TABLES.get(name, "matrices" if matrix else "vectors")].append(parameter)
    return {role: parameters for role, parameters in found.items() if parameters}
