"""What the event loop hands to the writer: facts as they passed, nothing read yet.

Reading bodies, masking, compressing and building rows is the writer thread's work, so that the
event loop pays for none of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from response_store.openai_api.sse import Event
from response_store.store.records import Api, EndedBy, Transport

if TYPE_CHECKING:
    from response_store.ingest.request_reader import ReadRequest
    from response_store.openai_api.endpoints import Skip


@dataclass(slots=True)
class Request:
    """A request whose path says that it may be one of ours. `started_at` is Unix seconds.

    `follows` is the id of the response that it asks after, or asks to delete; None where it
    creates one.
    """

    exchange_id: str
    tenant_id: str
    api: Api
    method: str
    scheme: str
    host: str
    path: str
    user_agent: str | None
    content_encoding: str
    body: bytes | None  # None where mitmproxy streamed it past us
    started_at: float
    follows: str | None = None
    transport: Transport = Transport.HTTP  # how it came; the answer to HTTP may come as SSE
    given: ReadRequest | None = field(default=None, repr=False)  # in place of a body to be read
    read: ReadRequest | Skip | None = field(default=None, repr=False)  # the writer's, read once

    @property
    def deletes(self) -> bool:
        """Whether it asks to delete a response."""
        return self.follows is not None and self.method == "DELETE"

    def facts(self) -> Request:
        """The request itself: nothing is left to be read."""
        return self


class RequestSource(Protocol):
    """A request whose facts may still have to be read."""

    @property
    def api(self) -> Api: ...

    @property
    def body(self) -> bytes | None: ...

    @property
    def started_at(self) -> float: ...

    @property
    def follows(self) -> str | None: ...

    def facts(self) -> Request: ...


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `body` is as it came, still content-encoded; None where it was not kept."""

    transport: Transport
    status_code: int
    content_encoding: str
    upstream_request_id: str | None
    body: Sequence[bytes] | None
    terminal: Event | None = None
    too_large: bool = False

    @property
    def size(self) -> int:
        """Bytes of the body that are held."""
        return sum(map(len, self.body)) if self.body else 0


@dataclass(frozen=True, slots=True)
class Ending:
    """How an exchange ended, and what had come by then. Times are milliseconds since its start."""

    ended_by: EndedBy
    duration_ms: float
    first_event_ms: float | None = None
    answer: Answer | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """An exchange on its way to the store; without an ending it is still open."""

    request: RequestSource
    ending: Ending | None = None

    @property
    def size(self) -> int:
        """Bytes that this draft holds."""
        body = len(self.request.body) if self.request.body else 0
        return body + (self.ending.answer.size if self.ending and self.ending.answer else 0)
