"""What a part became, on disk: tokens, what is known of each document, and the hashes that tell its copies.

A piece is a folder that takes its name when it is whole. Its bytes depend on its part and the plan alone.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryFile
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..durable import DurableFile, sha256_of, sync, told, write_durably
from .dedup import Signatures

TOKENS, DOCUMENTS, LABELS, HEAD = "tokens", "documents", "labels", "piece.json"
EXACTS, BANDS = "exact", "bands"
HASHES = (EXACTS, BANDS)  # files that no one needs once copies are known
FILES = (TOKENS, DOCUMENTS, LABELS, *HASHES)
BAND = 5  # bytes of a band's hash that are kept: of 10^8 documents 64,000 pairs share one by chance, and are compared
COLUMNS = (
    "lengths",
    "sizes",
    "places",
)  # uint32 for each document: tokens, bytes of UTF-8, slice of the part

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Piece:
    """A finished piece: where it lies, and its ``piece.json``."""

    folder: Path
    head: Mapping[str, Any]

    @property
    def documents(self) -> int:
        return int(self.head["documents"])

    @property
    def tokens(self) -> Array:
        """All tokens, mapped; (tokens,) of the type on disk."""
        return _mapped(self.folder / TOKENS, np.dtype(self.head["dtype"]))

    def column(self, name: str) -> Array:
        """One of ``COLUMNS``, (documents,) uint32."""
        found = _mapped(self.folder / DOCUMENTS, np.dtype("<u4"))
        return np.asarray(found.reshape(len(COLUMNS), -1)[COLUMNS.index(name)])

    @property
    def labels(self) -> Array:
        """The kind of each document's metadata by ``fair``'s hash, (columns, documents) uint8."""
        return _mapped(self.folder / LABELS, np.dtype("u1")).reshape(-1, self.documents or 1)

    @property
    def exact(self) -> Array:
        """As in ``dedup.Signatures``, (documents, 2), mapped."""
        return _mapped(self.folder / EXACTS, np.dtype("<u8")).reshape(2, -1).T

    def band(self, number: int) -> Array:
        """One band, (documents,) uint64, read without the others; all 0 where near copies were not looked for."""
        found = np.zeros((self.documents, 8), np.uint8)
        kept = _mapped(self.folder / BANDS, np.dtype("u1")).reshape(-1, self.documents or 1)
        if len(kept):
            found[:, :BAND] = kept[number * BAND : (number + 1) * BAND].T
        return found.view("<u8").ravel().astype(np.uint64)


def _mapped(path: Path, dtype: np.dtype[Any]) -> Array:
    return np.memmap(path, dtype, "r") if path.stat().st_size else np.empty(0, dtype)


def name_of(number: int) -> str:
    return f"{number:06d}"


def opened(folder: Path, number: int, fingerprint: str) -> Piece | None:
    """The piece of a part, if it is there and was made by the same plan; its bytes are not looked at."""
    place = folder / name_of(number)
    try:
        head = json.loads((place / HEAD).read_bytes())
    except (OSError, ValueError):
        return None
    return Piece(place, head) if isinstance(head, dict) and head.get("plan") == fingerprint else None


def is_whole(piece: Piece, names: Sequence[str] = FILES) -> bool:
    """True when the files ``names`` have the sha256 that they were written with."""
    try:
        return all(sha256_of(piece.folder / name) == piece.head["sha256"][name] for name in names)
    except (OSError, KeyError):
        return False


class Maker:
    """A piece being written, beside its place: ``add`` batches, then ``commit``."""

    def __init__(self, folder: Path, number: int, dtype: np.dtype[Any], *, near: bool = True) -> None:
        self._place, self._dtype, self._near = folder / name_of(number), dtype, near
        # not the number of the process: another machine has the same
        self._beside = folder / f".{name_of(number)}.{token_hex(8)}"
        with told(self._place):
            self._beside.mkdir(parents=True)
        self._kept = {
            DOCUMENTS: ByColumn(self._beside, "<u4"),
            LABELS: ByColumn(self._beside, "u1"),
            EXACTS: ByColumn(self._beside, "<u8"),
            BANDS: ByColumn(self._beside, "u1"),
        }
        self._tokens = DurableFile(self._beside / TOKENS)
        self._count = np.zeros(len(COLUMNS), np.int64)
        self._documents = 0

    def add(self, tokens: Array, columns: Array, labels: Array, signatures: Signatures) -> None:
        """Append documents: tokens, ``COLUMNS`` (3, documents), labels (columns, documents), and hashes."""
        self._tokens.write(np.ascontiguousarray(tokens, self._dtype).view(np.uint8).data)
        with told(self._place):
            self._kept[DOCUMENTS].add(columns)
            self._kept[LABELS].add(labels)
            self._kept[EXACTS].add(signatures.exact.T)
            if self._near:
                kept = np.ascontiguousarray(signatures.bands, "<u8").view(np.uint8)
                self._kept[BANDS].add(kept.reshape(len(kept), -1, 8)[:, :, :BAND].reshape(len(kept), -1).T)
        self._count += columns.sum(axis=1, dtype=np.int64)
        self._documents += columns.shape[1]

    def commit(self, head: Mapping[str, Any]) -> Piece:
        """Make the piece durable and give it its name; one that is there already is kept."""
        hashes = {TOKENS: self._tokens.commit(), **{name: self._written(name) for name in self._kept}}
        whole = {
            **head,
            "dtype": self._dtype.str,
            "documents": self._documents,
            "tokens": int(self._count[0]),
            "bytes": int(self._count[1]),
            "sha256": hashes,
        }
        write_durably(self._beside / HEAD, json.dumps(whole, indent=1).encode())
        with told(self._place):
            _take_place(self._beside, self._place)
        return Piece(self._place, whole)

    def _written(self, name: str) -> str:
        with DurableFile(self._beside / name) as file, closing(self._kept[name]) as kept:
            for chunk in kept.chunks():
                file.write(chunk)
            return file.commit()

    def abandon(self) -> None:
        """Leave nothing behind."""
        for kept in self._kept.values():
            kept.close()
        self._tokens.abandon()
        shutil.rmtree(self._beside, ignore_errors=True)


class ByColumn:
    r"""A table that comes some rows at a time and is read column by column; on disk, in a file without a name.

    >>> table = ByColumn(Path("."), "u1")
    >>> table.add(np.array([[1, 2], [7, 8]]))
    >>> table.add(np.array([[3], [9]]))
    >>> b"".join(table.chunks())
    b'\x01\x02\x03\x07\x08\t'
    >>> table.close()
    """

    def __init__(self, folder: Path, dtype: str) -> None:
        self._folder, self._dtype = folder, np.dtype(dtype)
        self._file: IO[bytes] | None = None
        self._rows: list[int] = []  # of each block
        self._width = 0

    def add(self, block: Array) -> None:
        """Append rows: (columns, rows)."""
        self._file = self._file or TemporaryFile(dir=self._folder)  # noqa: SIM115 - closed by ``close``
        self._file.write(np.ascontiguousarray(block, self._dtype).data)
        self._file.flush()  # a full disk is told here, not where it is read
        self._width = block.shape[0]
        self._rows.append(block.shape[1])

    def chunks(self) -> Iterator[bytes]:
        """The first column's bytes, block by block, then the next one's."""
        for column in range(self._width if self._file else 0):
            begin = 0
            for rows in self._rows:
                yield self._read(begin * self._width + column * rows, rows)
                begin += rows

    def _read(self, begin: int, count: int) -> bytes:
        assert self._file
        self._file.seek(begin * self._dtype.itemsize)
        return self._file.read(count * self._dtype.itemsize)

    def close(self) -> None:
        with suppress(OSError):
            if self._file:
                self._file.close()


def _take_place(beside: Path, place: Path) -> None:
    """Rename a folder; where another process was faster with the same bytes, let go of this one.

    What stands there without a head was being removed when its process was killed.
    """
    try:
        if not (place / HEAD).is_file():
            shutil.rmtree(place, ignore_errors=True)
        beside.rename(place)
    except OSError:
        if not (place / HEAD).is_file():
            raise
        shutil.rmtree(beside, ignore_errors=True)
    sync(place.parent)


def swept(folder: Path, numbers: Sequence[int] | None = None) -> None:
    """Remove what a killed process left beside the pieces: of the parts ``numbers``, or of all."""
    names = None if numbers is None else {name_of(number) for number in numbers}
    for left in folder.glob(".*"):
        if names is None or left.name.split(".")[1] in names:
            shutil.rmtree(left, ignore_errors=True)


def forgotten(piece: Piece) -> None:
    """Remove a piece that is damaged or no longer needed: its head first, so that no half of it is taken for whole."""
    with suppress(OSError):
        (piece.folder / HEAD).unlink(missing_ok=True)
    shutil.rmtree(piece.folder, ignore_errors=True)


def text_of(piece: Piece, number: int, tokenizer: Any) -> str:
    """The text of the document ``number`` of a piece, decoded from its tokens."""
    ends = np.cumsum(piece.column("lengths")[: number + 1], dtype=np.int64)
    begin = int(ends[-2]) if number else 0
    return str(tokenizer.decode(piece.tokens[begin : int(ends[-1]) - 1]))
