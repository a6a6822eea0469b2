"""Requests: which bodies are ours, and what the columns get of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from response_store.ingest.draft import ReadRequest, Request
from response_store.ingest.request_reader import read_request, read_steering
from response_store.model.records import Api
from tests.hypothesis_profiles import examples


def ours(
    body: Any,
    api: Api = Api.RESPONSES,
    missing: str | None = None,
    path: str = "/v1/responses",
) -> ReadRequest:
    if isinstance(body, dict):
        body = json.dumps(body).encode()
    request = Request(
        exchange_id="e",
        tenant_id="t",
        api=api,
        method="POST",
        scheme="https",
        host="h",
        path=path,
        body=body,
        started_at=1.0,
        missing=missing,
    )
    return read_request(request)


SHAPES: list[tuple[Any, bool]] = [
    ({"model": "m", "input": "x"}, True),
    ({"model": "m", "prompt": {"id": "p"}}, True),
    ({"model": 5, "input": 5}, True),
    ({"model": None, "input": "x"}, True),
    ({"prompt": {"id": "p"}}, True),
    ({"input": "x"}, True),
    ({}, True),
    (b"\xef\xbb\xbf" + b'{"model":"m","input":"x"}', True),
    (b"", False),
    (b"[]", False),
    (b"model=m&input=x", False),
    (b'{"model":"m","input":', False),
    (b"\xff\xfe", False),
]


@pytest.mark.parametrize(("body", "is_read"), SHAPES)
def test_shapes(body: Any, is_read: bool) -> None:
    """Whatever a body looks like makes a row; one that can't be read is kept with the reason."""
    found = ours(body)
    assert (found.reason is None) == is_read
    assert is_read or found.body == (body or None)


def test_a_model_in_the_path() -> None:
    """Where the body names no model, or an empty one, the path's counts."""
    path = "/openai/deployments/lark/chat/completions"
    assert ours({"messages": []}, path=path).model == "lark"
    assert ours({"model": "", "messages": []}, path=path).model == "lark"
    assert ours({"model": "m", "messages": []}, path=path).model == "m"
    assert ours(b"no JSON", path=path).model == "lark"
    assert ours(None, path="/v1/responses?model=owl").model == "owl"


def test_members_in_response() -> None:
    """A socket's message may have its members in `response`; those beside it win."""
    inner = {"model": "m", "input": "x", "previous_response_id": "r1", "store": False}
    found = ours({"type": "response.create", "response": inner})
    assert (found.model, found.previous_response_id, found.store) == ("m", "r1", False)
    assert b'"x"' in found.input
    assert ours({"model": "n", "response": inner}).model == "n"


@pytest.mark.parametrize(
    ("missing", "reason"),
    [
        (None, "request body: not kept"),
        ("request body: above max_body_bytes", "request body: above max_body_bytes"),
    ],
)
def test_no_body(missing: str | None, reason: str) -> None:
    """A body that is missing makes a row which says why."""
    assert ours(None, missing=missing) == ReadRequest(None, reason=reason)


def test_text_input() -> None:
    """A text is one message of the user, its spelling kept."""
    found = ours(rb'{"model":"m","input":"a\u0041\ud83d\"","store":true}')
    assert found.input == (
        rb'[{"type":"message","role":"user","content":'
        rb'[{"type":"input_text","text":"a\u0041\ud83d\""}]}]'
    )
    assert found.has_input
    assert found.store


def test_items() -> None:
    """Items are kept to the letter; what is known besides fills the columns."""
    items = b'[ {"a" : 1e400} ,"\\u0041" ]'
    found = ours(
        b'{"model":"gpt-5","input":' + items + b',"store":false,'
        b'"previous_response_id":"r1","conversation":{"id":"c1"}}'
    )
    assert found.input == items
    assert (found.model, found.previous_response_id) == ("gpt-5", "r1")
    assert (found.conversation_id, found.store, found.reason) == ("c1", False, None)
    assert ours({"model": "m", "conversation": "c2"}).conversation_id == "c2"


@pytest.mark.parametrize("value", [{"a": 1}, 5, True, None])
def test_no_input(value: Any) -> None:
    """Without an input that is text or a list, the input is not known."""
    found = ours({"model": "m", "prompt": "p", "input": value})
    assert (found.input, found.has_input) == (b"[]", False)


def test_messages() -> None:
    """A chat's input is its messages."""
    body = {"model": "m", "messages": [{"role": "user"}], "input": "other"}
    assert ours(body, Api.CHAT_COMPLETIONS).input == b'[{"role": "user"}]'


def test_credentials() -> None:
    """Credentials are masked, and handed over for their echoes."""
    plain = b'{"model":"m","input":"x","tools":[{"authorization":"s3cr3t-word"}]}'
    found = ours(plain)
    assert found.body == plain.replace(b"s3cr3t-word", b"***")
    assert found.secrets == (b"s3cr3t-word",)
    assert found.model == "m"


def test_steering() -> None:
    """Steering messages are the request of the response that they led to."""
    messages = (
        b'{"type":"response.steer","input":"more"}',
        b'{"type":"response.steer","input":[1,{"tools":[{"authorization":"s3cr3t-word"}]}]}',
        b"no JSON",
        b'{"type":"response.steer","input":5}',
    )
    found = read_steering(messages, "r0", stored=False)
    assert found.body == b"\n".join(messages).replace(b"s3cr3t-word", b"***")
    assert found.secrets == (b"s3cr3t-word",)
    assert json.loads(found.input)[1:] == [1, {"tools": [{"authorization": "***"}]}]
    assert (found.has_input, found.previous_response_id, found.store) == (True, "r0", False)


def test_no_steering() -> None:
    """A response that nothing led to has no known input."""
    assert read_steering((), None, stored=True) == ReadRequest(None)


UNREADABLE = [
    (b'{"model":"m","input":"\xff"}', "request body: invalid UTF-8 at byte 22"),
    (b'{"model":"m","input":{]}', "request body: not JSON at character 21"),
    (b'{"model":"m","input":' + b"[" * 100_000, "request body: nested too deeply at character 21"),
]


@pytest.mark.parametrize(("body", "reason"), UNREADABLE, ids=["utf-8", "json", "deep"])
def test_unreadable(body: bytes, reason: str) -> None:
    """A body that looks ours but can't be read is kept as it came, with the reason."""
    found = ours(body)
    assert (found.body, found.reason, found.has_input) == (body, reason, False)


@settings(max_examples=examples(100), deadline=None)
@given(st.binary(max_size=50))
def test_any_bytes(body: bytes) -> None:
    """Any bytes are read or skipped."""
    ours(body)
    ours(b'{"model":"m","input":' + body)
