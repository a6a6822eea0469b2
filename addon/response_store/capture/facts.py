"""What we take from mitmproxy's flows: plain values, secrets left behind.

The only place that knows the shape of a flow. Headers are read by allow-list; nothing else of
them is ever looked at, so nothing else can be kept.
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from response_store.capture.draft import Request
from response_store.config import TenantConfig
from response_store.json_text import storable
from response_store.openai_api.endpoints import followed_id, kept_path
from response_store.store.records import Api

if TYPE_CHECKING:
    from mitmproxy.http import Headers, HTTPFlow

_NAMESPACE = uuid.UUID("5f0e3a56-6d0c-5b5e-9a44-3c6f5f3f1c0e")
_REQUEST_IDS = (b"x-request-id", b"apim-request-id", b"request-id")
_REQUEST_HEADERS = frozenset({b"content-type", b"upgrade", b"user-agent", b"content-encoding"})
_ANSWER_HEADERS = frozenset({b"content-type", b"content-encoding", *_REQUEST_IDS})
_MOST_CHARS = 1000


@dataclass(frozen=True, slots=True)
class AnswerHead:
    """An answer's status line and the headers that matter."""

    status_code: int
    content_type: str
    content_encoding: str
    upstream_request_id: str | None

    @property
    def is_event_stream(self) -> bool:
        """Whether the body is declared as server-sent events."""
        return self.content_type.lower().startswith("text/event-stream")


class HeaderMap:
    """The headers of a message that are asked for, by lower-case name; of several the first."""

    __slots__ = ("_values",)

    def __init__(self, headers: Headers, wanted: frozenset[bytes]) -> None:
        self._values = {
            name: value
            for key, value in reversed(headers.fields)
            if (name := key.lower()) in wanted
        }

    def get(self, name: bytes) -> str:
        """The value, or an empty text."""
        value = self._values.get(name)
        return value.decode("utf-8", "replace") if value else ""


@dataclass(slots=True)
class Passed:
    """A request as it passed. What a row says of it is read when there is time: `facts`."""

    flow_id: str
    api: Api
    method: str
    scheme: bytes
    host: str
    path: str
    headers: HeaderMap
    body: bytes | None
    started_at: float
    tenant: TenantConfig
    follows: str | None = None
    _facts: Request | None = field(default=None, repr=False)

    def facts(self) -> Request:
        """What is kept of the request; read once."""
        if self._facts is None:
            self._facts = Request(
                exchange_id=exchange_id(self.flow_id, self.started_at),
                tenant_id=tenant_of(self.headers, self.tenant),
                api=self.api,
                method=self.method,
                scheme=self.scheme.decode("ascii", "replace"),
                host=_clipped(self.host),
                path=_clipped(kept_path(self.path)),
                user_agent=_clipped(self.headers.get(b"user-agent")) or None,
                content_encoding=self.headers.get(b"content-encoding"),
                body=self.body,
                started_at=self.started_at,
                follows=storable(self.follows) if self.follows else None,
            )
        return self._facts


def request_headers(flow: HTTPFlow, tenant: TenantConfig) -> HeaderMap:
    """The headers of a request that matter."""
    wanted = _REQUEST_HEADERS | {tenant.header.encode()} if tenant.header else _REQUEST_HEADERS
    return HeaderMap(flow.request.headers, wanted)


def tenant_of(headers: HeaderMap, tenant: TenantConfig) -> str:
    """Whose a request is."""
    named = headers.get(tenant.header.encode()) if tenant.header else ""
    return _clipped(named) or tenant.id


def passed(flow: HTTPFlow, api: Api, headers: HeaderMap, tenant: TenantConfig) -> Passed:
    """Take what is there of a request, and read none of it."""
    data = flow.request.data
    return Passed(
        flow_id=flow.id,
        api=api,
        method=flow.request.method,
        scheme=data.scheme,
        host=host(flow),
        path=flow.request.path,
        headers=headers,
        body=data.content,
        started_at=data.timestamp_start,
        tenant=tenant,
        follows=followed_id(flow.request.path),
    )


def answer_head(flow: HTTPFlow) -> AnswerHead:
    """Take what is kept of an answer's head."""
    assert flow.response is not None
    headers = HeaderMap(flow.response.headers, _ANSWER_HEADERS)
    request_id = next(filter(None, map(headers.get, _REQUEST_IDS)), "")
    return AnswerHead(
        status_code=flow.response.status_code,
        content_type=headers.get(b"content-type"),
        content_encoding=headers.get(b"content-encoding"),
        upstream_request_id=_clipped(request_id) or None,
    )


def host(flow: HTTPFlow) -> str:
    """The host that the client asked for.

    Where the address was rewritten (map_remote) or is bare (transparent modes) only the name
    in the TLS handshake tells; in reverse mode that name is the proxy's own.
    """
    reverse = flow.client_conn.proxy_mode.type_name == "reverse"
    named = None if reverse else flow.client_conn.sni
    return named or flow.request.host


def exchange_id(flow_id: str, started_at: float, turn: int = 0) -> str:
    """The key of an exchange: the same for the same flow however often it is read."""
    name = f"{flow_id}|{started_at:.6f}|{turn}".encode()
    # What uuid.uuid5 gives, at a third of its cost: RFC 9562, section 5.5.
    found = bytearray(hashlib.sha1(_NAMESPACE.bytes + name, usedforsecurity=False).digest()[:16])
    found[6] = found[6] & 0x0F | 0x50
    found[8] = found[8] & 0x3F | 0x80
    text = found.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def ended_at(flow: HTTPFlow) -> float:
    """When a recorded flow ended, as far as it says; Unix seconds."""
    if flow.response is not None and flow.response.timestamp_end:
        return flow.response.timestamp_end
    if flow.error is not None:
        return flow.error.timestamp
    return flow.request.timestamp_end or flow.request.timestamp_start


def _clipped(text: str) -> str:
    return storable(text[:_MOST_CHARS])
