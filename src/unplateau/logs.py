"""One log into its runs, by the reader that knows it best, or the reason why there are none."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

from .errors import UnplateauError, UnreadableError, printable
from .readers import Options, Reader, choose
from .readers._cells import LOOKED_AT, layout
from .readers._units import in_nats
from .run import LOSSES, SERIES, Run
from .source import Source

TRIED = 3  # readers that are tried on one log before it counts as unreadable
ONE_LINE = 4096  # bytes; a header without rows, or a path given for a log
TABLE = 0.5  # share of the lines looked at that are rows, of a log whose columns are worth a mention
#: characters that nobody prints, but NUL, of which a crash can leave many
CONTROL = bytes(set(range(1, 32)) - set(b"\a\b\t\n\v\f\r\x1b"))
BINARY = 0.03  # share of them; programs, pictures and archives have .05 to .24, logs none
HTML = re.compile(
    rb"[\s\xef\xbb\xbf]{0,64}<(?:!doctype\s{1,8}html|html)\b", re.IGNORECASE
)  # of a page's begin
KNOWN = "A CSV with columns step,train_loss,val_loss, a row an evaluation, always works."


def read_file(path: Path, options: Options) -> list[Run]:
    """The runs with a loss in one log, by the reader that knows it best; raises ``UnreadableError``."""
    source = Source.stdin() if str(path) == "-" else Source(path)
    try:
        return read_source(source, options)
    finally:
        source.close()


def read_source(source: Source, options: Options) -> list[Run]:
    """The runs with a loss in the bytes of one log, wherever they lie; raises ``UnreadableError``."""
    tried: list[str] = []
    refusal: UnplateauError | None = None
    readers: Iterator[Reader] = mapping(source) if options.columns else claims(source)
    html = HTML.match(source.sample) is not None
    if (binary := is_binary(source.sample)) or html:  # in which a last resort finds words that nobody wrote
        readers = (reader for reader in readers if not reader.last_resort)
    for reader in islice(readers, TRIED):
        try:
            runs = [in_nats(run, options) for run in reader.read(source, options) if has_loss(run)]
        except UnplateauError as error:
            refusal = refusal or error
            continue
        if runs:
            _check_mapped(runs, options)
            notes = tuple(note for note in source.notes if note not in runs[0].warnings)
            return [replace(run, warnings=(*run.warnings, *notes)) for run in runs] if notes else runs
        tried.append(reader.name)
    if html:
        raise UnreadableError(f"{source.name} is an HTML page, not a log. {KNOWN}")
    if refusal is not None:
        raise refusal
    if binary and not tried:
        raise UnreadableError(f"{source.name} is a binary file of no format that is known. {KNOWN}")
    raise UnreadableError(unread(source, tried))


def is_binary(sample: bytes) -> bool:
    r"""True where control characters are too many for a printed log, be it damaged.

    >>> is_binary(b"step 1: loss 3.5\n\x07"), is_binary(bytes(range(256)))
    (False, True)
    """
    return len(sample) - len(sample.translate(None, CONTROL)) > BINARY * len(sample) + 1


def has_loss(run: Run) -> bool:
    """True when a loss has a point, be it nan: a run that only ever gave nan is worth a diagnosis.

    A loss under the trainer's own name counts too: the user can map it.
    """
    return any(len(curve) and (name in LOSSES or "loss" in name) for name, curve in run.series.items())


def claims(source: Source) -> Iterator[Reader]:
    """The readers that claim a log: the chosen one, then who recognises most, those for unknown logs last.

    The others are not asked before their turn: some look at every word, half a second for a large log.
    """
    from .plugins import discover

    if (chosen := choose(source)) is None:
        return
    yield chosen
    readers: list[Reader] = [r for r in discover("readers").values() if r is not chosen]
    for late in (False, True):
        scored = [(r.sniff(source.sample, source.name), r) for r in readers if r.last_resort is late]
        found = [(score, r) for score, r in scored if score > 0]
        yield from (r for _, r in sorted(found, key=lambda pair: -pair[0]))


def mapping(source: Source) -> Iterator[Reader]:
    """The readers that heed a translation of names: those that claim the log, then the last resorts.

    They don't claim a log by names that only the user knows.
    """
    from .plugins import discover

    scored = [(r.sniff(source.sample, source.name), r) for r in discover("readers").values() if r.maps]
    ranked = sorted(scored, key=lambda pair: (pair[1].last_resort, -pair[0]))
    return (r for score, r in ranked if score > 0 or r.last_resort)


def _check_mapped(runs: list[Run], options: Options) -> None:
    """Every series that the user gave a name for must have come."""
    from .readers._names import absent

    held = {name: None for run in runs for name in run.series}
    for series, key in options.columns.items():
        if series in SERIES and series not in held:
            raise absent(series, key, held)


def unread(source: Source, tried: Iterable[str]) -> str:
    """What was found, what was expected, what to do; one line."""
    if as_format := ", ".join(tried):
        return f"{source.name} was read as {as_format}, and holds no loss at a step; expected train or val losses. {KNOWN}"
    if 0 < len(source.sample) < ONE_LINE and source.sample.strip().count(b"\n") == 0:
        only = printable(source.sample.strip().decode("utf-8", "replace"), 60)
        return f"{source.name} holds one line, {only!r}, and no records. {KNOWN}"
    start = source.sample.lstrip()[:60].partition(b"\n")[0].decode("utf-8", "replace")
    found = f"starts with {printable(start)!r}" if start else "is empty"
    columns = ""
    how = layout(source.sample.decode("utf-8", "replace"))
    if how is not None and how.rows > TABLE * sum(
        1 for line in source.sample.split(b"\n", LOOKED_AT) if line
    ):
        held = printable(", ".join(how.header), 400)
        columns = f" Its columns are {held}: name them with --map step=COLUMN --map val_loss=COLUMN."
    return f"no reader knows a log that {found} ({source.name}). See docs/formats.md.{columns} {KNOWN}"


def read_folder(path: Path, options: Options) -> list[Run]:
    """A folder that is one log: of event files, or of Weights & Biases."""
    from importlib import import_module

    module = "tensorboard" if any(path.glob("**/events.out.tfevents*")) else "wandb_dir"
    try:
        read: Callable[[Path, Options], list[Run]] | None
        read = getattr(import_module(f"unplateau.readers.{module}"), "read_folder", None)
    except ModuleNotFoundError:
        read = None
    return [in_nats(run, options) for run in read(path, options)] if read is not None else []
