"""The site of the docs: it is built without a warning, and opens with the network off, from a server and from disk.

Seen red: a link to a heading that is not there (``strict``), ``font: false`` left out
(a request to a CDN), and the local polyfill left out (another).
"""

import re
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from browser import WIDTHS, needs_browser
from docs_pages import ROOT

pytest.importorskip("material", reason="mkdocs-material is not installed (pip install '.[docs]')")
#: what a browser fetches by itself; a link that somebody may click is none of these
FETCHED = re.compile(
    r'<(?:script|img|source|iframe|link|video|audio)\b[^>]*?(?:src|href|srcset)="?(\S+?)["> ]'
)
#: not in the navigation: what a server shows for a wrong address, the first page itself, and what docs/report.md links
NO_PAGES = {"404.html", "index.html", "example-report.html"}
LOOKED_AT = ("index", "start", "story", "budget", "settings", "cli", "accuracy", "example-report")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built as ``make docs`` builds it; every warning is an error (``strict``)."""
    import warnings

    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    folder = tmp_path_factory.mktemp("site")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what mkdocs imports
        config = load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder))
        assert config.strict
        config.plugins.on_startup(command="build", dirty=False)
        build(config)
    return folder


def test_no_page_fetches_anything_from_elsewhere(site):
    pages = sorted(site.rglob("*.html"))
    fetched = {url for page in pages for url in FETCHED.findall(page.read_text(encoding="utf-8"))}

    assert len(pages) > 25
    assert any("iframe-worker" in url for url in fetched)
    assert {url for url in fetched if url.startswith(("http:", "https:", "//"))} == set()


def test_the_site_holds_a_report_to_look_at(site):
    """Red where the hook of mkdocs.yml is left out."""
    page = (site / "example-report.html").read_text(encoding="utf-8")

    assert page.lower().startswith("<!doctype html>")
    assert 'href="example-report.html"' in (site / "report.html").read_text(encoding="utf-8")


def test_the_guide_names_the_parts_that_a_report_has(site):
    """Red with a part that is called otherwise in the page."""
    page = (site / "example-report.html").read_text(encoding="utf-8")
    guide = (ROOT / "docs" / "report.md").read_text(encoding="utf-8")
    named = re.findall(r"^\| ([A-Z][^|]+?) \|", guide, re.MULTILINE)

    assert len(named) > 6
    assert [name for name in named if f">{name}</h2>" not in page] == []


def test_no_page_stands_twice_in_the_navigation():
    """Red where two people had added the same page."""
    pages = re.findall(
        r"^ +- (?:[^\n]+: )?(\S+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE
    )

    assert len(pages) > 25
    assert sorted(pages) == sorted(set(pages))


def test_no_style_fetches_anything_from_elsewhere(site):
    styles = sorted(site.rglob("*.css"))
    fetched = {
        url for page in styles for url in re.findall(r"url\(([^)]+)\)", page.read_text(encoding="utf-8"))
    }

    assert styles
    assert {url for url in fetched if url.strip("'\"").startswith(("http", "//"))} == set()


def test_every_page_of_the_docs_can_be_found_from_the_first(site):
    """Or from the list of decisions. Red with a page that is not in the navigation."""
    linked = {link for page in ("", "decisions/") for link in _links(site, page)}
    written = {path.relative_to(site).as_posix() for path in site.rglob("*.html")}

    assert written - NO_PAGES <= linked


def _links(site, folder):
    page = (site / folder / "index.html").read_text(encoding="utf-8")
    return {folder + link for link in re.findall(r'href="([^"#:]+\.html)', page)}


@pytest.fixture
def served(site):
    """The address of the site on this machine's own server."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args): ...

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@needs_browser
def test_nothing_leaves_the_machine_and_nothing_is_wider_than_the_window(served, chromium):
    opened = chromium.open(f"{served}/index.html", width=WIDTHS[0])
    for name in LOOKED_AT:
        opened.page.goto(f"{served}/{name}.html", wait_until="networkidle")
        for width in WIDTHS:
            opened.page.set_viewport_size({"width": width, "height": 900})
            opened.page.wait_for_function("document.documentElement.scrollWidth <= innerWidth")

    assert len(opened.requests) > len(LOOKED_AT)
    assert (opened.left, opened.errors) == ([], [])


@needs_browser
def test_from_disk_it_opens_and_its_search_finds_a_cause(site, chromium):
    opened = chromium.open(site / "index.html", offline=True)
    opened.page.fill("input[name=query]", "annealed")
    opened.page.wait_for_selector(".md-search-result__link")
    found = [one.get_attribute("href") for one in opened.page.query_selector_all(".md-search-result__link")]

    assert any("causes" in href for href in found)
    assert (opened.left, opened.errors) == ([], [])


@needs_browser
def test_the_pictures_follow_the_light_and_dark_of_the_page(served, chromium):
    seen = {}
    for dark in (False, True):
        opened = chromium.open(f"{served}/story.html", dark=dark)
        image = opened.page.locator("picture img").first
        image.scroll_into_view_if_needed()
        seen[dark] = image.screenshot()
        assert opened.page.evaluate("el => el.naturalWidth", image.element_handle()) > 100

    assert seen[False] != seen[True]
