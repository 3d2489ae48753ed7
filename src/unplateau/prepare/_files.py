"""The files that sources name: themselves, those in folders, those that a glob or a URL finds."""

from __future__ import annotations

import glob
import io
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import UnplateauError, UnreadableError, UsageError, printable, why
from ..secrets import redacted_url
from . import embedded
from .sources import EXTRA, PACKED, SPLITS, SUFFIXES, File, Kind, Skipped, short

REMOTE = "pip install 'unplateau[remote]'"  # what fsspec needs for URLs
KNOWN = "parquet, JSONL or text"
READ: Mapping[str, str] = {"parquet": "parquet", "arrow": "parquet", "jsonl": "JSONL", "text": "text"}
TABLES = (".csv", ".tsv")  # not read: dialects differ, and a line of them is no document
LEFT_OUT = 8  # files or suffixes that a note names
AHEAD = 1 << 18  # bytes of a URL fetched beyond what is asked for: with fsspec's 5 MB parts overlap fourfold
UTF_16 = (b"\xff\xfe", b"\xfe\xff")
#: first bytes of what is met under a wrong name
MAGIC = {
    b"PAR1": "parquet",
    b"%PDF": "PDF: pdftotext makes text of it",
    b"PK\x03\x04": "zip: unpack it first",
    b"\x7fELF": "a program",
    b"\x89PNG": "an image",
    b"BZh": "bzip2: unpack it first",
    b"\xfd7zX": "xz: unpack it first",
    b"\x1f\x8b": "gzip: unpack it first",
    b"\x28\xb5\x2f\xfd": "zstd: unpack it first",
    b"\xff\xfe": "UTF-16: iconv -f utf-16 -t utf-8 FILE makes it readable",
    b"\xfe\xff": "UTF-16: iconv -f utf-16 -t utf-8 FILE makes it readable",
}


def find(sources: Sequence[str], skipped: Skipped | None = None) -> tuple[list[File], list[str]]:
    """The files of all sources, each source's in the order of their names, none twice; and notes.

    A link to nothing is told to ``skipped``. Raises ``UnreadableError`` where there are no files.
    """
    skipped = skipped or Skipped(skip=False)
    files: dict[str, File] = {}
    notes: list[str] = []
    again: list[File] = []
    for source in sources:
        found = _remote(source, skipped, notes) if "://" in source else list(_local(source, skipped, notes))
        kept = _of_train(source, found, notes)
        for file in kept:
            first = files.setdefault(_identity(file.path), file)
            if first is not file:
                again.append(file)
    empty = [file for file in files.values() if not file.size]
    for some, what in ((empty, "empty"), (again, "named twice and read once")):
        if some:
            notes.append(f"{_counted(some)}: {what}")
    if len(empty) == len(files):
        raise UnreadableError(f"no documents: {_counted(empty)}: empty" if empty else "no documents are left")
    return [file for file in files.values() if file.size], notes


def _counted(files: Sequence[File]) -> str:
    first = printable(Path(files[0].path).name)
    return first if len(files) == 1 else f"{len(files):,} files, {first} first"


def _identity(path: str) -> str:
    """The file itself, however it is named."""
    return path if "://" in path or path == embedded.SOURCE else os.path.realpath(path)


def apart(sources: Sequence[str], files: Sequence[File], out: Path) -> None:
    """Refuse, with ``UsageError``, an ``out`` that is no folder, or whose shards the next run would read as documents."""
    above = next((p for p in (out, *out.parents) if os.path.exists(p)), out)  # noqa: PTH110 - False where forbidden
    if os.path.exists(above) and not os.path.isdir(above):  # noqa: PTH110, PTH112
        raise UsageError(f"--out {printable(str(out))}: {printable(str(above))} is a file; expected a folder")
    place = out.resolve()
    for source in sources:
        if (
            "://" not in source
            and (folder := Path(source)).is_dir()
            and place.is_relative_to(folder.resolve())
        ):
            raise UsageError(
                f"--out {printable(str(out))} lies in the source {printable(source)}, so that the next run would "
                "read the shards as documents: give a folder outside it"
            )
    inside = next((f.path for f in files if Path(_identity(f.path)).is_relative_to(place)), None)
    if inside is not None:
        raise UsageError(
            f"--out {printable(str(out))} holds the source {printable(inside)}: give another folder"
        )


# ---------------------------------------------------------------- on this machine


