"""The live page's guard, its stream of events and its list, without a browser; the server as a process is in test_serve_process.py.

Each guard was seen red once:
- the token compared with ``startswith`` instead of whole: test_only_the_whole_token_opens (a part of it opened);
- Host not looked at: test_a_host_that_is_not_this_machine_is_refused (DNS rebinding);
- Origin not looked at, and Sec-Fetch-Site not: test_what_another_site_sends_is_refused;
- POST handed on: test_nothing_can_be_changed;
- ``newer`` by ``>=``: test_a_stream_tells_only_what_is_new (a tab that came back heard old names again);
- the stream without an end when the board closes: test_a_stream_ends_when_the_watch_ends (the test ran out of time);
- a name put into a row without ``text``: test_foreign_words_stay_words_in_the_list.
"""

import asyncio
import json
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="the live page needs the extra: pip install 'unplateau[watch]'")

from unplateau.errors import UnreadableError
from unplateau.estimate import Estimate
from unplateau.watch.seen import Standing, Update, Watched
from unplateau.watch.serve_app import LIST, Live, application
from unplateau.watch.serve_events import Board, events
from unplateau.watch.serve_guard import new_token
from unplateau.watch.serve_list import STANDS, address, ordered, row, stands, summary, table

TOKEN = "sesame-sesame-sesame-sesa"
LOCAL = {"host": "127.0.0.1:8000"}
RUN = Watched(
    "a/train.log", "a/train.log", Path("a/train.log"), verdict="falling", loss=3.5, step=100, written=1.7e9
)
PAYLOADS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover=alert(1) '",
    "</td></table><svg onload=alert(1)>",
]


class Standin:
    """A watcher that gives the updates that it was given, one a poll."""

    wait = 0.01
    over = False

    def __init__(self, *updates):
        self.updates = list(updates)

    def poll(self):
        return self.updates.pop(0) if self.updates else None


def update(*runs, number=1, waiting=""):
    return Update(number, 1.7e9, Path("runs"), runs, waiting=waiting)


def live_of(*runs):
    live = Live(Standin(), lambda key: f"<h1>{len(key)}</h1>")
    live.take(update(*runs))
    return live


def asked(app, path, method="GET", headers=LOCAL):
    """The answer of an ASGI application: status, headers, body; without a server."""
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    raw, _, query = path.partition("?")
    scope = {
        "type": "http",
        "method": method,
        "path": raw,
        "raw_path": raw.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "scheme": "http",
        "http_version": "1.1",
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 1),
        "headers": [
            (k.encode(), v.encode()) for k, v in (headers.items() if isinstance(headers, dict) else headers)
        ],
    }
    asyncio.run(app(scope, receive, send))
    body = b"".join(m.get("body", b"") for m in sent if m["type"] == "http.response.body")
    return sent[0]["status"], {k.decode(): v.decode() for k, v in sent[0]["headers"]}, body.decode()


@pytest.fixture
def app():
    live = live_of(RUN, Watched("b.log", "b.log", Path("b.log")))
    yield application(live, TOKEN)
    live.close()


# ---- who may read ----


def test_the_page_opens_with_its_token(app):
    status, headers, body = asked(app, f"/{TOKEN}/")

    assert status == 200
    assert "a/train.log" in body
    assert headers["content-type"].startswith("text/html")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        f"/{TOKEN}",
        f"/{TOKEN[:-1]}/",
        f"/{TOKEN}x/",
        f"/x{TOKEN}/",
        "//",
        f"/x/../{TOKEN}/",
        "/é/",
        f"/{TOKEN[:5]}/rows",
        "/favicon.ico",
    ],
)
def test_only_the_whole_token_opens(app, path):
    status, _, body = asked(app, path)

    assert status == 404
    assert "train.log" not in body
    assert TOKEN not in body


def test_two_starts_have_two_tokens_that_nobody_guesses():
    tokens = {new_token() for _ in range(100)}

    assert len(tokens) == 100
    assert all(len(token) >= 22 for token in tokens)  # 128 bits, six a character


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "127.0.0.1", "localhost:9000", "LOCALHOST"])
def test_the_names_of_this_machine_are_answered(app, host):
    assert asked(app, f"/{TOKEN}/", headers={"host": host})[0] == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "127.0.0.1.evil.example",
        "127.0.0.1@evil.example",
        "localhost.evil",
        "",
        "[::1]:80",
        "0.0.0.0:8000",
        "192.168.0.2:8000",
    ],
)
def test_a_host_that_is_not_this_machine_is_refused(app, host):
    assert asked(app, f"/{TOKEN}/", headers={"host": host})[0] == 403


