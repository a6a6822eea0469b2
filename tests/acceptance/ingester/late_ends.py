"""A story of responses in the background: cut off, polled, resumed, deleted, and ended late.

Each step is something that passes a proxy. What an ingester holds in between, tombstones, streams
that may be resumed, exchanges that are open, decides what the later ones come to.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.unit.ingest.proxy_side import (
    STARTED,
    ProxyJournal,
    answer_head,
    end_frame,
    response_object,
    sse,
    stream_end,
    stream_start,
)

Step = Callable[[ProxyJournal], object]
Rows = list[tuple[Any, ...]]

_SSE = answer_head("sse")
_TERMINATED = answer_head("sse", is_terminated=True)
EXCHANGES = "SELECT * FROM openai_exchanges ORDER BY exchange_id"
RESPONSES = "SELECT * FROM openai_responses ORDER BY id"


def _about(number: int, seconds: float, method: str = "GET") -> dict[str, Any]:
    """Return the head of a request about a response, so long after the story began."""
    return {
        "method": method,
        "path": f"/v1/responses/resp_{number}",
        "target_response_id": f"resp_{number}",
        "started_at": STARTED + seconds,
    }


def _snapshot(number: int, status: str = "completed") -> bytes:
    output = {} if status == "completed" else {"output": [], "usage": None}
    return json.dumps(response_object(number, background=True, status=status, **output)).encode()


def _delta(number: int, sequence: int, text: str) -> bytes:
    place = {"item_id": f"msg_{number}", "output_index": 0, "content_index": 0}
    return sse("response.output_text.delta", sequence, **place, delta=text)


def _cut_off(proxy: ProxyJournal, number: int) -> None:
    """Begin a stream in the background, which its client leaves."""
    proxy.open(number)
    proxy.part(number, stream_start(number, background=True), first=True)
    proxy.end(number, body=b"", by="client", answer=_SSE)


def _open_late(proxy: ProxyJournal) -> None:
    """Begin streams that end behind the deletion of their responses, and one that is not deleted.

    Polls and tails that end late have nothing in the journal until then.
    """
    for number in (20, 21, 22):
        proxy.open(number)
        proxy.part(number, stream_start(number, background=True), first=True)


def _end_stream(proxy: ProxyJournal, number: int) -> None:
    body = stream_end(number, background=True)
    proxy.end(number, body=body, answer=_TERMINATED, by="terminal_event")


def _deletion(number: int, seconds: float) -> dict[str, Any]:
    body = json.dumps({"id": f"resp_{number}", "object": "response", "deleted": True}).encode()
    return {"request": b"", "body": body, **_about(number, seconds, "DELETE")}


STEPS: dict[str, Step] = {
    "a stream is cut off": lambda proxy: _cut_off(proxy, 1),
    "another one": lambda proxy: _cut_off(proxy, 5),
    "a poll": lambda proxy: proxy.exchange(
        2, request=b"", body=_snapshot(1, "in_progress"), **_about(1, 1)
    ),
    "a response": lambda proxy: proxy.exchange(8),
    "streams begin": _open_late,
    "a part of a tail": lambda proxy: proxy.exchange(
        6, request=b"", body=_delta(5, 2, " and more"), by="client", answer=_SSE, **_about(5, 4)
    ),
    "the last poll": lambda proxy: proxy.exchange(
        7, request=b"", body=_snapshot(1), **_about(1, 4)
    ),
    "a deletion": lambda proxy: proxy.exchange(10, **_deletion(1, 5)),
    "a deletion of what streams": lambda proxy: proxy.exchange(13, **_deletion(20, 5)),
    "a deletion of our own": lambda proxy: proxy.delete("resp_8", at=STARTED + 6),
    "another of what streams": lambda proxy: proxy.delete("resp_21", at=STARTED + 6),
    "a late poll": lambda proxy: proxy.exchange(
        3, request=b"", body=_snapshot(1), **_about(1, 2)
    ),
    "a late tail": lambda proxy: proxy.exchange(
        4, request=b"", body=stream_end(1, 2, background=True), answer=_TERMINATED,
        by="terminal_event", **_about(1, 3),
    ),
    "a late poll of the other": lambda proxy: proxy.exchange(
        9, request=b"", body=_snapshot(8), **_about(8, 3)
    ),
    "a late end": lambda proxy: _end_stream(proxy, 20),
    "another late end": lambda proxy: _end_stream(proxy, 21),
    "an end": lambda proxy: _end_stream(proxy, 22),
    "the next tail": lambda proxy: proxy.exchange(
        11, request=b"", body=_delta(5, 3, " still"), by="client", answer=_SSE, **_about(5, 7)
    ),
    "the last tail": lambda proxy: proxy.exchange(
        12, request=b"", body=stream_end(5, 4, background=True), answer=_TERMINATED,
        by="terminal_event", **_about(5, 8),
    ),
}  # fmt: skip


def dirty_end() -> tuple[int, bytes, list[bytes]]:
    """Return the late end of a poll that is sent over the socket: key, head and parts."""
    return 14, *end_frame(14, alone=True, request=b"", body=_snapshot(1), **_about(1, 3))


def check(exchanges: Rows, responses: Rows) -> None:
    """See that the story comes to what it must, however it was told."""
    assert len(exchanges) >= 10
    ids = {value for row in responses for value in row if str(value).startswith("resp_")}
    assert ids == {"resp_5", "resp_22"}, "what was deleted has come back, or something is missing"
    assert any("text 5 and more still" in row for row in exchanges), "a tail has lost its head"
    assert not any("open" in row for row in exchanges)
