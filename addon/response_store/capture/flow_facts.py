"""Take from mitmproxy's flows what is kept of them: plain values, secrets left behind.

The only place that knows the shape of a flow. Headers are read by an allowlist: the columns of
`model/records.py` name those of requests, `_ANSWER_HEADERS` here those of answers. Nothing else
of them is ever looked at, so nothing else can be kept.
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Awaitable, KeysView
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from mitmproxy import http
from mitmproxy.connection import Connection, ConnectionState

from response_store.capture.draft import AnswerHead, RequestHead
from response_store.capture.outbox import LARGE
from response_store.config import Config, TenantConfig
from response_store.jsontext import replace_unstorable
from response_store.limits import HEADER_FIELDS, QUERY_PARAMETERS, limit_name
from response_store.model.records import HEADER_COLUMNS, Api, EndedBy, Transport
from response_store.openai_api.credentials import list_spellings
from response_store.openai_api.endpoints import find_target_id, strip_query

if TYPE_CHECKING:
    from mitmproxy.http import Headers, HTTPFlow

    from response_store.capture.exchange import Exchange
    from response_store.diagnostics import Counters

LEFT_ALONE = "response_store.left_alone"
"""In a flow's metadata: it was answered by us, and makes no row."""


def find_local_address(flow: http.HTTPFlow) -> str:
    """Return the address of this machine that a client has connected to."""
    return str(flow.client_conn.sockname[0])


def find_who_left(flow: http.HTTPFlow) -> EndedBy:
    """Return who ended a flow: the connection's state tells, or else what the error names.

    A flow that is read from a file says nothing by its connections, which are closed all.
    """
    if (error := flow.error) is not None:
        if error.msg == error.KILLED_MESSAGE:
            return EndedBy.PROXY
        if was_reset_by_client(flow, error.msg):
            return EndedBy.CLIENT
        if not flow.live:
            return EndedBy.CLIENT if names_client(error.msg) else EndedBy.UPSTREAM
    has_left = not flow.client_conn.state & ConnectionState.CAN_WRITE
    closed = flow.client_conn.state is ConnectionState.CLOSED
    return EndedBy.CLIENT if has_left or closed else EndedBy.UPSTREAM


def put_back(flow: http.HTTPFlow, exchange: Exchange) -> Awaitable[None] | None:
    """Give a streamed body to the flow, so that mitmweb, flow files and HAR have it.

    Returns what to await where it has megabytes, which are put together by another thread.
    """
    stream, response = exchange.stream, flow.response
    if stream is None:
        return None
    kept = stream.has_chunks and stream.has_whole_body
    chunks = stream.chunks
    stream.release()
    if response is None or response.data.content is not None or not kept:
        return None
    if sum(map(len, chunks)) > LARGE:
        return _put_back_large(response, chunks)
    response.data.content = b"".join(chunks)
    return None


async def _put_back_large(response: http.Response, chunks: list[bytes]) -> None:
    body = await asyncio.get_running_loop().run_in_executor(None, b"".join, chunks)
    if response.data.content is None:
        response.data.content = body


def await_all(*awaitables: Awaitable[None] | None) -> Awaitable[None] | None:
    """Return what to await for all of them; None where there is nothing."""
    waits = [awaitable for awaitable in awaitables if awaitable is not None]
    if len(waits) > 1:
        return _await_in_turn(waits)
    return waits[0] if waits else None


async def _await_in_turn(awaitables: list[Awaitable[None]]) -> None:
    for awaitable in awaitables:
        await awaitable


_REQUEST_IDS = (b"x-request-id", b"apim-request-id", b"request-id")
_PARENT_SESSION = b"x-parent-session-id"  # opencode's, of a subagent
_REQUEST_HEADERS = frozenset(
    {
        b"content-type", b"upgrade", b"content-encoding", _PARENT_SESSION,
        *chain(*HEADER_COLUMNS.values()),
    }
)  # fmt: skip
_ANSWER_HEADERS = frozenset({b"content-type", b"content-encoding", *_REQUEST_IDS})
_LIMIT_HEADERS = (
    b"retry-after", b"x-ratelimit-",
    b"x-codex-primary-", b"x-codex-secondary-", b"x-codex-credits-",
)  # fmt: skip
"""Beginnings of names of headers that tell of rate limits."""
_MAX_LIMITS, _MAX_LIMIT_NAME, _MAX_LIMIT_VALUE = 32, 64, 128
_MAX_CHARS = 4_000  # the head of a frame is bounded; rows hold less, once secrets are out of it
_CREDENTIAL_HEADERS = frozenset(
    {b"ocp-apim-subscription-key", b"chatgpt-account-id", b"sec-websocket-protocol"}
)
"""Those that do not say so by a part of their name."""
_credential_part = re.compile(rb"api-?key|authorization|-auth|token|secret").search
# `openai-insecure-api-key.KEY`, and what others make of that.
_protocol_keys = re.compile(
    r"(?:key|token|bearer|auth(?:orization)?)\.([^\s,]+)", re.IGNORECASE
).findall
_CREDENTIAL_NAMES = ("key", "token", "secret", "password", "auth", "code", "sig")
_MAX_CREDENTIALS = 16
STREAMED_PAST = "request body: mitmproxy streamed it past (stream_large_bodies)"


