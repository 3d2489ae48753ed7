"""Some steps of a run that is not begun: how long one takes, and the run with all its evaluations. Nothing is kept."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from .compiled import compile_step
from .data import Corpus
from .evaluate import FixedWindows, evaluator_of
from .kernels import with_kernels
from .machine import device_of, memory, on
from .pace import LEAST, Pace
from .session import Session, begin
from .settings import Resolved
from .settle import settled
from .start import shaped, start_of

STEPS, SECONDS = 20, 8.0  # taken at most; after the first, which holds what happens once
FORWARD = (
    1 / 3
)  # of a step's time a token, what evaluating it takes: no backward pass (Kaplan et al. 2020, section 2.1)


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """``step``: seconds of one; ``whole``: of the run, about; ``memory``: bytes that were held at most."""

    device: str
    dtype: str
    step: float
    whole: float
    memory: int


def rehearse(resolved: Resolved, corpora: Sequence[tuple[Corpus, float]]) -> Rehearsal:
    """Take some steps of the run. Raises what ``loop.train`` raises, but for its folder's."""
    start, device = start_of(resolved.settings), device_of(resolved.settings)
    resolved = on(settled(shaped(resolved, start), corpora[0][0]), device)
    resolved = with_kernels(resolved, device)
    session = begin(resolved.settings, corpora, device, start)
    compile_step(session, lambda _: None)
    s, pace, begun = (
        resolved.settings,
        Pace(resolved.settings.max_steps, resolved.settings.eval_interval),
        0.0,
    )
    for _ in range(STEPS):
        started = time.perf_counter()
        session.take(told=False)
        pace.stepped(time.perf_counter() - started)
        begun = begun or time.perf_counter()
        if pace.step is not None and time.perf_counter() - begun > SECONDS:
            break
    assert pace.step is not None, LEAST
    pace.evaluated(FORWARD * pace.step * _read(session, corpora) / s.tokens_per_step)
    return Rehearsal(str(device), s.dtype, pace.step, pace.left(0) or 0.0, memory(device))


def _read(session: Session, corpora: Sequence[tuple[Corpus, float]]) -> int:
    """Tokens of one evaluation."""
    s, measure = session.settings, evaluator_of(session.settings, corpora)
    if isinstance(measure, FixedWindows):
        return sum(part.sample.tokens for part in measure.parts)
    return 2 * s.eval_iters * s.batch_size * s.block_size
