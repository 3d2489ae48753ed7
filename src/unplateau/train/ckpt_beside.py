"""What others read, beside a run's own checkpoints, of each save: nanoGPT's ckpt.pt, a Hugging Face folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..config.nanogpt import TO_OWN
from .checkpoints import State
from .huggingface import export
from .models import model_kind
from .nanogpt_ckpt import MOMENTS, Ckpt, write_ckpt
from .settings import Settings
from .start import CKPT

HUGGINGFACE = "huggingface"  # the folder of that name


def ckpt_of(state: State) -> Ckpt:
    """A checkpoint of ours in nanoGPT's words; its tensors are the same."""
    settings = Settings(**state.plain["settings"])
    weights, kept = state.tensors["model"], state.tensors.get("optimizer", {})
    moments = {n: {m: kept[f"{n}.{m}"] for m in MOMENTS} for n in weights if f"{n}.{MOMENTS[0]}" in kept}
    best = state.plain.get("best")
    return Ckpt(
        shape=model_kind(settings.architecture).shape(settings),
        dropout=settings.dropout,
        weights=weights,
        step=state.step,
        best_val_loss=float("inf") if best is None else best,
        moments=moments,
        config=_words(settings),
        lr=state.plain.get("lr", 0.0),
        betas=(settings.beta1, settings.beta2),
        weight_decay=settings.weight_decay,
    )


def _words(settings: Settings) -> dict[str, Any]:
    """The settings that nanoGPT knows, by its names; its compile is a bool, its decay_lr too."""
    told = {own: getattr(settings, name) for name, own in TO_OWN.items() if hasattr(settings, name)}
    return {**told, "compile": settings.compile == "on", "decay_lr": settings.schedule != "constant"}


def write_beside(settings: Settings, run: Path, state: State) -> None:
    """Write into a run's folder what ``settings`` ask for; raises ``UnplateauError`` where it can't be written."""
    if settings.nanogpt_ckpt:
        write_ckpt(run / CKPT, ckpt_of(state))
    if settings.huggingface:
        shape = model_kind(settings.architecture).shape(settings)
        weights = state.tensors["model"]
        export(run / HUGGINGFACE, settings.architecture, shape, weights, positions=settings.positions)
