"""Show a WebSocket's turns on mitmweb's page: a request, and its answer as a whole.

mitmweb gives each message a card, so that an answer is hundreds of cards of a word each. Here the
page gets the client's messages, the ends of answers, which the content view shows whole, and of an
answer that is still going on its last message, which is shown with all that came before it. Where
another view is chosen, `raw` or `json`, the page shows every message as before.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from mitmproxy.http import HTTPFlow

from response_store import jsontext
from response_store.mitmweb.contentview import ALL_MESSAGES, NAME
from response_store.mitmweb.recognise import MessageKind, recognize
from response_store.openai_api.sse import Event, is_terminal, outline_if_large

_VIEWS = ("auto", NAME.lower())
_PAGE = (
    r"/flows/(?P<flow_id>[0-9a-f\-]+)/(?P<message>messages)"
    r"/content/(?P<content_view>[0-9a-zA-Z\-\_%]+)(?:\.json)?"
)
_ADDED = "shows_turns_of_response_store"
_PARTS = "response."
"""What the types of events begin with that are parts of an answer."""


class _TypedEvent(msgspec.Struct):
    type: msgspec.Raw = jsontext.ABSENT


def select_turns(flow: Any, messages: Sequence[Any]) -> Iterator[Any]:
    """Yield the messages of a WebSocket that stand for its turns; those of other APIs are all."""
    for message in messages:
        ours = recognize(flow, None, message, message.content)
        is_part = (
            ours is not None
            and ours.kind is MessageKind.FROM_SERVER
            and _is_part(message.content)
            and message is not messages[-1]
        )
        if not is_part:
            yield message


def _is_part(data: bytes) -> bool:
    """Return whether a message is an event that its answer goes on after."""
    try:
        event = jsontext.slice_members(outline_if_large(data), _TypedEvent)
    except jsontext.UnreadableError:
        return False
    kind = jsontext.read_text(event.type) or ""
    return kind.startswith(_PARTS) and not is_terminal(Event(b"", data))


def reduce_to_turns(flow: Any) -> Any:
    """Return a flow that has its turns as messages; the content view finds all of them."""
    reduced, socket = copy.copy(flow), copy.copy(flow.websocket)
    setattr(socket, ALL_MESSAGES, flow.websocket.messages)
    socket.messages = list(select_turns(flow, flow.websocket.messages))
    reduced.websocket = socket
    return reduced


def add_turns_page(master: Any) -> None:
    """Have mitmweb's page ask us for the messages of a WebSocket, once."""
    try:
        from mitmproxy.tools.web.app import FlowContentView  # noqa: PLC0415 (there with mitmweb)
    except ImportError:  # of a version that has it elsewhere: the page shows every message
        return
    app = getattr(master, "app", None)
    if app is None or getattr(app, _ADDED, False):
        return

    class TurnsContentView(FlowContentView):  # type: ignore[no-untyped-call]
        """The messages of a flow as the page shows them."""

        @property
        def flow(self) -> Any:
            """Return the flow, of a WebSocket with its turns alone."""
            flow = super().flow
            view = str(self.path_kwargs["content_view"]).lower()
            if view in _VIEWS and isinstance(flow, HTTPFlow) and flow.websocket is not None:
                return reduce_to_turns(flow)
            return flow

    app.add_handlers(".*", [(_PAGE, TurnsContentView)])
    setattr(app, _ADDED, True)
