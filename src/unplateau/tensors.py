"""Where the tensors of a checkpoint lie, and a few of their numbers: read by seeking, without torch, nothing is run.

A ``.pt`` of ``torch.save`` is a zip whose members are stored as they are, so that a tensor is a place in the file; so is
one of safetensors. What is packed, cut, or in another order of bytes is left out.
"""

from __future__ import annotations

import re
import struct
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ._pickle import Opaque
from .checkpoint import read_pickle, safetensors_header
from .curve import Values
from .errors import UnplateauError

MOST = 20_000  # tensors of one file
LOCAL = 30  # bytes of a zip's local header before the name
#: bytes of an element, and how numpy reads it; bfloat16 is the upper half of a float32
KINDS = {"F64": (8, "<f8"), "F32": (4, "<f4"), "F16": (2, "<f2"), "BF16": (2, "<u2")}
OF_TORCH = {"DoubleStorage": "F64", "FloatStorage": "F32", "HalfStorage": "F16", "BFloat16Storage": "BF16"}
MOMENT, STEP = "exp_avg_sq", "step"
NUMBERED = re.compile(r"(?:checkpoint-)?([0-9]{1,12})")
MATRIX = 2  # dimensions
SHARDS = 200  # files of one folder's weights
LARGEST = 1 << 40  # elements along one dimension
#: what a file that was damaged, or made to do harm, ends in: it then tells nothing
DAMAGE = (
    *(OSError, UnplateauError, zipfile.BadZipFile, struct.error, NotImplementedError, RuntimeError),
    *(ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError),
)


