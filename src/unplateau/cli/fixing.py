"""The verb that mends: fix."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import UnreadableError, UsageError, printable
from ._core import DONE, group, log_options, look, runs_of, say, unknown

if TYPE_CHECKING:
    from ..diagnosis import Diagnosis
    from ..fix import Mended
    from ..run import Run


@group.command()
@log_options
@click.option("--cause", "causes", multiple=True, metavar="NAME", help="The cause to mend. Repeatable.")
@click.option("--all-supported", is_flag=True, help="Mend all causes that are supported, in one config.")
@click.option("--out", metavar="FILE", help="Write the mended config to FILE.")
@click.option("--force", is_flag=True, help="Write over a FILE that is not ours, or was changed since.")
@click.option("--no-store", is_flag=True, help="Don't keep the prediction (forecast.json).")
def fix(
    path: str,
    *,
    causes: tuple[str, ...],
    all_supported: bool,
    out: str | None,
    force: bool,
    no_store: bool,
    as_json: bool,
    **given: Any,
) -> int:
    """Mend the config of a run, and say what that will come to.

    Shows a diff of the run's own config, in its trainer's words. The prediction
    is kept beside the run, so that `unplateau verify` can hold it to account.
    PATH is a file (also gzip or zstd), a folder, or - for standard input.
    """
    check(causes, all_supported=all_supported)
    found = diagnosis_of(runs_of(path, **given))
    mended = mended_of(found, path, causes, config=given.get("config"), to=out or "")
    if out is not None:
        write(Path(out), mended.text, force=force, read=inputs(path, given))
    said = () if no_store else store(path, found, mended)
    show(mended, out, said, as_json=as_json)
    return DONE


def check(causes: tuple[str, ...], *, all_supported: bool) -> None:
    """Refuse a call that does not say what to mend, or names what nobody knows."""
    from ..plugins import discover

    if bool(causes) == all_supported:
        raise UsageError(
            "fix wants --cause NAME, or --all-supported: what unplateau diagnose says of the run"
        )
    known = list(discover("hypotheses"))
    for name in causes:
        if name not in known:
            unknown(name, known)


def diagnosis_of(runs: list[Run]) -> Diagnosis:
    """The diagnosis of the one run at a path."""
    from ..diagnosis import diagnose

    if len(runs) > 1:
        names = printable(", ".join(run.name for run in runs), 200)
        raise UsageError(f"there are {len(runs)} runs: {names}; give the log or the folder of one")
    return diagnose(runs[0])


def mended_of(found: Diagnosis, path: str, causes: tuple[str, ...], *, config: str | None, to: str) -> Mended:
    """The mended config of the run at ``path``."""
    from ..fix import choose, mend
    from ..launch import config_of

    choice = choose(found, causes, Path(path))
    file = config_of(Path(path), found.run, Path(config) if config else None, choice.patch)
    return mend(found, choice, file, Path(path), to=to)


def inputs(path: str, given: Mapping[str, Any]) -> list[Path]:
    """What the run at ``path`` is read from: its logs and its configs."""
    from ..places import look

    told = [Path(given[name]) for name in ("config", "data") if given.get(name)]
    return [*told, *(file for place in look(Path(path)) for file in (*place.logs, *place.configs))]


def write(place: Path, text: str, *, force: bool, read: Sequence[Path] = ()) -> None:
    """Write ``text`` durably; refused where a file of ``read`` lies there, or something that is not ours."""
    from ..durable import write_durably
    from ..fixed import ours
    from ..spare import is_one_of

    if not place.parent.is_dir():
        raise UsageError(f"--out: there is no folder {printable(str(place.parent))}")
    if place.is_dir():
        raise UsageError(f"--out wants a file; {printable(str(place))} is a folder")
    there = text_at(place) if place.exists() and not force else None
    if there is not None and there != text and is_one_of(place, read):
        raise UsageError(
            f"{printable(str(place))} is what is read: it is kept; name another file, or give --force"
        )
    if there is not None and there != text and not ours(there):
        raise UsageError(
            f"{printable(str(place))} is there already, and not as fix wrote it; name another file, or give --force"
        )
    write_durably(place, text.encode())


def text_at(place: Path) -> str:
    """What lies at a place, as far as it may be a config."""
    from ..config import LIMIT

    try:
        with place.open("rb") as file:
            return file.read(LIMIT).decode("utf-8", "replace")
    except OSError as error:
        raise UnreadableError(f"can't look at {printable(str(place))}: {error.strerror or error}") from None


def store(path: str, found: Diagnosis, mended: Mended) -> tuple[str, ...]:
    """Keep the prediction beside the run; what is said of it."""
    from ..evidence import root_of
    from ..report.fix import stored as words
    from ..stored import NAME, stored
    from ..stored import store as keep

    if path == "-":
        return ("the prediction is not kept: standard input has no folder",)
    place = root_of(Path(path)) / NAME
    told = words(mended, found.planned, found.state.level)
    if any(one.get("futures") == told["futures"] for one in stored(place)):
        return (f"the prediction is kept in {place} already",)
    try:
        place.parent.mkdir(exist_ok=True)
    except OSError as error:
        raise UnreadableError(
            f"can't make {printable(str(place.parent))} to keep the prediction: {error.strerror or error}; "
            "give --no-store"
        ) from None
    return (f"the prediction is kept as number {keep(place, [told])} in {place}",)


def show(mended: Mended, out: str | None, said: tuple[str, ...], *, as_json: bool) -> None:
    """The diff on standard output, all else on standard error; or one JSON object."""
    from ..report import fix as words

    if as_json:
        from ..report import json

        say(json.dumps(words.fixed(mended, out, said)) + "\n")
        return
    terminal = look()
    say(words.diff(mended, colour=terminal["colour"]))
    written = (f"written to {out}",) if out else ()
    say(words.text(mended, **terminal) + "".join(f"{line}\n" for line in (*written, *said)), sys.stderr)