class HeaderMap:
    """The allow-listed headers of a message, by lower-case name; of several the first."""

    __slots__ = ("_values",)

    def __init__(self, headers: Headers, names: frozenset[bytes]) -> None:
        fields = headers.fields[:HEADER_FIELDS]
        self._values = {
            name: value for key, value in reversed(fields) if (name := key.lower()) in names
        }

    @property
    def names(self) -> KeysView[bytes]:
        """Return the names of those that are there."""
        return self._values.keys()

    def get(self, name: bytes) -> str:
        """Return the value, or an empty text."""
        value = self._values.get(name)
        return value.decode("utf-8", "replace") if value else ""


def read_request_headers(flow: HTTPFlow, config: Config) -> HeaderMap:
    """Return the headers of a request that matter."""
    named = (config.tenant.header, config.capture.session_header)
    more = {name.encode() for name in named if name}
    return HeaderMap(flow.request.headers, _REQUEST_HEADERS | more if more else _REQUEST_HEADERS)


def read_credentials(flow: HTTPFlow, counters: Counters) -> tuple[bytes, ...]:
    """Return the client's credentials, in the spellings in which an answer may repeat them.

    They live as long as the exchange, for this alone. Counts what is too much to be looked at.
    """
    fields = flow.request.headers.fields
    if len(fields) > HEADER_FIELDS:
        counters.add("limited.header_fields")
    values = [
        one
        for name, value in fields[:HEADER_FIELDS]
        if (_is_credential_header if len(name) <= _MAX_CACHED else _judge_header)(name)
        for one in _read_header(name, value.decode("utf-8", "replace"))
    ]
    query = flow.request.path.partition("?")[2]
    if query:
        parameters = query.replace(";", "&").split("&", QUERY_PARAMETERS)
        if len(parameters) > QUERY_PARAMETERS:
            counters.add("limited.query_parameters")
        pairs = parse_qsl("&".join(parameters[:QUERY_PARAMETERS]))
        values += [value for name, value in pairs if _is_credential(name.lower())]
    return list_spellings([value[:_MAX_CHARS] for value in values[:_MAX_CREDENTIALS]])


def find_tenant(headers: HeaderMap, tenant: TenantConfig) -> str:
    """Return the tenant of a request."""
    named = headers.get(tenant.header.encode()) if tenant.header else ""
    return limit_name(replace_unstorable(named)) or tenant.id


def build_request_head(flow: HTTPFlow, api: Api, headers: HeaderMap, config: Config) -> RequestHead:
    """Return what is kept of a request, but for its body."""
    data = flow.request.data
    target = find_target_id(flow.request.path)
    return RequestHead(
        flow_id=flow.id,
        turn=0,
        tenant_id=find_tenant(headers, config.tenant),
        api=api.value,
        method=flow.request.method,
        scheme=data.scheme.decode("ascii", "replace"),
        host=_clip(find_host(flow)),
        path=_clip(strip_query(flow.request.path)),
        user_agent=None,
        content_encoding=_clip(headers.get(b"content-encoding")),
        started_at=data.timestamp_start,
        target_response_id=limit_name(replace_unstorable(target)) if target else None,
        transport=Transport.HTTP.value,
        missing=STREAMED_PAST if data.content is None and target is None else None,
        port=port(flow),
        headers=_read_columns(headers, config.capture.session_header),
    )


def _read_columns(headers: HeaderMap, session_header: str | None) -> dict[str, str]:
    """Return the columns that headers fill."""
    columns = {
        column: _clip(value)
        for column, names in HEADER_COLUMNS.items()
        if (value := next(filter(None, map(headers.get, names)), ""))
    }
    if parent := headers.get(_PARENT_SESSION):
        if own := columns.get("session_id"):
            columns.setdefault("agent", own)
        columns["session_id"] = _clip(parent)
    if session_header and (value := headers.get(session_header.encode())):
        columns["session_id"] = _clip(value)
    return columns


