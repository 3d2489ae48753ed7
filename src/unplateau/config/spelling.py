"""What canonical settings are in the words of one trainer's config: the keys that it uses, and those it would use.

A table alone can't say a batch that a trainer counts over all devices, or a floor that is a share of the peak: those are
a dialect's own ``spell``. What it has no word for is named, never dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from ..run import Fact
from . import DIALECTS, dialect
from ._dialect import Dialect, Settings, as_kind

SCHEDULE, END = "schedule", "decay_end"
KNOWN = ("cosine", "linear", "wsd", "inverse_sqrt", "constant")  # the first that a trainer's word is read as
UNSET = Settings({}, "config", [], set(), [])


@dataclass(frozen=True, slots=True)
class Spelled:
    """``own``: the trainer's key -> its new value; ``unsaid``: the settings that it has no word for."""

    own: Mapping[str, Any]
    unsaid: tuple[str, ...] = ()


def spelled(
    name: str, wanted: Mapping[str, Any], facts: Mapping[str, Fact], settings: Settings = UNSET
) -> Spelled:
    """``wanted`` (VOCABULARY's names) in the words of the dialect ``name``.

    ``facts``: those of the run before; ``settings``: of its config file, whose own keys are kept to.

    >>> from ._tree import parse_tree
    >>> file = parse_tree("train: {global_batch_size: 64, micro_batch_size: 8}", "a.yaml", "yaml")
    >>> facts = dialect("litgpt").facts(file)
    >>> spelled("litgpt", {"gradient_accumulation_steps": 16, "label_smoothing": 0.1}, facts, file)
    Spelled(own={'train.global_batch_size': 128}, unsaid=('label_smoothing',))
    """
    if name not in DIALECTS:
        return Spelled({}, tuple(wanted))
    told, words = dialect(name), import_module(f"{__package__}.{name}").TO_OWN
    special = told.spell(wanted, dict(facts), settings) if told.spell else {}
    own: dict[str, Any] = {}
    unsaid: list[str] = []
    for setting, value in wanted.items():
        if setting in special:
            own |= special[setting]
        elif keys := _keys(told, words, setting, facts, settings):
            own |= dict.fromkeys(keys, _value(told, setting, value))
        elif not (setting == END and value == wanted.get("max_steps", _of(facts, "max_steps"))):
            unsaid.append(setting)  # a trainer without a word for the decay's end ends it with the run
    unsaid += [SCHEDULE] if SCHEDULE in wanted and not sayable(name, wanted[SCHEDULE]) else []
    return Spelled(own, tuple(dict.fromkeys(unsaid)))


def sayable(name: str, schedule: Any) -> bool:
    """True where the trainer's own word for ``schedule`` means that one, and not the first of several.

    >>> sayable("nanogpt", "cosine"), sayable("nanogpt", "wsd"), sayable("litgpt", "linear")
    (True, False, True)
    """
    from . import in_own_words

    own = in_own_words(name, {SCHEDULE: schedule})
    return not own or next(s for s in KNOWN if in_own_words(name, {SCHEDULE: s}) == own) == schedule


def _keys(
    told: Dialect, words: Mapping[str, str], setting: str, facts: Mapping[str, Fact], settings: Settings
) -> list[str]:
    """The keys of the file that tell the setting as it is now; else the one that would tell it."""
    now = _of(facts, setting)
    found = [s.key for s in settings.found.values() if told.from_own.get(s.key) == setting]
    told_so = [key for key in found if now is None or as_kind(setting, settings.value(key)) == now]
    return told_so or found[:1] or ([words[setting]] if setting in words else [])


def _value(told: Dialect, setting: str, value: Any) -> Any:
    write = (told.write or {}).get(setting)
    return write(value) if write else value


def _of(facts: Mapping[str, Fact], name: str) -> Any:
    return facts[name].value if name in facts else None
