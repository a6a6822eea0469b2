"""Answers and requests that were made to harm a proxy: it goes on, and so does other traffic."""

from __future__ import annotations

import gzip
import threading
import time
import zlib
from functools import cache
from typing import TYPE_CHECKING

import brotli
import pytest

from tests.conftest import BY_TENANT
from tests.fakes.answers import Answer, json_answer
from tests.fakes.websocket import WebSocketSwitch
from tests.fakes.websocket_client import WebSocketClient
from tests.fakes.websocket_plays import instead, usual
from tests.harness.clients import RawClient, asking, fetch
from tests.harness.journals import journal_files, journals_in
from tests.harness.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.fakes.model_server import ModelServer
    from tests.fakes.requests import Request

STALL = 3.0  # seconds that a bystander may wait on a loaded machine; it was 5 to 98
EVENT_STREAM = "text/event-stream"


@pytest.fixture(scope="module")
def attacked(
    model_server: ModelServer, authority: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    """A proxy that meets nobody friendly."""
    folder = tmp_path_factory.mktemp("attacked")
    with Proxy(
        folder,
        authority=authority,
        mode=f"reverse:{model_server.url}",
        config=BY_TENANT | journals_in(folder),
    ) as proxy:
        yield proxy


def encoded(body: bytes, coding: str, kind: str) -> Callable[[Request], Answer]:
    """Return a server that sends bytes, and says what they are."""
    headers = (("content-type", kind), ("content-encoding", coding))
    return lambda _: Answer(headers=headers, steps=(body,))


def longest_wait(proxy: Proxy, during: Callable[[], object]) -> float:
    """Return the longest time that another client waits while something happens."""
    over = threading.Event()
    waits = [0.0]

    def ask_again() -> None:
        while not over.is_set():
            start = time.monotonic()
            fetch(proxy.port, None, "bystander", path="/v1/models", method="GET")
            waits.append(time.monotonic() - start)
            time.sleep(0.01)

    bystander = threading.Thread(target=ask_again)
    bystander.start()
    try:
        during()
        time.sleep(0.3)
    finally:
        over.set()
        bystander.join()
    return max(waits)


@cache
def empty_blocks(times: int) -> bytes:
    """Return gigabytes of nothing that gzip has packed over and over."""
    if times > 2:
        return gzip.compress(empty_blocks(times - 1))
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    blocks = b"\0\0\0\xff\xff" * 200_000
    head = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
    packed = b"".join([packer.compress(head), *(packer.compress(blocks) for _ in range(500))])
    return packed + packer.flush()


BOMBS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "60,000 codings": (",".join(["gzip"] * 8_000), lambda: b"data: x\n\n"),
    "empty blocks": ("gzip, gzip", lambda: empty_blocks(2)),
    "empty blocks, deeper": ("gzip, gzip, gzip", lambda: empty_blocks(3)),
    "gzip": ("gzip", lambda: gzip.compress(bytes(1 << 28))),
    "brotli": ("br", lambda: brotli.compress(bytes(1 << 28), quality=3, lgwin=24)),
}


@cache
def packed_bomb(name: str) -> tuple[str, bytes]:
    """Return what a bomb says that it is, and the bomb, which takes a second to make."""
    coding, make = BOMBS[name]
    return coding, make()


@pytest.mark.parametrize("kind", ["application/json", EVENT_STREAM])
@pytest.mark.parametrize("name", BOMBS)
def test_bombs(
    attacked: Proxy, model_server: ModelServer, tenant: str, name: str, kind: str
) -> None:
    """A packed answer that stands for very much holds nobody up, passes, and has its row."""
    coding, body = packed_bomb(name)
    model = model_server.play(encoded(body, coding, kind))
    replies = []
    waited = longest_wait(
        attacked, lambda: replies.append(fetch(attacked.port, asking(model), tenant))
    )
    assert bytes(replies[0].body) == body
    row = attacked.database.ended(tenant)
    assert row["state"] in ("unreadable", "too_large")
    assert waited < STALL


def test_a_request_of_many_codings(attacked: Proxy, tenant: str) -> None:
    """A request's codings are bounded as well; what can't be decoded is not kept."""
    codings = ",".join(["gzip"] * 8_000)
    with RawClient(attacked.port) as client:
        client.send(b"x" * 100, x_tenant=tenant, content_encoding=codings)
        client.read_to_end(client.read_head())
    row = attacked.database.ended(tenant)
    assert row["request_body"] is None
    assert row["error_message"] is not None


