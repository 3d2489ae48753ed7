"""The English text that comes with the package: State of the Union addresses of 1965 to 2021, public domain.

Where it was taken from and under which terms is told in ``data/README.md``. ``unplateau prepare embedded:sotu`` takes
it as a source, so that whatever prepares can be tried without any data.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from ..errors import UnreadableError

DATA = Path(__file__).parent / "data"
#: what ``prepare`` calls it, wherever the package is installed
SOURCE = "embedded:sotu"
#: JSON lines (``name``, ``text``) packed with zstd
TEXT = DATA / "sotu.jsonl.zst"
TEXT_SHA256 = "3405df0cbc8dfb00af16c09f866e8951e3256b2631b86f9c03fa9b4ef0a12414"  # packed
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

    lines = zstandard.ZstdDecompressor().decompress(packed(), TEXT_BYTES)
    rows = [json.loads(line) for line in lines.splitlines()]
    return [(row["name"], row["text"]) for row in rows]


def packed() -> bytes:
    """The file's own bytes; raises ``UnreadableError`` when it is damaged or gone."""
    try:
        content = TEXT.read_bytes()
    except OSError:
        content = b""
    return shipped(content, TEXT_SHA256, TEXT.name)


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
