"""The state of all generators that a run may draw from, as JSON holds it."""

from __future__ import annotations

import random
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor


def seed(number: int) -> None:
    """Begin all generators at ``number``."""
    random.seed(number)
    np.random.seed(number % 2**32)  # noqa: NPY002 - whoever draws from it draws the same again
    torch.manual_seed(number)


def random_state(device: torch.device) -> dict[str, Any]:
    """Python's, numpy's and torch's global generators; and that of ``device``, where it has its own.

    >>> before = random_state(torch.device("cpu"))
    >>> drawn = random.random(), np.random.rand(), float(torch.rand(()))
    >>> set_random_state(before, torch.device("cpu"))
    >>> drawn == (random.random(), np.random.rand(), float(torch.rand(())))
    True
    """
    version, words, gauss = random.getstate()
    found: dict[str, Any] = np.random.get_state(legacy=False)  # noqa: NPY002
    inner = {"key": found["state"]["key"].tolist(), "pos": int(found["state"]["pos"])}
    told: dict[str, Any] = {
        "python": [version, list(words), gauss],
        "numpy": {**found, "state": inner},
        "torch": _text(torch.get_rng_state()),
    }
    if device.type == "cuda":
        told["cuda"] = _text(torch.cuda.get_rng_state(device))
    return told


def set_random_state(told: Mapping[str, Any], device: torch.device) -> None:
    """Go on from there; a generator that ``told`` lacks stays as it is."""
    if "python" in told:
        version, words, gauss = told["python"]
        random.setstate((version, tuple(words), gauss))
    if "numpy" in told:
        inner = told["numpy"]["state"]
        key = np.array(inner["key"], np.uint32)
        np.random.set_state({**told["numpy"], "state": {**inner, "key": key}})  # noqa: NPY002
    if "torch" in told:
        torch.set_rng_state(_bytes(told["torch"]))
    if "cuda" in told and device.type == "cuda":
        torch.cuda.set_rng_state(_bytes(told["cuda"]), device)


def _text(state: Tensor) -> str:
    return b64encode(state.numpy().tobytes()).decode()


def _bytes(text: str) -> Tensor:
    return torch.from_numpy(np.frombuffer(b64decode(text), np.uint8).copy())
