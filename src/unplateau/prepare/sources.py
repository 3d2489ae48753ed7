"""What documents come from: parquet, arrow, JSONL and text, in files, folders, globs and URLs.

``survey`` finds the files, tells the text column, and cuts them into parts: a range of row groups, a range of
bytes of lines, a text file. A part can be read by itself, anywhere, and gives the same documents each time.
"""

from __future__ import annotations

import glob
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal

from ..errors import UnplateauError, UnreadableError, UsageError, printable, why
from . import embedded

Kind = Literal["parquet", "arrow", "jsonl", "text"]

PART = 32 << 20  # bytes of file that one part holds: some seconds of work, so that little is lost to a crash
SMALLEST_PART = 1 << 20  # bytes; below, starting a part costs more than what it divides
PARTS = 64  # parts that a small job is cut into, so that its workers end together
BATCH = 2 << 20  # characters of text that are held at once; gigatoken's rate is flat from 1 MB on
ROWS = 1024  # documents in a batch at most
LARGEST = 64 << 20  # characters of one document; more than any book, so a file that was taken for a document
SUFFIXES: Mapping[str, Kind] = {
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".txt": "text",
    ".text": "text",
    ".md": "text",
}
PACKED = (".gz", ".zst", ".zstd")
SPLITS = (
    "train",
    "validation",
    "valid",
    "val",
    "dev",
    "test",
)  # as Hugging Face's datasets names files of splits
#: text columns by how often data sets name them so
TEXT = ("text", "content", "raw_content", "document", "body", "article", "story")
#: metadata that is worth its memory: what a split can be unfair in, and what --where is asked for
META = ("score", "int_score", "language", "language_score", "dump", "url", "date", "source")
#: name -> text column and metadata columns, from the data sets' cards
PRESETS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "fineweb": ("text", ("dump", "url", "date", "language", "language_score")),
    "fineweb-edu": ("text", ("dump", "url", "date", "language", "language_score", "score", "int_score")),
}
EXTRA = "pip install 'unplateau[prepare]'"

Row = tuple[str, Mapping[str, Any]]  # a text, and what stands beside it


@dataclass(frozen=True, slots=True)
class Document:
    """One text, what its row said beside it, and which slice of its part it comes from."""

    text: str
    meta: Mapping[str, Any] = field(default_factory=dict)
    place: int = 0


@dataclass(frozen=True, slots=True)
class File:
    """A source file: where it lies, what it is, its bytes on disk."""

    path: str
    kind: Kind
    size: int


