"""Large objects by their ends: what stands there is read, and the rest left out."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from response_store.limits import OUTLINED
from response_store.openai_api.sse import outline, outline_if_large
from response_store.openai_api.websocket_messages import ServerMessageKind, read_client, read_server
from tests.harness.work import at_most
from tests.hypothesis_profiles import examples

FILLER = "x" * (OUTLINED + 1)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=20,
)


@settings(max_examples=examples(200), deadline=None)
@given(value=st.dictionaries(st.text(max_size=5), VALUES, max_size=6), size=st.integers(1, 90))
def test_any_object(value: dict[str, object], size: int) -> None:
    """An outline is JSON, and each short member of it is one of the object's."""
    text = json.dumps(value).encode()
    made = json.loads(outline(text[:size], text[-size:] if size < len(text) else b""))
    for name, member in made.items():
        if not isinstance(member, dict | list):
            assert value[name] == member


@pytest.mark.parametrize(
    "text",
    [
        {"type": "t", "big": FILLER},
        {"big": FILLER, "type": "t"},
        {"big": [FILLER], "n": 1, "type": "t", "z": None},
        {"response": {"id": "r", "output": [FILLER]}, "type": "t"},
        {"big": {"type": "other", "x": FILLER}, "type": "t"},
    ],
    ids=["first", "last", "among the last", "behind an object", "also inside"],
)
def test_members(text: dict[str, object]) -> None:
    """A short member is in the outline wherever it stands at an end."""
    made = json.loads(outline_if_large(json.dumps(text).encode()))
    assert made["type"] == "t"
    assert len(str(made)) < 100


@pytest.mark.parametrize("text", [b"[" * 9, b"", b'"x', b"x", b"}", b"]", b"[1,2"])
def test_no_object(text: bytes) -> None:
    """What is no object does not become one."""
    assert not outline(text, b',"a":1}').startswith(b"{")


@pytest.mark.parametrize("unit", [b"[", b"{", b",", b'"', b"\\", b',"a":', b',"a":1', b'{"a":'])
def test_odd_texts_take_no_time(unit: bytes) -> None:
    """An outline takes a few milliseconds at most, whatever the text."""
    text = b'{"a":1,' + unit * (1_000_000 // len(unit))
    with at_most(0.05):  # measured: 3 ms
        outline_if_large(text)


def test_messages_of_a_socket() -> None:
    """What tells whose a large message is stands in its outline."""
    response = {"id": "r", "previous_response_id": "p", "store": False, "output": [FILLER]}
    message = {"type": "response.completed", "stream_id": 7, "response": response}
    read = read_server(json.dumps(message).encode())
    assert (read.kind, read.stream_id, read.response_id) == (ServerMessageKind.TERMINAL, b"7", "r")
    assert (read.previous_response_id, read.stored) == ("p", False)
    created = {"type": "response.create", "input": FILLER, "previous_response_id": "p"}
    client = read_client(json.dumps(created).encode())
    assert (client.type, client.previous_response_id) == ("response.create", "p")
