"""Settings with nothing left open that the data and the optimiser tell: what ``config.json`` holds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .data import Corpus
from .rates import ends, own_peak
from .settings import Resolved


def settled(resolved: Resolved, corpus: Corpus) -> Resolved:
    """``resolved`` with the vocabulary of the data, the optimiser's peak, and the end of the decay."""
    settings, found, origin = resolved.settings, {}, {}

    def say(values: dict[str, Any], where: str) -> None:
        found.update(values)
        origin.update(dict.fromkeys(values, where))

    if not settings.vocab_size:
        say({"vocab_size": corpus.vocab_size}, corpus.vocab_origin)
    if not settings.peak_lr:
        say({"peak_lr": own_peak(settings)}, f"{settings.optimizer}'s own at width {settings.n_embd}")
    say(ends(settings), "max_steps")
    return replace(resolved, settings=replace(settings, **found), origin={**resolved.origin, **origin})
