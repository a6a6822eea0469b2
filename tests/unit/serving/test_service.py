"""What the event loop asks of the ingester, and what a client gets for its reply."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from response_store.config import Serve
from response_store.diagnostics import Counters
from response_store.errors import PermanentStoreError, StoreError, TransientStoreError
from response_store.ingest.channel import FAILED, GONE, LATE, OK, UNKNOWN, IngesterReply
from response_store.serving.answers import serve_if_better
from response_store.serving.request import Fields, ServedResponse, StoreRequest, parse_request
from response_store.serving.service import KIND, SECONDS, Service, StoreQuery, StoreReply, encode
from tests.unit.serving.responses import AT, ITEMS, found
from tests.unit.serving.responses import response as whole_response

TENANT = "t1"
WAYS = [("GET", AT), ("GET", f"{AT}?stream=true"), ("GET", ITEMS), ("DELETE", AT)]
REPLY = StoreReply(200, (("content-type", "application/json"),), b'{"id":"r"}')
UPSTREAM = StoreReply(None)


def ask(method: str, path: str) -> StoreRequest:
    """What a request asks for."""
    wanted = parse_request(method, path)
    assert wanted is not None
    return wanted


class Holding:
    """Holds one response, whoever asks; or fails."""

    def __init__(self, what: ServedResponse | Exception | None) -> None:
        self.what = what

    def find(self, tenant: str, response_id: str, wanted: Fields) -> ServedResponse | None:
        if isinstance(self.what, Exception):
            raise self.what
        return self.what


WHOLE = found(whole_response())
RUNNING = [found(whole_response(status=status)) for status in ("queued", "in_progress")]


@pytest.mark.parametrize(
    ("path", "what", "status"),
    [
        (AT, WHOLE, 200),
        (f"{AT}?stream=true", WHOLE, 200),
        (ITEMS, ServedResponse(input='[{"id": "a"}]'), 200),
        (f"{ITEMS}?after=b", ServedResponse(input='[{"id": "a"}]'), 400),
        (f"{AT}?bad=1", WHOLE, 400),
        (f"{AT}?bad=1", None, None),
        (AT, None, None),
        (ITEMS, None, None),
        (ITEMS, ServedResponse(input="[]"), None),
        (AT, RUNNING[0], None),
        (f"{AT}?stream=true", RUNNING[1], None),
        (AT, ServedResponse(response_object="{"), None),
        (
            f"{AT}?stream=true",
            ServedResponse(response_object='{"status": "completed", "output": [}'),
            None,
        ),
        (ITEMS, ServedResponse(input="{"), None),
        (AT, TransientStoreError("away"), None),
        (f"{AT}?bad=1", TransientStoreError("away"), None),
        (ITEMS, StoreError("corrupt"), None),
        (AT, PermanentStoreError("no rights"), None),
    ],
)
def test_prefer(path: str, what: Any, status: int | None) -> None:
    """What is here and whole is answered; whatever else is the upstream's."""
    answer = serve_if_better(Holding(what), TENANT, ask("GET", path))
    assert (answer.status if answer else None) == status


def test_prefer_never_deletes() -> None:
    """The upstream is asked, and what it answers is noted when it has."""
    assert serve_if_better(Holding(WHOLE), TENANT, ask("DELETE", AT)) is None


@dataclass
class Journal:
    """Stands for the session. It answers with what a test says, or never."""

    reply: StoreReply | None = None
    status: str = OK
    deletes: bool = True
    asked: list[tuple[str, StoreQuery, float]] = field(default_factory=list)
    deleted: list[tuple[str, str]] = field(default_factory=list)

    def ask(self, kind: str, arguments: bytes, seconds: float) -> asyncio.Future[IngesterReply]:
        query = msgspec.msgpack.decode(arguments, type=StoreQuery)
        self.asked.append((kind, query, seconds))
        future: asyncio.Future[IngesterReply] = asyncio.get_running_loop().create_future()
        if self.reply is not None or self.status != OK:
            body = encode(self.reply) if self.reply is not None else b""
            future.set_result(IngesterReply(self.status, body))
        return future

    async def delete(self, tenant: str, response_id: str, seconds: float) -> bool:
        self.deleted.append((tenant, response_id))
        return self.deletes


def service(mode: Serve, journal: Journal) -> tuple[Service, Counters]:
    """A service on a journal."""
    counters = Counters()
    return Service(mode, journal, counters), counters


@pytest.mark.parametrize(
    ("method", "path", "mode", "is_asked"),
    [
        ("GET", AT, Serve.PREFER, True),
        ("GET", f"/openai{ITEMS}/?api-version=1", Serve.ONLY, True),
        ("DELETE", AT, Serve.ONLY, True),
        ("DELETE", AT, Serve.PREFER, False),
        ("POST", AT, Serve.ONLY, False),
        ("POST", "/v1/responses", Serve.ONLY, False),
        ("GET", "/v1/responses", Serve.ONLY, False),
        ("GET", "/v1/responses/compact", Serve.ONLY, False),
        ("GET", "/v1/models?x=/responses/y", Serve.ONLY, False),
    ],
)
def test_what_is_ours(method: str, path: str, mode: Serve, is_asked: bool) -> None:
    """Only requests for stored responses are held up."""
    told, _ = service(mode, Journal())
    assert (told.parse(method, path) is not None) is is_asked


