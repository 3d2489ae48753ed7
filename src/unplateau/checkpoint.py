"""Facts of a checkpoint's header: nanoGPT's ckpt.pt, training_args.bin, safetensors, a Hugging Face folder.

No tensor is loaded, no class is built and no code is run; see ``_pickle.py``.
"""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from collections.abc import Mapping
from functools import lru_cache
from math import isfinite, prod
from pathlib import Path
from typing import Any, BinaryIO

from ._pickle import Opaque, inert
from .config import dialect
from .config._dialect import Setting, Settings, kept, told
from .errors import UnreadableError, printable, why
from .run import Fact

PICKLE_LIMIT = 64 << 20  # bytes of a checkpoint's data.pkl; a real one is below 1 MiB
HEADER_LIMIT = 100_000_000  # bytes of a safetensors header, as its own library allows
ENTRIES = 200_000  # members of a zip
SETTINGS = 2_000  # keys of one config
LAYER = re.compile(r"(?:^|\.)(?:h|layers|blocks|block)\.(\d{1,5})\.")
EMBEDDING = re.compile(r"(?:^|\.)(?:wte|embed_tokens|tok_embeddings|word_embeddings)\.weight$")


def read_checkpoint(path: Path) -> dict[str, Fact]:
    """The facts of a checkpoint's file or folder; raises ``UnreadableError`` where it is none."""
    if path.is_dir():
        return _folder(path)
    try:
        with path.open("rb") as file:
            start = file.read(8)
            file.seek(0)
            if start.startswith(b"PK"):
                return facts_of_torch(read_pickle(path), path.name)
            if path.suffix == ".safetensors":
                return facts_of_tensors(safetensors_header(file, path.name), path.name)
    except OSError as error:
        raise UnreadableError(f"can't read {path.name}: {error.strerror or error}") from None
    raise UnreadableError(f"{path.name} is no checkpoint: expected a zip of torch.save, or safetensors")


def _folder(path: Path) -> dict[str, Fact]:
    facts: dict[str, Fact] = {}
    for name in ("ckpt.pt", "training_args.bin", "model.safetensors"):
        if (path / name).is_file():
            facts = {**read_checkpoint(path / name), **facts}
    if not facts:
        raise UnreadableError(f"{path.name} holds no ckpt.pt, training_args.bin or model.safetensors")
    return facts


# --- torch.save


def read_pickle(path: Path) -> Any:
    """What a file of ``torch.save`` says without its tensors, as plain data (``_pickle``); kept for who asks again.

    Raises ``UnreadableError`` where it is none, ``OSError`` where it can't be opened.
    """
    told = path.stat()
    return _kept_pickle(path, told.st_mtime_ns, told.st_size)


@lru_cache(maxsize=2)
def _kept_pickle(path: Path, changed: int, size: int) -> Any:
    del changed, size  # of the key alone
    with path.open("rb") as file:
        return _data_pickle(file, path.name)


def _data_pickle(file: BinaryIO, name: str) -> Any:
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            found = [m for m in members[:ENTRIES] if m.filename.rpartition("/")[2] == "data.pkl"]
            if not found:
                raise UnreadableError(f"{name} is a zip without data.pkl, so no checkpoint of torch.save")
            with archive.open(found[0]) as packed:
                data = packed.read(PICKLE_LIMIT + 1)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
        raise UnreadableError(f"{name} is a damaged zip: {why(error)}") from None
    if len(data) > PICKLE_LIMIT:
        raise UnreadableError(f"{name} has a header of more than {PICKLE_LIMIT >> 20} MiB")
    return inert(data)


