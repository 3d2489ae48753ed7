"""How long one block of a model takes, forward and backward, with each of several kernels."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import inf
from typing import Any, NamedTuple, TypeVar

import torch

from .attention import Attend
from .machine import hold_memory
from .models import model_kind
from .precision import Precision
from .settings import Settings

BUDGET = 1.0  # seconds of all timing, after a first round that warms up
LEAST, MOST = 2, 20  # rounds
BEHIND = 1.5  # of the quickest one's time: what took longer in the first round is not timed again
TOKENS = 4096  # of the batch that is timed, at most; one window at least
VOCABULARY = 256  # of the block's model: tables are no part of what is chosen between
ROWS = 256  # of the product whose error is measured

Key = TypeVar("Key")


class Kernel(NamedTuple):
    """How a block is reckoned: a name of ``ATTENTION``, PyTorch's word for float32 products, and a number format."""

    attention: str
    matmul: str
    dtype: Any


@dataclass(frozen=True, slots=True)
class Found:
    """``seconds`` of one forward and backward pass by kernels; ``flops`` of it."""

    seconds: Mapping[Kernel, float]
    flops: float


def of_kernels(kernels: Mapping[Kernel, Attend], settings: Settings, device: torch.device) -> Found:
    """Time each with its attention; the random numbers are left as they were."""
    hold_memory(device)
    one = replace(settings, n_layer=1, vocab_size=VOCABULARY)
    rows = min(one.batch_size, max(1, TOKENS // one.block_size))
    with torch.random.fork_rng(devices=[]), one_thread():
        passes = {
            kernel: _passing(replace(one, dtype=kernel.dtype), rows, attend, device)
            for kernel, attend in kernels.items()
        }
        before = torch.get_float32_matmul_precision()
        try:
            seconds = interleaved(
                passes, lambda kernel: torch.set_float32_matmul_precision(kernel.matmul), device
            )
        finally:
            torch.set_float32_matmul_precision(before)
    shape = model_kind(one.architecture).shape(one)
    return Found(seconds, shape.flops_per_token * rows * one.block_size)


def _passing(settings: Settings, rows: int, attend: Attend, device: torch.device) -> Callable[[], None]:
    """One forward and backward pass of a model of one block, but for its head."""
    kind = model_kind(settings.architecture)
    model = kind(
        kind.shape(settings), dropout=settings.dropout, positions=settings.positions, attend=attend
    ).to(device)
    token_BT = torch.randint(VOCABULARY, (rows, settings.block_size), device=device)
    document_BT = torch.zeros_like(token_BT) if settings.document_mask else None
    precision = Precision(settings, device)

    def go() -> None:
        with precision.autocast():
            x_BTC = model.hidden(token_BT, document_BT)
        x_BTC.float().square().mean().backward()

    return go


@contextmanager
def one_thread() -> Iterator[None]:
    """Threads wait for each other, and on a busy machine for whoever holds their core: not so one alone."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def interleaved(
    passes: Mapping[Key, Callable[[], None]], prepare: Callable[[Key], None], device: torch.device
) -> dict[Key, float]:
    """The least seconds of each, taken by turns; on a CPU its own, so that other work there does not count."""
    least: dict[Key, float] = {}
    begun, rounds = time.perf_counter(), 0
    while rounds < LEAST or (rounds < MOST and time.perf_counter() - begun < BUDGET):
        limit = BEHIND * min(least.values(), default=inf)
        for key in [key for key in passes if least.get(key, 0.0) <= limit]:
            prepare(key)
            took = _seconds(passes[key], device)
            least[key] = min(took, least.get(key, took))
        rounds += 1
        if rounds == 1:
            begun = time.perf_counter()
    return least


def _seconds(go: Callable[[], None], device: torch.device) -> float:
    """Of this process on a CPU, of the wall elsewhere."""
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    started = clock()
    go()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock() - started


def relative_error(precision: str, width: int) -> float:
    """Of a float32 product on this CPU, against float64: some chips multiply in bfloat16 where ``medium`` lets them."""
    generator = torch.Generator().manual_seed(1)
    a = torch.randn(ROWS, width, generator=generator)
    b = torch.randn(width, ROWS, generator=generator)
    exact = a.double() @ b.double()
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        return float((a @ b - exact).norm() / exact.norm())
    finally:
        torch.set_float32_matmul_precision(before)
