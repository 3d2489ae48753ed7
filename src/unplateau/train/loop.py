"""Training, from first to last: open the data, take steps, evaluate, save, and write down all that happened."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from math import inf
from pathlib import Path
from typing import Any, NoReturn, TextIO

import torch

from ..errors import ElsewhereError, UnplateauError
from .batches import documents_of
from .branch import adopt
from .checkpoints import steps, tidy
from .ckpt_beside import write_beside
from .compiled import compile_step
from .data import Corpus
from .distributed import Devices, Nobody, agreed, joined
from .evaluate import Evaluates, Evaluations
from .folder import RunFolder
from .inspection import inspect
from .kernels import in_words, with_kernels
from .machine import config_facts, device_of, environment, memory, on, peak_flops
from .nanogpt_head import head
from .pace import Pace
from .randomness import random_state, set_random_state
from .resume import state_of, tensors_of
from .saver import Saver
from .session import Session, begin
from .settings import Resolved, Settings
from .settle import settled
from .shared import evaluator_among
from .start import Start, data_for, proved, shaped, start_of
from .stopping import Broken, Stop
from .terminal import Voice, voice_of
from .trackers import Tracker, files_of, services, tell
from .world import World

#: settings that are not written where they are 0: the architecture's or the schedule's own
LEFT = ("n_kv_head", "mlp_hidden", "decay_start", "eval_tokens", "eval_iters")
NAMED = 20  # documents of a bad step that are named


@dataclass(frozen=True, slots=True)
class Result:
    """How a run ended. ``stopped``: the signal that ended it before its last step; empty where none did."""

    folder: Path
    step: int
    losses: Mapping[str, float]
    seconds: float
    stopped: str = ""

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "folder": str(self.folder)}


#: called after each evaluation with its step and the seconds left, None where nobody can tell; what it returns is said
After = Callable[[int, float | None], str]


def train(
    resolved: Resolved,
    stream: TextIO | None = None,
    after: After | None = None,
    begun: Sequence[Tracker] | None = None,
) -> Result:
    """Train what ``resolved`` says, into its folder. ``begun``: the services that follow it, None where none is begun yet.

    Raises ``UsageError`` where that can't be, ``UnreadableError`` for data that can't be read, ``UnplateauError``
    where another process trains there, the disk is full, or the loss is no number.
    """
    start, device = start_of(resolved.settings), device_of(resolved.settings)
    resolved = shaped(resolved, start)
    corpora = data_for(resolved, start)
    resolved = on(settled(resolved, corpora[0][0]), device)
    with (
        _services(resolved.settings, begun) as followers,
        joined(resolved.settings, device) as devices,
        _folder(resolved, devices) as folder,
        Stop() as stop,
    ):
        warnings: list[str] = []
        if devices.world.leads:
            start, resolved = _opened(folder, start, resolved, warnings.append)
        start, resolved = agreed(devices, start, resolved)
        session = begin(resolved.settings, corpora, devices.device, start, devices)
        _write_down(folder, resolved, session, [corpus for corpus, _ in corpora])
        voice = _voice(session, stream or sys.stdout)
        measure = evaluator_among(devices, session.settings, corpora, folder.path, session.autocast)
        for warning in warnings:
            voice.warn(warning)
        voice.head(head(resolved, session) if resolved.settings.log_style == "nanogpt" else ())
        voice.note(in_words(resolved.settings, resolved.origin))
        compile_step(session, voice.warn)
        files, saver = _followers(session, folder, voice)
        trackers = [*followers, *files]
        loop = Loop(session, folder, voice, measure, saver=saver, stop=stop, trackers=trackers, after=after)
        if resolved.settings.init_from != "resume" and start.kind != "scratch":
            loop.saved = None  # what it starts from may go
        try:
            result = loop.run()
            if resolved.settings.inspect and not result.stopped:
                inspect(session, corpora, folder)
        except Exception:
            saver.leave()
            raise
        else:
            return result
        finally:
            voice.close()
            for file in files:
                file.close()


def _services(
    settings: Settings, begun: Sequence[Tracker] | None
) -> AbstractContextManager[Sequence[Tracker]]:
    """Those that follow the run by the process that leads; ``begun`` ones are ended by who began them."""
    if begun is not None or not World.of().leads:
        return nullcontext(begun or ())
    return services(settings)


def _folder(resolved: Resolved, devices: Devices) -> RunFolder | Nobody:
    return RunFolder(Path(resolved.settings.out_dir)) if devices.world.leads else Nobody()


def _opened(
    folder: RunFolder | Nobody, start: Start, resolved: Resolved, warn: Callable[[str], None]
) -> tuple[Start, Resolved]:
    """What the run starts from, proved, and its kernels; the folder is ready to be written."""
    resumes = resolved.settings.init_from == "resume"
    if not resumes:
        folder.refuse_another_run()
    tidy(folder.checkpoints)
    start = proved(start, warn, mend=resumes)
    if not resumes:
        adopt(start, folder.path)
    device = device_of(resolved.settings)
    return start, with_kernels(resolved, device, folder.settings() if resumes else None)


def _voice(session: Session, stream: TextIO) -> Voice:
    """One process speaks; nanoGPT's mfu is that of one device."""
    s, world = session.settings, session.devices.world
    flops = session.flops_per_token * s.tokens_per_step / world.size
    return voice_of(s.log_style if world.leads else "none", s.max_steps, stream, flops)