@pytest.mark.parametrize(("method", "path"), WAYS[:3])
@pytest.mark.parametrize("mode", [Serve.ONLY, Serve.PREFER])
async def test_an_answer(method: str, path: str, mode: Serve) -> None:
    """The ingester gets the request as it came, and the client what it replied, to the letter."""
    journal = Journal(REPLY)
    told, counters = service(mode, journal)
    answer = await told.answer(TENANT, ask(method, path), method, path)
    assert answer is not None
    assert (answer.status, answer.headers, answer.body) == (200, REPLY.headers, REPLY.body)
    assert journal.asked == [(KIND, StoreQuery(mode.value, TENANT, method, path), SECONDS)]
    assert counters.snapshot() == {"served.200": 1}


async def test_a_path_that_is_no_text() -> None:
    """Bytes that are no UTF-8 make an id that nobody has, and no error."""
    journal = Journal(StoreReply(404))
    told, _ = service(Serve.ONLY, journal)
    path = f"{AT}\udcff"
    answer = await told.answer(TENANT, ask("GET", path), "GET", path)
    assert answer is not None
    assert answer.status == 404
    assert journal.asked[0][1].path == f"{AT}\ufffd"


async def test_the_upstream_is_to_be_asked() -> None:
    """A reply without a status lets the request go on."""
    told, counters = service(Serve.PREFER, Journal(UPSTREAM))
    assert await told.answer(TENANT, ask("GET", AT), "GET", AT) is None
    assert counters.snapshot() == {"served.by_upstream": 1}


@pytest.mark.parametrize(("method", "path"), WAYS)
@pytest.mark.parametrize(
    ("status", "instead"), [(LATE, 503), (GONE, 503), (UNKNOWN, 503), (FAILED, 500)]
)
@pytest.mark.parametrize("mode", [Serve.ONLY, Serve.PREFER])
async def test_no_answer(mode: Serve, status: str, instead: int, method: str, path: str) -> None:
    """A client is told that the store is away, unless the upstream can be asked."""
    told, counters = service(mode, Journal(status=status))
    answer = await told.answer(TENANT, ask(method, path), method, path)
    if mode is Serve.ONLY:
        assert answer is not None
        assert answer.status == instead
        assert counters.snapshot() == {f"served.{instead}": 1}
        assert json.loads(answer.body)["error"]["type"] == "server_error"
    else:
        assert answer is None
        assert counters.snapshot() == {"served.by_upstream": 1}


@pytest.mark.parametrize(("mode", "status"), [(Serve.ONLY, 503), (Serve.PREFER, None)])
async def test_it_takes_too_long(
    mode: Serve, status: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ingester that hangs is not waited for longer than is said to it."""
    monkeypatch.setattr("response_store.serving.service.SECONDS", 0.02)
    journal = Journal()
    told, _ = service(mode, journal)
    answer = await told.answer(TENANT, ask("GET", AT), "GET", AT)
    assert (answer.status if answer else None) == status
    assert journal.asked[0][2] == 0.02


async def test_deleting() -> None:
    """What is there is deleted here, and the client told once that is in the database."""
    journal = Journal(UPSTREAM)
    told, counters = service(Serve.ONLY, journal)
    answer = await told.answer(TENANT, ask("DELETE", AT), "DELETE", AT)
    assert answer is not None
    assert json.loads(answer.body) == {
        "id": "resp_x",
        "object": "response.deleted",
        "deleted": True,
    }
    assert journal.deleted == [(TENANT, "resp_x")]
    assert counters.snapshot() == {"served.200": 1}


async def test_deleting_what_is_not_there() -> None:
    """Nothing is written for it."""
    journal = Journal(StoreReply(404, (), b"{}"))
    told, _ = service(Serve.ONLY, journal)
    answer = await told.answer(TENANT, ask("DELETE", AT), "DELETE", AT)
    assert answer is not None
    assert (answer.status, journal.deleted) == (404, [])


async def test_a_deletion_that_is_not_written_in_time() -> None:
    """A client that was not told that it is deleted asks again."""
    told, counters = service(Serve.ONLY, Journal(UPSTREAM, deletes=False))
    answer = await told.answer(TENANT, ask("DELETE", AT), "DELETE", AT)
    assert answer is not None
    assert answer.status == 503
    assert counters.snapshot() == {"served.503": 1}


@pytest.mark.parametrize(("mode", "status"), [(Serve.ONLY, 500), (Serve.PREFER, None)])
async def test_an_error_of_our_own(mode: Serve, status: int | None) -> None:
    """It comes to whoever guards the traffic, who gets to know what to do."""
    journal = Journal()
    journal.ask = lambda *_: 1 // 0  # type: ignore[method-assign,assignment]
    told, counters = service(mode, journal)
    with pytest.raises(ZeroDivisionError):
        await told.answer(TENANT, ask("GET", AT), "GET", AT)
    instead = told.answer_after_error()
    assert (instead.status if instead else None) == status
    assert sum(counters.snapshot().values()) == 1
