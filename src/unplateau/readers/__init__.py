"""Log formats, one file each. A reader claims its own logs and turns them into runs.

To add one: a module here with ``READER = Reader(...)``; the contract suite in
``tests/test_readers_contract.py`` holds it without being touched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ..run import Run
from ..source import Source


@dataclass(frozen=True, slots=True)
class Options:
    """What the user said about columns: ``--map val_loss=eval/nll`` and ``--unit bits``."""

    columns: Mapping[str, str] = field(default_factory=dict)  # a series' name -> the log's own key
    unit: str | None = None  # the unit of the losses, where the log can't tell


@dataclass(frozen=True, slots=True)
class Reader:
    """A log format, as a value.

    ``sniff(sample, name)`` counts the records of its own that it finds in the sample (clean bytes from
    the start and from places all over the file; ``name`` is the file's name): 0 means not mine.
    The reader that counts most wins; those with ``last_resort`` are asked only when no other claims.
    Where the user names columns, only readers that heed that read, and the last resorts whatever they count.
    ``read(source, options)`` gives the runs in the file, in order; an empty list when there are none.
    """

    name: str
    about: str  # one line for docs/formats.md, with an example record
    sniff: Callable[[bytes, str], int]
    read: Callable[[Source, Options], list[Run]]
    last_resort: bool = False
    maps: bool = False  # it heeds ``Options.columns``


def choose(source: Source) -> Reader | None:
    """The reader that recognises most records in the sample of ``source``, or None.

    A claim of one record may be chance (a comma in each time stamp makes a table): a last resort that
    finds more takes the log, unless it is a JSON document, which no reader of lines understands.
    """
    from ..plugins import discover

    readers: list[Reader] = list(discover("readers").values())
    first = _best(source, [r for r in readers if not r.last_resort])
    document = source.sample.lstrip()[:1] in {b"{", b"["}
    if first[0] > 1 or (first[0] == 1 and document):
        return first[1]  # the last resorts look at every word: half a second for a large log
    resort = _best(source, [r for r in readers if r.last_resort])
    count, reader = resort if resort[0] > first[0] else first
    return reader if count > 0 else None


def _best(source: Source, readers: list[Reader]) -> tuple[int, Reader | None]:
    claims = [(r.sniff(source.sample, source.name), r) for r in readers]
    return max(claims, key=lambda claim: claim[0], default=(0, None))
