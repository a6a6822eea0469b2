"""The page in a real browser: keys, what is new, sizes, colours, hostile content, accessibility."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.harness.browser import Browser, find_browser
from tests.harness.proxy import wait_until
from tests.unit.queries.stored import Stored
from tests.unit.web.conftest import HOSTILE, PRICES, build_row, list_rows
from tests.unit.web.serving import Served, serving

BROWSER = find_browser()
pytestmark = pytest.mark.skipif(
    BROWSER is None,
    reason="no Chromium: set TEST_CHROMIUM to one, or put it on PATH, to look at the real page",
)
PAGES = (
    "", "exchanges", "statistics?since=all", "search?q=because", "session/s-one", "exchange/t2",
    "exchange/t2?whole=1", "exchange/t1/request", "exchange/t2/changes", "exchange/t2/stream",
    "exchange/t1/facts", "exchange/none",
)  # fmt: skip


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    """A database with the rows of the unit tests."""
    stored = Stored(tmp_path_factory.mktemp("web") / "responses.db")
    stored.exchanges(list_rows())
    return stored


@pytest.fixture(scope="module")
def served(stored: Stored) -> Iterator[Served]:
    """A server on it, with prices."""
    config = stored.path.with_name("config.yaml")
    stored.configure(config, prices=PRICES)
    with serving(config) as served:
        yield served


@pytest.fixture(scope="module")
def page(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A browser that has come in by the printed address."""
    assert BROWSER is not None
    with Browser(BROWSER, tmp_path_factory.mktemp("browser"), 1500, 900) as browser:
        browser.open(served.access.url)
        page = Page(browser, served.origin + served.access.path)
        page.has("Why does it fail?")
        yield page


class Page:
    """The page of a server in a browser."""

    def __init__(self, browser: Browser, base: str) -> None:
        self.browser = browser
        self.base = base

    def open(self, path: str) -> None:
        """Go to a page of the server, and wait until its script has run."""
        self.browser.open(self.base + path)
        self.holds("document.readyState === 'complete' && location.href", self.base + path)

    def has(self, words: str) -> None:
        """Wait until words are to be read."""
        wait_until(lambda: words in self.browser.text(), f"{words!r} on the page")

    def holds(self, expression: str, value: Any = True) -> None:
        """Wait until an expression has a value."""
        wait_until(lambda: self.browser.value(expression) == value, f"{expression} is {value!r}")

    def count(self, selector: str) -> int:
        """How many elements there are."""
        return int(self.browser.value(f'document.querySelectorAll("{selector}").length'))

    def at(self, path: str) -> None:
        """Wait until the browser is at a page, and its script has run."""
        self.holds("document.readyState === 'complete' && location.href", self.base + path)


def test_the_address_has_no_token_any_more(page: Page) -> None:
    """The token is gone from the address, and no script reads the cookie."""
    page.open("")
    assert page.browser.value("document.cookie") == ""
    assert page.browser.value("location.search") == ""


def test_keys(page: Page) -> None:
    """A list is read, an exchange opened and left, and a search begun, without a mouse."""
    page.open("exchanges")
    press = page.browser.press
    press("j", "j", "k")
    page.holds("document.querySelector('.current').dataset.id", "runs")
    press("Enter")
    page.at("exchange/runs")
    press("g", "e")
    page.at("exchanges")
    press("/", "f", "a", "i", "l", "Enter")
    page.at("search?q=fail")
    press("g", "s")
    page.at("")
    press("g", "t")
    page.at("statistics")
    press("?")
    page.holds("document.querySelector('#help').open")
    press("Escape")
    page.holds("document.querySelector('#help').open", value=False)
    page.open("exchange/t2")
    press("2")
    page.at("exchange/t2/request")
    press("u")
    page.at("session/s-one")


def test_two_are_compared(page: Page) -> None:
    """A key on one exchange and on another leads to what differs."""
    page.open("exchanges")
    page.browser.press("j", "d", "j", "d")
    page.holds("location.pathname.endsWith('/large/changes')")
    page.has("items")


def test_what_is_new_appears(page: Page, stored: Stored) -> None:
    """An exchange that begins appears in the list, and its end as well, while one looks on."""
    page.open("exchanges")
    page.holds("!document.querySelector('#pulse').hidden")
    page.browser.press("j", "j")
    page.holds("document.querySelector('.current').dataset.id", "large")
    row = build_row("new-one", 100, question="Brand new", state="open", model=None)
    stored.exchange(**row)
    page.has("Brand new")
    page.holds("document.querySelector('.current').dataset.id", "large")
    stored.script(
        "UPDATE {exchanges} SET state = 'completed', output_text = 'It is done'"
        " WHERE exchange_id = 'new-one'"
    )
    page.has("It is done")
    page.open("")
    stored.script("DELETE FROM {exchanges} WHERE exchange_id = 'new-one'")
    page.holds("document.body.innerText.includes('Brand new')", value=False)


def test_parts_come_on_demand(page: Page) -> None:
    """Trees open level by level, long texts go on, pictures appear."""
    page.open("exchange/t1/request")
    names = "[...document.querySelectorAll('.tree .name')].map(one => one.textContent)"
    assert "role" not in page.browser.value(names)
    page.browser.value("document.querySelectorAll('.tree details')[0].open = true")
    page.holds("document.querySelectorAll('.tree .tree details').length", 1)
    page.browser.value("document.querySelector('.tree .tree details').open = true")
    page.has("role")
    page.open("exchange/t1")
    page.browser.value("document.querySelector('[data-picture]').click()")
    page.holds("document.querySelector('.more img')?.naturalWidth", 1)
    page.open("exchange/large")
    length = "document.querySelector('.conversation').textContent.length"
    before = page.browser.value(length)
    page.browser.value("document.querySelector('[data-more]').click()")
    page.holds(f"{length} > {before} + 40000")


