"""Ends of 2 KB JSON exchanges as a proxy journals them, and the records that they become."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Iterator
from typing import NamedTuple

from benchmarks.payloads import json_answer, request_body
from response_store.capture.draft import AnswerHead, EndHead, RequestHead, encode_head
from response_store.config import Config
from response_store.ingest.exchanges import OpenExchanges
from response_store.ingest.record_builder import RecordBuilder
from response_store.journal.frames import Frame, FrameKind, FrameRef
from response_store.model.records import Record

REQUEST = json.dumps(request_body(stream=False)).encode()


class End(NamedTuple):
    """The head and the body of an END frame."""

    head: bytes
    request: bytes
    answer: bytes


def ends(count: int, seed: int) -> Iterator[End]:
    """Yield the same frames for the same seed; ids in no order, as an API gives them."""
    chance = random.Random(seed)
    for _ in range(count):
        answer = json_answer().fill(chance.getrandbits(190)).partition(b"\r\n\r\n")[2]
        request = RequestHead(
            flow_id=str(uuid.UUID(int=chance.getrandbits(128), version=4)),
            turn=0,
            tenant_id="default",
            api="responses",
            method="POST",
            scheme="http",
            host="127.0.0.1",
            path="/v1/responses",
            user_agent="OpenAI/Python 3.54.0",
            content_encoding="",
            started_at=1.764e9 + chance.random() * 1e6,
        )
        answered = AnswerHead("http", 200, "application/json", "", "req_benchmark")
        head = EndHead(request, "body", 12.5, None, answered, len(REQUEST))
        yield End(encode_head(head), REQUEST, answer)


def records(frames: list[End], config: Config, recorder_id: str) -> Iterator[Record]:
    """Yield what the ingester makes of frames."""
    exchanges = OpenExchanges(_no_other_frame)
    builder = RecordBuilder(config.capture, recorder_id)
    for key, end in enumerate(frames):
        frame = Frame(key, FrameKind.END, key, 0, end.head, end.request + end.answer)
        change = builder.build(exchanges.end(frame).draft)
        assert isinstance(change, Record), change
        yield change


def _no_other_frame(ref: FrameRef) -> Frame:
    raise AssertionError(f"an exchange needs another frame: {ref}")