@dataclass(frozen=True, slots=True)
class Stored:
    """A tensor of ``shape`` in row-major order, ``start`` bytes into ``path``; ``dtype`` is one of ``KINDS``."""

    path: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int

    @property
    def size(self) -> int:
        return prod(self.shape)

    def numbers(self, file: BinaryIO, first: int, count: int) -> Values:
        """``count`` elements from the ``first`` on; fewer where the file ends before them."""
        width, kind = KINDS[self.dtype]
        file.seek(self.start + first * width)
        raw = file.read(min(count, self.size - first) * width)
        found = np.frombuffer(raw[: len(raw) // width * width], kind)
        if self.dtype == "BF16":
            found = (found.astype(np.uint32) << 16).view(np.float32)
        return found.astype(np.float64)


@dataclass(frozen=True, slots=True)
class Saved:
    """What a checkpoint holds: its weights by name, and of Adam's state the mean squares of gradients and its counts of steps.

    ``moments``: name of a weight -> its mean squares; None where a checkpoint that should have the state of an optimiser
    has none, empty where it can't be told apart by weight. ``counted``: steps that Adam has counted, the most of any weight.
    """

    step: int | None
    weights: Mapping[str, Stored]
    moments: Mapping[str, Stored] | None = None
    counted: int | None = None


def saved_at(path: Path) -> Saved | None:
    """What lies at ``path``: nanoGPT's ckpt.pt, one of our own checkpoints, or a folder of Hugging Face's; None for anything else."""
    try:
        if path.is_dir():
            return _folder(path)
        return _of_torch(path)
    except DAMAGE:
        return None


# --- safetensors


def in_safetensors(path: Path) -> dict[str, Stored]:
    """The tensors of a file of safetensors, by name. Raises ``UnreadableError`` where it is none."""
    with path.open("rb") as file:
        header = safetensors_header(file, path.name)
        start, end = file.tell(), file.seek(0, 2)
    found = {}
    for name, part in list(header.items())[:MOST]:
        if name == "__metadata__" or part.get("dtype") not in KINDS:
            continue
        shape = tuple(int(n) for n in part["shape"])
        first, last = (start + int(n) for n in part["data_offsets"])
        if start <= first and last <= end and last - first == prod(shape) * KINDS[part["dtype"]][0]:
            found[name] = Stored(path, name, part["dtype"], shape, first)
    return found


def _folder(path: Path) -> Saved | None:
    weights: dict[str, Stored] = {}
    for file in [path / "model.safetensors", *sorted(path.glob("model-*-of-*.safetensors"))[:SHARDS]]:
        if file.is_file():
            weights |= in_safetensors(file)
    state = path / "optimizer.safetensors"
    step = step_of(path.name)
    if not state.is_file():  # others than our own trainer keep it elsewhere
        own = (path / "state.json").is_file()
        return Saved(step, weights, None if own else {}) if weights else None
    parts = in_safetensors(state)
    counts = [_one(part) for name, part in parts.items() if name.endswith(f".{STEP}")]
    moments = {n.removesuffix(f".{MOMENT}"): p for n, p in parts.items() if n.endswith(f".{MOMENT}")}
    return Saved(step, weights, moments, _most(counts)) if weights else None


def step_of(name: str) -> int | None:
    """The step in the name of a checkpoint's folder.

    >>> step_of("00001200"), step_of("checkpoint-500"), step_of("run")
    (1200, 500, None)
    """
    told = NUMBERED.fullmatch(name)
    return int(told[1]) if told else None


def _one(part: Stored) -> float:
    with part.path.open("rb") as file:
        found = part.numbers(file, 0, 1)
    return float(found[0]) if len(found) else float("nan")


def _most(counts: list[float]) -> int | None:
    known = [n for n in counts if 0 <= n < 1e12]
    return int(max(known)) if known else None


# --- torch.save


def _of_torch(path: Path) -> Saved | None:
    data = read_pickle(path)
    model = _items(data.get("model")) if isinstance(data, dict) else {}
    if not model:
        return None
    places = _places(path)
    weights = {
        name.removeprefix("_orig_mod."): stored
        for name, part in list(model.items())[:MOST]
        if isinstance(name, str) and (stored := _stored(path, name, part, places)) is not None
    }
    step = data.get("iter_num")
    moments, counted = _state(path, data.get("optimizer"), weights, places)
    return Saved(step if isinstance(step, int) else None, weights, moments, counted)


def _items(part: Any) -> dict[Any, Any]:
    if isinstance(part, Opaque):
        return part.items
    return part if isinstance(part, dict) else {}


def _places(path: Path) -> dict[str, tuple[int, int]]:
    """Storage -> where its bytes begin, and how many there are; of members that are stored as they are."""
    found = {}
    with path.open("rb") as file, zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            folder, _, key = member.filename.rpartition("/")
            if member.compress_type != zipfile.ZIP_STORED or not folder.endswith("data"):
                continue
            file.seek(member.header_offset)
            names, extra = struct.unpack("<26x2H", file.read(LOCAL))
            found[key] = (member.header_offset + LOCAL + names + extra, member.file_size)
    return found


def _stored(path: Path, name: str, part: Any, places: Mapping[str, tuple[int, int]]) -> Stored | None:
    """The place of a tensor that was not built; None where it has none, or its elements are not in order."""
    if isinstance(part, Opaque) and part.name.endswith("_rebuild_parameter"):
        part = part.args[0]
    if not isinstance(part, Opaque) or not part.name.endswith("_rebuild_tensor_v2"):
        return None
    storage, offset, shape, stride = part.args[:4]
    kind, key = storage.args[0][1:3]
    dtype = OF_TORCH.get(kind.name.split()[-1])
    if dtype is None or key not in places or tuple(stride) != _in_order(shape):
        return None
    if not all(type(n) is int and 0 <= n < LARGEST for n in (offset, *shape)):
        return None
    start, length = places[key]
    width = KINDS[dtype][0]
    inside = (offset + prod(shape)) * width <= length
    return Stored(path, name, dtype, tuple(shape), start + offset * width) if inside else None


def _in_order(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of a tensor whose last dimension is contiguous.

    >>> _in_order((2, 3, 4))
    (12, 4, 1)
    """
    return tuple(prod(shape[n + 1 :]) for n in range(len(shape)))


def _state(
    path: Path, optimizer: Any, weights: Mapping[str, Stored], places: Mapping[str, tuple[int, int]]
) -> tuple[dict[str, Stored] | None, int | None]:
    """Adam's mean squares by weight, where nanoGPT's order of them fits; and its count of steps."""
    held = _items(optimizer)
    if "state" not in held:
        return None, None
    state = {key: _items(part) for key, part in _items(held["state"]).items()}
    counts = [_count(path, part.get(STEP), places) for part in state.values()]
    groups = [_items(group).get("params") for group in held.get("param_groups") or []]
    named = dict(_named([g for g in groups if isinstance(g, list)], weights))
    moments = {}
    for key, name in named.items():
        found = _stored(path, name, state.get(key, {}).get(MOMENT), places)
        if found is not None and found.shape != weights[name].shape:
            return {}, _most(counts)  # another order than nanoGPT's
        if found is not None:
            moments[name] = found
    return moments, _most(counts)


def _count(path: Path, part: Any, places: Mapping[str, tuple[int, int]]) -> float:
    if isinstance(part, int | float):
        return float(part)
    found = _stored(path, STEP, part, places)
    return _one(found) if found is not None else float("nan")


def _named(groups: list[list[Any]], weights: Mapping[str, Stored]) -> Iterator[tuple[Any, str]]:
    """nanoGPT's order: all matrices, then all vectors, each in the order of the model; nothing where the counts differ."""
    seen: dict[int, str] = {}
    for name, part in weights.items():
        if len(part.shape) <= MATRIX:  # a mask of attention is a buffer
            seen.setdefault(part.start, name)  # a tied matrix counts once
    wide = [name for name in seen.values() if len(weights[name].shape) >= MATRIX]
    thin = [name for name in seen.values() if len(weights[name].shape) < MATRIX]
    if [len(g) for g in groups] == [len(wide), len(thin)]:
        yield from zip([*groups[0], *groups[1]], [*wide, *thin], strict=True)
