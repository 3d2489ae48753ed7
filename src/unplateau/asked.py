"""What a user asks of a forecast: ``--set`` groups, in the words of the facts or of the user's own config."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from math import isfinite
from typing import Any

from .config import DIALECTS, dialect
from .config._dialect import AMOUNTS, COUNTS, FLAGS, LARGEST, as_kind
from .config._dialect import STEPS as FROM_ZERO
from .derive import DERIVED
from .errors import UsageError, printable
from .facts import VOCABULARY
from .outlook import IDLE
from .plugins import discover
from .run import Run

AS_PLANNED = "as planned"
GROUPS, KEYS = 16, 24  # more futures than fit a screen, more settings than a config has
#: keys that are no setting of a trainer -> what they mean
SHORTHANDS = {
    "cooldown": "steps of a cooldown that begins now: the learning rate straight to 0",
    "horizon": "steps of the whole run, its schedule stretched to them",
    "tokens": "the horizon in tokens",
    "floor": "floor_lr",
}
ENDS = ("cooldown", "horizon", "tokens")  # one of them says where the run ends
COUNTED = ("cooldown", "horizon", "tokens")  # whole numbers above 0
SCALES = {"k": 10**3, "m": 10**6, "b": 10**9, "t": 10**12}
AMOUNT = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)\s{0,2}([kmbt])", re.IGNORECASE)
STARTS = ("resume", "scratch")  # of init_from: go on from the checkpoint, or anew
FORMS = ("linear", "1-sqrt", "cosine")  # of a WSD's decay


@dataclass(frozen=True, slots=True)
class Ask:
    """A future that somebody asks for: settings by VOCABULARY's names and ``SHORTHANDS``, with their new values."""

    name: str
    settings: Mapping[str, Any]


def asks_of(groups: Sequence[str], run: Run) -> tuple[Ask, ...]:
    """The futures that ``--set`` names. Raises ``UsageError`` in one line for what can't be meant.

    >>> asks_of(["longer: max_iters=40k, decay_end=40_000", "cooldown=2000"], Run("demo"))[0]
    Ask(name='longer', settings={'max_steps': 40000, 'decay_end': 40000})
    """
    asks, refused = asked(groups, run)
    if refused:
        raise UsageError(refused[0])
    return asks


def asked(groups: Sequence[str], run: Run) -> tuple[tuple[Ask, ...], tuple[str, ...]]:
    """The futures that ``--set`` names, and a line for each group that can't be meant.

    Raises ``UsageError`` for what is wrong with all of them together: too many, or two of one name.
    """
    if len(groups) > GROUPS:
        raise UsageError(f"--set takes at most {GROUPS} futures; found {len(groups)}")
    asks: list[Ask] = []
    refused: list[str] = []
    for group in groups:
        try:
            asks.append(_ask(group, run))
        except UsageError as error:
            refused.append(str(error))
    names = [ask.name for ask in asks]
    for name in names:
        if name == AS_PLANNED or names.count(name) > 1:
            raise UsageError(f"two futures are called {name!r}; name them apart: --set 'NAME: KEY=VALUE,...'")
    return tuple(asks), tuple(refused)


def _ask(group: str, run: Run) -> Ask:
    head, colon, rest = group.partition(":")
    name, body = (head, rest) if colon and "=" not in head else ("", group)
    pairs = [pair.strip() for pair in body.split(",") if pair.strip()]
    if not pairs or len(pairs) > KEYS:
        raise UsageError(f"--set wants KEY=VALUE[,KEY=VALUE...], at most {KEYS}; found {printable(group)!r}")
    split: list[tuple[str, str]] = []
    for pair in pairs:
        key, equals, value = (part.strip() for part in pair.partition("="))
        if not equals or not key or not value:
            raise UsageError(f"--set wants KEY=VALUE; found {printable(pair)!r}")
        split.append((key, value))
    return ask_of(printable(name.strip(), 40) or printable(", ".join(pairs), 60), split, run)


def ask_of(name: str, pairs: Sequence[tuple[str, str]], run: Run) -> Ask:
    """The future called ``name`` with settings as ``pairs`` of a key and its value in words.

    Raises ``UsageError`` in one line for what can't be meant.
    """
    settings: dict[str, Any] = {}
    for key, value in pairs:
        found = canonical(key, run)
        if found in settings:
            raise UsageError(f"--set gives {found} twice: {printable(name)!r}")
        settings[found] = _value(key, found, value, run)
    if len(ends := [key for key in ENDS if key in settings]) > 1:
        raise UsageError(f"{' and '.join(ends)} both say where the run ends; give one of them")
    return Ask(name, settings)


