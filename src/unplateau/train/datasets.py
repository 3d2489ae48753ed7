"""What ``dataset`` means: a folder, nanoGPT's ``data/NAME``, or several of them with weights."""

from __future__ import annotations

from pathlib import Path

from ..errors import UnreadableError, UsageError, printable

DATA = "data"  # nanoGPT's folder of data folders
ABOVE = 2  # folders above a config in which nanoGPT's data may lie: its own, and the one that holds config/


def parts(dataset: str) -> list[tuple[str, float]]:
    """Each data set and its weight, which sum to 1. Raises ``UsageError`` for weights that can't be.

    >>> parts("a=3,b=1")
    [('a', 0.75), ('b', 0.25)]
    >>> parts("data/shakespeare")
    [('data/shakespeare', 1.0)]
    """
    found = [one.strip().rpartition("=") for one in dataset.split(",") if one.strip()]
    if any(not equals for _, equals, _ in found):
        if len(found) > 1:
            raise UsageError(f"several data sets want weights, as in a=3,b=1; found {printable(dataset)!r}")
        return [(dataset, 1.0)]
    weighed = [(name, _weight(weight, dataset)) for name, _, weight in found]
    total = sum(weight for _, weight in weighed)
    return [(name, weight / total) for name, weight in weighed]


def _weight(text: str, dataset: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        weight = -1.0
    if not 0 < weight < float("inf"):
        raise UsageError(f"a weight is a number above 0, as in a=3,b=1; found {printable(dataset)!r}")
    return weight


def found_at(dataset: str, config: Path | None, first: str = "") -> str:
    """``dataset`` with its folders as they lie on this machine, absolute; what lies nowhere stays as it was.

    ``first`` is the folder that is looked into before the working folder itself: nanoGPT's ``data``.
    """
    told = parts(dataset)
    places = [str(place) if (place := _find(name, config, first)) else name for name, _ in told]
    if "=" not in dataset or len(told) == 1:
        return places[0]
    return ",".join(f"{place}={weight:g}" for place, (_, weight) in zip(places, told, strict=True))


def _find(name: str, config: Path | None, first: str) -> Path | None:
    bases = [Path(), *(config.resolve().parents[:ABOVE] if config else [])]
    order = (DATA, "") if first else ("", DATA)
    candidates = (base / inner / name for base in bases for inner in order)
    return next((c.resolve() for c in candidates if c.is_dir()), None)


def folders(dataset: str) -> list[tuple[Path, float]]:
    """The folder of each data set, and its weight. Raises ``UsageError`` where none is named, ``UnreadableError`` where one is missing."""
    if not dataset:
        raise UsageError(
            "no data: give --dataset=FOLDER, which `unplateau prepare` wrote, or nanoGPT's data folder"
        )
    found = [(Path(name), weight) for name, weight in parts(dataset)]
    if twice := [path for i, (path, _) in enumerate(found) if path in [p for p, _ in found[:i]]]:
        raise UsageError(f"{printable(str(twice[0]))} is in the mixture twice: name it once, with one weight")
    for path, _ in found:
        if not path.is_dir():
            raise UnreadableError(
                f"there is no data folder {printable(str(path))}, nor {DATA}/{printable(path.name)} here or beside the config; "
                "expected what `unplateau prepare` wrote, or nanoGPT's train.bin and val.bin"
            )
    return found
