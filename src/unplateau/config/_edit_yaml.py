"""Settings changed in the text of a YAML config: the value alone is replaced, all else stays as it stands."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from ._edit_python import ENDS, appended

WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]{0,200}")  # what needs no quotes
MEANT = {"true", "false", "null", "yes", "no", "on", "off", "y", "n", "none"}  # what needs them all the same
PROPERTIES = re.compile(r"(?:&\S*[ \t]+)?")  # an anchor before a value: others may point to it
ALIAS = re.compile(r"[ \t]*:[ \t]*(\*[^\s,\]}]+)")
COLON = re.compile(r"[ \t]*:")


def edit(text: str, changes: Mapping[str, Any], was: Mapping[str, Any], eol: str) -> str:
    r"""``text`` with ``changes``; what it does not set is set in its mapping, or at the end.

    >>> print(edit("train:\n  lr: 1e-3  # high\nseed: 1\n", {"train.lr": 1e-5, "train.steps": 9}, {}, "\n"), end="")
    train:
      steps: 9
      lr: 1.0e-05  # high  # was 1e-3
    seed: 1
    """
    del was
    for key, value in changes.items():
        root = _tree(text)
        if (span := _find(text, root, key)) is not None:
            text = _replaced(text, *span, written(value))
        else:
            text = _added(text, root, key, value, eol)
    return text


def written(value: Any) -> str:
    """A value as YAML 1.1 reads it back: a float needs its dot.

    >>> written(1e-05), written(True), written("gpt2"), written("no"), written([0.9, 0.95])
    ('1.0e-05', 'true', 'gpt2', '"no"', '[0.9, 0.95]')
    """
    if isinstance(value, list):
        return f"[{', '.join(map(written, value))}]"
    if isinstance(value, float):
        told = repr(value)
        head, e, exponent = told.partition("e")
        return told if not e or "." in head else f"{head}.0e{exponent}"
    if isinstance(value, str) and WORD.fullmatch(value) and value.lower() not in MEANT:
        return value
    return json.dumps(value, ensure_ascii=False)


def _tree(text: str) -> Any:
    import yaml

    return yaml.compose(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def _find(text: str, node: Any, key: str) -> tuple[int, int] | None:
    """Where the value of a dotted key stands that is written out; of one that is told twice, the last, which holds."""
    rows = {k.value: (k, v) for k, v in node.value if k.id == "scalar"}
    if key in rows:
        return _span(text, *rows[key])
    for name, (name_node, value) in rows.items():
        if key.startswith(f"{name}.") and value.id == "mapping" and not _alias(text, name_node):
            return _find(text, value, key.removeprefix(f"{name}."))
    return None


def _alias(text: str, key: Any) -> re.Match[str] | None:
    return ALIAS.match(text, key.end_mark.index)


def _span(text: str, key: Any, value: Any) -> tuple[int, int]:
    if alias := _alias(text, key):
        return alias.span(1)
    start, end = value.start_mark.index, value.end_mark.index
    if value.id == "sequence" and not value.flow_style and value.value:
        end = value.value[-1].end_mark.index  # the sequence's own end lies behind the comments that follow
    colon = COLON.match(text, key.end_mark.index)
    if colon and start == end:  # nothing stands there
        return colon.end(), colon.end()
    if colon and not text[colon.end() : start].strip() and ENDS.search(text, colon.end(), start):
        return colon.end(), end  # begins on a line of its own: a scalar can't always
    properties = PROPERTIES.match(text, start)
    return (properties.end() if properties else start), end


def _replaced(text: str, start: int, end: int, new: str) -> str:
    old, match = text[start:end], ENDS.search(text, end)
    stop = match.start() if match else len(text)
    rest = text[end:stop].rstrip()
    alone = not rest or rest.lstrip().startswith("#")  # in a flow mapping a comment would hide what follows
    comment = f"  # was {old}" if alone and old and not ENDS.search(old) else ""
    new = new if text[start - 1].isspace() or text[start - 1] in "[{,-" else f" {new}"
    if not alone:
        return f"{text[:start]}{new}{text[end:]}"
    return f"{text[:start]}{new}{rest}{comment}{text[stop:]}"


def _added(text: str, node: Any, key: str, value: Any, eol: str, *, top: bool = True) -> str:
    head, dot, rest = key.partition(".")
    inner = {k.value: (k, v) for k, v in node.value if k.id == "scalar"}.get(head)
    if dot and inner is not None and inner[1].id == "mapping" and not _alias(text, inner[0]):
        return _added(text, inner[1], rest, value, eol, top=False)
    column = 0 if node.flow_style or not node.value else node.value[0][0].start_mark.column
    lines = _lines(key, value, column)
    if node.flow_style:
        first = node.start_mark.index + 1
        told = f"{head}: {_flow(rest, value) if dot else written(value)}"
        return f"{text[:first]}{told}{', ' if node.value else ''}{text[first:]}"
    if top and not ENDS.split(text.rstrip())[-1].startswith("..."):
        return appended(text, lines, eol)
    mark = node.value[0][0].start_mark
    first = mark.index - mark.column
    return text[:first] + "".join(line + eol for line in lines) + text[first:]


def _lines(key: str, value: Any, column: int) -> list[str]:
    *outer, last = key.split(".")
    rows = [f"{' ' * (column + 2 * i)}{name}:" for i, name in enumerate(outer)]
    return [*rows, f"{' ' * (column + 2 * len(outer))}{last}: {written(value)}"]


def _flow(key: str, value: Any) -> str:
    head, dot, rest = key.partition(".")
    return f"{{{head}: {_flow(rest, value) if dot else written(value)}}}"