def canonical(key: str, run: Run) -> str:
    """VOCABULARY's name, or the shorthand, that ``key`` stands for; the user's own dialect first."""
    name = "floor_lr" if key == "floor" else key
    if name not in SHORTHANDS and name not in VOCABULARY:
        name = _translated(key, run) or ""
    if not name:
        near = get_close_matches(key, sorted({*SHORTHANDS, *VOCABULARY, *_own_keys(run)}), n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "unplateau forecast --help names some"
        raise UsageError(f"--set: no setting is called {printable(key)!r}; {hint}")
    if name in DERIVED - {"tokens_per_step"}:
        raise UsageError(f"--set: {key} is counted from other settings, not set; {_instead(name)}")
    if name in IDLE or name.startswith("config_"):
        raise UsageError(
            f"--set: {key} says where or how often, not how a run is made: no loss follows from it"
        )
    return name


def _instead(name: str) -> str:
    sizes = name.startswith("params") or name in ("flops", "tokens_per_param")
    return "set n_layer or n_embd" if sizes else "set horizon=STEPS, tokens=N, cooldown=STEPS or floor=RATE"


def _own_keys(run: Run) -> list[str]:
    mine = run.get("config_dialect")
    return [key for name in ([mine] if mine in DIALECTS else DIALECTS) for key in _words(name)]


def _translated(key: str, run: Run) -> str | None:
    """By the dialect of the run's config; where there is none, by any that knows the key."""
    mine = run.get("config_dialect")
    for name in dict.fromkeys([mine, *DIALECTS]) if mine in DIALECTS else DIALECTS:
        if found := _words(str(name)).get(key.lstrip("-") if name != "llmc" else key):
            return found
    return None


def _words(name: str) -> dict[str, str]:
    """A dialect's keys -> VOCABULARY's names, those of the schedule included."""
    told = dialect(name)
    schedule = {"nanogpt": "decay_lr", "huggingface": "lr_scheduler_type", "megatron": "lr_decay_style"}
    own = {schedule[name]: "schedule"} if name in schedule else {}
    return {**own, **{key: found for key, found in told.from_own.items() if found}}


def _value(key: str, name: str, text: str, run: Run) -> Any:
    if name == "schedule":
        return _schedule(key, text, run)
    value = as_kind("max_steps" if name in COUNTED else name, scaled(text))
    choices = {"init_from": STARTS, "decay_form": FORMS}.get(name)
    if value is None or (choices and value not in choices):
        wanted = f"one of {', '.join(choices)}" if choices else _wanted(name, scaled(text))
        raise UsageError(f"--set {key} wants {wanted}; found {printable(text)!r}")
    return value


def _wanted(name: str, text: str) -> str:
    """What a value should have been, in the words that fit what it was.

    >>> _wanted("floor_lr", "-1"), _wanted("tokens", "1e30"), _wanted("n_layer", "2.5")
    ('a number, 0 or above', 'a whole number from 1 to 1e18', 'a whole number above 0')
    """
    if name in FLAGS:
        return "true or false"
    try:
        number = float(text.replace("_", ""))
    except ValueError:
        number = None
    least = 1 if name in COUNTED or name in COUNTS else 0 if name in FROM_ZERO else None
    if number is not None and isfinite(number) and abs(number) > LARGEST:
        return (
            f"a {'number' if least is None else 'whole number'} from {least or 0} to {LARGEST:.0e}".replace(
                "+", ""
            )
        )
    if least is not None:
        return "a whole number above 0" if least else "a whole number, 0 or above"
    finite = number is None or isfinite(number)
    return f"a {'' if finite else 'finite '}number{', 0 or above' if name in AMOUNTS and number is not None else ''}"


def scaled(text: str) -> str:
    """``text`` without the letter of a thousand, a million, a billion or a trillion.

    >>> scaled("20k"), scaled("1.5B"), scaled("1e9")
    ('20000', '1500000000', '1e9')
    """
    match = AMOUNT.fullmatch(text)
    return f"{float(match[1]) * SCALES[match[2].lower()]:.0f}" if match else text


def _schedule(key: str, text: str, run: Run) -> str:
    """A schedule's name, also as the user's trainer writes it (``decay_lr=False``)."""
    known = sorted(set(discover("schedules")) - {"recorded"})
    if text in known:
        return text
    mine = str(run.get("config_dialect", ""))
    for name in [mine, *DIALECTS] if mine in DIALECTS else DIALECTS:
        write = (dialect(name).write or {}).get("schedule")
        for schedule in ("cosine", "linear", "wsd", "inverse_sqrt", "constant") if write else ():
            if str(write(schedule)).lower() == text.lower():  # type: ignore[misc]
                return schedule
    raise UsageError(f"--set {key} wants one of {', '.join(known)}; found {printable(text)!r}")
