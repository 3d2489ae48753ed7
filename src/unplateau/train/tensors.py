"""Tensors by name in a safetensors file: written whole or not at all, and read by memory map.

The writer is our own, forty lines: it hashes while it writes, takes no second copy of the tensors, and lets other
threads run meanwhile. https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..durable import DurableFile
from ..errors import UnreadableError, why

KINDS = {
    torch.float64: "F64",
    torch.int64: "I64",
    torch.float32: "F32",
    torch.int32: "I32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
ALIGN = 8  # bytes; the header is filled up with spaces to a multiple of it, as the format asks
PIECE = 8 << 20  # bytes written and hashed at once; the interpreter is free for others between any two


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> str:
    """Write tensors of the CPU; the sha256 of the file. ``UnplateauError`` where it can't be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sha256 = write_tensors(Path(folder) / "a.safetensors", {"w": torch.ones(2, 3, dtype=torch.bfloat16)})
    ...     read_tensors(Path(folder) / "a.safetensors")["w"].shape
    torch.Size([2, 3])
    """
    # wide numbers first: each tensor is then aligned for its own kind
    ordered = dict(sorted(tensors.items(), key=lambda item: -item[1].element_size()))
    with DurableFile(path) as file:
        file.write(_header(ordered))
        for tensor in ordered.values():
            data = memoryview(_bytes(tensor))
            for start in range(0, len(data), PIECE):
                file.write(data[start : start + PIECE])
        return file.commit()


def _header(tensors: Mapping[str, Tensor]) -> bytes:
    told: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    place = 0
    for name, tensor in tensors.items():
        end = place + tensor.numel() * tensor.element_size()
        told[name] = {
            "dtype": KINDS[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [place, end],
        }
        place = end
    text = json.dumps(told, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGN)
    return struct.pack("<Q", len(text)) + text


def _bytes(tensor: Tensor) -> Any:
    flat = tensor.detach().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy() if flat.numel() else b""


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file, by name, mapped from it; a change of one stays in memory.

    Raises ``UnreadableError`` where the file is missing, cut or no safetensors.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(path))
    except (SafetensorError, OSError) as error:
        raise UnreadableError(f"can't read {path.parent.name}/{path.name}: {why(error)}") from None
