"""Hold what is written to the journal of an exchange: facts as they passed, nothing read yet.

A draft is spread over frames of one key. OPEN holds the request of an exchange that lasts, PART
bytes of its answer as they come, END how it ended and what no earlier frame has. Reading bodies
and building rows is the work of the ingester, which puts the frames together again.

Bodies are decoded (`content_encoding` says what they came in) and follow the head in its frame.
The heads are msgpack arrays: a field may be added at the end, with a default.
"""

from __future__ import annotations

import msgspec


class RequestHead(msgspec.Struct, array_like=True):
    """A request without its body. `started_at` is Unix seconds.

    `turn` is 0 over HTTP, and counts the turns of a WebSocket from 1. `target_response_id` is the
    response that is polled, resumed, cancelled or deleted; None where one is created. `missing`
    says why there is no body, where there should be one. `steered` are the sizes of the messages
    that the body consists of, where it is not a request but the steering messages that led to a
    response without one; `previous_response_id` and `stored` are what that response says then.
    `headers` has the columns that headers fill; `user_agent` is that of frames without it.
    """

    flow_id: str
    turn: int
    tenant_id: str
    api: str
    method: str
    scheme: str
    host: str
    path: str
    user_agent: str | None
    content_encoding: str
    started_at: float
    target_response_id: str | None = None
    transport: str = "http"
    missing: str | None = None
    steered: tuple[int, ...] | None = None
    previous_response_id: str | None = None
    stored: bool = True
    port: int | None = None
    headers: dict[str, str] = {}
    marks: tuple[tuple[int, bytes], ...] = ()  # of the client's credentials


class AnswerHead(msgspec.Struct, array_like=True):
    """The head of an answer, and what became of its body.

    `transport` is that of the answer: http, sse or websocket. `has_body` is False where the body
    was not kept. `is_terminated` says that its terminal event has passed, `too_large` that only the
    beginning is kept, `decode_error` why the rest could not be decoded.
    """

    transport: str
    status_code: int
    content_type: str
    content_encoding: str
    upstream_request_id: str | None
    has_body: bool = True
    is_terminated: bool = False
    too_large: bool = False
    decode_error: str | None = None
    limits: dict[str, str] = {}  # what the headers say of rate limits


class Arrivals(msgspec.Struct, array_like=True):
    """When bytes of an answer came: at each time, all up to the end beside it.

    Times are seconds of a clock that read `started` when the exchange began; ends are bytes of the
    decoded answer. `is_thinned` says that some are left out.
    """

    started: float
    at: list[float]
    ends: list[int]
    is_thinned: bool = False


class PartHead(msgspec.Struct, array_like=True):
    """More of a streamed answer. `answer` comes with the first part; times are ms since the start.

    `elapsed_ms` is when the frame was written. `arrivals` are those since the frame before; None
    where they are not known, or not those of these bytes.
    """

    answer: AnswerHead | None
    elapsed_ms: float
    first_event_ms: float | None = None
    arrivals: Arrivals | None = None


class EndHead(msgspec.Struct, array_like=True):
    """How an exchange ended. Times are milliseconds since its start.

    `request` is there where no OPEN frame of the same key was written, or where the frame stands
    alone (`is_whole`): it then replaces all that earlier frames of its key say. The frame's body is
    `request_size` bytes of the request, the rest of the answer, and `raw_size` bytes of the answer
    as it came where it could not be decoded. `problem` are a code and words: what the connection
    failed with, or was closed with.
    """

    request: RequestHead | None
    ended_by: str
    duration_ms: float
    first_event_ms: float | None = None
    answer: AnswerHead | None = None
    request_size: int = 0
    raw_size: int = 0
    is_whole: bool = False
    problem: tuple[str, str] | None = None
    arrivals: Arrivals | None = None  # as in a part


class DeletionHead(msgspec.Struct, array_like=True):
    """A response that this proxy was asked to delete. `at` is Unix seconds."""

    tenant_id: str
    response_id: str
    at: float


encode_head = msgspec.msgpack.Encoder().encode