@pytest.mark.parametrize("width", [400, 1500])
@pytest.mark.parametrize("path", PAGES)
def test_sizes(page: Page, path: str, width: int) -> None:
    """No page is wider than the window, and what is in it can be read there."""
    page.browser.resize(width)
    page.open(path)
    page.holds("innerWidth", width)
    wide = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    assert page.browser.value(wide), path
    page.browser.resize(1500)


@pytest.mark.parametrize("width", [400, 1500])
@pytest.mark.parametrize(
    ("path", "cost"),
    [
        ("", "$0.0148"),
        ("exchanges", "$0.0086"),
        ("session/s-one", "$0.0062"),
        ("exchange/t1", "$0.0086"),
        ("statistics?since=all", "$0.0148 in all"),
        ("statistics?since=all", "$0.0148, 1 unknown"),
    ],
)
def test_costs_are_seen(page: Page, path: str, cost: str, width: int) -> None:
    """On each page, whole and inside the window, on a phone as well."""
    page.browser.resize(width)
    page.open(path)
    page.holds("innerWidth", width)
    page.has(cost)
    is_seen = (
        "[...document.querySelectorAll('main span, main td, main dd')].some(one => {"
        f" const box = one.getBoundingClientRect(); return one.textContent.includes({cost!r})"
        " && box.width > 0 && box.left >= 0 && box.right <= innerWidth"
        " && one.scrollWidth <= Math.ceil(box.width) })"
    )
    assert page.browser.value(is_seen), (path, cost)
    page.browser.resize(1500)


def test_light_and_dark(page: Page) -> None:
    """The page follows the system."""
    colours = set()
    for scheme in ("light", "dark"):
        page.browser.resize(1500, scheme=scheme)
        page.open("")
        colours.add(page.browser.value("getComputedStyle(document.body).backgroundColor"))
    page.browser.resize(1500)
    assert len(colours) == 2


def test_hostile_content_does_nothing(page: Page) -> None:
    """Scripts in ids, names, Markdown and errors are text; nothing is loaded from elsewhere."""
    name = quote(f'bad{HOSTILE}/..%2f"', safe="")
    paths = ["", "exchanges", f"session/{quote(f's{HOSTILE}', safe='')}"]
    paths += [f"exchange/{name}{tab}" for tab in ("", "/request", "/answer", "/changes", "/facts")]
    for path in paths:
        page.open(path)
        assert (
            page.browser.value("document.querySelectorAll('#main img, iframe, object').length") == 0
        )
        assert (
            page.browser.value("document.querySelectorAll('a[href^=\"javascript\"]').length") == 0
        )
        loaded = page.browser.value("performance.getEntriesByType('resource').map(one => one.name)")
        assert all(one.startswith(page.base) or one == "data:," for one in loaded), loaded
        assert page.count("script:not([src]), style, [style], [onerror]") == 0


ANOTHER_PAGE = """
<!doctype html><title>another</title><body><script>
const base = BASE, found = {};
const pages = ["", "exchanges", "static/page.js"];
Promise.all([
  ...pages.map(path => fetch(base + path, {credentials: "include"})
    .then(answer => answer.text()).then(text => { found["fetch " + path] = text; }, () => {})),
  new Promise(done => {
    const script = document.createElement("script");
    script.src = base + "static/page.js"; script.onload = () => { found.script = 1; done(); };
    script.onerror = done; document.body.append(script);
  }),
  new Promise(done => {
    const frame = document.createElement("iframe");
    frame.src = base; frame.onload = () => {
      try { found.frame = frame.contentDocument.body.innerHTML; } catch {} done(); };
    document.body.append(frame);
  }),
]).then(() => { window.found = JSON.stringify(found); });
</script>
"""


class AnotherSite(BaseHTTPRequestHandler):
    """Another server of this machine, whose page is after what the first one has."""

    page = ""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(self.page.encode())

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


def test_another_site_reads_nothing(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page on another port of this machine gets nothing, though the browser has the cookie."""
    page.open("exchanges")
    monkeypatch.setattr(AnotherSite, "page", ANOTHER_PAGE.replace("BASE", json.dumps(page.base)))
    with ThreadingHTTPServer(("127.0.0.1", 0), AnotherSite) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page.browser.open(f"http://127.0.0.1:{server.server_port}/")
        page.holds("typeof window.found", "string")
        assert json.loads(page.browser.value("window.found")) in ({}, {"frame": ""})
        server.shutdown()
    page.open("exchanges")


AXE = os.environ.get("TEST_AXE")


@pytest.mark.skipif(AXE is None, reason="no axe-core: set TEST_AXE to its axe.min.js")
@pytest.mark.parametrize("width", [400, 1500])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_accessibility(page: Page, scheme: str, width: int) -> None:
    """axe-core has no serious finding on any page, narrow or wide."""
    found = []
    for path in PAGES:
        page.browser.resize(width, scheme=scheme)
        page.open(path)
        page.browser.value(Path(AXE or "").read_text() + "; 1")
        page.browser.value(
            "window.axed = null; axe.run().then(result => { window.axed = JSON.stringify("
            "result.violations.map(one => [one.impact, one.id, one.nodes.slice(0, 3).map(node =>"
            " node.html + ' ' + node.any.map(a => a.message).join(' '))])) }); 1"
        )
        page.holds("window.axed !== null")
        for impact, name, nodes in json.loads(page.browser.value("window.axed")):
            found.append((path, impact, name, nodes))
    page.browser.resize(1500)
    assert [one for one in found if one[1] in ("serious", "critical", "moderate")] == []
