"""Which columns of a source are its text and its metadata."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..errors import UnreadableError, UsageError, printable, why
from ._files import binary, looks
from ._lines import is_packed, json_of, lines
from ._tables import arrow, is_binary, is_text, parquet, table
from ._where import Where, where
from .sources import META, PRESETS, TEXT, File, Reading, Skipped, Slice, short

HEAD_LINES = 100  # lines of JSONL that the columns are told from
STRINGS, BINARY = "text", "bytes"  # columns that hold text, and those that may
NUMBERS, FLAGS = "numbers", "bool"
NUMBER = re.compile(r"u?int\d+|halffloat|float|double")  # as Arrow names types
OTHER = "no text"  # in JSONL
#: what a column of a kind can be compared with; other kinds are left to the documents
COMPARABLE: Mapping[str, tuple[type, ...]] = {
    STRINGS: (str,),
    NUMBERS: (int, float),
    "timestamp": (),
    "date32": (),
    "date64": (),
}


def columns(files: Sequence[File], reading: Reading) -> tuple[Reading, list[str]]:
    """``reading`` with its text and metadata columns filled in, and what the user should know."""
    needed = where(reading.where).columns if reading.where else ()
    tables = [f for f in files if f.kind != "text"]
    if not tables:
        if needed:
            raise UsageError(f"--where names {', '.join(needed)}, but text files have no columns")
        return reading, []
    refused: list[UnreadableError] = []
    hint = Skipped(skip=False)
    for file in tables:
        try:
            return _told_by(file, reading, needed)
        except UnreadableError as error:
            refused.append(error)
        if not reading.skip:
            break
    if not reading.skip and len(tables) > 1:
        hint(str(refused[0]))
    raise refused[0]


def _told_by(file: File, reading: Reading, needed: Sequence[str]) -> tuple[Reading, list[str]]:
    """The columns by one file. Raises ``UnreadableError`` where it has not those that are wanted."""
    known = _schema(file)
    preset = PRESETS.get(reading.preset, ("", ()))
    text = reading.text or preset[0] or _text(known, file)
    shown = printable(", ".join(known), 300)
    for name in (text, *needed):
        if name not in known:
            raise UnreadableError(f"{short(file.path)} has no column {printable(name)!r}; found: {shown}")
    if known[text] not in (STRINGS, BINARY):
        raise UnreadableError(f"{short(file.path)}: column {printable(text)!r} holds no text; found: {shown}")
    if reading.where:
        _comparable(where(reading.where), known, file)
    meta = [n for n in (*(preset[1] or META), *needed) if n in known and n != text]
    named = f"text column: {text}" + (f"; metadata: {', '.join(dict.fromkeys(meta))}" if meta else "")
    notes = [named]
    if lost := [name for name in preset[1] if name not in known]:
        notes.append(f"preset {reading.preset}: no columns {', '.join(lost)}")
    return replace(reading, text=text, meta=tuple(dict.fromkeys(meta))), notes


def _comparable(condition: Where, known: Mapping[str, str], file: File) -> None:
    """Refuse, with ``UsageError``, a column that is compared with what it never holds, or alone and no flag."""
    for name in condition.flags:
        if known[name] != FLAGS:
            raise UsageError(
                f"--where: {printable(name)} alone is no comparison; {short(file.path)} has no flag of that name"
            )
    for name, constant in condition.compared:
        kind = NUMBER.sub(NUMBERS, known[name])
        kinds = COMPARABLE.get(kind.partition("[")[0])
        if kinds is not None and not isinstance(constant, kinds):
            holds = {STRINGS: "text", NUMBERS: "numbers"}.get(kind, kind)
            raise UsageError(
                f"--where: {printable(name)!r} holds {holds}; compared with {printable(repr(constant))}"
            )


def _text(known: Mapping[str, str], file: File) -> str:
    """The column that is the text, by its name or because it alone holds strings."""
    texts = [n for n, kind in known.items() if kind == STRINGS]
    if found := next((n for n in TEXT if n in texts or known.get(n) == BINARY), None):
        return found
    if len(texts) == 1:
        return texts[0]
    if not texts:
        shown = ", ".join(f"{name} ({kind})" for name, kind in known.items())
        raise UnreadableError(f"no column of {short(file.path)} holds text; found: {printable(shown, 300)}")
    raise UnreadableError(
        f"can't tell which column of {short(file.path)} is the text; found: {printable(', '.join(known), 300)}; "
        "name it with --text-column"
    )


def _schema(file: File) -> dict[str, str]:
    """The columns of a file, and what each holds: ``STRINGS``, ``BINARY`` or another type."""
    if file.kind == "jsonl":
        return _json_schema(file)
    pa = arrow()
    try:
        if file.kind == "parquet":
            with parquet(file.path) as opened_file:
                schema = opened_file.schema_arrow
        else:
            with binary(file.path) as stream:
                schema = table(stream).schema
    except (OSError, pa.ArrowException) as error:
        raise UnreadableError(
            f"{short(file.path)} is no {file.kind}, or damaged{looks(file.path)}: {why(error)}"
        ) from None
    return {f.name: _kind(f.type) for f in schema}


def _kind(kind: Any) -> str:
    if is_text(kind):
        return STRINGS
    return BINARY if is_binary(kind) else str(kind)


def _json_schema(file: File) -> dict[str, str]:
    import msgspec

    found: dict[str, str] = {}
    piece, damage = Slice(file.path, "jsonl", 0, -1), Skipped(skip=True)
    for number, (_, line) in enumerate(lines(piece, damage)):
        if number >= HEAD_LINES:
            break
        if not number and line.lstrip().startswith(b"["):
            raise UnreadableError(
                f"{short(file.path)} is a JSON array; expected one object per line: jq -c '.[]' FILE makes it so"
            )
        try:
            row = json_of(line, msgspec.json.decode)
        except ValueError:
            continue
        if isinstance(row, dict):
            found |= {k: STRINGS for k, v in row.items() if isinstance(v, str)}
            plain = {
                k: FLAGS if isinstance(v, bool) else NUMBERS
                for k, v in row.items()
                if isinstance(v, int | float)
            }
            found = dict.fromkeys(row, OTHER) | plain | {k: v for k, v in found.items() if v != OTHER}
    if not found and damage.named:
        raise UnreadableError(damage.named[0])
    if not found:
        hint = "" if is_packed(file.path) else looks(file.path)
        raise UnreadableError(
            f"{short(file.path)} holds no JSON objects in its first lines{hint}; expected one per line"
        )
    return found
