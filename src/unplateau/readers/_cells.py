"""Tables as people save them: delimiters, quotes, decimal commas, thousands separators, JSON of columns."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..source import Source
from ._json import document, object_of, value_of, values_in

DELIMITERS = (",", ";", "\t", "|")
PREAMBLE = 60  # lines before a header: comments, titles, "sep=;"
LOOKED_AT = 200  # rows from which a header and the decimal sign are told
WIDEST = 5000  # columns
LONGEST = 60  # characters of a number
DEEPEST = 4  # levels of JSON objects within a row
COMMA_DECIMAL = re.compile(
    r"[-+]?(?:0,\d{1,30}|\d{1,3}(?:\.\d{3}){1,5},\d{1,30}|\d{1,15},(?:\d{1,2}|\d{4,30}))(?:[eE][-+]?\d{1,3})?"
)
COMMA_EITHER = re.compile(r"[-+]?\d{1,3},\d{3}")
POINT_DECIMAL = re.compile(r"[-+]?\d{1,15}\.\d{1,30}(?:[eE][-+]?\d{1,3})?")
STATED = re.compile(r"[:=]\s{0,4}[-+]?\d")  # a value beside its name: prose, no header
GROUPED = re.compile(r"[-+]?\d{1,3}(?:[,.]\d{3}){1,5}")
SPACES = str.maketrans("", "", " \u00a0\u202f\u2009'’_")


@dataclass(frozen=True, slots=True)
class Layout:
    """How a table of text is written."""

    delimiter: str
    header: tuple[str, ...]
    rows: int  # that fit it, among those looked at
    decimal: str = "."


def number(cell: Any, decimal: str = ".", *, whole: bool = False) -> float | None:
    """The number in a cell, or None; ``whole``: the column holds integers, so a point may group digits.

    >>> number("1,234.5"), number("3,25", ","), number("12 000"), number("1.000", ",", whole=True), number("")
    (1234.5, 3.25, 12000.0, 1000.0, None)
    >>> number("nan"), number("best"), number(True)
    (nan, None, None)
    """
    if not isinstance(cell, str):
        return None if cell is None or isinstance(cell, bool) else _float(cell)
    if decimal == "." and len(cell) <= LONGEST:
        try:
            return float(cell)
        except ValueError:
            pass
    text = cell.strip()
    if not text or len(text) > LONGEST:
        return None
    if whole and GROUPED.fullmatch(text) and (decimal == "," or "," in text):
        return _float(text.replace(",", "").replace(".", ""))
    if decimal == "," and "," in text:
        text = text.replace(".", "").replace(",", ".")
    elif "," in text:
        text = text.replace(",", "") if GROUPED.match(text) else text
    found = _float(text)
    return _float(text.translate(SPACES)) if found is None and text[-1].isdigit() else found


def _float(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def layout(text: str) -> Layout | None:
    r"""Tell the delimiter and the header of a table from its first lines, or None where it is none.

    >>> layout("# made by hand\nstep;val loss\n0;10,9\n500;5,0\n")
    Layout(delimiter=';', header=('step', 'val loss'), rows=2, decimal=',')
    """
    lines = text.split("\n", PREAMBLE + LOOKED_AT + 1)[: PREAMBLE + LOOKED_AT]
    best: Layout | None = None
    for number_, line in enumerate(lines[:PREAMBLE], 1):
        for delimiter in DELIMITERS:
            if delimiter in line and (found := _headed(lines, number_, delimiter)):
                best = found if best is None or found.rows > best.rows else best
    return best


def _headed(lines: Sequence[str], line: int, delimiter: str) -> Layout | None:
    header = split(lines[line - 1].lstrip("#").strip("\r"), delimiter)
    names = [name for name in header if name]
    if not 2 <= len(header) <= WIDEST or len(names) < 2 or len(names) < len(header) - 1:
        return None
    if any(number(name) is not None or len(name) > 200 or STATED.search(name) for name in names):
        return None
    rows = [split(row, delimiter) for row in lines[line:] if delimiter in row]
    rows = [
        row for row in rows if fits(row, header) and any(c[:1].isdigit() or c[:1] in "-+." for c in row if c)
    ]
    if not rows:
        return None
    return Layout(delimiter, tuple(header), len(rows), decimal_of(rows, delimiter))


def fits(row: Sequence[str], header: Sequence[str]) -> bool:
    return len(row) == len(header) or (len(row) == len(header) + 1 and not row[-1])


def split(line: str, delimiter: str) -> list[str]:
    """The cells of one line."""
    if '"' not in line:
        return [cell.strip() for cell in line.rstrip("\r\n").split(delimiter)]
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter, skipinitialspace=True))]
    except (csv.Error, StopIteration):
        return []


def decimal_of(rows: Sequence[Sequence[str]], delimiter: str) -> str:
    """The decimal sign: a comma where some number can't be read otherwise.

    >>> decimal_of([["1.000", "3,25"]], ";"), decimal_of([["1,000", "3.25"]], ";"), decimal_of([["0", "3,125"]], ";")
    (',', '.', ',')
    """
    cells = [cell for row in rows for cell in row if cell]
    if any(COMMA_DECIMAL.fullmatch(cell) for cell in cells):
        return ","
    if any(POINT_DECIMAL.fullmatch(cell) for cell in cells):
        return "."
    # 3,125 alone: European spreadsheets part columns by semicolons because their decimal sign is a comma
    return "," if delimiter != "," and any(COMMA_EITHER.fullmatch(cell) for cell in cells) else "."


def rows_of(source: Source, how: Layout) -> Iterator[list[str]]:
    """Rows after the header, whatever their number of cells; a header repeated comes as it is."""
    return rows_in(lines_in(below(source, how)), how.delimiter)


def below(source: Source, how: Layout) -> Iterator[bytes]:
    """What stands below the header, in pieces of whole lines."""
    pieces = (piece.data for piece in source.pieces())
    for data in pieces:
        end = 0
        while end < len(data):
            start, end = end, data.find(b"\n", end) + 1 or len(data)
            if tuple(split(_text(data[start:end]).lstrip("#"), how.delimiter)) == how.header:
                yield data[end:]
                yield from pieces
                return


def lines_in(pieces: Iterable[bytes]) -> Iterator[str]:
    """The lines of pieces, without their ends."""
    return (_text(line) for data in pieces for line in data.split(b"\n"))


def _text(line: bytes) -> str:
    return line.rstrip(b"\r\n").decode("utf-8", "replace")


def rows_in(lines: Iterable[str], delimiter: str) -> Iterator[list[str]]:
    """The cells of each line that has any."""
    reader = csv.reader(
        (text + "\n" for text in lines if delimiter in text), delimiter=delimiter, skipinitialspace=True
    )
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error:
            continue  # a cell of more than 128 KiB: damage
        yield [cell.strip() for cell in row]


def json_rows(source: Source) -> Iterator[Mapping[str, Any]] | None:
    """Rows of a JSON document: a list of objects, an object of columns, or one that holds either."""
    value = value_of(document(source))
    return None if value is None else _rows_in(value, DEEPEST)


def listed_rows(source: Source) -> Iterator[Mapping[str, Any]]:
    """Rows of a JSON document that is a list of objects, however long."""
    return (flat(row) for row in values_in(source) if isinstance(row, dict))


def _rows_in(value: Any, depth: int) -> Iterator[Mapping[str, Any]] | None:
    if isinstance(value, list) and any(isinstance(row, dict) for row in value):
        return (flat(row) for row in value if isinstance(row, dict))
    if not isinstance(value, dict) or not depth:
        return None
    lists = {k: v for k, v in value.items() if isinstance(v, list) and v}
    columns = {k: v for k, v in lists.items() if not isinstance(v[0], dict)}
    if columns:
        pairs = {k: v for k, v in columns.items() if all(isinstance(p, list) and len(p) == 2 for p in v)}
        return _of_pairs(pairs) if pairs and len(pairs) == len(columns) else _of_columns(columns)
    inner = (_rows_in(v, depth - 1) for v in value.values() if isinstance(v, (dict, list)))
    return next((rows for rows in inner if rows is not None), None)


def _of_columns(columns: Mapping[str, list[Any]]) -> Iterator[Mapping[str, Any]]:
    """Columns of one length side by side; a shorter one has no step to go by."""
    longest = max(len(column) for column in columns.values())
    whole = {name: column for name, column in columns.items() if len(column) == longest}
    return ({name: column[i] for name, column in whole.items()} for i in range(longest))


def _of_pairs(series: Mapping[str, list[Any]]) -> Iterator[Mapping[str, Any]]:
    return ({"step": step, name: value} for name, pairs in series.items() for step, value in pairs)


def flat(row: Mapping[str, Any], prefix: str = "", depth: int = DEEPEST) -> dict[str, Any]:
    """Objects within a row become names with a slash.

    >>> flat({"step": 1, "val": {"loss": 3.2}})
    {'step': 1, 'val/loss': 3.2}
    """
    found: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, dict):
            if depth:
                found.update(flat(value, f"{prefix}{key}/", depth - 1))
        elif not isinstance(value, list):
            found[f"{prefix}{key}"] = value
    return found


def lines_of_objects(source: Source) -> Iterator[Mapping[str, Any]]:
    """The objects of a file with one on each line; what is none is left out."""
    for _, text in source.lines():
        row = object_of(text)
        if row is not None:
            yield flat(row)
