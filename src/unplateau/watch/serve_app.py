"""What the live page answers: the list of runs, the page of one, what changed, and its own script and style."""

from __future__ import annotations

import json
from dataclasses import dataclass
from urllib.parse import parse_qs

from . import serve_page as pages
from .serve_list import address, line, ordered, rows_of, summary
from .serve_live import Live

KEYS = 200  # runs that one request for rows may name
FIELDS = 10  # of a query


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent; where ``since`` is a mark, the stream of what is newer than that."""

    body: str = ""
    kind: str = "text/html"
    status: int = 200
    since: str | None = None


NOTHING = Answer("there is no such run here any more; the list has those that are\n", "text/plain", 404)


def answer(live: Live, path: str, query: str = "", last: str = "") -> Answer:
    """The answer to a request that the guard let pass; ``path`` without the token, ``last``: the Last-Event-ID."""
    asked = {name: values[0] for name, values in parse_qs(query, max_num_fields=FIELDS).items()}
    match path.split("/")[1:]:
        case [""]:
            return _index(live)
        case ["run", place]:
            return _run(live, live.key(place), "../")
        case ["run", place, "main"]:
            return _main(live, live.key(place))
        case ["run", place, "line"]:
            return _line(live, live.key(place))
        case ["rows"]:
            return _rows(live, asked.get("of", "").split(",")[:KEYS])
        case ["newer"]:
            names, mark = live.board.newer(asked.get("than", ""))
            return _json({"mark": mark, "names": names})
        case ["events"]:
            return Answer(kind="text/event-stream", since=last or asked.get("than", ""))
        case ["assets", name]:
            found = pages.asset(name)
            return NOTHING if found is None else Answer(*found)
    return NOTHING


def _index(live: Live) -> Answer:
    """The only run, or the list."""
    if (key := live.alone()) is not None:
        return _run(live, key, "")
    mark = live.board.mark()
    return Answer(pages.listing(live.update, mark))


def _run(live: Live, key: str | None, root: str) -> Answer:
    if key is None:
        return NOTHING
    mark = live.board.mark()  # before the page is made: what changes meanwhile is newer
    status, inside = live.page(key)
    return Answer(pages.of_run(live.watched(key), key, inside, mark, root, update=live.update), status=status)


def _main(live: Live, key: str | None) -> Answer:
    if key is None:
        return NOTHING
    status, inside = live.page(key)
    return Answer(inside, status=status)


def _line(live: Live, key: str | None) -> Answer:
    found = live.watched(key) if key is not None else None
    return NOTHING if found is None else _json({"line": line(found, live.update), "verdict": found.headline})


def _rows(live: Live, asked: list[str]) -> Answer:
    """The rows that were asked for, and what stands above the list."""
    if live.update is None:
        return _json({"order": [], "rows": {}, "summary": ""})
    order = [address(run.key) for run in ordered(live.update)]
    return _json({"order": order, "rows": rows_of(live.update, asked), "summary": summary(live.update)})


def _json(value: object) -> Answer:
    return Answer(json.dumps(value), "application/json")
