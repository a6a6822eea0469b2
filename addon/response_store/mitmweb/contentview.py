"""The contentview "OpenAI", for the two ways in which mitmproxy knows contentviews.

Up to version 11 a view is a callable that gives lines, from 12 on it has `prettify`. Both choose
the view of the highest priority where a user has chosen none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mitmproxy import contentviews

from response_store.mitmweb.recognise import recognize

NAME = "OpenAI"
_PRIORITY = 3.0  # above JSON (1) and GraphQL (2), which may claim the same bodies
_NOT_OURS = -1.0
ALL_MESSAGES = "all_messages_of_response_store"
"""The attribute with all messages of a WebSocket of which a page shows some."""


class OpenAIContentview:
    """The view for mitmproxy 12 and later."""

    name = NAME
    syntax_highlight = "none"

    def prettify(self, data: bytes, metadata: Any) -> str:
        """Return a message as a conversation. Never raises."""
        return _render(data, *_read_metadata(metadata))

    def render_priority(self, data: bytes, metadata: Any) -> float:
        """Return how well this view suits a message."""
        return _choose_priority(data, *_read_metadata(metadata))

    def __lt__(self, other: Any) -> bool:
        return bool(other.name > self.name)


class OpenAIView:
    """The view for mitmproxy 11."""

    name = NAME

    def __call__(self, data: bytes, **known: Any) -> tuple[str, Iterator[list[tuple[str, str]]]]:
        """Return a message as a conversation, line by line. Never raises."""
        return NAME, ([("text", line)] for line in _render(data, *_read_known(known)).split("\n"))

    def render_priority(self, data: bytes, **known: Any) -> float:
        """Return how well this view suits a message."""
        return _choose_priority(data, *_read_known(known))

    def __lt__(self, other: Any) -> bool:
        return bool(other.name > self.name)


def add_contentview() -> None:
    """Let mitmproxy know the view, once."""
    known: Any = contentviews  # differs between the versions
    if hasattr(known, "registry"):
        if NAME.lower() not in known.registry:
            known.add(OpenAIContentview())
    elif known.get(NAME) is None:
        known.View.register(OpenAIView)  # views are sorted, and want to be among their own
        known.add(OpenAIView())


def _read_metadata(metadata: Any) -> tuple[Any, Any, Any]:
    return metadata.flow, metadata.http_message, metadata.websocket_message


def _read_known(known: dict[str, Any]) -> tuple[Any, Any, Any]:
    return known.get("flow"), known.get("http_message"), known.get("websocket_message")


def _choose_priority(data: bytes, flow: Any, http_message: Any, websocket_message: Any) -> float:
    ours = recognize(flow, http_message, websocket_message, data)
    return _NOT_OURS if ours is None else _PRIORITY


def _render(data: bytes, flow: Any, http_message: Any, websocket_message: Any) -> str:
    from response_store.mitmweb.render import render_message  # noqa: PLC0415 (where somebody looks)

    ours = recognize(flow, http_message, websocket_message, data)
    socket = getattr(flow, "websocket", None)
    before: Sequence[Any] = ()
    if socket is not None and websocket_message is not None:
        before = getattr(socket, ALL_MESSAGES, socket.messages)
    return render_message(data, ours, before, websocket_message)