def _local(source: str, skipped: Skipped, notes: list[str]) -> Iterator[File]:
    if source == embedded.SOURCE:
        yield File(source, "jsonl", len(embedded.packed()))
    elif not source:
        raise UsageError(f"an empty SOURCE; expected {KNOWN}, a folder, a glob or a URL")
    elif os.path.lexists(source):
        yield from _named(source, skipped, notes)
    else:
        names = sorted(glob.glob(source, recursive=True))  # noqa: PTH207 - takes absolute patterns
        if not names:
            raise UnreadableError(
                f"no such file or folder: {printable(source)}; expected {KNOWN}, a folder, a glob, a URL "
                f"or {embedded.SOURCE}"
            )
        for name in names:
            yield from _named(name, skipped, notes)


def _named(name: str, skipped: Skipped, notes: list[str]) -> Iterator[File]:
    """The files of a name that is there: a file's itself, a folder's below it."""
    path = Path(name)
    try:
        if path.is_dir():
            hidden: list[str] = []
            found = [
                (n, size) for n in sorted(_walk(path, hidden)) if (size := _size(n, skipped)) is not None
            ]
            if hidden:
                notes.append(f"{_shown(name)}: hidden, left out: {_listed(hidden)}")
            yield from _known(name, found, notes)
        elif (size := _size(name, skipped)) is not None and is_text(name, skipped):
            yield File(name, kind_of(name), size)
    except OSError as error:
        raise UnreadableError(f"can't read {printable(name)}: {error.strerror or why(error)}") from None


def _size(name: str, skipped: Skipped) -> int | None:
    """Bytes of a file; None for what is none, which ``skipped`` is told."""
    path = Path(name)
    if path.is_file():
        return path.stat().st_size
    what = (
        "a link to nothing" if path.is_symlink() and not path.exists() else "no file, but a pipe or a device"
    )
    skipped(f"{printable(name)} is {what}")
    return None


def _walk(folder: Path, hidden: list[str]) -> Iterator[str]:
    """Files below a folder, but not hidden ones, nor those of a folder that begins with ``_``, which ``hidden`` is told of.

    Spark writes what is unfinished into ``_temporary``; a saved data set's cache files are no documents.
    """
    for where, folders, names in os.walk(folder, onerror=_refuse):
        hidden += sorted(f"{n}/" for n in folders if n[0] in "._") + sorted(n for n in names if n[0] == ".")
        folders[:] = sorted(f for f in folders if f[0] not in "._")
        yield from (os.path.join(where, n) for n in names if n[0] != "." and not _is_cache(n))  # noqa: PTH118


def _is_cache(name: str) -> bool:
    """True for what the library datasets keeps beside a saved data set."""
    return name.startswith("cache-") and name.endswith(".arrow")


def _listed(names: Sequence[str]) -> str:
    """Some names, and how many more.

    >>> _listed([".a", ".b"])
    '.a, .b'
    """
    more = [f"{len(names) - LEFT_OUT:,} more"] if len(names) > LEFT_OUT else []
    return ", ".join([*map(printable, names[:LEFT_OUT]), *more])


def _refuse(error: OSError) -> None:
    raise error


def _known(source: str, names: Sequence[tuple[str, int]], notes: list[str]) -> list[File]:
    """The files of a folder that are read: those of one kind; ``notes`` names the others."""
    files = [File(n, SUFFIXES[_suffix(n)], size) for n, size in names if _suffix(n) in SUFFIXES]
    kinds = {f.kind for f in files}
    if kinds & {"parquet", "arrow"}:  # a data set's folder: its README.md and state.json are no documents
        files = [f for f in files if f.kind in ("parquet", "arrow")]
    elif "jsonl" in kinds:
        files = [f for f in files if f.kind == "jsonl"]
    if not files:
        raise UnreadableError(
            f"{_shown(source)} holds no {', '.join(sorted(SUFFIXES))}; found {len(names)} other files"
        )
    read = {file.path for file in files}
    if others := [name for name, _ in names if name not in read]:
        what = READ[files[0].kind]
        notes.append(f"{_shown(source)}: only {what} is read; left out: {_by_suffix(others)}")
    return files


def _by_suffix(paths: Iterable[str]) -> str:
    """Files in a few words: by name, or by number where several have one suffix.

    >>> _by_suffix(["in/a.py", "in/LICENSE", "in/b.py"])
    '2 .py, LICENSE'
    """
    held: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        held[_suffix(path) or "without suffix"].append(path.rpartition("/")[2])
    told = [names[0] if len(names) == 1 else f"{len(names):,} {suffix}" for suffix, names in held.items()]
    more = [f"{len(told) - LEFT_OUT:,} more kinds"] if len(told) > LEFT_OUT else []
    return ", ".join([*map(printable, told[:LEFT_OUT]), *more])


