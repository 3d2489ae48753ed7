"""Files of ``torch.save``, read so that nothing in them is executed."""

from __future__ import annotations

import re
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from ..errors import UnreadableError, why

SAFE = (2, 10)  # the first torch whose weights_only has no known hole


def load_torch(path: Path) -> dict[Any, Any]:
    """The dict in a file of ``torch.save``: tensors, mapped from the file, and plain values.

    Raises ``UnreadableError`` where it is damaged, holds anything else, or is to be read by a torch before 2.10.
    """
    if tuple(int(part) for part in re.findall(r"\d+", torch.__version__)[:2]) < SAFE:
        raise UnreadableError(f"torch {torch.__version__} can't read {path.name} safely; 2.10 can")
    try:
        data = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except UnpicklingError as error:
        raise UnreadableError(f"{path.name} holds what would run code, or is damaged: {why(error)}") from None
    except OSError as error:
        raise UnreadableError(f"can't read {path.name}: {error.strerror or error}") from None
    except (RuntimeError, ValueError, KeyError, EOFError, TypeError, AttributeError) as error:
        raise UnreadableError(f"{path.name} is no checkpoint of torch.save: {why(error)}") from None
    if not isinstance(data, dict):
        raise UnreadableError(f"{path.name} holds {type(data).__name__}; expected a dict")
    return data
