"""Messages of the server: the short way reads no other thing than the careful one."""

from __future__ import annotations

import json

from hypothesis import example, given, settings
from hypothesis import strategies as st

from response_store import jsontext
from response_store.openai_api import websocket_messages
from response_store.openai_api.websocket_messages import (
    ServerMessage,
    ServerMessageKind,
    read_server,
)
from tests.hypothesis_profiles import examples

TYPES = ["response.output_text.delta", "response.created", "response.completed", "error", "", "x"]
values = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(max_size=4),
    st.dictionaries(st.sampled_from(["id", "code", "store"]), st.text(max_size=3)),
)  # fmt: skip
fields = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(TYPES) | values,
        "stream_id": values,
        "response": values,
        "error": values,
        "status": values,
        "code": values,
        "delta": values,
    },
)


def careful(content: bytes) -> ServerMessage | None:
    try:
        return websocket_messages._read_carefully(content)
    except jsontext.UnreadableError:
        return None


@given(fields)
@settings(max_examples=examples(300))
@example({"type": "response.output_text.delta", "error": {"code": "c"}})
@example({"type": "response.created", "response": {"id": "r"}, "stream_id": "s"})
@example({"type": "", "error": {}})
def test_both_ways_agree(message: dict[str, object]) -> None:
    """Whatever the fields hold, a message is read alike."""
    content = json.dumps(message).encode()
    assert read_server(content) == careful(content)


def test_a_piece_takes_the_short_way() -> None:
    """A piece of an answer is read in one go, with its lane."""
    piece = b'{"type":"response.output_text.delta","delta":"x","stream_id":"a"}'
    assert websocket_messages._read_plain(piece) == ServerMessage(ServerMessageKind.OTHER, b'"a"')
    assert websocket_messages._read_plain(b'{"type":"error"}') is None
