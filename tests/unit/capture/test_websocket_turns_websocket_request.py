"""The request of a turn: what it has of the upgrade, and what of its own."""

from __future__ import annotations

import msgspec
import pytest

from response_store.capture.draft import encode_head
from response_store.capture.websocket_turns import (
    TOO_LARGE,
    build_turn_request,
    build_unasked_request,
)
from tests.unit.capture.borders import request_head

UPGRADE = request_head(method="GET", content_encoding="gzip", missing="no body")


@pytest.mark.parametrize("too_large", [True, False])
def test_a_turn(too_large: bool) -> None:
    """It is the upgrade's request, but for its turn, its time and its body."""
    head = build_turn_request(UPGRADE, 3, 5.0, too_large=too_large)
    assert (head.turn, head.started_at, head.transport) == (3, 5.0, "websocket")
    assert (head.content_encoding, head.missing) == ("", TOO_LARGE if too_large else None)
    changed = {"turn", "started_at", "transport", "content_encoding", "missing"}
    for name in set(UPGRADE.__struct_fields__) - changed:
        assert getattr(head, name) == getattr(UPGRADE, name)


def test_steering() -> None:
    """A response that steering led to has the sizes of the messages, and what it says itself."""
    head = build_unasked_request(
        UPGRADE, 2, 5.0, previous_response_id="resp_1", stored=False, steered=[b"one", b"three"]
    )
    assert (head.steered, head.previous_response_id, head.stored) == ((3, 5), "resp_1", False)
    assert head.missing is None
    assert msgspec.msgpack.decode(encode_head(head), type=type(head)) == head


@pytest.mark.parametrize(("previous", "kept"), [(None, None), ("", None), ("r" * 5000, "r" * 1000)])
def test_the_response_before(previous: str | None, kept: str | None) -> None:
    """Its id is bounded, as a peer names it."""
    head = build_unasked_request(
        UPGRADE, 2, 5.0, previous_response_id=previous, stored=True, steered=[]
    )
    assert head.previous_response_id == kept
