"""Plain text to documents: at ``<|endoftext|>``, else at a blank line once a document is long enough."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator

END = "<|endoftext|>"  # stands between documents in text files of GPT-2's kind (TinyStories)
BLANK = "\n\n"
#: a line end is taken for a blank line once a document is so many times too long
PATIENCE = 4


def documents_of(pieces: Iterable[bytes], length: int | None, largest: int) -> Iterator[str]:
    r"""The documents of a text; ``length`` characters at least each, None for as the file has them.

    What is cut at a blank line keeps it, so that nothing is lost; nothing but white space is no document.

    >>> list(documents_of([b"one\n\ntwo\n\nthr", b"ee"], 4, 99))
    ['one\n\ntwo\n\n', 'three']
    >>> list(documents_of([b"one<|endoftext|>\ntwo"], None, 99))
    ['one', 'two']

    Bytes that are no UTF-8 become lone surrogates, as "surrogateescape" has it. A document is cut at ``largest`` + 1
    characters, for the caller to refuse.
    """
    held = ""
    for text in _decoded(pieces):
        held += text
        done = 0
        while (cut := _cut(held, done, length)) is not None:
            yield from _kept(held[done : cut[0]])
            done = cut[1]
        held = held[done:]
        if len(held) > largest + len(END):
            yield held
            return
    yield from _kept(held.removesuffix(END))


def _decoded(pieces: Iterable[bytes]) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8-sig")("surrogateescape")
    for piece in pieces:
        yield decoder.decode(piece)
    yield decoder.decode(b"", final=True)


def _cut(text: str, begin: int, length: int | None) -> tuple[int, int] | None:
    """Where the document that begins at ``begin`` ends and the next begins; None where that is not seen yet."""
    late = len(text) if length is None else begin + PATIENCE * length
    end = text.find(END, begin, late + len(END) - 1)
    blank = -1 if length is None else text.find(BLANK, begin + length, late if end < 0 else end)
    if blank >= 0:
        blank += len(BLANK)
        return (blank, blank) if blank < len(text) else None
    if end >= 0:
        after = end + len(END)
        return (end, after + text.startswith("\n", after)) if after < len(text) else None
    if length is None or len(text) < late + len(END):
        return None
    line = text.rfind("\n", begin + length, late) + 1 or late
    return line, line


def _kept(text: str) -> Iterator[str]:
    """A document as it stands; nothing for white space alone."""
    if text and not text.isspace():
        yield text
