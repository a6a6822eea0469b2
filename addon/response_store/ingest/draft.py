"""Hold an exchange as it is read: the request, how it ended, what the answer said."""

from __future__ import annotations

import hashlib
import uuid
from typing import TYPE_CHECKING

from msgspec import Struct

from response_store.model.records import Api, EndedBy, Transport
from response_store.openai_api.request_input import EMPTY_ARRAY

if TYPE_CHECKING:
    from response_store.capture.draft import Arrivals
    from response_store.openai_api.endpoints import Skip


class Request(Struct):
    """A request whose path says that it may be one of ours. `started_at` is Unix seconds.

    `body` is decoded; `missing` says why there is none, where that is known. `target_response_id`
    is the response that it asks for, or asks to delete; None where it creates one.
    """

    exchange_id: str
    tenant_id: str
    api: Api
    method: str
    scheme: str
    host: str
    path: str
    body: bytes | None
    started_at: float
    target_response_id: str | None = None
    transport: Transport = Transport.HTTP  # how it came; the answer to HTTP may come as SSE
    missing: str | None = None
    marks: tuple[tuple[int, bytes], ...] = ()
    preset: ReadRequest | None = None  # in place of a body to be read
    parsed: ReadRequest | Skip | None = None  # read once
    port: int | None = None
    headers: dict[str, str] = {}  # the columns that they fill

    @property
    def deletes(self) -> bool:
        """Return whether it asks to delete a response."""
        return self.target_response_id is not None and self.method == "DELETE"


class AnswerDraft(Struct, frozen=True):
    """What came back. `body` is decoded; None where it was not kept.

    `is_terminated` says that the terminal event has passed, `decode_error` why the rest of the
    body could not be decoded; `raw` is the whole as it came then, where that was kept. `limits`
    are the headers that tell of rate limits, `arrivals` when the bytes of `body` came, if known.
    """

    transport: Transport
    status_code: int
    upstream_request_id: str | None
    body: bytes | None
    is_terminated: bool = False
    too_large: bool = False
    decode_error: str | None = None
    raw: bytes | None = None
    limits: dict[str, str] = {}
    arrivals: Arrivals | None = None


class Ending(Struct, frozen=True):
    """How an exchange ended, and what had come by then. Times are milliseconds since its start."""

    ended_by: EndedBy
    duration_ms: float | None
    first_event_ms: float | None = None
    answer: AnswerDraft | None = None
    problem: tuple[str, str] | None = None  # code and words of a connection that failed


class Draft(Struct, frozen=True):
    """An exchange on its way to the database; without an ending it is still open."""

    request: Request
    ending: Ending | None = None


_NAMESPACE = uuid.UUID("5f0e3a56-6d0c-5b5e-9a44-3c6f5f3f1c0e")
_namespace_hash = hashlib.sha1(_NAMESPACE.bytes, usedforsecurity=False)


def build_exchange_id(flow_id: str, started_at: float, turn: int = 0) -> str:
    """Return the key of an exchange: the same for the same flow however often it is read.

    `turn` counts the turns of a WebSocket from 1. What uuid.uuid5 returns, at a third of its cost:
    RFC 9562, section 5.5.
    """
    named = _namespace_hash.copy()  # looking an algorithm up takes longer than a digest
    named.update(f"{flow_id}|{started_at:.6f}|{turn}".encode())
    digest = bytearray(named.digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


class ReadRequest(Struct, frozen=True):
    """A request of ours. `body` has its credentials masked; `input` is a JSON array."""

    body: bytes | None
    secrets: tuple[bytes, ...] = ()
    model: str | None = None
    input: bytes = EMPTY_ARRAY
    has_input: bool = False
    previous_response_id: str | None = None
    conversation_id: str | None = None
    store: bool = True
    columns: dict[str, str] = {}  # which a body fills, and headers else
    reason: str | None = None  # why it could not be read
