"""What the configuration leaves out passes untouched and makes no row, or one that says so."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

import pytest
import zstandard

from tests.conftest import BY_TENANT
from tests.fakes import bodies
from tests.fakes.answers import PLAIN, Answer, broken, json_answer
from tests.harness.clients import CHAT, CREATE, RawClient, asking, chatting, fetch
from tests.harness.database import unpacked
from tests.harness.expected import assert_completed, assert_holds, assert_response, response_in
from tests.harness.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import MakeProxy
    from tests.fakes.model_server import ModelServer
    from tests.fakes.requests import Request

LIMIT = 20_000
STRICT = {
    **BY_TENANT,
    "capture": {
        "hosts": ["127.0.0.1"],
        "apis": ["responses"],
        "store_false": "skip",
        "raw_bodies": "never",
        "max_body_bytes": LIMIT,
    },
}


@pytest.fixture(scope="module")
def strict(
    authority: Path, model_server: ModelServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    """A regular proxy that captures little."""
    folder = tmp_path_factory.mktemp("strict")
    with Proxy(folder, authority=authority, config=STRICT) as proxy:
        yield proxy


def through(server: ModelServer, path: str = CREATE, host: str = "127.0.0.1") -> dict[str, str]:
    """How to ask for a path of the server through a regular proxy."""
    return {"path": f"http://{host}:{server.port}{path}", "host": f"{host}:{server.port}"}


def counts_nothing(proxy: Proxy, tenant: str) -> None:
    """Nothing of the tenant is on its way to the store, and nothing is in it."""
    proxy.flush()
    assert proxy.database.exchanges(tenant) == []
    assert proxy.database.responses(tenant) == []


def test_captured_host(strict: Proxy, model_server: ModelServer, tenant: str) -> None:
    """A host on the list is captured."""
    assert fetch(strict.port, asking(), tenant, **through(model_server)).whole
    assert_completed(strict.database.ended(tenant), streamed=False, model="gpt-5")


def test_other_host(strict: Proxy, model_server: ModelServer, tenant: str) -> None:
    """A host that is not on the list is left alone."""
    assert fetch(strict.port, asking(), tenant, **through(model_server, host="localhost")).whole
    counts_nothing(strict, tenant)


def test_other_api(strict: Proxy, model_server: ModelServer, tenant: str) -> None:
    """An API that is not on the list is left alone."""
    assert fetch(strict.port, chatting(), tenant, **through(model_server, CHAT)).whole
    counts_nothing(strict, tenant)


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_store_false_skipped(
    strict: Proxy, model_server: ModelServer, tenant: str, *, streamed: bool
) -> None:
    """With `store_false: skip` a request that asks not to be stored is not."""
    body = asking(store=False, stream=streamed)
    assert fetch(strict.port, body, tenant, **through(model_server)).whole
    counts_nothing(strict, tenant)


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_store_false_captured(proxy: Proxy, tenant: str, *, streamed: bool) -> None:
    """By default a request that asks not to be stored upstream is stored here."""
    assert fetch(proxy.port, asking(store=False, stream=streamed), tenant).whole
    assert_completed(proxy.database.ended(tenant), streamed=streamed, model="gpt-5")
    assert len(proxy.database.responses(tenant)) == 1


def test_too_large(strict: Proxy, model_server: ModelServer, tenant: str) -> None:
    """A body beyond the limit passes whole; its row says so, and has the beginning of its text."""

    def play(request: Request) -> Answer:
        return json_answer(bodies.whole_response(request.fields, "x" * LIMIT))

    reply = fetch(strict.port, asking(model_server.play(play)), tenant, **through(model_server))
    assert bytes(reply.body) == model_server.recordings.only(tenant).body
    assert_too_large(strict, tenant)


def test_too_large_stream(strict: Proxy, model_server: ModelServer, tenant: str) -> None:
    """So does a stream; where its terminal event comes, that says everything all the same."""

    def play(request: Request) -> Answer:
        return PLAIN.answer(bodies.stream_events(request.fields, text="x" * (LIMIT // 2)))

    body = asking(model_server.play(play), stream=True)
    reply = fetch(strict.port, body, tenant, **through(model_server))
    served = model_server.recordings.only(tenant).body
    assert bytes(reply.body) == served
    assert len(served) > 2 * LIMIT
    row = strict.database.ended(tenant)
    assert_completed(row, streamed=True, model=row["requested_model"], text="x" * (LIMIT // 2))
    assert_response(strict.database.response(tenant), response_in(served))


def test_too_large_and_cut(strict: Proxy, model_server: ModelServer, tenant: str) -> None:
    """A stream beyond the limit that breaks off has the beginning of its text."""

    def play(request: Request) -> Answer:
        events = bodies.stream_events(request.fields, text="x" * LIMIT)
        return broken(PLAIN.answer(events), after=len(events) // 2)

    body = asking(model_server.play(play), stream=True)
    reply = fetch(strict.port, body, tenant, **through(model_server))
    assert len(reply.body) > 2 * LIMIT
    assert_too_large(strict, tenant)


def assert_too_large(strict: Proxy, tenant: str) -> None:
    """The row of the tenant has a beginning of the text, within the limit, and no response."""
    row = strict.database.ended(tenant)
    assert_holds(row, {"state": "too_large", "status_code": 200, "raw_response": None})
    text = row["output_text"]
    assert 0 < len(text) < LIMIT
    assert text == "x" * len(text)
    assert strict.database.responses(tenant) == []


def test_too_large_request(strict: Proxy, model_server: ModelServer, tenant: str) -> None:
    """A request beyond the limit passes, and its row goes without its body."""
    body = asking(input="x" * LIMIT)
    assert fetch(strict.port, body, tenant, **through(model_server)).whole
    assert model_server.recordings.only(tenant).request.fields == body
    row = strict.database.ended(tenant)
    assert_holds(row, {"request_body": None, "status_code": 200})


def test_no_raw_bodies(strict: Proxy, model_server: ModelServer, tenant: str) -> None:
    """With `raw_bodies: never` no raw bytes are kept."""
    fetch(strict.port, asking("failed", stream=True), tenant, **through(model_server))
    assert_holds(strict.database.ended(tenant), {"state": "failed", "raw_response": None})


def test_all_raw_bodies(make_proxy: MakeProxy, model_server: ModelServer, tenant: str) -> None:
    """With `raw_bodies: always` the bytes of good answers are kept as well."""
    config = {**BY_TENANT, "capture": {"raw_bodies": "always"}}
    with make_proxy(config=config) as proxy:
        for streamed in (False, True):
            fetch(proxy.port, asking(stream=streamed), tenant)
        rows = proxy.database.all_ended(tenant, 2)
    served = model_server.recordings.of(tenant)
    assert [unpacked(row["raw_response"]) for row in rows] == [one.body for one in served]


OTHERS = {
    "HEAD": {"method": "HEAD"},
    "OPTIONS": {"method": "OPTIONS"},
    "PUT": {"method": "PUT"},
    "another path": {"path": "/v1/models"},
    "a longer name": {"path": "/v1/xresponses"},
    "a form": {"content_type": "multipart/form-data; boundary=b"},
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_requests(proxy: Proxy, model_server: ModelServer, tenant: str, name: str) -> None:
    """Requests that are none of ours pass, and make no row."""
    fetch(proxy.port, asking(), tenant, **OTHERS[name])
    assert len(model_server.recordings.of(tenant)) == 1
    counts_nothing(proxy, tenant)


SHAPES = {
    "no model": (b'{"input": "Hi"}', None),
    "no input": (b'{"model": "usual"}', None),
    "a list": (b'[{"model": "usual", "input": "Hi"}]', "unreadable_request"),
    "no JSON": (b"model=usual&input=Hi", "unreadable_request"),
    "empty": (b"", "unreadable_request"),
}


@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded", ""])
@pytest.mark.parametrize("name", SHAPES)
def test_other_bodies(proxy: Proxy, tenant: str, name: str, kind: str) -> None:
    """Method and path make the row, whatever the body looks like and is called."""
    body, error = SHAPES[name]
    fetch(proxy.port, body, tenant, content_type=kind, x_scenario="usual")
    row = proxy.database.ended(tenant)
    assert_holds(row, {"state": "completed", "error_code": error})
    assert (unpacked(row["request_body"]) if body else b"") == body


@pytest.mark.parametrize("path", ["/v1/responses/", "//v1//responses", "/v1/chat/completions//"])
def test_slashes(proxy: Proxy, tenant: str, path: str) -> None:
    """A slash too many in a path makes the row of the path without it."""
    fetch(proxy.port, asking(), tenant, path=path)
    assert_holds(proxy.database.ended(tenant), {"path": path, "requested_model": "gpt-5"})


PATHS = [
    "/v1/responses",
    "/responses",
    "/openai/responses?api-version=2025-04-01-preview",
    "/openai/v1/responses",
    "/backend-api/codex/responses",
    "/api/v1/responses",
]


@pytest.mark.parametrize("path", PATHS)
def test_paths(proxy: Proxy, tenant: str, path: str) -> None:
    """Every path that ends like the API's is captured."""
    fetch(proxy.port, asking(), tenant, path=path)
    assert_holds(proxy.database.ended(tenant), {"state": "completed", "path": path})


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_encoded_request(proxy: Proxy, model_server: ModelServer, tenant: str, coding: str) -> None:
    """A compressed request goes on as it is, and is kept readable."""
    plain = json.dumps(asking()).encode()
    packed = {"gzip": gzip.compress, "zstd": zstandard.ZstdCompressor().compress}[coding](plain)
    assert fetch(proxy.port, packed, tenant, content_encoding=coding).whole
    assert model_server.recordings.only(tenant).request.body == packed
    row = proxy.database.ended(tenant)
    assert_completed(row, streamed=False, model="gpt-5")
    assert unpacked(row["request_body"]) == plain


def test_keep_alive(proxy: Proxy, tenant: str) -> None:
    """Exchanges that follow each other on one connection stay apart."""
    with RawClient(proxy.port) as client:
        for streamed in (True, False, True):
            reply = client.ask(asking(stream=streamed), x_tenant=tenant)
            assert client.read_to_end(reply).whole
    rows = proxy.database.all_ended(tenant, 3)
    assert [row["transport"] for row in rows] == ["sse", "http", "sse"]
    assert len({row["response_id"] for row in rows}) == 3
