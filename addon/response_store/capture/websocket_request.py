"""The request of a turn: a message on a socket, with the facts of the request that opened it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import msgspec
from msgspec import Raw

from response_store import json_text
from response_store.capture.draft import Request, RequestSource
from response_store.capture.facts import exchange_id
from response_store.ingest.request_reader import EMPTY_ARRAY, ReadRequest, input_items
from response_store.json_text import ABSENT
from response_store.redaction.credentials import mask
from response_store.store.records import Api, Transport

_TOO_LARGE = "request body: above max_body_bytes, or more than may be held at once"


@dataclass(slots=True)
class TurnRequest:
    """A `response.create`. `body` is the message, None where it was too large to be held.

    `started_at` is Unix seconds; `number` counts the turns of the socket.
    """

    flow_id: str
    upgrade: RequestSource
    number: int
    body: bytes | None
    started_at: float
    api: Api = Api.RESPONSES
    follows: str | None = None
    _facts: Request | None = field(default=None, repr=False)

    def facts(self) -> Request:
        """What is kept of the request; read once."""
        if self._facts is None:
            self._facts = replace(
                self.upgrade.facts(),
                exchange_id=exchange_id(self.flow_id, self.started_at, self.number),
                content_encoding="",
                body=self.body,
                started_at=self.started_at,
                transport=Transport.WEBSOCKET,
                given=self.given(),
            )
        return self._facts

    def given(self) -> ReadRequest | None:
        """What is known of the request where there is no body to read."""
        return ReadRequest(None, reason=_TOO_LARGE) if self.body is None else None


@dataclass(slots=True)
class UnaskedRequest(TurnRequest):
    """What led to a response that no `response.create` asked for.

    Steering does: `steered` are the messages that the server took into it. `stored` is what the
    response says of being stored upstream: the settings of its forerunner go on.
    """

    previous_response_id: str | None = None
    stored: bool = True
    steered: tuple[bytes, ...] = ()

    def given(self) -> ReadRequest:
        """The steering messages as the request that they amount to."""
        masked = [mask(message) for message in self.steered]
        items = [items for message, _ in masked if (items := _input(message))]
        return ReadRequest(
            body=b"\n".join(message for message, _ in masked) or None,
            secrets=tuple(secret for _, secrets in masked for secret in secrets),
            input=json_text.array(items) if items else EMPTY_ARRAY,
            has_input=bool(items),
            previous_response_id=self.previous_response_id,
            store=self.stored,
        )


class _Steer(msgspec.Struct):
    input: Raw = ABSENT


def _input(message: bytes) -> bytes:
    """The items of a steering message, separated by commas; empty where there are none."""
    try:
        items = input_items(json_text.members(message, _Steer).input)
    except json_text.UnreadableError:
        return b""
    return json_text.array_inner(items) if items is not None else b""