def test_many_values(attacked: Proxy, model_server: ModelServer, tenant: str) -> None:
    """Megabytes of values are not decoded: they are kept as they came, and nobody waits."""
    body = b'{"id":"r","object":"response","output":[' + b"0," * 8_000_000 + b"0]}"
    model = model_server.play(lambda _: json_answer(body))
    waited = longest_wait(attacked, lambda: fetch(attacked.port, asking(model), tenant))
    row = attacked.database.ended(tenant)
    assert (row["state"], row["response_id"]) == ("too_large", "r")
    assert row["raw_response"] is not None
    assert waited < STALL


def test_an_endless_name(attacked: Proxy, model_server: ModelServer, tenant: str) -> None:
    """An id of megabytes is no line of megabytes, in the log or in a list."""
    body = b'{"id":"' + b"A" * 8_000_000 + b'","object":"response","output":[]}'
    model = model_server.play(lambda _: json_answer(body))
    assert fetch(attacked.port, asking(model), tenant).whole
    assert len(attacked.database.ended(tenant)["response_id"]) == 1000
    assert max(map(len, attacked.output().splitlines())) < 1000


ECHOES = [401, 200]


@pytest.mark.parametrize("status", ECHOES)
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_an_error_that_repeats_the_key(
    attacked: Proxy, model_server: ModelServer, tenant: str, status: int, *, streamed: bool
) -> None:
    """The client's own key is kept nowhere where the server repeats it."""
    key = f"c4n4ry-0123456789-{tenant}"
    said = f'{{"error":{{"message":"Incorrect API key provided: {key}","code":"invalid"}}}}'

    def play(_: Request) -> Answer:
        text = f"event: error\ndata: {said}\n\n" if streamed else said
        kind = EVENT_STREAM if streamed else "application/json"
        return Answer(status=status, headers=(("content-type", kind),), steps=(text.encode(),))

    body = asking(model_server.play(play))
    path = f"/v1/responses?api-version=1;api-key={key}"
    reply = fetch(attacked.port, body, tenant, path=path, authorization=f"Bearer {key}")
    assert key.encode() in reply.body
    row = attacked.database.ended(tenant)
    assert row["error_message"] == "Incorrect API key provided: ***"
    assert row["path"] == "/v1/responses"
    written = [*journal_files(attacked).values(), attacked.database.dump(tenant), attacked.output()]
    assert not any(key in text for text in written)


def spelled(key: str) -> str:
    """Return a stream whose deltas spell a key, three characters each, and a bare end."""
    place = '"item_id":"m","output_index":0,"content_index":0'
    deltas = [
        f'{{"type":"response.output_text.delta",{place},"delta":"{key[at : at + 3]}"}}'
        for at in range(0, len(key), 3)
    ]
    end = '{"type":"response.completed","response":{"id":"r","status":"completed","output":[]}}'
    return "".join(f"data: {event}\n\n" for event in (*deltas, end))


def test_a_key_that_a_stream_spells(
    attacked: Proxy, model_server: ModelServer, tenant: str
) -> None:
    """The client's own key is in no row, though no event holds it, and an id of the answer does."""
    key = f"c4n4ry-0123456789-{tenant}"
    headers = (("content-type", EVENT_STREAM), ("x-request-id", f"req-{key}"))
    body = spelled(f"Your key is {key}.").encode()
    model = model_server.play(lambda _: Answer(headers=headers, steps=(body,)))
    fetch(attacked.port, asking(model, stream=True), tenant, authorization=f"Bearer {key}")
    row = attacked.database.ended(tenant)
    assert row["output_text"] == "Your key is ***."
    assert row["upstream_request_id"] == "***"
    attacked.flush()
    written = [*journal_files(attacked).values(), attacked.database.dump(tenant), attacked.output()]
    assert not any(key in text for text in written)


@pytest.mark.parametrize(
    ("header", "before"),
    [("authorization", "Bearer "), ("sec_websocket_protocol", "v1, openai-insecure-api-key.")],
)
def test_a_key_that_a_socket_spells(
    attacked: Proxy, model_server: ModelServer, tenant: str, header: str, before: str
) -> None:
    """So it is over a WebSocket, whose messages are joined as well, and where browsers put it."""
    key = f"c4n4ry-0123456789-{tenant}"
    messages = [frame.removeprefix("data: ") for frame in spelled(key).split("\n\n")[:-1]]
    switch = WebSocketSwitch(model_server, usual)
    scenario = switch.play(instead(lambda _: messages))
    with WebSocketClient(
        attacked.port, tenant, scenario=scenario, **{header: before + key}
    ) as client:
        client.send({"type": "response.create", "model": "m", "input": "Hi"})
        client.until("response.completed")
        client.close()
    assert attacked.database.ended(tenant)["output_text"] == "***"
    assert key not in attacked.database.dump(tenant)
