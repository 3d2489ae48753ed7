"""The live page in Chromium, with the verb as a process: what it shows, how it follows, what it lets nobody do.

Each was seen red once:
- names put into a row unescaped: test_names_and_logs_that_hold_markup_stay_words (no dialog: the policy holds too);
- ``work`` without fetching the main part, ``details`` not opened again, the focus not given back:
  test_an_evaluation_is_on_the_page_soon_and_what_a_reader_chose_stays;
- a stream for each tab: test_more_tabs_than_a_browser_has_connections_all_follow (the seventh never loaded);
- Sec-Fetch-Site not looked at, and Cross-Origin-Resource-Policy not sent: test_a_page_of_another_site_learns_nothing
  (its script ran; either alone keeps it out);
- the stream not ended: test_when_the_watch_ends_the_page_says_so.
"""

import math
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from browser import WIDTHS, needs_browser

pytestmark = needs_browser

SOON = 60_000  # ms; it takes one second where the machine has nothing else to do
INTERRUPTED = 4
#: the verb, also where a shell has started the tests in its background, and so deaf to Ctrl-C
VERB = """
import signal, sys
from unplateau.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.exit(main())
"""
PAYLOAD = "<img src=x onerror=alert(1)>"


def evaluations(first, last, floor=3.0):
    """A log of nanoGPT whose loss falls to ``floor``: an evaluation each 100 steps."""
    for step in range(first, last, 100):
        loss = floor + 6 * math.exp(-step / 400) + 0.5 / math.sqrt(step + 1)
        yield f"step {step}: train loss {loss:.4f}, val loss {loss + 0.02:.4f}"


def write(log, first=0, last=1500, more=(), **how):
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as file:
        file.writelines(f"{line}\n" for line in (*evaluations(first, last, **how), *more))


@contextmanager
def watch(path, state):
    """The address that ``unplateau watch PATH --serve`` prints, while it runs; it ends as Ctrl-C ends it."""
    state.mkdir(exist_ok=True)
    said, errors = state / "said.txt", state / "errors.txt"
    with said.open("w") as out, errors.open("w") as err:
        process = subprocess.Popen(
            [sys.executable, "-c", VERB, "watch", str(path), "--serve"],
            stdout=out,
            stderr=err,
            env={
                **os.environ,
                "XDG_STATE_HOME": str(state),
                "OPENBLAS_NUM_THREADS": "1",
                "UNPLATEAU_DEBUG": "1",
            },
        )
    try:
        deadline = time.monotonic() + SOON / 1000
        while "\n" not in said.read_text() and time.monotonic() < deadline:
            time.sleep(0.05)
        yield said.read_text().partition("\n")[0], process
    finally:
        process.terminate()
        assert process.wait(60) == INTERRUPTED, errors.read_text()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three runs: one that falls, one that is lost, one with markup for a name and in its log."""
    made = tmp_path_factory.mktemp("runs")
    write(made / "falling" / "train.log")
    write(
        made / "lost" / "train.log",
        more=[f"step {step}: train loss nan, val loss nan" for step in (1500, 1600, 1700)],
    )
    write(
        made / f"evil{PAYLOAD}" / "train.log",
        more=[f"out_dir = '{PAYLOAD}'", f"<script>alert(2)</script> {PAYLOAD}"],
    )
    return made


@pytest.fixture(scope="module")
def several(folder, tmp_path_factory):
    """A watch of the folder."""
    with watch(folder, tmp_path_factory.mktemp("state")) as (url, _):
        yield url


def listed(chromium, url, **how):
    opened = chromium.open(url, **how)
    comes(opened.page, "document.querySelectorAll('table.runs tbody tr').length == 3")
    return opened


def comes(page, what):
    """Until an expression holds on a page; not by playwright's own wait, which its policy forbids (eval)."""
    deadline = time.monotonic() + SOON / 1000
    while not holds(page, what):
        assert time.monotonic() < deadline, f"{what} did not come; {page.inner_text('body')[:300]}"
        page.wait_for_timeout(50)


