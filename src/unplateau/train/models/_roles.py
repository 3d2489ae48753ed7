"""What each weight of a decoder is for: optimisers treat matrices, tables and vectors apart, and fused matrices too."""

from __future__ import annotations

from torch import nn

BLOCKS = "blocks."  # what the names of weights inside blocks start with
TABLES = {"embed.weight": "embedding", "unembed.weight": "head"}


class Fused(nn.Linear):
    """Several matrices that read the same input, as one product; ``sizes`` are their rows, in order."""

    def __init__(self, width: int, sizes: tuple[int, ...], *, bias: bool = False) -> None:
        super().__init__(width, sum(sizes), bias=bias)
        self.sizes = sizes


def fused(model: nn.Module) -> dict[nn.Parameter, tuple[int, ...]]:
    """Of each weight that is several matrices in one, their rows: Muon makes each orthogonal by itself.

    >>> fused(nn.Sequential(nn.Linear(8, 8), Fused(8, (8, 4, 4)))).values()
    dict_values([(8, 4, 4)])
    """
    return {m.get_parameter("weight"): m.sizes for m in model.modules() if isinstance(m, Fused)}


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