def test_no_host_or_two_are_refused(app):
    assert asked(app, f"/{TOKEN}/", headers={})[0] == 403
    assert asked(app, f"/{TOKEN}/", headers=[("host", "127.0.0.1"), ("host", "evil.example")])[0] == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "https://127.0.0.1:8000"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "script"},
    ],
)
def test_what_another_site_sends_is_refused(app, headers):
    assert asked(app, f"/{TOKEN}/", headers={**LOCAL, **headers})[0] == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://127.0.0.1:8000", "sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"},
    ],
)
def test_our_own_page_and_a_link_that_the_user_follows_are_answered(app, headers):
    assert asked(app, f"/{TOKEN}/", headers={**LOCAL, **headers})[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT"])
def test_nothing_can_be_changed(app, method):
    status, headers, _ = asked(app, f"/{TOKEN}/", method=method)

    assert status == 405
    assert headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    "path", [f"/{TOKEN}/", f"/{TOKEN}/rows", "/", f"/{TOKEN}/run/none", f"/{TOKEN}/assets/live.js"]
)
def test_every_answer_says_that_nothing_from_elsewhere_may_run_and_nothing_may_be_kept(app, path):
    _, headers, _ = asked(app, path)

    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert not any(name.startswith("access-control") for name in headers)


@pytest.mark.parametrize(
    "name", ["../serve.py", "..%2fserve.py", "%2e%2e/serve.py", "live.js/../../serve.py", "page.html", ""]
)
def test_no_other_file_can_be_had(app, name):
    assert asked(app, f"/{TOKEN}/assets/{name}")[0] == 404


# ---- what is answered ----


def test_the_page_of_a_run_is_found_by_its_address(app):
    status, _, body = asked(app, f"/{TOKEN}/run/{address(RUN.key)}")

    assert status == 200
    assert f"<h1>{len(RUN.key)}</h1>" in body
    assert asked(app, f"/{TOKEN}/run/{address(RUN.key)}/main")[2] == f"<h1>{len(RUN.key)}</h1>"


def test_a_page_that_cannot_be_made_says_why_and_the_others_still_come(monkeypatch):
    def fails(_):
        raise ZeroDivisionError("<b>")

    def unreadable(_):
        raise UnreadableError("can't open train.log: Permission denied")

    monkeypatch.delenv("UNPLATEAU_DEBUG", raising=False)
    live = live_of(RUN)
    app = application(live, TOKEN)
    live.render = fails
    status, _, body = asked(app, f"/{TOKEN}/")
    live.render = unreadable
    readable, _, why = asked(app, f"/{TOKEN}/run/{address(RUN.key)}/main")
    live.close()

    assert (status, readable) == (500, 200)
    assert "ZeroDivisionError: &lt;b&gt; (this is a fault of unplateau" in body
    assert "Permission denied" in why


@pytest.mark.parametrize("place", ["none", "a%2Ftrain.log", "..", "a", "0" * 5000])
def test_an_address_that_no_run_has_is_not_looked_for_on_disk(app, place):
    assert asked(app, f"/{TOKEN}/run/{place}/main")[0] == 404


def test_the_only_run_is_shown_at_once():
    live = live_of(RUN)
    body = asked(application(live, TOKEN), f"/{TOKEN}/")[2]
    live.close()

    assert f"<h1>{len(RUN.key)}</h1>" in body


def test_a_folder_without_runs_says_why():
    live = Live(Standin(), str)
    live.take(update(waiting="there is no train.log; expected a log"))
    body = asked(application(live, TOKEN), f"/{TOKEN}/")[2]
    live.close()

    assert "there is no train.log; expected a log" in body


def test_rows_come_for_the_runs_that_were_asked_for(app):
    found = json.loads(asked(app, f"/{TOKEN}/rows?of={address(RUN.key)},{address('gone')}")[2])

    assert set(found["rows"]) == {address(RUN.key), address("gone")}
    assert "a/train.log" in found["rows"][address(RUN.key)]
    assert found["rows"][address("gone")] == ""
    assert len(found["order"]) == 2


# ---- what is new ----


def heard(board, seen, until, heartbeat=5.0):
    """The parts of a stream until ``until`` parts came or it ended; ``board`` is closed after that."""

    async def listen():
        return [part async for part in _first(events(board, seen, heartbeat=heartbeat), until)]

    return asyncio.run(asyncio.wait_for(listen(), 5))


async def _first(parts, most):
    count = 0
    async for part in parts:
        yield part
        if (count := count + 1) == most:
            return


def test_a_stream_tells_only_what_is_new():
    board = Board("s")
    board.changed(["a"])
    board.changed(["b", "c"])

    assert heard(board, "s-1", 2)[1] == 'id: s-2\nevent: changed\ndata: ["b", "c"]\n\n'


def test_a_tab_that_comes_from_an_earlier_start_is_told_everything():
    board = Board("new")
    board.changed(["a"])

    for mark in ("old-7", "", "new-", "new-x", "new-²", "new-" + "9" * 5000, "-1"):
        assert json.loads(heard(board, mark, 2)[1].split("data: ")[1]) == ["a"]


def test_changes_that_come_while_nobody_reads_are_one_message():
    board = Board("s")
    for _ in range(10_000):
        board.changed(["a", "b"])

    assert len(heard(board, "s-0", 2)) == 2
    assert len(board.newer("")) == 2  # nothing is queued


