"""Log formats, one file each. A reader claims its own logs and turns them into runs.

To add one: a module here with ``READER = Reader(...)``; the contract suite in
``tests/test_readers_contract.py`` holds it without being touched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ..errors import UsageError, printable
from ..given import kind
from ..run import SERIES, Run
from ..source import Source
from ..units import UNITS


@dataclass(frozen=True, slots=True)
class Options:
    """What the user said about columns: ``--map val_loss=eval/nll`` and ``--unit bits``."""

    columns: Mapping[str, str] = field(default_factory=dict)  # a series' name -> the log's own key
    unit: str | None = None  # the unit of the losses, where the log can't tell

    @classmethod
    def checked(cls, columns: Mapping[str, str], unit: str | None, words: tuple[str, str]) -> Options:
        """Options of names that are known. ``words``: what a series and a unit are asked for by, for a message.

        >>> Options.checked({"loss": "x"}, None, ("columns wants a series", "unit"))
        Traceback (most recent call last):
        unplateau.errors.UsageError: columns wants a series among step, val_loss, train_loss, batch_loss, lr, grad_norm, tokens, epoch, mfu, step_ms; found 'loss'
        """
        known = ("step", *SERIES)
        for name, column in columns.items():
            if name not in known:
                raise UsageError(f"{words[0]} among {', '.join(known)}; found {printable(str(name))!r}")
            if not (isinstance(column, str) and column):
                raise UsageError(f"{words[0]} and its column; found {kind(column)} for {name}")
        if unit is not None and not (isinstance(unit, str) and unit in UNITS):
            raise UsageError(f"{words[1]} wants one of {', '.join(UNITS)}; found {printable(str(unit))!r}")
        return cls(dict(columns), unit)


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