def build_answer_head(flow: HTTPFlow) -> AnswerHead:
    """Return what is kept of an answer's head."""
    assert flow.response is not None
    headers = HeaderMap(flow.response.headers, _ANSWER_HEADERS)
    request_id = next(filter(None, map(headers.get, _REQUEST_IDS)), "")
    content_type = headers.get(b"content-type")
    streams = content_type.lower().startswith("text/event-stream")
    return AnswerHead(
        transport=(Transport.SSE if streams else Transport.HTTP).value,
        status_code=flow.response.status_code,
        content_type=_clip(content_type),
        content_encoding=_clip(headers.get(b"content-encoding")),
        upstream_request_id=_clip(request_id) or None,
        limits=_read_limits(flow.response.headers),
    )


def _read_limits(headers: Headers) -> dict[str, str]:
    """Return the headers that tell of rate limits, by lower-case name; of several the first."""
    limits: dict[str, str] = {}
    for key, value in headers.fields[:HEADER_FIELDS]:
        name = key.lower()
        if name.startswith(_LIMIT_HEADERS) and value and len(name) <= _MAX_LIMIT_NAME:
            text = value[:_MAX_LIMIT_VALUE].decode("utf-8", "replace")
            limits.setdefault(name.decode("ascii", "replace"), text)
            if len(limits) == _MAX_LIMITS:
                break
    return limits


def find_host(flow: HTTPFlow) -> str:
    """Return the host that the client asked for.

    Where the address was rewritten (map_remote) or is bare (transparent modes) only the name
    in the TLS handshake tells; in reverse mode that name is the proxy's own.
    """
    return _find_server_name(flow) or flow.request.host


def port(flow: HTTPFlow) -> int:
    """Return the port beside `find_host`.

    Where the address was rewritten, it is that of the connection which the client had asked for.
    """
    address = flow.server_conn.address
    if address and _find_server_name(flow) not in (None, flow.request.host):
        return address[1]
    return flow.request.port


def _find_server_name(flow: HTTPFlow) -> str | None:
    reverse = flow.client_conn.proxy_mode.type_name == "reverse"
    return None if reverse else flow.client_conn.sni


def describe_connection_problem(message: str) -> tuple[str, str]:
    """Return code and words for a row whose server never answered."""
    return "connection_failed", _clip(message)


def find_end_time(flow: HTTPFlow) -> float:
    """Return when a recorded flow ended, as far as it says; Unix seconds."""
    if flow.response is not None and flow.response.timestamp_end:
        return flow.response.timestamp_end
    if flow.error is not None:
        return flow.error.timestamp
    return flow.request.timestamp_end or flow.request.timestamp_start


def _judge_header(name: bytes) -> bool:
    """Return whether a header of this name has a credential."""
    name = name.lower()
    return name in _CREDENTIAL_HEADERS or _credential_part(name) is not None


_MAX_CACHED = 64  # bytes of a name
_is_credential_header = lru_cache(maxsize=256)(_judge_header)


def _read_header(name: bytes, value: str) -> list[str]:
    """Return the credentials in a header; of protocols the keys that browsers put there."""
    if name.lower() == b"sec-websocket-protocol":
        return _protocol_keys(value)
    password = _basic_password(value)
    return [value, password] if password else [value]


def _basic_password(value: str) -> str:
    """Return the password of basic authentication; nothing where it is another kind."""
    kind, _, coded = value.partition(" ")
    if kind.lower() != "basic":
        return ""
    try:
        return base64.b64decode(coded).decode("utf-8", "replace").partition(":")[2]
    except ValueError:
        return ""


def _is_credential(name: str) -> bool:
    return any(part in name for part in _CREDENTIAL_NAMES)


def _clip(text: str) -> str:
    return replace_unstorable(text[:_MAX_CHARS])


_RESET = "stream reset by client"
_CANCEL = "CANCEL"


def was_reset_by_client(flow: HTTPFlow, message: str) -> bool:
    """Return whether an error of mitmproxy's means that an HTTP/2 client has reset its stream.

    It has the same words where the server did. Where both sides speak HTTP/2 the code decides:
    who has no use for an answer any more cancels it, and a server has other reasons.
    """
    if not message.startswith(_RESET) or not _speaks_http2(flow.client_conn):
        return False
    return not _speaks_http2(flow.server_conn) or _CANCEL in message


def names_client(message: str) -> bool:
    """Return whether an error of mitmproxy's says that the client has gone."""
    return "client" in message.lower() and not message.startswith(_RESET)


def _speaks_http2(connection: Connection) -> bool:
    return connection.alpn == b"h2"
