"""How long one block of a model takes, forward and backward, with each of several kernels."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

import torch

from .attention import Attend
from .models import model_kind
from .precision import Precision
from .settings import Settings

BUDGET = 1.5  # seconds of all timing together; a block that takes longer is timed twice
LEAST, MOST = 2, 20  # rounds; the first one warms up
TOKENS = 4096  # of the batch that is timed, at most; one window at least
VOCABULARY = 256  # of the block's model: tables are no part of what is chosen between
ROWS = 256  # of the product whose error is measured

Pair = tuple[str, str]
Key = TypeVar("Key")


@dataclass(frozen=True, slots=True)
class Found:
    """``seconds`` of one forward and backward pass by kernels; ``flops`` of it."""

    seconds: Mapping[Pair, float]
    flops: float


def of_pairs(pairs: Mapping[Pair, tuple[Attend, str]], settings: Settings, device: torch.device) -> Found:
    """Time each attention with its precision of products; the random numbers are left as they were."""
    one = replace(settings, n_layer=1, vocab_size=VOCABULARY)
    rows = min(one.batch_size, max(1, TOKENS // one.block_size))
    with torch.random.fork_rng(devices=[]), one_thread():
        passes = {pair: _passing(one, rows, attend, device) for pair, (attend, _) in pairs.items()}
        before = torch.get_float32_matmul_precision()
        try:
            seconds = interleaved(passes, lambda pair: torch.set_float32_matmul_precision(pair[1]), device)
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
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    begun, rounds = time.perf_counter(), 0
    while rounds < LEAST or (rounds < MOST and time.perf_counter() - begun < BUDGET):
        for key, go in passes.items():
            prepare(key)
            started = clock()
            go()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            took = clock() - started
            least[key] = min(took, least.get(key, took))
        rounds += 1
    return least


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
