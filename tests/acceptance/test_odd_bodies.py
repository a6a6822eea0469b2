"""Bodies that parsers choke on are kept to the letter, or as raw bytes with the reason."""

from __future__ import annotations

import base64
import json
import random
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes import bodies
from tests.fakes.answers import PLAIN, Answer, json_answer, json_bytes
from tests.harness.clients import asking, fetch
from tests.harness.database import unpacked
from tests.harness.expected import assert_holds

if TYPE_CHECKING:
    from tests.fakes.model_server import ModelServer
    from tests.fakes.requests import Request
    from tests.harness.database import Row
    from tests.harness.proxy import Proxy


class Kept(StrEnum):
    """How an odd piece of JSON is kept."""

    VERBATIM = "verbatim"
    RAW = "raw"
    EITHER = "either"


PLACE = "@@"
ODD: dict[str, tuple[bytes, Kept]] = {
    "an escaped NUL": (rb'"a\u0000b"', Kept.VERBATIM),
    "a lone high surrogate": (rb'"\ud83d"', Kept.VERBATIM),
    "a lone low surrogate": (rb'"\ude00 "', Kept.VERBATIM),
    "a surrogate pair": (rb'"\ud83d\ude00"', Kept.VERBATIM),
    "a number beyond floats": (b"1e400", Kept.VERBATIM),
    "a number below floats": (b"-1E-400", Kept.VERBATIM),
    "4500 digits": (b"7" * 4500, Kept.VERBATIM),
    "a float with a tail": (b"1.50000000000000000000000001", Kept.VERBATIM),
    "spaces and escapes": (rb'[ 1 ,\t"\u0041\/"  ]'.replace(rb"\t", b"\t"), Kept.VERBATIM),
    "2000 deep": (b"[" * 2000 + b"]" * 2000, Kept.EITHER),
    "100000 deep": (b"[" * 100_000 + b"]" * 100_000, Kept.EITHER),
    "objects 100000 deep": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, Kept.EITHER),
    "invalid UTF-8": (b'"\xff\xfe"', Kept.RAW),
    "a surrogate in UTF-8": (b'"\xed\xa0\xbd"', Kept.RAW),
    "a bare control character": (b'"a\x01b"', Kept.EITHER),
    "a bare NUL": (b'"a\x00b"', Kept.EITHER),
    "no JSON at all": (b"{]", Kept.RAW),
    "not a number": (b"NaN", Kept.EITHER),
}


def with_odd(value: Any, odd: bytes) -> bytes:
    """The JSON of the value with the odd piece where `PLACE` stands."""
    text = json_bytes(value)
    assert json.dumps(PLACE).encode() in text
    return text.replace(json.dumps(PLACE).encode(), odd)


def assert_raw(row: Row, sent: bytes) -> None:
    """The body is kept as bytes, with the reason."""
    assert_holds(row, {"state": "unreadable", "error_code": "unreadable_body"})
    assert row["error_message"]
    assert unpacked(row["raw_response"]) == sent


@pytest.mark.parametrize("name", ODD)
def test_odd_json(proxy: Proxy, model_server: ModelServer, tenant: str, name: str) -> None:
    """An odd JSON answer reaches the client and is kept."""
    odd, kept = ODD[name]

    def play(request: Request) -> Answer:
        body = bodies.whole_response(request.fields, metadata={"odd": PLACE})
        return json_answer(with_odd(body, odd))

    reply = fetch(proxy.port, asking(model_server.play(play)), tenant)
    sent = model_server.recordings.only(tenant).body
    assert bytes(reply.body) == sent
    row = proxy.database.ended(tenant)
    assert_holds(row, {"ended_by": "body", "status_code": 200})
    if kept is Kept.RAW or (kept is Kept.EITHER and row["state"] == "unreadable"):
        assert_raw(row, sent)
    else:
        assert_holds(row, {"state": "completed", "output_text": bodies.TEXT})
        assert proxy.database.response(tenant)["response_object"].encode() == sent


