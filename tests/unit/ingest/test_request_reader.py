"""Requests: which bodies are ours, and what the columns get of them."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from response_store.capture.draft import Request
from response_store.ingest.request_reader import ReadRequest, read_request
from response_store.openai_api.endpoints import Skip
from response_store.store.records import Api
from tests.sampling import examples

LIMIT = 100_000


def read(
    body: Any, api: Api = Api.RESPONSES, encoding: str = "", limit: int = LIMIT
) -> ReadRequest | Skip:
    if isinstance(body, dict):
        body = json.dumps(body).encode()
    request = Request(
        exchange_id="e",
        tenant_id="t",
        api=api,
        method="POST",
        scheme="https",
        host="h",
        path="/v1/responses",
        user_agent=None,
        content_encoding=encoding,
        body=body,
        started_at=1.0,
    )
    return read_request(request, limit)


def ours(*args: Any, **kwargs: Any) -> ReadRequest:
    found = read(*args, **kwargs)
    assert isinstance(found, ReadRequest)
    return found


SHAPES: list[tuple[Any, bool]] = [
    ({"model": "m", "input": "x"}, True),
    ({"model": "m", "input": []}, True),
    ({"model": "m", "prompt": {"id": "p"}}, True),
    ({"model": "m", "messages": []}, True),
    ({"model": "m", "previous_response_id": "r"}, True),
    ({"model": "m", "conversation": "c"}, True),
    ({"model": 5, "input": 5}, True),
    ({"model": "m"}, False),
    ({"model": "m", "input": None}, False),
    ({"model": None, "input": "x"}, False),
    ({"input": "x"}, False),
    (b"", False),
    (b"[]", False),
    (b"model input", False),
    (b'{"model":"m","input":', True),  # looks like it, but can't be read
    (b'{"model":"m","x":', False),
    (b"\xef\xbb\xbf" + b'{"model":"m","input":"x"}', True),
]


@pytest.mark.parametrize(("body", "is_ours"), SHAPES)
def test_shapes(body: Any, is_ours: bool) -> None:
    """A body is ours if it names a model and something to answer."""
    found = read(body)
    assert isinstance(found, ReadRequest) if is_ours else found is Skip.BODY_SHAPE


def test_streamed_past() -> None:
    """A body that never came to us makes no row."""
    assert read(None) is Skip.BODY_MISSING


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


PACKED = {
    "gzip": gzip.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "": bytes,
}


@pytest.mark.parametrize("encoding", PACKED)
def test_encodings(encoding: str) -> None:
    """An encoded body is kept as it reads, its credentials masked."""
    plain = b'{"model":"m","input":"x","tools":[{"authorization":"s3cr3t-word"}]}'
    found = ours(PACKED[encoding](plain), encoding=encoding)
    assert found.body == plain.replace(b"s3cr3t-word", b"***")
    assert found.secrets == (b"s3cr3t-word",)
    assert found.model == "m"


@pytest.mark.parametrize("encoding", PACKED)
def test_too_large(encoding: str) -> None:
    """A body that is too large, decoded or not, is not kept at all."""
    body = PACKED[encoding](json.dumps({"model": "m", "input": "x" * 999}).encode())
    found = ours(body, encoding=encoding, limit=500)
    assert found == ReadRequest(None, reason="request body: above max_body_bytes")


def test_wrong_encoding() -> None:
    """A plain body that claims to be encoded is kept, with the reason, and masked."""
    plain = b'{"model":"m","input":"x","tools":[{"authorization":"s3cr3t-word"}]}'
    for encoding in ("gzip", "unheard-of"):
        found = ours(plain, encoding=encoding)
        assert found.body == plain.replace(b"s3cr3t-word", b"***")
        assert (found.reason or "").startswith("request body: ")


def test_damaged_encoding() -> None:
    """Of a damaged body only what can be masked is kept."""
    plain = b'{"model":"m","tools":[{"authorization":"s3cr3t-word"}],"input":"x"}'
    found = ours(gzip.compress(plain) + gzip.compress(b"xyz")[:-8] + bytes(8), encoding="gzip")
    assert found.body is not None
    assert found.body.startswith(plain.replace(b"s3cr3t-word", b"***"))
    assert found.reason
    assert ours(gzip.compress(plain), encoding="unheard-of").body is None


UNREADABLE = [
    (b'{"model":"m","input":"\xff"}', "request body: invalid UTF-8 at byte 22"),
    (b'{"model":"m","input":{]}', "request body: not JSON at character 21"),
    (b'{"model":"m","input":' + b"[" * 100_000, "request body: nested too deeply at character 21"),
]


@pytest.mark.parametrize(("body", "reason"), UNREADABLE, ids=["utf-8", "json", "deep"])
def test_unreadable(body: bytes, reason: str) -> None:
    """A body that looks ours but can't be read is kept as it came, with the reason."""
    found = ours(body, limit=10**6)
    assert (found.body, found.reason, found.has_input) == (body, reason, False)


@settings(max_examples=examples(100), deadline=None)
@given(st.binary(max_size=50), st.sampled_from(["", "gzip", "br", "zstd", "deflate", "odd"]))
def test_any_bytes(body: bytes, encoding: str) -> None:
    """Any bytes are read or skipped."""
    read(body, encoding=encoding)
    read(b'{"model":"m","input":' + body, encoding=encoding)