def is_text(path: str, skipped: Skipped) -> bool:
    """False, which ``skipped`` is told, for a file of no known suffix that is no text: a table of CSV, or binary."""
    if (suffix := _suffix(path)) in SUFFIXES:
        return True
    if suffix in TABLES:
        skipped(
            f"{short(path)} is a table of CSV, which is not read: duckdb -c \"copy 'FILE{suffix}' to 'FILE.parquet'\" "
            "makes it readable"
        )
        return False
    if (head := _head(path)).startswith((b"PAR1", b"ARROW1", *UTF_16)) or kind_of(path) == "arrow":
        return True
    if b"\0" in head or any(head.startswith(magic) for magic in MAGIC):
        skipped(f"{short(path)} is binary{looks(path)}; expected {KNOWN}")
        return False
    return True


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
    head = _head(path)
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith((b"ARROW1", b"\xff\xff\xff\xff")):
        return "arrow"
    return "jsonl" if head.lstrip().startswith(b"{") else "text"


def _head(path: str) -> bytes:
    from ..unpack import DamagedError
    from ._lines import blocks, opened

    try:
        with opened(path) as file:
            return next(blocks(file, path), b"")
    except DamagedError:
        return b""


def looks(path: str) -> str:
    """What the first bytes of a file are those of, in brackets, for a line on why it can't be read."""
    with binary(path) as file:
        head = file.read(4)
    return next((f" (it begins like {what})" for magic, what in MAGIC.items() if head.startswith(magic)), "")


# ---------------------------------------------------------------- elsewhere


def _remote(source: str, skipped: Skipped, notes: list[str]) -> list[File]:
    """Files at a URL that fsspec understands: s3://, gs://, hf://, https://, memory://, ..."""
    try:
        fs, path = filesystem(source)
        web = "http" in fs.protocol
        found = (
            fs.glob(path) if any(c in path for c in ("*[" if web else "*?[")) else [path]
        )  # ? begins a query
        # HTTP has no folders, and fsspec would fetch the whole file to look for links in it
        if len(found) == 1 and not web and fs.isdir(found[0]):
            found = fs.find(found[0])
            sized = [(fs.unstrip_protocol(n), int(fs.size(n) or 0)) for n in sorted(found)]
            return _known(source, sized, notes)
        names = [(fs.unstrip_protocol(n), int(fs.size(n) or 0)) for n in sorted(found)]
    except UnplateauError:
        raise
    except Exception as error:  # noqa: BLE001 - each file system raises its own kind
        cause = error.__cause__  # of a refusal, fsspec says that nothing is there
        if isinstance(error, FileNotFoundError) and not isinstance(cause, Exception):
            names = []
        else:
            said = redacted_url(why(cause if isinstance(cause, Exception) else error))
            raise UnreadableError(f"can't list {_shown(source)}: {said}") from None
    if not names:
        raise UnreadableError(f"nothing at {_shown(source)}; expected {KNOWN}")
    return [File(name, kind_of(name), size) for name, size in names if is_text(name, skipped)]


def filesystem(url: str) -> tuple[Any, str]:
    """fsspec's file system of a URL, and the path in it."""
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise UnreadableError(f"URLs need fsspec, which is not installed: {EXTRA}") from None
    try:
        fs, path = url_to_fs(url)
    except ImportError as error:
        raise UnreadableError(f"can't open {_shown(url)}: {why(error)} ({REMOTE})") from None
    except ValueError as error:
        raise UnreadableError(f"can't open {_shown(url)}: {why(error)}") from None
    return fs, path


def _shown(url: str) -> str:
    """A path, or a URL without a password or a query, which may hold a key."""
    if "://" not in url:
        return printable(url)
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("?")[0].partition("/")
    return printable(f"{scheme}://{host.rpartition('@')[2]}{slash}{path}")


def binary(path: str) -> BinaryIO:
    """A file or URL, open for reading. Raises ``UnreadableError`` in one line."""
    if path == embedded.SOURCE:
        return io.BytesIO(embedded.packed())
    try:
        if "://" not in path:
            return open(path, "rb")  # noqa: PTH123
        fs, name = filesystem(path)
        stream: BinaryIO = fs.open(name, "rb", block_size=AHEAD)
    except UnplateauError:
        raise
    except OSError as error:
        raise UnreadableError(f"can't open {_shown(path)}: {error.strerror or why(error)}") from None
    except Exception as error:  # noqa: BLE001 - each file system raises its own kind
        raise UnreadableError(f"can't open {_shown(path)}: {redacted_url(why(error))}") from None
    return stream