def facts_of_torch(data: Any, name: str) -> dict[str, Fact]:
    """nanoGPT's dict of model_args, config, iter_num and best_val_loss; or Transformers' arguments."""
    if isinstance(data, Opaque) and isinstance(data.state, dict):
        return _trainer(data.state, name)
    if isinstance(data, Opaque):
        data = data.items
    if not isinstance(data, dict):
        raise UnreadableError(
            f"{name} holds {type(data).__name__}; expected nanoGPT's dict or TrainingArguments"
        )
    parts = [part for key in ("model_args", "config") if isinstance(part := data.get(key), dict)]
    merged = {key: value for part in reversed(parts) for key, value in part.items()}
    facts: dict[str, Fact] = {}
    nanogpt = dialect("nanogpt")
    settings = _settings(merged, name)
    if parts and nanogpt.knows(settings):
        facts = {n: f for n, f in nanogpt.facts(settings).items() if not n.startswith("config_")}
        del facts["seed"]
    for fact, value in (
        ("checkpoint_step", data.get("iter_num")),
        ("best_val_loss", data.get("best_val_loss")),
    ):
        if isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value):
            facts[fact] = told(fact, value, name)
    return facts


def _trainer(state: Mapping[Any, Any], name: str) -> dict[str, Fact]:
    plain = {key: v.plain() if isinstance(v, Opaque) else v for key, v in state.items()}
    huggingface = dialect("huggingface")
    settings = _settings(plain, name)
    if not huggingface.knows(settings):
        return {}
    return {n: f for n, f in huggingface.facts(settings).items() if n != "config_unread"}


def _settings(values: Mapping[Any, Any], name: str) -> Settings:
    found = {}
    for key, value in list(values.items())[:SETTINGS]:
        scalar = isinstance(value, int | float | str | bool) or value is None
        if isinstance(key, str) and scalar and kept(key, value):
            shown = printable(key, 200)
            found[shown] = Setting(shown, value, f"{name}: {shown}")
    return Settings(found, name, [], set(), [])


# --- safetensors


def safetensors_header(file: BinaryIO, name: str) -> dict[str, Any]:
    """The JSON in front of the tensors: 8 bytes of length, then that many bytes."""
    import msgspec

    start = file.read(8)
    length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
    if not 2 <= length <= HEADER_LIMIT:
        raise UnreadableError(f"{name} is no safetensors file: its header would be {length:,} bytes")
    try:
        header = msgspec.json.decode(file.read(length))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UnreadableError(f"{name} is no safetensors file: its header is not JSON") from None
    if not isinstance(header, dict):
        raise UnreadableError(f"{name} is no safetensors file: its header is no object")
    return header


def facts_of_tensors(header: Mapping[str, Any], name: str) -> dict[str, Fact]:
    """Sizes by the names and shapes of the tensors.

    >>> shapes = {"h.0.mlp.weight": [4, 16], "wte.weight": [10, 4]}
    >>> facts = facts_of_tensors({n: {"dtype": "F32", "shape": s} for n, s in shapes.items()}, "model.safetensors")
    >>> {n: f.value for n, f in facts.items()}
    {'params_logged': 104, 'params_logged_kind': 'all weights', 'n_layer': 1, 'vocab_size': 10, 'n_embd': 4}
    """
    shapes = {n: s for n, part in header.items() if n != "__metadata__" and (s := _shape(part)) is not None}
    if not shapes:
        return {}
    facts = {"params_logged": sum(prod(s) for s in shapes.values()), "params_logged_kind": "all weights"}
    layers = {int(m[1]) for tensor in shapes if (m := LAYER.search(tensor))}
    if layers:
        facts["n_layer"] = len(layers)
    table = next((s for tensor, s in shapes.items() if EMBEDDING.search(tensor) and len(s) == 2), None)
    if table is not None and min(table) > 0:
        facts["vocab_size"], facts["n_embd"] = table
    return {n: told(n, value, name) for n, value in facts.items()}


def _shape(part: Any) -> list[int] | None:
    shape = part.get("shape") if isinstance(part, dict) else None
    if not isinstance(shape, list) or len(shape) > 8:
        return None
    return shape if all(isinstance(n, int) and 0 <= n < 2**40 for n in shape) else None
