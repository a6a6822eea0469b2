"""What we take from mitmproxy's flows: plain values, secrets left behind.

The only place that knows the shape of a flow. Headers are read by allow-list; nothing else of
them is ever looked at, so nothing else can be kept.
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from response_store.capture.classify import kept_path
from response_store.capture.draft import Request
from response_store.config import TenantConfig
from response_store.json_text import storable
from response_store.store.records import Api

if TYPE_CHECKING:
    from mitmproxy.http import Headers, HTTPFlow

_NAMESPACE = uuid.UUID("5f0e3a56-6d0c-5b5e-9a44-3c6f5f3f1c0e")
_REQUEST_IDS = (b"x-request-id", b"apim-request-id", b"request-id")
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
    """The headers of a message by lower-case name; of several of one name, the first."""

    __slots__ = ("_values",)

    def __init__(self, headers: Headers) -> None:
        self._values = {name.lower(): value for name, value in reversed(headers.fields)}

    def get(self, name: bytes) -> str:
        """The value, or an empty text."""
        value = self._values.get(name)
        return value.decode("utf-8", "replace") if value else ""


def request_facts(flow: HTTPFlow, api: Api, headers: HeaderMap, tenant: TenantConfig) -> Request:
    """Take what is kept of a request."""
    request = flow.request
    named = headers.get(tenant.header.encode()) if tenant.header else ""
    return Request(
        exchange_id=exchange_id(flow.id, request.timestamp_start),
        tenant_id=_clipped(named) or tenant.id,
        api=api,
        method=request.method,
        scheme=request.scheme,
        host=host(flow),
        path=_clipped(kept_path(request.path)),
        user_agent=_clipped(headers.get(b"user-agent")) or None,
        content_encoding=headers.get(b"content-encoding"),
        body=request.raw_content,
        started_at=request.timestamp_start,
    )


def answer_head(flow: HTTPFlow) -> AnswerHead:
    """Take what is kept of an answer's head."""
    assert flow.response is not None
    headers = HeaderMap(flow.response.headers)
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
    return _clipped(named or flow.request.host)


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
