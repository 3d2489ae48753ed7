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

import http.client
import json
import socket
import threading
import time
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import pytest

from unplateau.cli import main
from unplateau.cli.live import opener
from unplateau.errors import UnreadableError
from unplateau.estimate import Estimate
from unplateau.watch import serve_http
from unplateau.watch.seen import Standing, Update, Watched
from unplateau.watch.serve_events import Board, events
from unplateau.watch.serve_guard import new_token
from unplateau.watch.serve_http import Server
from unplateau.watch.serve_list import STANDS, address, ordered, row, stands, summary, table
from unplateau.watch.serve_live import LIST, Live, page_of

TOKEN = "sesame-sesame-sesame-sesa"
NOW = time.time()
RUN = Watched(
    "a/train.log", "a/train.log", Path("a/train.log"), verdict="falling", loss=3.5, step=100, written=NOW
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


class Served:
    """A server on a port of its own, with ``live`` behind it, whose follower runs on another thread."""

    def __init__(self, *runs, waiting=""):
        self.live = Live(Standin(), lambda key: f"<h1>{len(key)}</h1>")
        self.live.take(update(*runs, waiting=waiting))
        self.server = Server(self.live, TOKEN, 0)
        self.port = self.server.socket.getsockname()[1]
        self.local = {"Host": f"127.0.0.1:{self.port}"}
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.following = threading.Thread(target=self.live.follow, daemon=True)
        self.following.start()

    def ask(self, path, method="GET", headers=None, local=True):
        """Status, headers and body of an answer; the headers of a request are as given, and no others."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        local = list(self.local.items()) if local else []
        for name, value in (
            headers if isinstance(headers, list) else {**dict(local), **(headers or {})}.items()
        ):
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, body

    def close(self):
        self.live.watcher.over = True
        self.following.join(5)
        self.server.shutdown()
        self.server.server_close()


@contextmanager
def served(*runs, waiting=""):
    made = Served(*runs, waiting=waiting)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def app():
    with served(RUN, Watched("b.log", "b.log", Path("b.log"))) as made:
        yield made


# ---- who may read ----


def test_the_page_opens_with_its_token(app):
    status, headers, body = app.ask(f"/{TOKEN}/")

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
        "/%C3%A9/",
        f"/{TOKEN[:5]}/rows",
        "//rows",
        "/favicon.ico",
    ],
)
def test_only_the_whole_token_opens(app, path):
    status, _, body = app.ask(path)

    assert status == 404
    assert "train.log" not in body
    assert TOKEN not in body


def test_two_starts_have_two_tokens_that_nobody_guesses():
    tokens = {new_token() for _ in range(100)}

    assert len(tokens) == 100
    assert all(len(token) >= 22 for token in tokens)  # 128 bits, six a character


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "127.0.0.1", "localhost:9000", "LOCALHOST"])
def test_the_names_of_this_machine_are_answered(app, host):
    assert app.ask(f"/{TOKEN}/", headers={"Host": host})[0] == 200


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
    assert app.ask(f"/{TOKEN}/", headers={"Host": host})[0] == 403


def test_no_host_or_two_are_refused(app):
    assert app.ask(f"/{TOKEN}/", local=False)[0] == 403
    assert app.ask(f"/{TOKEN}/", headers=[("host", "127.0.0.1"), ("host", "evil.example")])[0] == 403


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
    assert app.ask(f"/{TOKEN}/", headers=headers)[0] == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "127.0.0.1:8000", "origin": "http://127.0.0.1:8000", "sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"},
    ],
)
def test_our_own_page_and_a_link_that_the_user_follows_are_answered(app, headers):
    assert app.ask(f"/{TOKEN}/", headers=headers)[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT"])
def test_nothing_can_be_changed(app, method):
    status, headers, _ = app.ask(f"/{TOKEN}/", method=method)

    assert status == 405
    assert headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    "path", [f"/{TOKEN}/", f"/{TOKEN}/rows", "/", f"/{TOKEN}/run/none", f"/{TOKEN}/assets/live.js"]
)
def test_every_answer_says_that_nothing_from_elsewhere_may_run_and_nothing_may_be_kept(app, path):
    _, headers, _ = app.ask(path)

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
    assert app.ask(f"/{TOKEN}/assets/{name}")[0] == 404


# ---- what is answered ----


def test_the_page_of_a_run_is_found_by_its_address(app):
    status, _, body = app.ask(f"/{TOKEN}/run/{address(RUN.key)}")

    assert status == 200
    assert f"<h1>{len(RUN.key)}</h1>" in body
    assert app.ask(f"/{TOKEN}/run/{address(RUN.key)}/main")[2] == f"<h1>{len(RUN.key)}</h1>"


def test_a_page_that_cannot_be_made_says_why_and_the_others_still_come(monkeypatch):
    def fails(_):
        raise ZeroDivisionError("<b>")

    def unreadable(_):
        raise UnreadableError("can't open train.log: Permission denied")

    monkeypatch.delenv("UNPLATEAU_DEBUG", raising=False)
    with served(RUN) as app:
        app.live.render = fails
        status, _, body = app.ask(f"/{TOKEN}/")
        app.live.render = unreadable
        readable, _, why = app.ask(f"/{TOKEN}/run/{address(RUN.key)}/main")

    assert (status, readable) == (500, 200)
    assert "ZeroDivisionError: &lt;b&gt; (this is a fault of unplateau" in body
    assert "Permission denied" in why


def test_a_page_is_made_once_for_all_tabs_until_the_run_is_judged_anew():
    made = []
    with served(RUN) as app:
        app.live.render = lambda key: made.append(key) or "page"
        for _ in range(3):
            app.ask(f"/{TOKEN}/")
        app.live.take(update(Watched(**{**fields(RUN), "step": 110, "written": NOW + 9}), number=2))
        app.ask(f"/{TOKEN}/")
        before = len(made)
        app.live.take(update(Watched(**{**fields(RUN), "loss": 3.4}), number=3))
        app.ask(f"/{TOKEN}/")

    assert (before, len(made)) == (1, 2)


@pytest.mark.parametrize("place", ["none", "a%2Ftrain.log", "..", "a", "0" * 5000])
def test_an_address_that_no_run_has_is_not_looked_for_on_disk(app, place):
    assert app.ask(f"/{TOKEN}/run/{place}/main")[0] == 404


def test_the_only_run_is_shown_at_once():
    with served(RUN) as app:
        assert f"<h1>{len(RUN.key)}</h1>" in app.ask(f"/{TOKEN}/")[2]


def test_a_folder_without_runs_says_why():
    with served(waiting="there is no train.log; expected a log") as app:
        assert "there is no train.log; expected a log" in app.ask(f"/{TOKEN}/")[2]


def test_the_line_above_a_run_s_page_comes_without_the_page(app):
    found = json.loads(app.ask(f"/{TOKEN}/run/{address(RUN.key)}/line")[2])

    assert "falling" in found["line"]
    assert "step 100" in found["line"]


def test_rows_come_for_the_runs_that_were_asked_for(app):
    found = json.loads(app.ask(f"/{TOKEN}/rows?of={address(RUN.key)},{address('gone')}")[2])

    assert set(found["rows"]) == {address(RUN.key), address("gone")}
    assert "a/train.log" in found["rows"][address(RUN.key)]
    assert found["rows"][address("gone")] == ""
    assert len(found["order"]) == 2


# ---- what is new ----


def heard(board, seen, most, **more):
    """The first ``most`` parts of a stream."""
    return list(islice(events(board, seen, **more), most))


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

    assert heard(board, "s-0", 2)[1].startswith("id: s-10000")
    assert len(board.newer("")[0]) == 2  # nothing is queued


def test_a_stream_that_has_nothing_to_tell_shows_that_it_lives():
    assert heard(Board("s"), "s-0", 3, heartbeat=0.02, tick=0.01)[1:] == [": still here\n\n"] * 2


def test_a_stream_ends_when_the_watch_ends():
    board = Board("s")
    threading.Timer(0.05, board.close).start()

    assert list(events(board, board.mark()))[-1].startswith("event: ended\n")


def test_a_stream_ends_when_its_tab_is_gone():
    assert len(list(events(Board("s"), "s-0", lambda: True))) == 1


def test_a_run_that_changed_is_named_and_no_other():
    other = Watched("b.log", "b.log", Path("b.log"))
    live = Live(Standin(), str)
    live.take(update(RUN, other))
    mark = live.board.mark()
    live.take(update(Watched(**{**fields(RUN), "step": 110}), other, number=2))

    assert live.board.newer(mark)[0] == [address(RUN.key)]


def test_a_line_without_an_evaluation_leaves_the_page_and_an_evaluation_renews_it():
    live = Live(Standin(), str)
    live.take(update(RUN))
    mark = live.board.mark()
    live.take(update(Watched(**{**fields(RUN), "step": 110, "written": NOW + 9, "quiet": True}), number=2))
    assert page_of(RUN.key) not in live.board.newer(mark)[0]

    live.take(update(Watched(**{**fields(RUN), "step": 110, "loss": 3.4}), number=3))
    assert page_of(RUN.key) in live.board.newer(mark)[0]


def fields(run):
    return {name: getattr(run, name) for name in run.__slots__}


def test_the_list_is_named_where_a_run_stands_otherwise_or_is_new():
    live = Live(Standin(), str)
    live.take(update(RUN))
    mark = live.board.mark()
    live.take(update(Watched(**{**fields(RUN), "verdict": "flat"}), number=2))
    assert LIST in live.board.newer(mark)[0]

    mark = live.board.mark()
    live.take(update(Watched(**{**fields(RUN), "verdict": "flat"}), Watched("c", "c", Path("c")), number=3))
    assert LIST in live.board.newer(mark)[0]


def test_following_ends_with_the_watch_and_ends_the_streams():
    live = Live(Standin(update(RUN), update(RUN, number=2)), str)
    threading.Timer(0.1, setattr, (live.watcher, "over", True)).start()
    live.follow()

    assert live.update.number == 2
    assert live.board.closed


# ---- over a connection ----


def stream(app, headers=(), path="events"):
    """A connection on which a stream was asked for."""
    sent = [f"GET /{TOKEN}/{path} HTTP/1.1", f"Host: 127.0.0.1:{app.port}", *headers, "", ""]
    connection = socket.create_connection(("127.0.0.1", app.port), 10)
    connection.sendall("\r\n".join(sent).encode())
    return connection


def until(connection, words):
    """What comes on a connection until ``words`` do."""
    found = b""
    while words not in found:
        if not (more := connection.recv(4096)):
            return found
        found += more
    return found


def test_a_stream_goes_on_from_the_last_event_that_the_tab_had():
    with served(RUN) as app:
        mark = app.live.board.mark()
        app.live.board.changed(["other"])
        with stream(app, [f"Last-Event-ID: {mark}"]) as connection:
            assert b'data: ["other"]' in until(connection, b'["other"]')


def test_what_changes_reaches_every_tab_within_a_second():
    with served(RUN) as app:
        mark = app.live.board.mark()
        tabs = [stream(app, path=f"events?than={mark}") for _ in range(20)]
        for tab in tabs:
            until(tab, b"retry")
        begun = time.monotonic()
        app.live.board.changed(["news"])
        for tab in tabs:
            assert b"news" in until(tab, b"news")
            tab.close()

    assert time.monotonic() - begun < 1


def test_tabs_are_told_that_the_watch_has_ended():
    with served(RUN) as app, stream(app) as connection:
        until(connection, b"retry")
        app.live.watcher.over = True
        assert b"event: ended" in until(connection, b"ended")


def test_a_tab_that_is_gone_leaves_no_thread_behind():
    with served(RUN) as app:
        for _ in range(5):
            connection = stream(app)
            until(connection, b"retry")
            connection.close()
        deadline = time.monotonic() + 5
        while answering() and time.monotonic() < deadline:
            time.sleep(0.05)

        assert answering() == []


def answering():
    """The threads that answer on a connection."""
    return [thread.name for thread in threading.enumerate() if "process_request" in thread.name]


def test_more_connections_than_there_is_room_for_are_told_so(monkeypatch):
    monkeypatch.setattr(serve_http, "CONNECTIONS", 3)
    with served(RUN) as app:
        held = [stream(app) for _ in range(3)]
        for connection in held:
            until(connection, b"retry")
        with stream(app) as late:
            assert b" 503 " in until(late, b"503 ")
        for connection in held:
            connection.close()


def test_a_reader_that_does_not_read_holds_up_nobody():
    with served(RUN) as app:
        app.live.render = lambda _: "x" * 5_000_000
        slow = stream(app, path="")  # more than the buffers of a connection hold, and never read
        app.live.board.changed(["news"])
        begun = time.monotonic()
        assert app.ask(f"/{TOKEN}/rows")[0] == 200
        slow.close()

    assert time.monotonic() - begun < 1


@pytest.mark.parametrize(
    "raw",
    [
        b"GARBAGE\r\n\r\n",
        b"GET /TOKEN/ HTTP/9.9\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET /\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
        b"GET http://127.0.0.1/TOKEN/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET //TOKEN/ HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"GET /TOKEN/ HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n",
    ],
)
def test_what_is_no_request_of_ours_is_refused_and_the_next_is_answered(app, raw):
    with socket.create_connection(("127.0.0.1", app.port), 10) as connection:
        connection.sendall(raw.replace(b"TOKEN", TOKEN.encode()))
        said = until(connection, b"never said")
    assert b" 200 " not in said
    assert b"train.log" not in said
    assert b"Python" not in said
    assert app.ask(f"/{TOKEN}/")[0] == 200


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
    assert stands(Watched(**{**fields(RUN), **given}), RUN.written + 60) == word


@pytest.mark.parametrize(
    ("given", "hours", "word"),
    [
        ({"end": 1000, "left": Estimate(2.0, 1.9, 2.1, "h")}, 2.0, "falling"),
        ({"end": 1000, "left": Estimate(2.0, 1.9, 2.1, "h")}, 2.2, "stalled"),
        ({"end": 1000, "left": Estimate(0.01, 0.01, 0.01, "h")}, 0.1, "falling"),
        ({"end": 1000, "left": Estimate(200.0, 190.0, 210.0, "h")}, 25, "stalled"),
        ({"end": 1000}, 25, "stalled"),
        ({"end": 101}, 25, "finished"),
        ({}, 23, "falling"),
        ({}, 25, "silent"),
        ({"written": 0.0}, 25, "falling"),
        ({"verdict": "diverged"}, 25, "diverged"),
    ],
)
def test_a_log_that_was_left_long_ago_is_of_no_run_that_goes_on(given, hours, word):
    assert stands(Watched(**{**fields(RUN), **given}), RUN.written + 3600 * hours) == word


def test_a_run_that_is_overdue_is_told_though_nothing_was_written():
    live = Live(Standin(), str)
    live.take(update(Watched(**{**fields(RUN), "written": time.time() - 86_399.9})))
    mark = live.board.mark()
    time.sleep(0.2)
    live._poll()

    assert set(live.board.newer(mark)[0]) == {address(RUN.key), LIST}

    mark = live.board.mark()
    live._poll()
    assert live.board.newer(mark)[0] == []


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
        time.strftime("%Y-%m-%d", time.gmtime(NOW)),
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


# ---- the verb ----


@pytest.fixture
def log(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    made = tmp_path / "train.log"
    made.write_text(
        "".join(f"step {i}: train loss {9 - i / 100}, val loss {9 - i / 100}\n" for i in range(0, 500, 50))
    )
    return made


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--port", "8000"], "--port is of the live page: give --serve with it"),
        (["--open"], "--open is of the live page: give --serve with it"),
        (["--serve", "--once"], "--serve goes on until Ctrl-C, --once looks once: give one of them"),
        (["--serve", "--port", "0"], "0 is not in the range"),
        (["--serve", "--port", "70000"], "70000 is not in the range"),
    ],
)
def test_options_that_mean_nothing_together_are_refused(log, capsys, given, said):
    assert main(["watch", str(log), *given]) == 2
    assert said in one_line(capsys)


def one_line(capsys):
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    return said.err


def test_a_port_that_is_taken_is_told_in_one_line(log, capsys):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert main(["watch", str(log), "--serve", "--port", str(port)]) == 2

    assert one_line(capsys) == (
        f"unplateau: port {port} is taken by another program: give another with --port, or leave it out for a free one\n"
    )


def test_the_page_ends_where_what_is_waited_for_is_met(log, capsys):
    assert main(["watch", str(log), "--serve", "--fail-on", "falling"]) == 1
    assert capsys.readouterr().out.startswith("http://127.0.0.1:")


def test_a_browser_is_told_the_address_by_a_file_that_only_its_user_can_read(monkeypatch):
    seen = []

    def opens(url):
        path = Path(url.removeprefix("file://"))
        seen.append((path, path.stat().st_mode & 0o777, path.read_text()))
        return True

    monkeypatch.setattr("webbrowser.open", opens)
    with opener(wanted=True) as shown:
        shown("http://127.0.0.1:8000/sesame/")
    path, mode, text = seen[0]

    assert mode == 0o600
    assert "http://127.0.0.1:8000/sesame/" in text
    assert not path.exists()


def test_no_browser_is_opened_unasked(monkeypatch):
    monkeypatch.setattr("webbrowser.open", lambda _: pytest.fail("opened"))
    with opener(wanted=False) as shown:
        shown("http://127.0.0.1:8000/sesame/")
