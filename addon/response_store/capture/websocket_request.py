"""The request of a turn: a message on a socket, with the facts of the request that opened it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from response_store.capture.draft import RequestHead
from response_store.store.records import Transport

_MAX_ID_CHARS = 1000  # the head of a frame is bounded
TOO_LARGE = "request body: above max_body_bytes, or more than may be held at once"


def build_turn_request(
    upgrade: RequestHead, turn: int, started_at: float, *, too_large: bool
) -> RequestHead:
    """Return the head of a `response.create`; `started_at` is Unix seconds."""
    return msgspec.structs.replace(
        upgrade,
        turn=turn,
        started_at=started_at,
        content_encoding="",
        transport=Transport.WEBSOCKET.value,
        missing=TOO_LARGE if too_large else None,
    )


def build_unasked_request(
    upgrade: RequestHead,
    turn: int,
    started_at: float,
    *,
    previous_response_id: str | None,
    stored: bool,
    steered: Sequence[bytes],
) -> RequestHead:
    """Return the head of what led to a response that no `response.create` asked for.

    Steering does: `steered` are the messages that the server took into it. `stored` is what the
    response says of being stored upstream: the settings of the one before it go on.
    """
    request = build_turn_request(upgrade, turn, started_at, too_large=False)
    return msgspec.structs.replace(
        request,
        steered=tuple(map(len, steered)),
        previous_response_id=(previous_response_id or "")[:_MAX_ID_CHARS] or None,
        stored=stored,
    )
