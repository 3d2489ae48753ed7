"""What the live page answers: the list of runs, the page of one, what changed, and its own script and style.

All that reads logs or judges runs happens on one thread of its own (``Live.doctor``), one thing after the
other: what is cached below knows of no second one. The event loop only hands on what that thread made.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Protocol, TypeVar

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from ..errors import UnplateauError, printable
from . import serve_page as pages
from .seen import Update, Watched
from .serve_events import Board, events
from .serve_guard import App, Guard
from .serve_list import address, line, ordered, rows_of, stands, summary
from .serve_page import sorry

LIST = "runs"  # the name on the board of what stands above the list: how many runs stand how, in which order
KEYS = 200  # runs that one request for rows may name

T = TypeVar("T")


class Watching(Protocol):
    """What the page needs of a watcher (watching.py): ``poll`` gives an update where something is new."""

    @property
    def wait(self) -> float:
        """Seconds between two polls."""

    @property
    def over(self) -> bool:
        """True when the last update was the one that was waited for."""

    def poll(self) -> Update | None: ...


class Live:
    """The watch, as the page sees it: the last update, what changed when, and the pages of the runs.

    ``render``: the inside of the page's main part for the run of a key; it is called on the doctor's thread.
    """

    def __init__(self, watcher: Watching, render: Callable[[str], str]) -> None:
        self.watcher, self.render = watcher, render
        self.board = Board()
        self.update: Update | None = None
        self.fault: BaseException | None = None
        self.doctor = ThreadPoolExecutor(1, thread_name_prefix="doctor")

    async def on_thread(self, job: Callable[..., T], *args: object) -> T:
        """``job`` on the thread that reads and judges."""
        return await asyncio.get_running_loop().run_in_executor(self.doctor, job, *args)

    async def page(self, key: str) -> tuple[int, str]:
        """The inside of the page of a run and its status; where it can't be made, why, in a sentence."""
        try:
            return 200, await self.on_thread(self.render, key)
        except UnplateauError as error:
            return 200, sorry(str(error))
        except Exception as error:
            if os.environ.get("UNPLATEAU_DEBUG"):
                raise
            fault = f"{type(error).__name__}: {printable(str(error), 200)}"
            return 500, sorry(f"{fault} (this is a fault of unplateau; set UNPLATEAU_DEBUG=1 to see where)")

    async def follow(self) -> None:
        """Poll until the board is closed, or the watch is over, and note what each update changed."""
        while not (self.board.closed or self.watcher.over):
            found = await self.on_thread(self.watcher.poll)
            if found is not None:
                self.take(found)
            await asyncio.sleep(self.watcher.wait)

    def take(self, found: Update) -> None:
        """The update of now; the runs that stand otherwise than before have changed, and so may the list."""
        before = {run.key: run for run in self.update.runs} if self.update else {}
        now = {run.key: run for run in found.runs}
        names = [address(key) for key in {**before, **now} if before.get(key) != now.get(key)]
        names += [page_of(key) for key in now if judged(before.get(key)) != judged(now[key])]
        if self.update is None or _above(self.update) != _above(found):
            names.append(LIST)
        self.update = found
        self.board.changed(names)

    def key(self, place: str) -> str | None:
        """The key of the run at an address; None where there is none."""
        runs = self.update.runs if self.update else ()
        return next((run.key for run in runs if address(run.key) == place), None)

    def watched(self, key: str) -> Watched | None:
        """The run of a key as it stands."""
        return self.update.run(key) if self.update else None

    def alone(self) -> str | None:
        """The key of the only run; None where there are several, or none yet."""
        runs = self.update.runs if self.update else ()
        return runs[0].key if len(runs) == 1 else None

    def close(self) -> None:
        """End the streams and the thread."""
        self.board.close()
        self.doctor.shutdown(wait=False, cancel_futures=True)


def page_of(key: str) -> str:
    """The name on the board of the page of a run; that of its row is its address alone."""
    return f"{address(key)}/main"


def judged(run: Watched | None) -> Watched | None:
    """A run as it was judged last: without what every line of its log changes."""
    return None if run is None else replace(run, step=None, left=None, written=0.0, quiet=False)


def _above(update: Update) -> object:
    return update.waiting, [(run.key, stands(run)) for run in ordered(update)]


def application(live: Live, token: str) -> App:
    """The application that answers for ``live``, behind its guard."""

    async def index(_: Request) -> Response:
        if (key := live.alone()) is not None:
            return await run_page(key, "")
        return HTMLResponse(pages.listing(live.update, live.board.mark()))

    async def run(request: Request) -> Response:
        key = live.key(request.path_params["place"])
        return _nothing() if key is None else await run_page(key, "../")

    async def run_page(key: str, root: str) -> Response:
        mark = live.board.mark()
        status, inside = await live.page(key)
        return HTMLResponse(pages.of_run(live.watched(key), key, inside, mark, root), status)

    async def main(request: Request) -> Response:
        key = live.key(request.path_params["place"])
        if key is None:
            return _nothing()
        status, inside = await live.page(key)
        return HTMLResponse(inside, status)

    async def stand(request: Request) -> Response:
        key = live.key(request.path_params["place"])
        return _nothing() if key is None else HTMLResponse(line(live.watched(key)))

    async def rows(request: Request) -> Response:
        asked = request.query_params.get("of", "").split(",")[:KEYS]
        return _json(_listed(live, asked))

    async def newer(request: Request) -> Response:
        names = live.board.newer(request.query_params.get("than", ""))
        return _json({"mark": live.board.mark(), "names": names})

    async def stream(request: Request) -> Response:
        seen = request.headers.get("last-event-id") or request.query_params.get("than", "")
        return StreamingResponse(events(live.board, seen), media_type="text/event-stream")

    async def asset(request: Request) -> Response:
        found = pages.asset(request.path_params["name"])
        return _nothing() if found is None else Response(found[0], media_type=found[1])

    routes = [
        Route("/", index),
        Route("/run/{place}", run),
        Route("/run/{place}/main", main),
        Route("/run/{place}/line", stand),
        Route("/rows", rows),
        Route("/newer", newer),
        Route("/events", stream),
        Route("/assets/{name}", asset),
    ]
    return Guard(Starlette(routes=routes), token, pages.POLICY)


def _listed(live: Live, asked: list[str]) -> dict[str, object]:
    """The rows that were asked for, and what stands above the list."""
    if live.update is None:
        return {"order": [], "rows": {}, "summary": ""}
    order = [address(run.key) for run in ordered(live.update)]
    return {"order": order, "rows": rows_of(live.update, asked), "summary": summary(live.update)}


def _nothing() -> Response:
    return PlainTextResponse("there is no such run here any more; the list has those that are\n", 404)


def _json(value: object) -> Response:
    return Response(json.dumps(value), media_type="application/json")
