"""Bodies of tens of megabytes: their rows are right, and they cost little more memory than bare."""

from __future__ import annotations

import gzip
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import BY_TENANT, MakeProxy
from tests.fakes import bodies, cuts
from tests.fakes.answers import Answer, Framing, Stream, json_bytes
from tests.harness.clients import RawClient, asking, request_bytes
from tests.harness.database import unpacked
from tests.harness.expected import assert_holds
from tests.harness.proxy import Proxy

if TYPE_CHECKING:
    from tests.fakes.model_server import ModelServer
    from tests.fakes.requests import Request

pytestmark = [
    pytest.mark.skipif(not Path("/proc/self").exists(), reason="memory is looked up in /proc"),
]

MB = 1_000_000
LIMIT = 64 * 1024 * 1024  # max_body_bytes as it is by default
MARGIN = 64 * 1024 * 1024
QUIET = {"flow_detail": "0", "termlog_verbosity": "warn"}
LINE = "The quick brown fox jumps over the lazy dog, Köln. 0123456789\n"


@cache
def text_of(size: int) -> str:
    """Text of so many bytes."""
    return (LINE * (size // len(LINE.encode()) + 1))[:size]


def answering(size: int, *, streamed: bool, coding: str | None) -> Any:
    """A scenario whose answer is that large."""

    def play(request: Request) -> Answer:
        asked = {"model": "gpt-5"}  # no answer repeats a request of megabytes
        if streamed:
            events = bodies.stream_events(asked, text="short")
            part = text_of(size // 40)
            place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
            delta = {"type": "response.output_text.delta", **place, "delta": part}
            last = events[-1]
            last["response"]["output"] = [bodies.message("all of it", item_id="msg_1")]
            events = bodies.number([*events[:4], *[delta] * 40, last])
            return Stream(split=cuts.every(65_536), coding=coding).answer(events)
        body = json_bytes(bodies.whole_response(asked, text_of(size)))
        headers: tuple[tuple[str, str], ...] = (("content-type", "application/json"),)
        if coding:
            body, headers = gzip.compress(body, 1), (*headers, ("content-encoding", "gzip"))
        return Answer(headers=headers, framing=Framing.LENGTH, steps=(body,))

    return play


def request_of(model: str, size: int, tenant: str, *, streamed: bool, coding: str | None) -> bytes:
    """A request with that much input."""
    body: Any = asking(model, stream=streamed, input=text_of(size))
    how = {"x_tenant": tenant, "x_scenario": model}
    if coding:
        return request_bytes(gzip.compress(json_bytes(body), 1), content_encoding="gzip", **how)
    return request_bytes(body, **how)


def send(proxy: Proxy, request: bytes) -> int:
    """Send a request and read its answer to the end without keeping it; the bytes of its body."""
    with RawClient(proxy.port, timeout=60) as client:
        client.socket.sendall(request)
        reply = client.read_head()
        read = 0
        while not reply.whole:
            client.read_piece(reply)
            read += len(reply.body)
            if reply.header("transfer-encoding") == "chunked":
                reply.body.clear()
        return len(reply.body) or read


def resident(proxy: Proxy) -> int:
    """The most memory that a proxy has had at once, in bytes."""
    assert proxy.process is not None
    status = Path(f"/proc/{proxy.process.pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


KINDS: tuple[dict[str, Any], ...] = (
    {"request": 1.0, "answer": 0.0, "streamed": False, "coding": None},
    {"request": 0.0, "answer": 1.0, "streamed": True, "coding": None},
    {"request": 0.0, "answer": 1.0, "streamed": False, "coding": None},
    {"request": 0.0, "answer": 1.0, "streamed": True, "coding": "gzip"},
    {"request": 1.0, "answer": 0.0, "streamed": True, "coding": "gzip"},
    {"request": 0.0, "answer": 1.0, "streamed": False, "coding": "gzip"},
    {"request": 1.0, "answer": 0.0, "streamed": True, "coding": None},
    {"request": 0.0, "answer": 1.0, "streamed": True, "coding": None},
)


class Load:
    """Eight exchanges of one size: requests, answers and streams, plain and compressed."""

    def __init__(self, server: ModelServer, size: int, tag: str) -> None:
        self.size = size
        self.tag = tag
        self.requests = []
        for number, how in enumerate(KINDS):
            streamed, coding = how["streamed"], how["coding"]
            answered = max(100, int(how["answer"] * size))
            model = server.play(answering(answered, streamed=streamed, coding=coding))
            asked = max(10, int(how["request"] * size))
            self.requests.append(
                request_of(model, asked, f"{tag}-{number}", streamed=streamed, coding=coding)
            )

    def run(self, proxy: Proxy, at_once: int) -> None:
        """Have all of them pass, so many at once."""
        with ThreadPoolExecutor(at_once) as pool:
            list(pool.map(lambda request: send(proxy, request), self.requests))

    def assert_rows(self, proxy: Proxy) -> None:
        """Each has its row, with what was asked and what was answered."""
        for number, how in enumerate(KINDS):
            row = proxy.database.ended(f"{self.tag}-{number}", timeout=60)
            if how["streamed"]:
                said = "all of it"
            else:
                said = text_of(max(100, int(how["answer"] * self.size)))
            assert_holds(row, {"state": "completed", "status_code": 200})
            assert row["output_text"] == said, number
            request = unpacked(row["request_body"])
            assert len(request) > how["request"] * self.size, number
            assert len(proxy.database.responses(f"{self.tag}-{number}")) == 1


@pytest.mark.parametrize("size", [10 * MB, pytest.param(40 * MB, marks=pytest.mark.soak)])
def test_memory(make_proxy: MakeProxy, model_server: ModelServer, tenant: str, size: int) -> None:
    """Eight at once cost 64 MiB more than without the addon, and what `max_body_bytes` allows."""
    load = Load(model_server, size, tenant)
    with make_proxy("bare", addon=False, config=None, options=QUIET) as bare:
        load.run(bare, 8)
        without = resident(bare)
    with make_proxy(options=QUIET) as proxy:
        load.run(proxy, 8)
        proxy.flush(60)
        took = resident(proxy)
        load.assert_rows(proxy)
        status = proxy.command("response_store.status")
        assert "held in memory: 0 bytes\n" in status
        assert "dropped." not in status
    assert took < without + LIMIT + MARGIN


def test_one_after_the_other(make_proxy: MakeProxy, model_server: ModelServer, tenant: str) -> None:
    """Requests of 10 MB, one after the other, leave nothing behind in the proxy's memory."""
    request = request_of("gpt-5", 10 * MB, tenant, streamed=True, coding=None)
    with make_proxy("bare", addon=False, config=None, options=QUIET) as bare:
        for _ in range(6):
            send(bare, request)
        without = resident(bare)
    with make_proxy(options=QUIET) as proxy:
        for _ in range(6):
            send(proxy, request)
        proxy.flush(30)
        took = resident(proxy)
        assert len(proxy.database.all_ended(tenant, 6)) == 6
    assert took < without + MARGIN + 2 * 10 * MB


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("coding", [None, "gzip"])
def test_beyond_the_limit(
    make_proxy: MakeProxy,
    model_server: ModelServer,
    tenant: str,
    coding: str | None,
    *,
    streamed: bool,
) -> None:
    """Of what is beyond `max_body_bytes` the beginning of the text is kept, or its end says all."""
    config = BY_TENANT | {"capture": {"max_body_bytes": 4 * MB}}
    play = answering(12 * MB, streamed=streamed, coding=coding)
    with make_proxy(config=config, options=QUIET) as proxy:
        request = request_of(model_server.play(play), 10, tenant, streamed=streamed, coding=coding)
        assert send(proxy, request) > 0
        row = proxy.database.ended(tenant, timeout=30)
        if streamed and coding is None:  # its terminal event says everything, and is seen
            assert_holds(row, {"state": "completed", "output_text": "all of it"})
            return
        assert_holds(row, {"state": "too_large", "status_code": 200, "error_code": None})
        whole = text_of(12 * MB // 40) * 40 if streamed else text_of(12 * MB)
        assert whole.startswith(row["output_text"])
        assert len(row["output_text"]) > 2 * MB