def _followers(
    session: Session, folder: RunFolder | Nobody, voice: Voice
) -> tuple[list[Tracker], Saver | Nobody]:
    """The files that get rows, and who gets checkpoints, from the process that writes."""
    if not session.devices.world.leads:
        return [], Nobody()
    saver = Saver(folder.checkpoints, session.settings.keep_every, voice.warn)
    return files_of(session.settings, folder.path), saver


def _write_down(
    folder: RunFolder | Nobody, resolved: Resolved, session: Session, corpora: list[Corpus]
) -> None:
    """What the run is, before its first step."""
    s, world = resolved.settings, session.devices.world
    if not world.leads:
        return
    told = {name: value for name, value in asdict(s).items() if value or name not in LEFT}
    told["compile"] = s.compile == "on"
    if s.init_from == "resume":  # whence it came at first
        told["init_from"] = folder.settings().get("init_from", s.init_from)
    many = {} if session.devices.alone else {"world_size": world.size}
    facts = {"tokens_per_step": s.tokens_per_step, **config_facts(session.device), **many}
    folder.write_config(told, resolved.origin, **facts)
    folder.write_environment(environment(session.device))
    folder.write_manifest(manifest_of(corpora))


def manifest_of(corpora: list[Corpus]) -> dict[str, Any]:
    """The manifest of the run's data: as it was prepared; else what can be counted without reading it."""
    if len(corpora) == 1 and corpora[0].manifest:
        return dict(corpora[0].manifest)
    names = ("train", "val")
    tokens = {n: sum(len(c.splits[n]) for c in corpora if n in c.splits) for n in names}
    return {
        "dataset": ",".join(c.path.name for c in corpora),
        "vocab_size": corpora[0].vocab_size,
        "splits": {name: {"tokens": count} for name, count in tokens.items() if count},
    }


