"""What a verb may write over: an earlier file of its own; never one that it reads, nor any that is not ours.

The log, its config and its checkpoint lie close by wherever somebody names a file to write.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .errors import UsageError, printable

HEAD = 8192  # bytes of a file by which it is known
LONGEST = 400  # characters of a path that is told


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of file that we write: its name, how its bytes begin (in small letters), and what is soon found in them."""

    name: str
    begins: bytes
    holds: bytes = b""

    def made(self, head: bytes) -> bool:
        """Whether a file that begins with ``head`` is one of ours.

        >>> PAGE.made(b'<!DOCTYPE html><meta name="generator" content="unplateau 1">'), PAGE.made(b"<!doctype html>")
        (True, False)
        """
        return head.lower().startswith(self.begins) and self.holds in head


PAGE = Kind("page of unplateau", b"<!doctype html>", b'name="generator" content="unplateau')
ROWS = Kind("table of unplateau read", b"run,series,step,value")
SARIF = Kind("SARIF of unplateau", b'{"$schema"', b'"driver":{"name":"unplateau"')
SVG = Kind("picture of unplateau", b'<svg xmlns="http://www.w3.org/2000/svg" class="up"')
PNG = Kind("picture of unplateau", b"\x89png\r\n\x1a\n", b"Software\0unplateau")


def spare(option: str, target: Path, kind: Kind, read: Iterable[str | os.PathLike[str] | None] = ()) -> None:
    """Raise ``UsageError`` where ``target`` can't be written, is in ``read``, or is there and not of ``kind``.

    ``option``: what named it, as the user typed it. ``read``: what the verb reads. An empty file may be written over.
    """
    name = shown(target)
    if target.is_dir():
        raise UsageError(f"{option} wants a file; {name} is a folder")
    if not target.parent.exists():
        raise UsageError(
            f"{option} {name}: there is no folder {shown(target.parent)}; make it, or give another"
        )
    takes_files(option, target.parent)
    if target.exists():
        _keep(option, target, kind, read)


def _keep(option: str, target: Path, kind: Kind, read: Iterable[str | os.PathLike[str] | None]) -> None:
    name, instead = shown(target), f"it is kept; give another file to {option}"
    if is_one_of(target, read):
        raise UsageError(f"{name} is what is read: {instead}")
    if not target.is_file():
        raise UsageError(f"{name} is there, and is no regular file: {instead}")
    try:
        with target.open("rb") as file:
            head = file.read(HEAD)
    except OSError as error:
        raise UsageError(f"can't write over {name}: {error.strerror or error}") from None
    if head and not kind.made(head):
        raise UsageError(f"{name} is there, and is no {kind.name}: {instead}")


def is_one_of(target: Path, read: Iterable[str | os.PathLike[str] | None]) -> bool:
    """Whether ``target`` is a file of ``read``, under whatever name."""
    try:
        return any(one and Path(one).exists() and target.samefile(one) for one in read)
    except OSError:
        return False


def takes_files(option: str, folder: Path) -> None:
    """Raise ``UsageError`` for a folder that can't be made, or takes no files."""
    there = next((place for place in (folder, *folder.absolute().parents) if place.exists()), folder)
    if not there.is_dir():
        raise UsageError(f"{option} wants a folder; {shown(there)} is a file")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UsageError(f"{option}: {shown(there)} can't be written to; give another folder")


def shown(path: Path) -> str:
    """A path as it is told: whole, and safe to show."""
    return printable(str(path), LONGEST)