def test_a_stream_that_has_nothing_to_tell_shows_that_it_lives():
    assert heard(Board("s"), "s-0", 3, heartbeat=0.01)[1:] == [": still here\n\n"] * 2


def test_a_stream_ends_when_the_watch_ends():
    board = Board("s")

    async def listen():
        asyncio.get_running_loop().call_later(0.05, board.close)
        return [part async for part in events(board, board.mark())]

    assert asyncio.run(asyncio.wait_for(listen(), 5))[-1].startswith("event: ended\n")


def test_a_run_that_changed_is_named_and_no_other():
    other = Watched("b.log", "b.log", Path("b.log"))
    live = live_of(RUN, other)
    mark = live.board.mark()
    live.take(update(Watched(**{**fields(RUN), "step": 110}), other, number=2))
    live.close()

    assert live.board.newer(mark) == [address(RUN.key)]


def fields(run):
    return {name: getattr(run, name) for name in run.__slots__}


def test_the_list_is_named_where_a_run_stands_otherwise_or_is_new():
    live = live_of(RUN)
    mark = live.board.mark()
    live.take(update(Watched(**{**fields(RUN), "verdict": "flat"}), number=2))
    assert LIST in live.board.newer(mark)

    mark = live.board.mark()
    live.take(update(Watched(**{**fields(RUN), "verdict": "flat"}), Watched("c", "c", Path("c")), number=3))
    live.close()

    assert LIST in live.board.newer(mark)


def test_following_takes_each_update_and_ends_with_the_board():
    async def follow():
        live = Live(Standin(update(RUN), update(Watched(**{**fields(RUN), "step": 110}), number=2)), str)
        following = asyncio.create_task(live.follow())
        while len(live.board.newer("")) < 1 or live.update.number < 2:
            await live.board.wait(1)
        live.close()
        await following
        return live

    assert asyncio.run(asyncio.wait_for(follow(), 5)).update.runs[0].step == 110


# ---- the list ----


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"verdict": "", "step": None}, "waiting"),
        ({"verdict": "flat"}, "flat"),
        ({"verdict": "flat", "quiet": True}, "stalled"),
        ({"verdict": "flat", "quiet": True, "end": 100}, "finished"),
        ({"verdict": "flat", "quiet": True, "end": 101}, "finished"),
        ({"verdict": "flat", "quiet": True, "end": 150}, "stalled"),
        ({"verdict": "falling", "end": 101}, "finished"),
        ({"verdict": "falling", "end": 102}, "falling"),
        ({"verdict": "diverged", "quiet": True, "end": 100}, "diverged"),
    ],
)
def test_how_a_run_stands(given, word):
    assert stands(Watched(**{**fields(RUN), **given})) == word


def test_runs_that_need_somebody_come_first():
    runs = [
        Watched(**{**fields(RUN), "key": word, "verdict": word})
        for word in ("falling", "flat", "too-short", "diverged")
    ]

    assert [run.verdict for run in ordered(update(*runs))] == ["diverged", "flat", "falling", "too-short"]


def test_the_list_says_how_many_stand_how():
    runs = [
        Watched(**{**fields(RUN), "key": str(i), "verdict": word})
        for i, word in enumerate(["flat", "flat", "rising"])
    ]
    said = summary(update(*runs))

    assert "3 runs" in said
    assert "1 rising" in said
    assert said.index("rising") < said.index("2 flat")


def test_a_row_says_what_is_known_and_leaves_out_what_is_not():
    bare = row(Watched("k", "k", Path("k")))
    full = row(
        Watched(
            **{
                **fields(RUN),
                "end": 20_000,
                "series": "val_loss",
                "planned": (20_000, Estimate(3.2, 3.1, 3.3, "nats")),
                "left": Estimate(5.6, 5.5, 5.7, "h"),
                "standing": (Standing("lr-too-high", 50, 0.0, 0.9),),
            }
        )
    )

    assert "None" not in bare
    for word in (
        "3.500",
        "val_loss",
        "100",
        "of 20,000",
        "3.200",
        "3.100 to 3.300",
        "5.6 h",
        "lr-too-high",
        "2023-11-14",
    ):
        assert word in full


@pytest.mark.parametrize("payload", PAYLOADS)
def test_foreign_words_stay_words_in_the_list(payload):
    evil = Watched(
        payload,
        payload,
        Path("x"),
        series=payload,
        verdict="falling",
        loss=1.0,
        step=1,
        standing=(Standing(payload, 1, 0.0, None),),
    )
    said = table(update(evil)) + summary(update(waiting=payload))

    assert "<script>alert" not in said
    assert "<img" not in said
    assert "<svg" not in said
    assert "' onmouseover" not in said
    assert address(payload).isalnum()


def test_every_verdict_of_a_curve_has_its_words():
    from typing import get_args

    from unplateau.state import CurveVerdict

    assert set(get_args(CurveVerdict)) <= set(STANDS)