def holds(page, what):
    """Whether an expression holds; it does not while a page is being loaded."""
    from playwright.sync_api import Error

    try:
        return page.evaluate(f"Boolean({what})")
    except Error as error:
        if "context was destroyed" not in str(error):
            raise
        return False


def clean(opened):
    """True of a page on which nothing went wrong, nothing was refused, and that asked nobody else."""
    return (opened.errors, opened.breaches, opened.dialogs, opened.left) == ([], [], [], [])


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_the_list_fits_every_window_and_asks_nobody_else(chromium, several, width, dark):
    opened = listed(chromium, several, width=width, dark=dark)

    assert opened.overflow() <= 0
    assert clean(opened)
    paper = opened.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (max(map(int, paper[4:-1].split(","))) < 100) is dark


def test_the_list_says_how_each_run_stands_those_that_need_somebody_first(chromium, several):
    opened = listed(chromium, several)
    rows = opened.page.locator("table.runs tbody tr").all_inner_texts()

    assert "diverged" in rows[0]
    assert "lost/train.log" in rows[0]
    assert "1 diverged" in opened.text("#summary")
    assert opened.page.locator("time").first.inner_text().endswith(("now", "ago"))


def test_the_list_sorts_and_sifts(chromium, several):
    opened = listed(chromium, several)
    names = opened.page.locator("table.runs tbody tr:visible .c-name a")
    opened.page.click("button[data-sort=name]")
    up = names.all_inner_texts()
    opened.page.click("button[data-sort=name]")

    assert up == sorted(up)
    assert names.all_inner_texts() == up[::-1]
    assert opened.page.get_attribute("th.c-name", "aria-sort") == "descending"

    opened.page.fill("#sift", "LOST dive")
    assert names.all_inner_texts() == ["lost/train.log"]


def test_a_click_opens_a_run_and_leads_back(chromium, several):
    opened = listed(chromium, several)
    opened.page.click("text=falling/train.log")
    opened.page.wait_for_selector("main.run .verdict")

    assert "falling/train.log" in opened.text("h1")
    assert "step 1,400" in opened.text("#line")
    assert clean(opened)

    opened.page.click("text=All runs")
    opened.page.wait_for_selector("table.runs")


def test_names_and_logs_that_hold_markup_stay_words(chromium, several):
    opened = listed(chromium, several)
    assert PAYLOAD in opened.text("table.runs")

    opened.page.click(f"text=evil{PAYLOAD}")
    opened.page.wait_for_selector("main.run .verdict")
    assert PAYLOAD in opened.text("h1")
    assert opened.page.locator("img").count() == 0
    assert clean(opened)


def test_a_page_without_scripts_says_all_the_same(chromium, several):
    listed(chromium, several)  # the runs are read now
    opened = chromium.open(several, scripts=False)

    assert "lost/train.log" in opened.text("table.runs")
    assert "load it again" in opened.text()
    assert re.fullmatch(r"as of \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", opened.text("#state"))
    comes(listed(chromium, several).page, "document.getElementById('state').textContent == 'live'")


def test_an_evaluation_is_on_the_page_soon_and_what_a_reader_chose_stays(chromium, tmp_path):
    log = tmp_path / "run" / "train.log"
    write(log, last=1500)
    with watch(log, tmp_path / "state") as (url, _):
        opened = chromium.open(url, height=600)
        page = opened.page
        comes(page, "document.querySelector('main details[id]') && document.querySelector('figure.up-live')")
        page.click("figure.up-live button:has-text('log axis')")
        pressed = page.get_attribute("figure.up-live button:has-text('log axis')", "aria-pressed")
        closed = page.evaluate("document.querySelector('main details[id]:not([open])').id")
        page.evaluate(f"document.getElementById('{closed}').open = true")
        page.focus("figure.up-live .up-plots")
        page.evaluate("scrollTo(0, 700)")
        write(log, 1500, 1600)
        comes(page, "/step 1,500/.test(document.getElementById('line')?.innerText)")
        comes(page, "/step 1,500/.test(document.querySelector('main .verdict')?.innerText)")
        comes(page, "/step 1,500/.test(document.querySelector('main dl')?.innerText)")

        assert page.evaluate(f"document.getElementById('{closed}').open")
        assert page.get_attribute("figure.up-live button:has-text('log axis')", "aria-pressed") == pressed
        assert page.evaluate("document.activeElement.className") == "up-plots"
        assert abs(page.evaluate("scrollY") - 700) < 60
        assert clean(opened)