@dataclass(frozen=True, slots=True)
class Slice:
    """Units ``start <= unit < stop`` of a file: row groups of parquet, bytes of anything else."""

    path: str
    kind: Kind
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Part:
    """A restartable piece of the sources: small files together, or a slice of a large one."""

    number: int
    slices: tuple[Slice, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """How documents are read: columns, a condition, and what becomes of damage.

    ``limit`` is how many documents a part gives at most. ``whole`` keeps a long text file as one document.
    """

    text: str = ""
    meta: tuple[str, ...] = ()
    where: str = ""
    skip: bool = False
    whole: bool = False
    limit: int | None = None
    preset: str = ""


@dataclass(frozen=True, slots=True)
class Survey:
    """The files found, the parts that they were cut into, the columns, and what the user should know."""

    files: tuple[File, ...]
    parts: tuple[Part, ...]
    reading: Reading
    notes: tuple[str, ...]


@dataclass
class Skipped:
    """What could not be read: counted, and the first few named; the first is raised where nothing is to be skipped."""

    skip: bool
    count: int = 0
    named: list[str] = field(default_factory=list)
    NAMED = 20  # lines that are kept for one part

    def __call__(self, line: str) -> None:
        """Note ``line``, or raise it as ``UnreadableError``."""
        if not self.skip:
            raise UnreadableError(f"{line} (--on-error skip counts and names what it leaves out)")
        self.count += 1
        if len(self.named) < self.NAMED:
            self.named.append(line)


def survey(sources: Sequence[str], reading: Reading | None = None) -> Survey:
    """Find the files of ``sources``, their text column and metadata, and cut them into parts.

    Raises ``UnreadableError`` for a source that is not there or holds no text, ``UsageError`` for a preset, a
    column or a condition that can't be meant.
    """
    from ._columns import columns

    reading = reading or Reading()
    if reading.preset and reading.preset not in PRESETS:
        raise UsageError(f"no preset is called {printable(reading.preset)!r}; known: {', '.join(PRESETS)}")
    files, notes = find(sources)
    reading, told = columns(files, reading)
    return Survey(tuple(files), tuple(cut(files)), reading, (*notes, *told))


def parts_of(sources: Sequence[str], reading: Reading | None = None) -> list[Part]:
    """The parts of ``survey``."""
    return list(survey(sources, reading).parts)


def documents(
    part: Part, reading: Reading | None = None, skipped: Skipped | None = None
) -> Iterator[list[Document]]:
    """The documents of a part in their order, in lists of about ``BATCH`` characters.

    Raises ``UnreadableError`` for what is damaged, unless ``skipped`` takes note of it.
    """
    from . import _formats

    reading = reading or Reading()
    skipped = skipped or Skipped(reading.skip)
    left = reading.limit
    for batch in _formats.batches(part, reading, skipped):
        yield batch if left is None else batch[:left]
        if left is not None and (left := left - len(batch)) <= 0:
            return


def find(sources: Sequence[str]) -> tuple[list[File], list[str]]:
    """The files of all sources, each source's in the order of their names, none twice; and notes."""
    files: dict[str, File] = {}
    notes: list[str] = []
    for source in sources:
        found = _remote(source) if "://" in source else _local(source)
        kept = _of_train(source, found, notes)
        files |= {f.path: f for f in kept if f.size}
        if empty := [f for f in kept if not f.size]:
            notes.append(f"{len(empty)} empty files left out, {printable(Path(empty[0].path).name)} first")
    if not files:
        raise UnreadableError("no documents: all files found are empty")
    return list(files.values()), notes


def _local(source: str) -> list[File]:
    if source == embedded.SOURCE:
        return [File(source, "jsonl", len(embedded.packed()))]
    path = Path(source)
    if path.is_dir():
        names = sorted(_walk(path))
        return _known(source, [(n, os.path.getsize(n)) for n in names])  # noqa: PTH202
    if path.is_file():
        return [File(source, kind_of(source), path.stat().st_size)]
    names = sorted(glob.glob(source, recursive=True))  # noqa: PTH207 - takes absolute patterns
    if not names:
        raise UnreadableError(
            f"no such file or folder: {printable(source)}; expected parquet, JSONL or text, a folder, a glob, a URL "
            f"or {embedded.SOURCE}"
        )
    return [file for name in names for file in _local(name)]


def _walk(folder: Path) -> Iterator[str]:
    """Files below a folder but for hidden ones; a saved data set's cache files are no documents."""
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(f for f in folders if f[0] not in "._")
        yield from (os.path.join(where, n) for n in names if n[0] not in "._" and not n.startswith("cache-"))  # noqa: PTH118


def _remote(source: str) -> list[File]:
    """Files at a URL that fsspec understands: s3://, gs://, hf://, https://, memory://, ..."""
    try:
        fs, path = filesystem(source)
        found = fs.glob(path) if any(c in path for c in "*?[") else [path]
        if len(found) == 1 and fs.isdir(found[0]):
            found = fs.find(found[0])
            return _known(source, [(fs.unstrip_protocol(n), int(fs.size(n) or 0)) for n in sorted(found)])
        names = [(fs.unstrip_protocol(n), int(fs.size(n) or 0)) for n in sorted(found)]
    except UnplateauError:
        raise
    except Exception as error:  # noqa: BLE001 - each file system raises its own kind
        raise UnreadableError(f"can't list {_shown(source)}: {why(error)}") from None
    if not names:
        raise UnreadableError(f"nothing at {_shown(source)}; expected parquet, JSONL or text")
    return [File(name, kind_of(name), size) for name, size in names]


def filesystem(url: str) -> tuple[Any, str]:
    """fsspec's file system of a URL, and the path in it."""
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise UnreadableError(f"URLs need fsspec, which is not installed: {EXTRA}") from None
    try:
        fs, path = url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise UnreadableError(f"can't open {_shown(url)}: {why(error)}") from None
    return fs, path


def _shown(url: str) -> str:
    """A URL without a password or a query, which may hold a key."""
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("?")[0].partition("/")
    return printable(f"{scheme}://{host.rpartition('@')[2]}{slash}{path}")


def short(path: str) -> str:
    """A file's last two names, which fit a line."""
    return printable("/".join(path.partition("?")[0].replace("\\", "/").split("/")[-2:]))


def _known(source: str, names: Sequence[tuple[str, int]]) -> list[File]:
    files = [File(n, SUFFIXES[_suffix(n)], size) for n, size in names if _suffix(n) in SUFFIXES]
    kinds = {f.kind for f in files}
    if kinds & {"parquet", "arrow"}:  # a data set's folder: its README.md and state.json are no documents
        files = [f for f in files if f.kind in ("parquet", "arrow")]
    elif "jsonl" in kinds:
        files = [f for f in files if f.kind == "jsonl"]
    if not files:
        raise UnreadableError(
            f"{_shown(source) if '://' in source else printable(source)} holds no {', '.join(sorted(SUFFIXES))}; "
            f"found {len(names)} other files"
        )
    return files


def _of_train(source: str, files: list[File], notes: list[str]) -> list[File]:
    """In a folder that holds splits, the train split alone: to train on a test set is no fair test."""
    if len(files) < 2 or all(split_of(f.path) != "train" for f in files):
        return files
    others = sorted({s for f in files if (s := split_of(f.path)) not in ("", "train")})
    if not others:
        return files
    notes.append(f"{printable(source)}: only its train split is read; left out: {', '.join(others)}")
    return [f for f in files if split_of(f.path) in ("", "train")]


def split_of(path: str) -> str:
    """The split that a file's name or folder says, as Hugging Face's data sets are laid out; "" where none.

    >>> split_of("data/train-00000-of-00002.parquet"), split_of("set/test/data-00000.arrow"), split_of("train.py.txt")
    ('train', 'test', '')
    """
    path = path.replace("\\", "/")
    name, folder = path.rsplit("/", 1)[-1], path.split("/")[-2:-1]
    return next(
        (s for s in SPLITS if name.startswith((f"{s}-", f"{s}_")) or _stem(name) == s or folder == [s]), ""
    )


def _stem(name: str) -> str:
    for packed in PACKED:
        name = name.removesuffix(packed)
    return name.rpartition(".")[0]


def _suffix(path: str) -> str:
    for packed in PACKED:
        path = path.removesuffix(packed)
    return os.path.splitext(path.lower())[1]  # noqa: PTH122 - of a URL too


def kind_of(path: str) -> Kind:
    """What a file is, by its name or else by its first bytes."""
    if (kind := SUFFIXES.get(_suffix(path))) is not None:
        return kind
    from ._lines import blocks, opened

    with opened(path) as file:
        head = next(blocks(file, path), b"")
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith((b"ARROW1", b"\xff\xff\xff\xff")):
        return "arrow"
    return "jsonl" if head.lstrip().startswith(b"{") else "text"


def cut(files: Sequence[File]) -> Iterator[Part]:
    """Parts of about a 64th of all bytes, 1 to 32 MB each: the same for any number of workers."""
    from . import _formats

    target = min(PART, max(SMALLEST_PART, sum(f.size for f in files) // PARTS))
    held: list[Slice] = []
    size = number = 0
    for file in files:
        for piece, weight in _formats.slices(file, target):
            held.append(piece)
            size += weight
            if size >= target:
                yield Part(number, tuple(held))
                held, size, number = [], 0, number + 1
    if held:
        yield Part(number, tuple(held))


def binary(path: str) -> BinaryIO:
    """A file or URL, open for reading. Raises ``UnreadableError`` in one line."""
    if path == embedded.SOURCE:
        return io.BytesIO(embedded.packed())
    try:
        if "://" not in path:
            return open(path, "rb")  # noqa: PTH123
        fs, name = filesystem(path)
        stream: BinaryIO = fs.open(name, "rb")
    except UnplateauError:
        raise
    except Exception as error:  # noqa: BLE001 - each file system raises its own kind
        raise UnreadableError(f"can't open {_shown(path)}: {why(error)}") from None
    return stream
