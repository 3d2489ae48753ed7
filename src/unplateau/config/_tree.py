"""Settings of YAML, TOML and JSON files and of command lines: flat keys with dots, and their lines."""

from __future__ import annotations

import re
import shlex
from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Any

from ..errors import UnreadableError, why
from ._dialect import Setting, Settings, claims_of_comment, kept

MOST = 10_000  # settings; a file with more is no configuration, and aliases may not unfold without end
DEEP = 64  # levels of nesting in YAML
EVENTS = 100_000  # keys, values and brackets of YAML
PLAIN = 4_096  # characters of a word without quotes in YAML; 1:59:59:... takes quadratic time
LONG = 8_192  # characters of a line: TOML's keys of many dots, and shlex, take quadratic time
END = "--end"  # stands behind the last word of a command line
OPENS = re.compile(r"[ \t\-]{0,200}[\"']?([A-Za-z_][\w.\-]{0,120})[\"']?[ \t]{0,40}[:=]")
FLAG = re.compile(r"--?([A-Za-z][\w\-.]{0,120})(?:=(.*))?", re.DOTALL)


def parse_tree(text: str, name: str, kind: str) -> Settings:
    r"""The settings of a file of ``kind`` yaml, toml or json.

    >>> seen = parse_tree("train:\n  steps: 10 # ~125M parameters\n  lr: 1e-3\napi_key: x", "a.yaml", "yaml")
    >>> [(s.key, s.value, s.source) for s in seen.found.values()]
    [('train.steps', 10, 'a.yaml:2'), ('train.lr', '1e-3', 'a.yaml:3')]
    """
    data = _load(text, name, kind)
    if not isinstance(data, dict):
        raise UnreadableError(
            f"{name} holds {type(data).__name__}; expected keys and values, as a config has"
        )
    lines = _lines_of_keys(text)
    settings = Settings({}, name, [], set(), _claims(text, name) if kind != "json" else [])
    for key, value in _flat(data):
        if kept(key, value) and key not in settings.found:
            settings.found[key] = Setting(key, value, _place(name, key, lines))
    return settings


def _load(text: str, name: str, kind: str) -> Any:
    try:
        if kind == "json":
            import msgspec

            return msgspec.json.decode(text)
        if kind == "toml":
            return _toml(text)
        return _yaml(text)
    except (RecursionError, MemoryError):
        raise UnreadableError(f"{name} is nested too deeply for a config") from None
    except Exception as error:  # noqa: BLE001 - three parsers, each with its own; all mean the same
        raise UnreadableError(f"{name} is not valid {kind.upper()}: {why(error)}") from None


def _toml(text: str) -> Any:
    import tomllib

    if any(len(line) > LONG for line in text.splitlines()):
        raise ValueError(f"a line of more than {LONG:,} characters")
    return tomllib.loads(text)


def _yaml(text: str) -> Any:
    import yaml

    # the C loader is the same safe subset, and does not spend a minute on 8 MiB
    kind: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    _bounded(yaml.parse(text, kind))
    loader: Any = kind(text)

    def keep_merges(node: Any) -> None:
        """Leave ``<<`` as a key: unfolding it copies, and twenty in a row copy a million times."""
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                key.tag = "tag:yaml.org,2002:str"

    loader.flatten_mapping = keep_merges
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def _bounded(events: Iterator[Any]) -> None:
    """Refuse nesting that a recursive loader does not survive: the C one ends the process."""
    deep = 0
    for count, event in enumerate(events):
        long = len(getattr(event, "value", "") or "") > PLAIN
        if count > EVENTS or (long and not event.style):
            raise ValueError("too much of it for a config")
        name = type(event).__name__
        deep += name in {"MappingStartEvent", "SequenceStartEvent"}
        deep -= name in {"MappingEndEvent", "SequenceEndEvent"}
        if deep > DEEP:
            raise RecursionError


def _flat(data: dict[Any, Any]) -> Iterator[tuple[str, Any]]:
    """Settings with dotted keys, the outer ones first; at most ``MOST`` places are visited."""
    waiting = deque([("", data)])
    visited = 0
    while waiting and visited < MOST:
        prefix, inner = waiting.popleft()
        visited += 1
        for key, value in islice(inner.items(), MOST):
            visited += 1
            name = f"{prefix}{key}"[:200]
            if isinstance(value, dict):
                # what << merges in stands behind what is written out
                waiting.append((prefix if key == "<<" else f"{name}.", value))
            elif not isinstance(value, list):
                yield name, value
            elif len(value) <= 16 and all(isinstance(v, int | float | str) for v in value):
                yield name, list(value)


def _lines_of_keys(text: str) -> dict[str, list[int]]:
    lines: dict[str, list[int]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if match := OPENS.match(line):
            lines.setdefault(match[1].rpartition(".")[2], []).append(number)
    return lines


def _place(name: str, key: str, lines: dict[str, list[int]]) -> str:
    """Where a key stands, if it stands in one place only: no line is better than a wrong one."""
    found = lines.get(key.rpartition(".")[2], [])
    return f"{name}:{found[0]}" if len(found) == 1 else f"{name}: {key}"


def _claims(text: str, name: str) -> list[list[str]]:
    claims: list[list[str]] = []
    for number, line in enumerate(text.splitlines(), 1):
        if "#" in line:
            claims += claims_of_comment(line.partition("#")[2], f"{name}:{number}")
    return claims


def parse_flags(text: str, name: str) -> Settings:
    r"""The settings of a command line or a shell script: ``--key value``, ``--key=value``, ``-k value``.

    >>> seen = parse_flags("torchrun train.py --depth=20 --bf16 \\\n  --lr 0.1 -e d12", "run.sh")
    >>> {s.key: s.value for s in seen.found.values()}
    {'depth': '20', 'bf16': True, 'lr': '0.1', '-e': 'd12'}
    """
    settings = Settings({}, name, [], set(), [])
    words = _words(text)
    for word, following in zip(words, [*words[1:], END], strict=False):
        match = FLAG.fullmatch(word)
        if match is None or len(settings.found) >= MOST:
            continue
        key = match[1].replace("-", "_") if word.startswith("--") else f"-{match[1]}"
        bare = FLAG.fullmatch(following) is not None
        value: Any = match[2] if match[2] is not None else (True if bare else following)
        if kept(key, value):
            settings.found[key] = Setting(key, value, f"{name}: {word.partition('=')[0]}")
    return settings


def _words(text: str) -> list[str]:
    words: list[str] = []
    for line in text.splitlines():
        if len(words) > MOST:
            break
        words += _words_of(line.rstrip().removesuffix("\\"))
    return words[:MOST]


def _words_of(line: str) -> list[str]:
    if len(line) > LONG:
        return [word[:LONG] for word in line.split(maxsplit=MOST)]
    try:
        return shlex.split(line, comments=True)
    except ValueError:
        return line.split()
