"""Configurations in the words of their trainers, one dialect a file; each knows its keys both ways.

A dialect module exports ``FROM_OWN`` (own key -> VOCABULARY's name), ``TO_OWN`` and ``DIALECT``.
Nothing that is read is ever run.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from ..errors import UnreadableError, printable
from ..run import Fact
from ..source import Source
from ._dialect import Dialect, Settings

LIMIT = 8 << 20  # bytes of a configuration
PYTHON_LIMIT = 1 << 18  # bytes of one in Python, whose syntax tree takes a hundred times its text
DIALECTS = ("nanogpt", "huggingface", "litgpt", "torchtitan", "llmc", "nanochat", "megatron", "unplateau")
KINDS = {".py": "python", ".yaml": "yaml", ".yml": "yaml", ".toml": "toml", ".json": "json", ".sh": "flags"}
#: facts that say where a run lies, not what it does
PLACES = ("out_dir", "run_name", "claims")
#: what a dialect's files are in: a tie goes to the trainer at home there
AT_HOME = {"python": "nanogpt", "yaml": "litgpt", "toml": "torchtitan", "json": "huggingface"}


def read_config(path_or_text: Path | str, *, name: str | None = None) -> dict[str, Fact]:
    r"""The facts of a configuration: a ``Path`` is a file, a ``str`` is text.

    ``name`` is what the facts' sources say; for text it also tells the syntax by its suffix. Raises
    ``UnreadableError`` for what is no configuration.

    >>> facts = read_config("max_iters = 100\nlearning_rate = 1e-3", name="config.py")
    >>> facts["max_steps"], facts["grad_clip"].source
    (Fact(value=100, unit='steps', source='config.py:1'), "assumed: nanoGPT's default")
    """
    if isinstance(path_or_text, Path):
        text = Source(path_or_text).text(LIMIT)
        name = name or path_or_text.name
    else:
        text, name = path_or_text, name or "config"
    settings, kind = parse(text, printable(name, 200))
    dialect = choose(settings, kind)
    if dialect is None:
        raise UnreadableError(
            f"{settings.name} has no setting of a trainer that is known ({', '.join(DIALECTS)}); "
            "give the config that the trainer read"
        )
    return dialect.facts(settings)


def read_echo(text: str, name: str) -> dict[str, Fact]:
    """The facts of the configuration that a nanoGPT log repeats; none where it repeats no setting."""
    return read_merged(None, text, name)


def read_merged(path: Path | None, echo: str, echo_name: str) -> dict[str, Fact]:
    """The facts of a nanoGPT config file under the log's echo of it: the echo is what really ran.

    Where the two differ, ``config_overridden`` lists both. A key that the echo does not hold is the
    file's: logs lose their first lines.
    """
    from .nanogpt import DIALECT, parse_echo

    ran = parse_echo(echo[:PYTHON_LIMIT], echo_name)
    if not DIALECT.knows(ran):
        return read_config(path) if path else {}
    if path is None:
        return DIALECT.facts(ran)
    settings, kind = parse(Source(path).text(LIMIT), printable(path.name, 200))
    held = choose(settings, kind)
    if held is None or held.name != DIALECT.name:
        told = {n: f for n, f in DIALECT.facts(ran).items() if not f.source.startswith("assumed")}
        return {**DIALECT.facts(ran), **(held.facts(settings) if held else {}), **told}
    before = DIALECT.facts(settings)
    settings.found |= ran.found
    settings.unknown -= set(ran.found)
    after = DIALECT.facts(settings)
    return {**after, **overridden(before, after)}


def overridden(held: Mapping[str, Fact], ran: Mapping[str, Fact]) -> dict[str, Fact]:
    """The fact ``config_overridden``: settings that one source tells and another, that holds, tells otherwise."""
    rows = [
        [name, fact.value, fact.source, ran[name].value, ran[name].source]
        for name, fact in held.items()
        if name in ran and not name.startswith("config_") and name not in PLACES
        if not (fact.source.startswith("assumed") or ran[name].source.startswith("assumed"))
        if fact.value != ran[name].value
    ]
    source = rows[0][2] if rows else ""
    return {"config_overridden": Fact(rows, "", source)} if rows else {}


def parse(text: str, name: str) -> tuple[Settings, str]:
    """The settings in ``text`` and the syntax they are in, by the name's suffix, else by trying."""
    suffix = Path(name.partition(":")[0]).suffix.lower()
    if suffix in KINDS:
        return _parse(text, name, KINDS[suffix]), KINDS[suffix]
    for kind in ("json", "python", "toml", "yaml", "flags"):
        try:
            settings = _parse(text, name, kind)
        except UnreadableError:
            continue
        if settings.found:
            return settings, kind
    raise UnreadableError(f"{name} is no config: expected Python, YAML, TOML, JSON or flags --key=value")


def _parse(text: str, name: str, kind: str) -> Settings:
    if kind == "python":
        from ._python import parse_python

        if len(text) > PYTHON_LIMIT:
            raise UnreadableError(f"{name} is larger than {PYTHON_LIMIT >> 10} kiB, too large for a config")
        return parse_python(text, name)
    from ._tree import parse_flags, parse_tree

    return parse_flags(text, name) if kind == "flags" else parse_tree(text, name, kind)


def dialect(name: str) -> Dialect:
    """The dialect of that name; raises ``KeyError`` for one that is not known."""
    if name not in DIALECTS:
        raise KeyError(name)
    found: Dialect = import_module(f"{__name__}.{name}").DIALECT
    return found


def choose(settings: Settings, kind: str = "") -> Dialect | None:
    """The dialect that knows most of the keys; None where none knows any."""
    found = [dialect(name) for name in DIALECTS]
    scores = [(d.knows(settings), d.name == AT_HOME.get(kind), d) for d in found]
    best = max(scores, key=lambda score: score[:2])
    return best[2] if best[0] else None


def in_own_words(dialect_name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Canonical settings as the user's own keys and values; what the dialect has no word for is left out.

    >>> in_own_words("nanogpt", {"peak_lr": 3e-4, "schedule": "cosine", "label_smoothing": 0.1})
    {'learning_rate': 0.0003, 'decay_lr': True}
    """
    module = import_module(f"{__name__}.{dialect_name}") if dialect_name in DIALECTS else None
    if module is None:
        return {}
    write = module.DIALECT.write or {}
    told = {n: v for n, v in values.items() if n in module.TO_OWN}
    return {module.TO_OWN[n]: write[n](v) if n in write else v for n, v in told.items()}
