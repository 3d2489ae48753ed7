"""The bytes of a log, wherever they lie: a file, gzip, zstd or standard input, in bounded pieces.

Nothing here knows a log format. A piece is clean text: no ANSI escapes, no NULs, UTF-16 decoded, a
carriage return counted as a line end. Memory stays at a few pieces, whatever the file or its lines.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from io import BufferedReader
from pathlib import Path
from typing import IO, BinaryIO, cast

from .errors import UnreadableError
from .unpack import DamagedError, gunzipped, unzstd

PIECE = 1 << 20  # bytes read at once
LINE = 1 << 22  # bytes; a line longer than this is cut at a carriage return, a space, or here
HEAD = 1 << 19  # bytes at the start that a format is told from
PROBE, PROBES = 1 << 16, 8  # bytes and number of further samples, spread over the file
UTF8 = b"\xef\xbb\xbf"  # its byte order mark
UNPACKED = 16 << 30  # bytes; more than this from a compressed file is refused as a bomb
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
PIPED = "give it on standard input, as in zcat train.log.gz | unplateau diagnose - (a gzip or zstd file is read as it is)"

# CSI (colours, cursor), OSC (titles, links) and two-byte escapes; each part bounded, so linear
ANSI = re.compile(rb"\x1b(?:\[[0-?]{0,64}[ -/]{0,8}[@-~]|\][^\x07\x1b]{0,512}(?:\x07|\x1b\\)|[@-Z\\^_])")
CRS = re.compile(rb"(?<!\r)\r+\n")  # from the first of a run only, so linear
LONE_CR = re.compile(rb"\r+(?!\n)")  # several at once end one line: between them nothing was written


@dataclass(frozen=True, slots=True)
class Piece:
    r"""A run of whole lines, cleaned, and the number of its first line in the file.

    A line that a carriage return ended keeps it before its ``\n``; one that ended in ``\r\n`` does
    not. So lines count as an editor counts them.

    >>> piece = Piece(b"50%\r\nstep 1\nstep 2\n", 7)
    >>> piece.line_of(12)
    8
    """

    data: bytes
    line: int

    def line_of(self, position: int) -> int:
        """The number, from 1, of the line in the file that holds byte ``position`` of this piece."""
        return self.line + self.data.count(b"\n", 0, position) - self.data.count(b"\r\n", 0, position)


def clean(raw: bytes) -> bytes:
    r"""Take out what a terminal would have acted upon; see ``Piece`` for line ends.

    >>> clean(b"\x1b[1mstep 1\x1b[0m\r\nbar 10%\rbar 20%\n")
    b'step 1\nbar 10%\r\nbar 20%\n'
    """
    if b"\x1b" in raw:
        raw = ANSI.sub(b"", raw)
    if b"\r" in raw:
        if b"\r\r\n" in raw:
            raw = CRS.sub(b"\r\n", raw)
        raw = LONE_CR.sub(b"\0", raw.translate(None, b"\0").replace(b"\r\n", b"\n"))
        return raw.replace(b"\0", b"\r\n")
    # by translate: replace takes ten times as long on a gigabyte of nothing else
    return raw.translate(None, b"\0") if b"\0" in raw else raw


class Source:
    """A log that can be read more than once.

    Raises ``UnreadableError`` from any read when the file is missing, unreadable, or a bomb.
    """

    def __init__(self, path: Path, name: str | None = None, spooled: IO[bytes] | None = None) -> None:
        self.path = path
        self.name = name or path.name
        self._spooled = spooled
        self.notes: list[str] = []  # damage met while reading, for the run's warnings

    @classmethod
    def stdin(cls) -> Source:
        """Standard input, kept in a temporary file so that it can be read twice."""
        spool = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the source
        # read1, not read: control returns after each piece, so that Ctrl-C is seen while input trickles in
        while piece := cast(BufferedReader, sys.stdin.buffer).read1(PIECE):
            spool.write(piece)
        return cls(Path("-"), "standard input", spool)

    def close(self) -> None:
        """Let go of what standard input was kept in; a file on disk is open only while it is read."""
        if self._spooled is not None:
            self._spooled.close()

    def _raw(self) -> BinaryIO:
        if self._spooled is not None:
            self._spooled.seek(0)
            return cast(BinaryIO, self._spooled)
        try:
            if self.path.is_fifo():
                raise UnreadableError(f"{self.name} is a pipe, which can't be read twice: {PIPED}")
            if not self.path.is_file():
                raise UnreadableError(f"{self.name} is not a regular file")
            return self.path.open("rb")
        except OSError as error:
            raise UnreadableError(f"can't open {self.name}: {error.strerror or error}") from None

    @cached_property
    def magic(self) -> bytes:
        """The first 16 bytes as they lie on disk."""
        file = self._raw()
        try:
            return file.read(16)
        finally:
            self._close(file)

    def _close(self, file: BinaryIO) -> None:
        if self._spooled is None:
            file.close()

    @property
    def compressed(self) -> bool:
        return self.magic.startswith((GZIP, ZSTD))

    def blocks(self) -> Iterator[bytes]:
        """Unpacked bytes as they are, for binary formats; at most ``PIECE`` each."""
        packed = self.compressed  # asked before: what standard input was kept in has one place to read from
        file = self._raw()
        try:
            yield from self._unpacked(file) if packed else iter(lambda: file.read(PIECE), b"")
        except OSError as error:
            raise UnreadableError(f"can't read {self.name}: {error.strerror or error}") from None
        finally:
            self._close(file)

    def _unpacked(self, file: BinaryIO) -> Iterator[bytes]:
        total, unpack = 0, unzstd if self.magic.startswith(ZSTD) else gunzipped
        try:
            for block in unpack(file, PIECE):
                total += len(block)
                if total > UNPACKED:
                    raise UnreadableError(f"{self.name} unpacks to more than {UNPACKED >> 30} GiB: refused")
                yield block
        except DamagedError as error:
            # cut or damaged: what came before is still good
            note = f"{self.name} is damaged after {total:,} unpacked bytes: {printable_error(error)}"
            if note not in self.notes:
                self.notes.append(note)

    @cached_property
    def sample(self) -> bytes:
        """Clean text from the start and, where the file can seek, from places all over it."""
        parts, length = [], 0
        for block in self.blocks():
            parts.append(block)
            length += len(block)
            if length >= HEAD:
                break
        head = b"".join(parts)[:HEAD]
        if self.compressed or length < HEAD:
            return clean(_decode(head))
        return clean(_decode(head)) + b"\n" + b"\n".join(self._probes())

    def _probes(self) -> Iterator[bytes]:
        file = self._raw()
        try:
            size = file.seek(0, 2)
            for i in range(1, PROBES + 1):
                file.seek(max(HEAD, min(size - PROBE, HEAD + (size - HEAD) * i // PROBES)))
                # the first line of a probe is cut, so it is left out
                yield clean(_decode(file.read(PROBE).partition(b"\n")[2]))
        finally:
            self._close(file)

    def pieces(self) -> Iterator[Piece]:
        """Clean text in pieces that end at a line end."""
        rest, line, utf16 = b"", 1, ""
        for block in self.blocks():
            if line == 1 and not rest:
                utf16 = _utf16(block)
                rest = block.removeprefix(UTF8)  # the mark that spreadsheets write first
            else:
                rest += block
            cut = rest.rfind(b"\n") + 1
            if utf16:
                cut = len(rest) // 2 * 2 if len(rest) >= PIECE else 0
            elif not cut and len(rest) >= LINE:
                cut = max(rest.rfind(b"\r"), rest.rfind(b" ")) + 1 or len(rest)
            if not cut:
                continue
            piece, rest = rest[:cut], rest[cut:]
            text = clean(piece.decode(utf16, "replace").encode() if utf16 else piece)
            yield Piece(text, line)
            line += text.count(b"\n") - text.count(b"\r\n")
        if rest:
            text = clean(rest.decode(utf16, "replace").encode() if utf16 else rest)
            yield Piece(text, line)

    def lines(self) -> Iterator[tuple[int, str]]:
        """Each line's number in the file and its text, invalid UTF-8 replaced."""
        for piece in self.pieces():
            number = piece.line
            for raw in piece.data.split(b"\n"):
                yield number, raw.rstrip(b"\r").decode("utf-8", "replace")
                number += not raw.endswith(b"\r")

    def text(self, limit: int = 64 << 20) -> str:
        """The whole of a small file (JSON); raises ``UnreadableError`` past ``limit`` bytes."""
        parts, size = [], 0
        for block in self.blocks():
            parts.append(block)
            size += len(block)
            if size > limit:
                raise UnreadableError(
                    f"{self.name} is larger than {limit >> 20} MiB, too large for its format"
                )
        return _decode(b"".join(parts)).decode("utf-8", "replace").removeprefix("\ufeff")


def printable_error(error: Exception) -> str:
    """The error's own words on one line."""
    return " ".join(str(error).split()) or type(error).__name__


def _utf16(head: bytes) -> str:
    return "utf-16" if head.startswith((b"\xff\xfe", b"\xfe\xff")) else ""


def _decode(raw: bytes) -> bytes:
    raw = raw.removeprefix(UTF8)
    return raw[: len(raw) // 2 * 2].decode("utf-16", "replace").encode() if _utf16(raw) else raw