@pytest.mark.parametrize("name", ODD)
def test_odd_event(proxy: Proxy, model_server: ModelServer, tenant: str, name: str) -> None:
    """An odd terminal event reaches the client and is kept."""
    odd, kept = ODD[name]

    def play(request: Request) -> Answer:
        events = bodies.stream_events(request.fields, last={"metadata": {"odd": PLACE}})
        *steps, last = PLAIN.answer(events).steps
        assert isinstance(last, bytes)
        last = last.replace(json.dumps(PLACE).encode(), odd)
        return Answer(headers=PLAIN.answer([]).headers, steps=(*steps, last))

    reply = fetch(proxy.port, asking(model_server.play(play), stream=True), tenant)
    sent = model_server.recordings.only(tenant).body
    assert bytes(reply.body) == sent
    row = proxy.database.ended(tenant)
    if kept is Kept.VERBATIM or (kept is Kept.EITHER and row["state"] == "completed"):
        assert_holds(row, {"state": "completed", "ended_by": "terminal_event"})
        stored = proxy.database.response(tenant)["response_object"].encode()
        assert b'{"odd":' + odd + b"}" in stored
        assert stored in sent
    else:
        assert row["state"] in ("interrupted", "unreadable")
        assert unpacked(row["raw_response"]) == sent
    assert row["output_text"] == bodies.TEXT


@pytest.mark.parametrize("name", ODD)
def test_odd_request(proxy: Proxy, model_server: ModelServer, tenant: str, name: str) -> None:
    """An odd request reaches the server and is kept as it was sent."""
    odd, _ = ODD[name]
    body = with_odd({"model": "usual", "input": "Hi", "metadata": {"odd": PLACE}}, odd)
    assert fetch(proxy.port, body, tenant).whole
    assert model_server.recordings.only(tenant).request.body == body
    row = proxy.database.ended(tenant)
    assert_holds(row, {"state": "completed"})
    assert unpacked(row["request_body"]) == body


@pytest.mark.parametrize("name", ["an escaped NUL", "a lone high surrogate"])
def test_odd_text(proxy: Proxy, model_server: ModelServer, tenant: str, name: str) -> None:
    """Odd characters in the text itself do not lose the rest of it."""
    odd, _ = ODD[name]

    def play(request: Request) -> Answer:
        body = bodies.whole_response(request.fields, text=PLACE)
        return json_answer(with_odd(body, odd.replace(b'"', b'"before ', 1)))

    fetch(proxy.port, asking(model_server.play(play)), tenant)
    row = proxy.database.ended(tenant)
    assert_holds(row, {"state": "completed"})
    assert row["output_text"].startswith("before ")
    stored = proxy.database.response(tenant)["response_object"].encode()
    assert stored == model_server.recordings.only(tenant).body


NO_ANSWERS = {
    "empty": b"",
    "spaces": b"  \n",
    "a list": b"[]",
    "a string": b'"resp_1"',
    "a web page": b"<html><body>502 Bad Gateway</body></html>",
    "half of an answer": b'{"id": "resp_1", "object": "resp',
    "random bytes": random.Random(1).randbytes(3000),
}


