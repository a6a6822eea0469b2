"""The size of a change's large columns."""

from __future__ import annotations

from response_store.store.records import Change, Deletion


def weigh_large_columns(change: Change) -> int:
    """Return how many bytes or characters the large columns of a change hold."""
    if isinstance(change, Deletion):
        return 0
    response, exchange = change.response, change.exchange
    held = len(exchange.request_body or b"") + len(exchange.raw_response or b"")
    held += len(exchange.result or "") + len(exchange.output_text or "")
    if response is not None:
        held += len(response.response_object) + len(response.input) + len(response.messages)
    if change.conversation is not None:
        held += sum(map(len, change.conversation.items))
    return held
