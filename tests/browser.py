"""A page in Debian's Chromium, driven by playwright: for every test that looks at one (tests/test_browser_*.py).

In a test module: ``pytestmark = needs_browser``, then the fixture ``chromium`` (conftest.py has it) and
``opened = chromium.open(path_or_url_or_html, width=360, dark=True, scripts=False)``. What ``opened`` has seen is kept
from the first byte on: requests, dialogs, errors, breaches of the Content-Security-Policy.
"""

import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import pytest

BROWSER = shutil.which(os.environ.get("UNPLATEAU_CHROMIUM", "chromium"))
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--force-color-profile=srgb"),
)
WIDTHS = (360, 1280, 2560)  # pixels; what every page is to be looked at in
HEIGHT = 900  # pixels of the window
PATIENCE = 15_000  # ms; a page of ours is there in a hundredth of it, a loaded machine may be slow
#: kept by the page itself, before any of its own scripts run
WATCH = """
window.breaches = [];
document.addEventListener("securitypolicyviolation", e => window.breaches.push(e.violatedDirective + " " + e.blockedURI));
"""


def lacking():
    """Why no browser can be started here; empty where one can."""
    if find_spec("playwright") is None:
        return "playwright is not installed (pip install playwright)"
    return "" if BROWSER else "there is no chromium (apt-get install chromium, or UNPLATEAU_CHROMIUM=PATH)"


needs_browser = pytest.mark.skipif(bool(lacking()), reason=f"no browser: {lacking()}")


@dataclass
class Opened:
    """A page that is open. ``page``: playwright's own object, for all that is not here."""

    page: object
    requests: list[str] = field(default_factory=list)  # every URL that was asked for, that of the page too
    dialogs: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)  # uncaught, or told to the console

    @property
    def left(self):
        """Requests that left the machine, or would have: all but files, data, blobs and this machine's own server."""
        return [url for url in self.requests if not url.startswith(INSIDE)]

    @property
    def breaches(self):
        """What the page's Content-Security-Policy refused; of a page whose scripts run."""
        return self.page.evaluate("window.breaches")

    def text(self, selector="body"):
        return self.page.inner_text(selector)

    def overflow(self):
        """How many pixels the page is wider than the window."""
        return self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")

    def picture(self, path, whole=True):
        """A PNG of the page, to be looked at."""
        self.page.screenshot(path=str(path), full_page=whole)
        return path


INSIDE = ("file:", "data:", "blob:", "about:", "http://127.0.0.1:", "http://localhost:")


@dataclass
class Chromium:
    """A browser with a new, empty profile for each page."""

    browser: object
    contexts: list = field(default_factory=list)

    def open(self, what, *, width=1280, height=HEIGHT, dark=False, scripts=True, offline=False, **more):
        """Open a path, a URL, or HTML itself. ``more``: of playwright's ``new_context`` (reduced_motion, ...)."""
        context = self.browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            java_script_enabled=scripts,
            offline=offline,
            **more,
        )
        self.contexts.append(context)
        context.set_default_timeout(PATIENCE)
        context.add_init_script(WATCH)
        opened = Opened(context.new_page())
        opened.page.on("request", lambda request: opened.requests.append(request.url))
        opened.page.on("dialog", lambda dialog: (opened.dialogs.append(dialog.message), dialog.dismiss()))
        opened.page.on("pageerror", lambda error: opened.errors.append(str(error)))
        opened.page.on("console", lambda said: opened.errors.append(said.text) if said.type == "error" else 0)
        if isinstance(what, Path):
            opened.page.goto(what.absolute().as_uri())
        elif what.startswith(("http:", "https:", "file:")):
            opened.page.goto(what)
        else:
            opened.page.set_content(what)
        return opened

    def close(self):
        while self.contexts:
            self.contexts.pop().close()


@contextmanager
def started():
    """A browser for scripts: ``with started() as chromium: chromium.open(path).picture("page.png")``."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=list(FLAGS))
        try:
            yield Chromium(browser)
        finally:
            browser.close()


@pytest.fixture(scope="module")
def chromium_of_module():
    """One browser a module: while it runs, asyncio.run works in no test of the module, and in those of others."""
    if lacking():
        pytest.skip(f"no browser: {lacking()}")
    with started() as chromium:
        yield chromium


@pytest.fixture
def chromium(chromium_of_module):
    """The browser, its pages closed after each test."""
    yield chromium_of_module
    chromium_of_module.close()
