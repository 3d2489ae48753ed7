"""The English text that comes with the package: State of the Union addresses of 1965 to 2021, public domain.

Where it was taken from and under which terms is told in ``data/README.md``.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from ..errors import UnreadableError

DATA = Path(__file__).parent / "data"
#: JSON lines (``name``, ``text``) packed with zstd: a source that ``prepare`` reads like any other
TEXT = DATA / "sotu.jsonl.zst"
TEXT_SHA256 = "6d27d17e39c5f9a5f93a3b4a5cbd40fe61259c52286fac194ef28b9f30651ab9"  # of its unpacked lines
TEXT_BYTES = 1 << 22  # at most, unpacked


def embedded_text() -> list[tuple[str, str]]:
    """The name and the text of each of the 57 addresses, in the order of their years; 1,982,319 bytes of UTF-8.

    Raises ``UnreadableError`` when the installed file is damaged.

    >>> addresses = embedded_text()
    >>> len(addresses), addresses[0][0]
    (57, '1965_lyndon_b_johnson_d')
    >>> sum(len(text.encode()) for _, text in addresses)
    1982319
    """
    import json

    import zstandard

    try:
        lines = zstandard.ZstdDecompressor().decompress(TEXT.read_bytes(), TEXT_BYTES)
    except (OSError, zstandard.ZstdError):
        lines = b""
    shipped(lines, TEXT_SHA256, TEXT.name)
    rows = [json.loads(line) for line in lines.splitlines()]
    return [(row["name"], row["text"]) for row in rows]


def shipped(content: bytes, expected: str, name: str) -> bytes:
    """``content``, once its sha256 is the ``expected`` one; raises ``UnreadableError`` where it is not.

    >>> shipped(b"x", "0" * 64, "vocab.bpe")
    Traceback (most recent call last):
    unplateau.errors.UnreadableError: vocab.bpe of the installed package is damaged (sha256 2d711642b726…, expected 000000000000…): install it anew
    """
    found = sha256(content).hexdigest()
    if found != expected:
        raise UnreadableError(
            f"{name} of the installed package is damaged (sha256 {found[:12]}…, expected {expected[:12]}…): "
            "install it anew"
        )
    return content