@pytest.mark.parametrize("status", [200, 502])
@pytest.mark.parametrize("name", NO_ANSWERS)
def test_no_answer(
    proxy: Proxy, model_server: ModelServer, tenant: str, name: str, status: int
) -> None:
    """What is no answer of the API passes, and has a row all the same."""
    model = model_server.play(json_answer(NO_ANSWERS[name], status=status))
    reply = fetch(proxy.port, asking(model), tenant)
    assert (reply.status, bytes(reply.body)) == (status, NO_ANSWERS[name])
    row = proxy.database.ended(tenant)
    assert_holds(row, {"state": "unreadable" if status == 200 else "refused", "ended_by": "body"})
    if NO_ANSWERS[name]:
        assert unpacked(row["raw_response"]) == NO_ANSWERS[name]


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "unheard-of"])
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_wrong_coding(
    proxy: Proxy, model_server: ModelServer, tenant: str, coding: str, *, streamed: bool
) -> None:
    """A body that is not encoded as it says, but plain, is read as it is."""
    plain = PLAIN.answer(bodies.stream_events()) if streamed else json_answer(bodies.response())
    headers = (*plain.headers, ("content-encoding", coding))
    model = model_server.play(Answer(headers=headers, steps=plain.steps))
    reply = fetch(proxy.port, asking(model, stream=streamed), tenant)
    assert bytes(reply.body) == model_server.recordings.only(tenant).body
    assert_holds(proxy.database.ended(tenant), {"state": "completed"})


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "compress", "unheard-of"])
def test_broken_coding(proxy: Proxy, model_server: ModelServer, tenant: str, coding: str) -> None:
    """A body that is neither encoded as it says nor plain is kept as bytes."""
    sent = b"\xff\xfe" * 40
    headers = (("content-type", "application/json"), ("content-encoding", coding))
    model = model_server.play(Answer(headers=headers, steps=(sent,)))
    assert bytes(fetch(proxy.port, asking(model), tenant).body) == sent
    assert_raw(proxy.database.ended(tenant), sent)


FORTY_MEGABYTES = 40 * 2**20


def test_huge_request(proxy: Proxy, model_server: ModelServer, tenant: str) -> None:
    """A request with 40 MB of base64 passes, and is kept."""
    image = base64.b64encode(bytes(FORTY_MEGABYTES * 3 // 4)).decode()
    content = [{"type": "input_image", "image_url": f"data:image/png;base64,{image}"}]
    body = asking(input=[{"role": "user", "content": content}])
    assert fetch(proxy.port, body, tenant).whole
    assert len(model_server.recordings.only(tenant).request.body) > FORTY_MEGABYTES
    row = proxy.database.ended(tenant)
    assert_holds(row, {"state": "completed"})
    assert json.loads(unpacked(row["request_body"])) == body


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_huge_answer(
    proxy: Proxy, model_server: ModelServer, tenant: str, *, streamed: bool
) -> None:
    """An answer with 40 MB of base64 passes, and is kept."""
    image = base64.b64encode(bytes(FORTY_MEGABYTES * 3 // 4)).decode()
    call = {"id": "ig_1", "type": "image_generation_call", "status": "completed", "result": image}

    def play(request: Request) -> Answer:
        if streamed:
            return PLAIN.answer(bodies.stream_events(request.fields, last={"output": [call]}))
        return json_answer(bodies.whole_response(request.fields, output=[call]))

    reply = fetch(proxy.port, asking(model_server.play(play), stream=streamed), tenant)
    assert bytes(reply.body) == model_server.recordings.only(tenant).body
    assert_holds(proxy.database.ended(tenant), {"state": "completed"})
    stored = json.loads(proxy.database.response(tenant)["response_object"])
    assert stored["output"] == [call]


def test_long_id(proxy: Proxy, model_server: ModelServer, tenant: str) -> None:
    """An id of a thousand characters is kept whole."""
    long_id = "resp_" + "x" * 995
    model = model_server.play(json_answer(bodies.whole_response({}, id=long_id)))
    fetch(proxy.port, asking(model), tenant)
    assert_holds(proxy.database.ended(tenant), {"state": "completed", "response_id": long_id})
    assert proxy.database.response(tenant)["id"] == long_id


def test_fractional_time(proxy: Proxy, model_server: ModelServer, tenant: str) -> None:
    """A `created_at` with a fraction becomes whole seconds in its column, and stays in the text."""
    answer = bodies.whole_response({}, created_at=1741476542.75)
    fetch(proxy.port, asking(model_server.play(json_answer(answer))), tenant)
    assert_holds(proxy.database.ended(tenant), {"state": "completed"})
    stored = proxy.database.response(tenant)
    assert stored["created_at"] == 1741476542
    assert '"created_at": 1741476542.75' in stored["response_object"]
