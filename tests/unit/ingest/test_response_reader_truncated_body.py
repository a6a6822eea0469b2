"""What can be read of a body of which only the beginning is kept."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from response_store.ingest.response_reader import list_closings, read_beginning
from response_store.model.records import Api, Transport
from response_store.openai_api.outcome import ParsedResponse, Usage
from tests.fakes import bodies
from tests.fakes.dialects import CHAT, OPENAI
from tests.hypothesis_profiles import examples

TEXT = 'A "quoted" \\ text,\n[with] {brackets}: \u00e9\u20ac\U0001f600 and \ud83d\ude00.'
WHOLE = bodies.whole_response(text=TEXT)
JSON = {
    "ascii": json.dumps(WHOLE).encode(),
    "utf-8": json.dumps(WHOLE, ensure_ascii=False).encode("utf-8", "surrogatepass"),
    "indented": json.dumps(WHOLE, indent=2).encode(),
}
CHAT_JSON = json.dumps(bodies.chat_completion(text=TEXT)).encode()


def read(
    body: bytes, api: Api = Api.RESPONSES, transport: Transport = Transport.HTTP
) -> ParsedResponse:
    return read_beginning(api, transport, body, may_cut=False)


def text_of(body: bytes, api: Api = Api.RESPONSES) -> str:
    return read(body, api).output_text or ""


@pytest.mark.parametrize("name", ["ascii", "indented"])
def test_any_cut_of_a_response(name: str) -> None:
    """Wherever it is cut, there is a beginning of its text, the longer the more came."""
    texts = [text_of(JSON[name][:end]) for end in range(len(JSON[name]) + 1)]
    whole = TEXT.encode("utf-16", "surrogatepass").decode("utf-16")
    assert texts[-1] == whole
    for shorter, longer in pairwise(texts):
        assert longer.startswith(shorter)
    assert set(texts) >= {whole[:end] for end in range(len(whole) + 1)}


def test_a_cut_in_a_character() -> None:
    """Half a character at the end is left out."""
    body = json.dumps(bodies.whole_response(text="\u20ac" * 9), ensure_ascii=False).encode()
    texts = {text_of(body[:end]) for end in range(len(body) + 1)}
    assert texts == {"\u20ac" * count for count in range(10)}


def test_any_cut_of_a_chat_completion() -> None:
    """The same of a chat completion."""
    texts = [text_of(CHAT_JSON[:end], Api.CHAT_COMPLETIONS) for end in range(len(CHAT_JSON) + 1)]
    for shorter, longer in pairwise(texts):
        assert longer.startswith(shorter)
    assert texts[-1].startswith('A "quoted"')


def test_what_is_kept() -> None:
    """Names and the text; no tokens, no object that claims to be the response."""
    part = read(JSON["ascii"][:-5])
    assert part.response_id == WHOLE["id"]
    assert part.model == WHOLE["model"]
    assert (part.response, part.items, part.usage, part.parse_error) == (None, (), Usage(), None)
    assert part.partial is not None


@pytest.mark.parametrize(
    ("api", "frames"),
    [
        (Api.RESPONSES, OPENAI.frames(bodies.stream_events())[:7]),
        (Api.CHAT_COMPLETIONS, CHAT.frames(bodies.chat_chunks())[:4]),
    ],
)
@pytest.mark.parametrize("transport", [Transport.SSE, Transport.HTTP, Transport.WEBSOCKET])
def test_streams(api: Api, frames: list[bytes], transport: Transport) -> None:
    """A stream is read up to its last whole event."""
    stream = b"".join(frames)
    whole = read(stream, api, transport)
    assert whole.output_text == "".join(bodies.deltas(bodies.TEXT)[:3])
    assert read(stream + frames[-1][:-9], api, transport).output_text == whole.output_text


@pytest.mark.parametrize(
    ("text", "kept"), [("one two thr", "one two "), ("one two ", "one two "), ("one", None)]
)
def test_the_last_word(text: str, kept: str | None) -> None:
    """Where the cut may go through a secret, what stands behind the last blank is left out."""
    body = json.dumps(bodies.whole_response(text=text)).encode()
    body = body[: body.index(text.encode()) + len(text)]
    for may_cut, expected in ((True, kept), (False, text)):
        part = read_beginning(Api.RESPONSES, Transport.HTTP, body, may_cut=may_cut)
        assert part.output_text == expected


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[1,", b'{"a"', b"{" * 99_999, b"}]", b'"x', b"\xff"]
)
def test_nothing_to_read(body: bytes) -> None:
    """What is no beginning of an answer gives nothing."""
    assert read(body).output_text is None
    assert read(body).response_id is None


values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text('ab"\\{[,:\u00e9', max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


@settings(max_examples=examples(150), deadline=None)
@given(st.dictionaries(st.text(max_size=3), values), st.floats(0, 1))
def test_any_json(value: Any, share: float) -> None:
    """Wherever an object is cut, one way to close it gives JSON."""
    body = json.dumps(value).encode()
    body = body[: max(int(len(body) * share), 1)]
    readable = []
    for candidate in list_closings(body):
        try:
            readable.append(json.loads(candidate))
        except ValueError:
            continue
    assert readable
    assert isinstance(readable[0], dict)


@settings(max_examples=examples(150), deadline=None)
@given(st.binary(max_size=60), st.sampled_from(list(Api)), st.sampled_from(list(Transport)))
def test_any_bytes(body: bytes, api: Api, transport: Transport) -> None:
    """Any bytes are read or not; nothing is raised."""
    read(body, api, transport)
    read(b'{"object":"response","output":[{' + body, api, transport)
