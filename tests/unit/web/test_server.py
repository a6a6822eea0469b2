"""The server: what it answers to whom, with which headers, and how it ends."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import httpx
import pytest

from response_store.errors import StoppedError
from response_store.web import server
from response_store.web.access import HEADERS
from response_store.web.page import Answer, PageRequest
from response_store.web.routes import PAGES
from tests.unit.queries.stored import Stored
from tests.unit.web.serving import serving
from tests.unit.web.test_reader_pool import FOREVER

if TYPE_CHECKING:
    from pathlib import Path

    from response_store.queries.exchanges import Query
    from tests.unit.web.serving import Served


def test_a_visitor_gets_a_cookie_and_an_address_without_the_token(on_sqlite: Served) -> None:
    """The cookie is for this path, out of scripts' reach, and for no other site."""
    answer = httpx.get(on_sqlite.access.url, trust_env=False)
    assert answer.status_code == 303
    assert answer.headers["location"] == on_sqlite.access.path
    cookie = answer.headers["set-cookie"]
    assert f"Path={on_sqlite.access.path}" in cookie
    assert {"HttpOnly", "SameSite=Strict"} <= {part.strip() for part in cookie.split(";")}


def test_a_link_on_another_page_leads_in_by_a_page(on_sqlite: Served) -> None:
    """A browser sends no such cookie behind another page's redirect: the page goes on by itself."""
    headers = {"Sec-Fetch-Site": "cross-site"}
    answer = httpx.get(on_sqlite.access.url, headers=headers, trust_env=False)
    assert answer.status_code == 200
    assert answer.headers["refresh"] == f"0; url={on_sqlite.access.path}"


def test_without_a_key_nothing_is_told(on_sqlite: Served) -> None:
    """No page, no file, and the same answer whether there is such a page or not."""
    base = on_sqlite.origin + on_sqlite.access.path
    addresses = [base, f"{base}exchange/t1", f"{base}static/page.js", f"{base}changes",
                 f"{base}nothing", on_sqlite.origin]  # fmt: skip
    answers = [httpx.get(address, trust_env=False) for address in addresses]
    assert {answer.status_code for answer in answers} == {403}
    assert len({answer.text for answer in answers}) == 1


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
def test_nothing_can_be_changed(on_sqlite: Served, method: str) -> None:
    """Pages are got, and nothing else can be done with them."""
    answer = on_sqlite.client.request(method, "exchanges")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")


@pytest.mark.parametrize("path", ["", "nothing", "static/page.css", "exchange/none"])
def test_every_answer_is_protected(on_sqlite: Served, path: str) -> None:
    """Pages, files and errors come with the same headers, and say nothing of the server."""
    for headers in ({}, {"Cookie": "response_store=wrong"}):
        answer = on_sqlite.client.get(path, headers=headers)
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
        assert "server" not in answer.headers
        assert "etag" not in answer.headers


def test_another_origin_is_refused(on_sqlite: Served) -> None:
    """The cookie helps no foreign page."""
    answer = on_sqlite.client.get("exchanges", headers={"Origin": "http://evil.example"})
    assert answer.status_code == 403
    assert "is refused" in answer.text


def test_what_is_not_there(served: Served) -> None:
    """An address that names nothing, and one that is wrong, get a page that says so."""
    missing = served.client.get("exchange/none")
    assert missing.status_code == 404
    assert "is not found" in missing.text
    wrong = served.client.get("exchanges", params={"since": "xyzzy"})
    assert wrong.status_code == 400
    assert "is no time" in wrong.text
    assert served.client.get("nothing").status_code == 404


def test_changes_are_told(on_sqlite: Served) -> None:
    """A page that listens hears of the state that it finds."""
    with on_sqlite.client.stream("GET", "changes") as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        lines = answer.iter_lines()
        assert next(line for line in lines if line.startswith("event:")) == "event: change"


def test_what_a_browser_no_longer_waits_for_is_broken_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A query ends where its connection is closed, as a browser does that asks for another page."""
    began, ended = threading.Event(), threading.Event()

    def take_long(_: PageRequest, query: Query) -> Answer:
        began.set()
        try:
            query.reader.rows(FOREVER["sqlite"])
        except StoppedError:
            ended.set()
            raise
        return Answer(b"")

    monkeypatch.setattr(server, "PAGES", (*PAGES, ("slow", take_long)))
    with serving(None, Stored(tmp_path / "responses.db").path) as served:
        with pytest.raises(httpx.ReadTimeout):
            served.client.get("slow", timeout=0.3)
        assert began.is_set()
        assert ended.wait(10)
        assert served.client.get("exchanges").status_code == 200
