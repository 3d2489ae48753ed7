"""Some steps of a run that is not begun: how long one takes, and the run with all that it does beside. Nothing is kept."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, quantiles

from torch import Tensor

from ..errors import UnplateauError
from . import checkpoints
from .compiled import compile_step
from .data import Corpus
from .distributed import agreed, joined
from .evaluate import Evaluates, FixedWindows, evaluator_of, windows_of
from .folder import settings_in
from .kernels import with_kernels
from .machine import device_of, memory, on
from .pace import Pace
from .resume import state_of
from .session import Session, begin
from .settings import Resolved
from .settle import settled
from .start import shaped, start_of

STEPS, SECONDS = 24, 8.0  # taken at most; after the first, which holds what happens once
LEAST = 3  # steps that are timed, however long they take
READ = 8192  # tokens of an evaluation that are read
ITERS = 2  # batches of nanoGPT's estimate that are read
SAVED = 256 << 20  # bytes of a checkpoint that is written to be timed; a larger one is taken to go as fast
LOW, HIGH = (
    1,
    9,
)  # tenths of the steps' times, between which the run's may lie: what the machine does meanwhile


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """Seconds: ``step`` of one, ``start`` until the first, ``evaluation`` and ``checkpoint`` of one each.

    ``whole``: of all that is left of the run, between ``low`` and ``high``, as fast as the steps that were taken;
    ``memory``: bytes that were held at most.
    """

    device: str
    dtype: str
    start: float
    step: float
    evaluation: float
    checkpoint: float
    whole: float
    low: float
    high: float
    memory: int


@dataclass(frozen=True, slots=True)
class Timed:
    """Seconds until the first step, of some steps, of an evaluation and of a checkpoint."""

    start: float
    steps: Sequence[float]
    evaluation: float
    checkpoint: float


def rehearse(
    resolved: Resolved, corpora: Sequence[tuple[Corpus, float]], begun: float | None = None
) -> Rehearsal:
    """Take some steps of the run, in all of torchrun's processes; raises what ``loop.train`` raises, but for its folder's.

    ``begun``: when the process began to prepare it, by ``time.perf_counter``.
    """
    begun = time.perf_counter() if begun is None else begun
    start, device = start_of(resolved.settings), device_of(resolved.settings)
    resolved = on(settled(shaped(resolved, start), corpora[0][0]), device)
    with joined(resolved.settings, device) as devices:
        before = settings_in(resolved.settings.out_dir) if resolved.settings.init_from == "resume" else None
        start, resolved = agreed(devices, start, with_kernels(resolved, device, before))
        session = begin(resolved.settings, corpora, devices.device, start, devices)
        compile_step(session, lambda _: None)
        measure = _evaluator(session, corpora)
        first = session.step
        session.take(told=True)  # the first one holds what happens once
        starting = time.perf_counter() - begun
        timed = Timed(starting, _steps(session), _evaluation(session, measure, corpora), _checkpoint(session))
    return _reckoned(session, first, timed)


def _evaluator(session: Session, corpora: Sequence[tuple[Corpus, float]]) -> Evaluates:
    """With what its windows need once in a run."""
    measure = evaluator_of(session.settings, corpora, None, session.autocast)
    if isinstance(measure, FixedWindows):
        for part in measure.parts:
            _ = part.sample.fit
    return measure


def _steps(session: Session) -> list[float]:
    """Seconds of each of some steps, as many of them told as in the run."""
    begun, found = time.perf_counter(), []
    every = session.settings.log_interval
    for number in range(STEPS):
        started = time.perf_counter()
        session.take(told=number % every == 0)
        found.append(time.perf_counter() - started)
        done = len(found) >= LEAST and time.perf_counter() - begun > SECONDS
        if session.devices.any(done):  # all stop at the same
            break
    return found


def _evaluation(session: Session, measure: Evaluates, corpora: Sequence[tuple[Corpus, float]]) -> float:
    """Seconds of one, by some of its windows."""
    s = session.settings
    if not isinstance(measure, FixedWindows):
        few = evaluator_of(replace(s, eval_iters=ITERS), corpora, None, session.autocast)
        few(session.model)
        return _timed(lambda: few(session.model)) * s.eval_iters / ITERS
    sample = measure.parts[0].sample
    starts = sample.starts[: max(1, READ // s.block_size)]

    def read() -> None:
        windows_of(session.model, sample.survey.stream, starts, s, session.autocast)

    read()
    tokens = sum(part.sample.tokens for part in measure.parts) / session.devices.world.size
    return _timed(read) * tokens / (len(starts) * s.block_size)


def _checkpoint(session: Session) -> float:
    """Seconds to write one; 0 where there is no room to try it."""
    state = state_of(session)  # of shards, all processes have to ask
    part: dict[str, dict[str, Tensor]] = {}
    kept = 0
    size = sum(t.nbytes for tensors in state.tensors.values() for t in tensors.values())
    if not session.devices.world.leads:
        return 0.0
    for file, tensors in state.tensors.items():
        part[file] = {}
        for name, tensor in tensors.items():
            if kept < SAVED:
                part[file][name], kept = tensor.cpu().contiguous(), kept + tensor.nbytes
    try:
        with tempfile.TemporaryDirectory(prefix="unplateau-") as place:
            seconds = _timed(lambda: checkpoints.write(Path(place), replace(state, tensors=part)))
    except (UnplateauError, OSError):
        return 0.0
    return seconds * size / max(1, kept)


def _timed(job: Callable[[], object]) -> float:
    started = time.perf_counter()
    job()
    return time.perf_counter() - started


def _reckoned(session: Session, first: int, timed: Timed) -> Rehearsal:
    """The run from step ``first`` on."""
    s, step = session.settings, mean(timed.steps)
    steps = 0 if s.eval_only else max(0, s.max_steps - first)
    pace = Pace(s.max_steps, s.eval_interval)
    evaluations = (0 if s.eval_only else pace.evaluations(first)) + (session.evaluated != first)
    saves = (
        0 if s.eval_only else Pace(s.max_steps, s.checkpoint_interval or s.eval_interval).evaluations(first)
    )
    beside = saves if session.device.type == "cpu" else min(1, saves)  # a card does not wait for the writer
    going = steps * step + evaluations * timed.evaluation + beside * timed.checkpoint
    spread = quantiles(timed.steps, n=10, method="inclusive")
    return Rehearsal(
        str(session.device),
        s.dtype,
        timed.start,
        step,
        timed.evaluation,
        timed.checkpoint,
        timed.start + going,
        timed.start + going * min(1.0, spread[LOW - 1] / step),
        timed.start + going * max(1.0, spread[HIGH - 1] / step),
        memory(session.device),
    )
