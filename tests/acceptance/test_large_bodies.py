"""Bodies of tens of megabytes: their rows are right, and they cost no more memory than they must."""

from __future__ import annotations

import gzip
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes import bodies, cuts
from tests.fakes.answers import Answer, Framing, Stream, json_bytes
from tests.harness.clients import RawClient, asking, request_bytes
from tests.harness.proxy import Proxy

if TYPE_CHECKING:
    from tests.fakes.model_server import ModelServer
    from tests.fakes.requests import Request

pytestmark = [
    pytest.mark.one_python,
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


KINDS = {
    "request": {"asked": 1.0, "answered": 0.0, "streamed": False, "coding": None},
    "gzip request": {"asked": 1.0, "answered": 0.0, "streamed": True, "coding": "gzip"},
    "answer": {"asked": 0.0, "answered": 1.0, "streamed": False, "coding": None},
    "gzip answer": {"asked": 0.0, "answered": 1.0, "streamed": False, "coding": "gzip"},
    "stream": {"asked": 0.0, "answered": 1.0, "streamed": True, "coding": None},
    "gzip stream": {"asked": 0.0, "answered": 1.0, "streamed": True, "coding": "gzip"},
}


class Load:
    """Requests of one size, of every kind, whose bytes are there before they are sent."""

    def __init__(self, server: ModelServer, size: int, tenant: str, count: int) -> None:
        self.size = size
        self.requests: list[tuple[str, str, bytes]] = []
        for kind, how in list(KINDS.items()) * 2:
            streamed, coding = bool(how["streamed"]), how["coding"]
            answered = max(100, int(how["answered"] * size))
            model = server.play(answering(answered, streamed=streamed, coding=coding))
            name = f"{tenant}-{len(self.requests)}"
            request = request_of(
                model, int(how["asked"] * size) or 10, name, streamed=streamed, coding=coding
            )
            self.requests.append((kind, name, request))
        del self.requests[count:]
