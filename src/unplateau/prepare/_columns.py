"""Which columns of a source are its text and its metadata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..errors import UnreadableError, UsageError, printable, why
from ._lines import lines
from ._tables import arrow, parquet, table
from ._where import where
from .sources import META, PRESETS, TEXT, File, Reading, Skipped, Slice, binary, short

HEAD_LINES = 100  # lines of JSONL that the columns are told from


def columns(files: Sequence[File], reading: Reading) -> tuple[Reading, list[str]]:
    """``reading`` with its text and metadata columns filled in, and what the user should know."""
    needed = where(reading.where).columns if reading.where else ()
    tables = [f for f in files if f.kind != "text"]
    if not tables:
        if needed:
            raise UsageError(f"--where names {', '.join(needed)}, but text files have no columns")
        return reading, []
    known = _schema(tables[0])
    preset = PRESETS.get(reading.preset, ("", ()))
    text = reading.text or preset[0] or _text(known, tables[0])
    shown = printable(", ".join(known), 300)
    for name in (text, *needed):
        if name not in known:
            raise UnreadableError(
                f"{short(tables[0].path)} has no column {printable(name)!r}; found: {shown}"
            )
    if not known[text]:
        raise UnreadableError(
            f"{short(tables[0].path)}: column {printable(text)!r} holds no text; found: {shown}"
        )
    meta = [n for n in (*(preset[1] or META), *needed) if n in known and n != text]
    named = f"text column: {text}" + (f"; metadata: {', '.join(dict.fromkeys(meta))}" if meta else "")
    return replace(reading, text=text, meta=tuple(dict.fromkeys(meta))), [named]


def _text(known: Mapping[str, bool], file: File) -> str:
    texts = [n for n, is_text in known.items() if is_text]
    if found := next((n for n in TEXT if n in texts), None):
        return found
    if len(texts) == 1:
        return texts[0]
    raise UnreadableError(
        f"can't tell which column of {short(file.path)} is the text; found: {printable(', '.join(known), 300)}; "
        "name it with --text-column"
    )


def _schema(file: File) -> dict[str, bool]:
    """The columns of a file, and whether each holds strings."""
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
        raise UnreadableError(f"{short(file.path)} is no {file.kind}: {why(error)}") from None
    kinds = pa.types
    return {f.name: kinds.is_string(f.type) or kinds.is_large_string(f.type) for f in schema}


def _json_schema(file: File) -> dict[str, bool]:
    import msgspec

    found: dict[str, bool] = {}
    piece = Slice(file.path, "jsonl", 0, -1)
    for number, (_, line) in enumerate(lines(piece, Skipped(skip=True))):
        if number >= HEAD_LINES:
            break
        if not number and line.lstrip().startswith(b"["):
            raise UnreadableError(
                f"{short(file.path)} is a JSON array; expected one object per line: jq -c '.[]' FILE makes it so"
            )
        try:
            row = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        if isinstance(row, dict):
            found |= {k: found.get(k, False) or isinstance(v, str) for k, v in row.items()}
    if not found:
        raise UnreadableError(
            f"{short(file.path)} holds no JSON objects in its first lines; expected one per line"
        )
    return found
