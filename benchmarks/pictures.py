"""Take pictures of the page for `docs/images`: `python -m benchmarks.pictures`; with Chromium."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from benchmarks.demo_rows import write_rows
from response_store.backends.registry import open_index
from response_store.cli.source import find_source
from response_store.search.index import index_missing
from response_store.web.beside import serve_beside
from tests.harness.browser import Browser, find_browser
from tests.harness.proxy import wait_until

PRICES = """\
prices:
  - { model: gpt-5.2-mini*, input: 0.25, cached_input: 0.025, output: 2 }
  - { model: gpt-5.2*, input: 1.25, cached_input: 0.125, output: 10 }
  - { model: llama*, input: 0, output: 0 }
"""
IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
PICTURES = (
    ("web-sessions", "", 1200, 700, "light"),
    ("web-session", "session/e-fix-4", 1400, 760, "light"),
    ("web-statistics", "statistics?since=7d", 1200, 700, "dark"),
    ("web-search", "search?q=delay", 1200, 700, "dark"),
    ("web-phone", "exchange/e-fix-4", 400, 800, "dark"),
)
"""Name, path, width, height, colours."""
_IS_THERE = "document.readyState === 'complete' && location.href"


def take_pictures(folder: Path, program: Path) -> None:
    """Fill a database, serve it, and take each picture."""
    database = folder / "responses.db"
    write_rows(database, time.time())
    config = folder / "config.yaml"
    config.write_text(f"database_url: sqlite://{database}\n{PRICES}")
    source = find_source(config, None)
    with closing(open_index(source.target, source.tables)) as index:
        for _ in index_missing(index):
            pass
    with serve_beside(source) as access, Browser(program, folder) as browser:
        base = access.url.partition("?")[0]
        browser.open(access.url)
        for name, path, width, height, scheme in PICTURES:
            wait_until(lambda: browser.value("document.title") != "", "the page is there")
            browser.resize(width, height, scheme)
            browser.open(base + path)
            address = base + path
            wait_until(lambda at=address: browser.value(_IS_THERE) == at, f"{name} is there")
            time.sleep(1)  # until what is new has faded
            browser.screenshot(IMAGES / f"{name}.png")


def run_with_browser(take: Callable[[Path, Path], None]) -> None:
    """Take pictures with a new folder and the program of a browser."""
    program = find_browser()
    if program is None:
        sys.exit("no Chromium: set TEST_CHROMIUM to one, or put it on PATH")
    with tempfile.TemporaryDirectory(dir=Path.home()) as folder:
        take(Path(folder), program)


if __name__ == "__main__":
    run_with_browser(take_pictures)