def test_more_tabs_than_a_browser_has_connections_all_follow(chromium, tmp_path):
    log = tmp_path / "run" / "train.log"
    write(log, last=1500)
    with watch(log, tmp_path / "state") as (url, _):
        first = chromium.open(url)
        tabs = [first.page, *(first.page.context.new_page() for _ in range(6))]
        for tab in tabs[1:]:
            tab.goto(url)
        write(log, 1500, 1600)
        for tab in tabs:
            comes(tab, "/step 1,500/.test(document.getElementById('line')?.innerText)")

        tabs[0].close()  # it held the stream for all
        write(log, 1600, 1700)
        for tab in tabs[1:]:
            comes(tab, "/step 1,600/.test(document.getElementById('line')?.innerText)")


def test_a_run_that_begins_later_comes_by_itself(chromium, tmp_path):
    with watch(tmp_path / "run", tmp_path / "state") as (url, _):
        opened = chromium.open(url)
        assert "there is no run" in opened.text()
        write(tmp_path / "run" / "train.log")
        comes(opened.page, "/step 1,400/.test(document.body.innerText)")


def test_when_the_watch_ends_the_page_says_so_and_its_port_is_free(chromium, tmp_path):
    log = tmp_path / "train.log"
    write(log)
    with watch(log, tmp_path / "state") as (url, process):
        opened = chromium.open(url)
        opened.page.wait_for_selector("#line")
        opened.page.wait_for_timeout(300)  # until its stream is there
        process.send_signal(signal.SIGINT)
        comes(opened.page, "/has ended/.test(document.getElementById('state').innerText)")

        assert process.wait(60) == INTERRUPTED
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", urlsplit(url).port))


# ---- another site ----


@contextmanager
def elsewhere(html):
    """The address of another site, which knows the address of ours."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(html.encode())

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()


def test_a_page_of_another_site_learns_nothing(chromium, several):
    html = f"""<script>window.got = []; const told = (what) => () => got.push(what);</script>
    <script src="{several}assets/live.js" onload="told('script ran')()" onerror="told('script refused')()"></script>
    <iframe src="{several}" onload="told('frame')()"></iframe>
    <script>
      fetch("{several}rows").then(told("read"), told("fetch refused"));
      const events = new EventSource("{several}events");
      events.onopen = told("stream");
      events.onerror = told("stream refused");
    </script>"""
    with elsewhere(html) as site:
        opened = chromium.open(site)
        comes(opened.page, "got.length >= 4")
        got = set(opened.page.evaluate("got"))
        framed = [frame for frame in opened.page.frames if frame.parent_frame]

        assert {"script refused", "fetch refused", "stream refused"} <= got
        assert not {"script ran", "read", "stream"} & got
        assert not any("train.log" in frame.content() for frame in framed)


def test_a_link_that_a_reader_follows_opens_the_page_and_tells_nobody_where_from(chromium, several):
    with elsewhere(f'<a href="{several}">the run</a>') as site:
        opened = chromium.open(site)
        opened.page.click("a")
        opened.page.wait_for_selector("h1")

        assert opened.page.evaluate("document.referrer") in ("", site)
        assert opened.page.evaluate("document.querySelectorAll('a[href^=http]').length") == 0