class Loop:
    """The steps of one process."""

    def __init__(
        self,
        session: Session,
        folder: RunFolder | Nobody,
        voice: Voice,
        measure: Evaluates,
        *,
        saver: Saver | Nobody,
        stop: Stop,
        trackers: Sequence[Tracker] = (),
        after: After | None = None,
    ) -> None:
        self.session, self.folder, self.voice = session, folder, voice
        self.measure, self.trackers, self.after = measure, trackers, after
        self.saver, self.stop, self.devices = saver, stop, session.devices
        self.stopped = ""  # by which signal, once all processes know of it
        self.settings: Settings = session.settings
        self.pace = Pace(self.settings.max_steps, self.settings.eval_interval)
        self.saved: int | None = session.step  # the step last saved; none yet of a run that began elsewhere
        self._first, self._best_at = session.step, -1
        self._begun = time.monotonic()

    def run(self) -> Result:
        """Steps until the last one, or until a signal; evaluated and saved on the way."""
        while True:
            if self._evaluation_is_due():
                self.evaluate()
            if self._save_is_due():
                self.save()
            if self.session.step >= self.settings.max_steps or self.settings.eval_only or self._stops():
                break
            self.step()
        exports = self.settings.eval_only and self.settings.huggingface
        if (exports or self._stops()) and self.session.step != self.saved:
            self.save()
        self.saver.close()
        self._tell_skipped()
        if self.stopped:
            said = f"{self.stopped}: saved at step {self.session.step:,}"
            self.voice.note(f"{said}; go on with --init_from=resume")
        self.devices.wait()  # for the one that writes
        seconds, folder = time.monotonic() - self._begun, Path(self.settings.out_dir)
        return Result(folder, self.session.step, self.session.losses, seconds, self.stopped)

    def _tell_skipped(self) -> None:
        """How many steps ``on_nan`` left out; those of a scaler that finds its scale are none of them."""
        stepper = self.session.stepper
        if (left_out := stepper.skipped - stepper.precision.skipped) and self.devices.world.leads:
            said = f"{left_out:,} of {self.session.step:,} steps were skipped"
            self.voice.warn(f"{said}: their loss, or its gradient, was no number; take a lower peak_lr")

    def _stops(self) -> bool:
        """True once a signal has come to any process; all hear of it at the same step."""
        if not self.stopped and self.devices.any(bool(self.stop)):
            self.stopped = self.stop.word or "a signal to another process"
        return bool(self.stopped)

    def _save_is_due(self) -> bool:
        step, every = self.session.step, self.settings.checkpoint_interval
        if step == self.saved or self.settings.eval_only:
            return False
        if self.saved is None or step >= self.settings.max_steps or step == self._best_at:
            return True
        return step % every == 0 if every else step == self.session.evaluated

    def _evaluation_is_due(self) -> bool:
        step, every = self.session.step, self.settings.eval_interval
        if self.settings.eval_only:
            return True  # also where it was evaluated before the checkpoint: a branch has no row of that
        if self.session.evaluated == step:
            return False  # before the checkpoint that the run goes on from
        return step == self.settings.max_steps or bool(every and step % every == 0)

    def _tell(self, step: int, row: dict[str, Any]) -> None:
        """Write a row down, and send it to those who follow the run."""
        self.folder.refuse_if_gone()
        self.folder.log.append(step, row)
        tell(self.trackers, step, row)

    def step(self) -> None:
        """One optimiser step, and its row."""
        step, begun = self.session.step, time.perf_counter()
        taken = self.session.take(told=step % self.settings.log_interval == 0)
        seconds = time.perf_counter() - begun
        self.pace.stepped(seconds)
        self.saver.poll()
        if step == self._first:
            self.saver.ready(tensors_of(self.session))
        if taken.row:
            at = step if taken.bad is None else taken.bad
            row = {**taken.row, **self._place(at), **self._speed(self.pace.step or seconds)}
            self._tell(at, row)
            self.voice.stepped({"step": at, **row}, self.pace.left(self.session.step))
        if taken.bad is not None and self.settings.on_nan == "stop":
            self._refuse(taken.bad)

    def _refuse(self, step: int) -> NoReturn:
        """End at a step that went wrong, with the documents that it read and the checkpoint before it."""
        read = _documents(self.session, step)
        if not self.devices.world.leads:
            raise ElsewhereError(f"the loss of step {step:,} is no number")
        raise UnplateauError(
            f"the loss of step {step:,}, or its gradient, is no number{read}{self._before()}: "
            "take a lower peak_lr, or --on_nan=skip"
        )

    def _before(self) -> str:
        self.saver.leave()
        there = steps(self.folder.checkpoints)
        return f"; the checkpoint before it is of step {there[-1]:,}" if there else ""

    def _place(self, step: int) -> dict[str, Any]:
        """How far in the data the run is before ``step``."""
        micro = step * self.settings.gradient_accumulation_steps
        return {
            "tokens": step * self.settings.tokens_per_step,
            "epoch": self.session.batches.epoch(micro),
            "unique_tokens": self.session.batches.unique(micro),
        }

    def _speed(self, seconds: float) -> dict[str, Any]:
        tokens = self.settings.tokens_per_step / seconds
        told = {"step_ms": seconds * 1e3, "tokens_per_second": tokens, "memory": memory(self.session.device)}
        peak = peak_flops(self.session.device, self.settings.dtype)
        cards = self.devices.world.size
        return told | ({"mfu": tokens * self.session.flops_per_token / (peak * cards)} if peak else {})

    def evaluate(self) -> None:
        """All splits, in fixed windows; a row, and the best so far."""
        step, begun = self.session.step, time.perf_counter()
        found = self._measured()
        if found is None:
            return
        self.folder.refuse_if_gone()
        self.pace.evaluated(time.perf_counter() - begun)
        losses = {f"{name}_loss": one.loss for name, one in found.splits.items()}
        if losses.get("val_loss", inf) < self.session.best:
            self.session.best, self._best_at = losses["val_loss"], step
        told = found.row()
        row = {**told, "lr": self.session.schedule(step), **self._place(step)}
        if self.devices.world.leads:
            found.save(self.folder.path, step)
        self._tell(step, row)
        self.folder.log.sync()
        self.session.evaluated, self.session.losses = step, {**told, **losses}
        left = self.pace.left(step)
        self.voice.evaluated({"step": step, **row}, left)
        if self.after is not None and self.devices.world.leads and (said := self.after(step, left)):
            self.voice.note(said)

    def _measured(self) -> Evaluations | None:
        """None where a signal came: then it is as if it had not been begun, and is done when the run goes on."""
        session, drawn = self.session, random_state(self.session.device)
        try:
            with self.stop.breaks() if self.devices.alone else nullcontext():  # else the others would wait
                return self.measure(session.model)
        except Broken:
            set_random_state(drawn, session.device)
            session.model.train()
            return None

    def save(self) -> None:
        """A checkpoint of this step; rows of the log up to it are durable before it is."""
        self.folder.refuse_if_gone()
        also = partial(write_beside, self.settings, self.folder.path)
        self.saver.save(state_of(self.session), before=self.folder.log.sync, after=also)
        self.saved = self.session.step
        if self.saved == self.session.evaluated:  # train.py saves nowhere else
            self.voice.saved(self.settings.out_dir)


def _documents(session: Session, step: int) -> str:
    """Which documents a step read, one of the last two, where the data number them."""
    read: set[int] = set()
    for batch in session.stepper.read[step]:
        for numbers in documents_of(batch, session.batches.streams).values():
            read.update(numbers)
    mine = torch.tensor(sorted(read), dtype=torch.int64)
    read = {number for found in session.devices.all(mine) for number in found.tolist()}
    shown = sorted(read)[:NAMED]
    more = f" and {len(read) - len(shown)} more" if len(read) > len(shown) else ""
    return f", documents {', '.join(map(str, shown))}{more} of train" if read else ""
