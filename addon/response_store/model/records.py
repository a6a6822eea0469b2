"""Hold the rows that a store keeps as plain values, with what can be said of them without a
database.

An exchange is one request and whatever became of it; a response is the object that the API
returned. Storage knows nothing of HTTP: everything here is text, numbers and bytes.
"""

from __future__ import annotations

import uuid
from enum import StrEnum
from typing import Annotated, Any, TypeAlias, get_type_hints

import msgspec

from response_store.jsontext import LongText


class Api(StrEnum):
    """Which API an exchange speaks."""

    RESPONSES = "responses"
    CHAT_COMPLETIONS = "chat_completions"
    COMPLETIONS = "completions"
    EMBEDDINGS = "embeddings"
    RESPONSES_COMPACT = "responses_compact"
    CONVERSATIONS = "conversations"
    STORED_COMPLETIONS = "stored_completions"


class Transport(StrEnum):
    """How the answer came."""

    HTTP = "http"
    SSE = "sse"
    WEBSOCKET = "websocket"


class State(StrEnum):
    """What became of an exchange.

    `OPEN` until it ends. `QUEUED` and `IN_PROGRESS` are answers that promise a later one
    (background responses). The API's own ends are `COMPLETED`, `INCOMPLETE`, `FAILED` and
    `CANCELLED`; the others are ends that the API has no word for: `REFUSED` (4xx or 5xx, or by
    this proxy), `INTERRUPTED` (cut off), `UNREADABLE` and `TOO_LARGE`.
    """

    OPEN = "open"
    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    INCOMPLETE = "incomplete"
    FAILED = "failed"
    CANCELLED = "cancelled"
    REFUSED = "refused"
    INTERRUPTED = "interrupted"
    UNREADABLE = "unreadable"
    TOO_LARGE = "too_large"

    @property
    def rank(self) -> int:
        """Return how far an exchange in this state has come: rows are replaced only upwards."""
        return _RANKS.get(self, _ENDED_RANK)

    @property
    def is_final(self) -> bool:
        """Return whether no later state replaces this one by itself."""
        return self not in (State.OPEN, State.QUEUED, State.IN_PROGRESS)

    @property
    def is_error(self) -> bool:
        """Return whether the answer did not come, did not come whole, or could not be kept."""
        return self.is_final and self not in (State.COMPLETED, State.INCOMPLETE, State.CANCELLED)


_RANKS = {
    State.OPEN: 0,
    State.INTERRUPTED: 1,
    State.UNREADABLE: 1,
    State.TOO_LARGE: 1,
    State.QUEUED: 2,
    State.IN_PROGRESS: 3,
}
_ENDED_RANK = 4

UNFINISHED = frozenset(state.value for state in State if not state.is_final)
"""The names of the states that are not final, for what is compared as text."""


class EndedBy(StrEnum):
    """Who or what ended an exchange."""

    TERMINAL_EVENT = "terminal_event"
    BODY = "body"  # the body came to its regular end
    CLIENT = "client"
    UPSTREAM = "upstream"
    PROXY = "proxy"  # refused or killed here
    PROXY_STOPPED = "proxy_stopped"


class ResponseRow(msgspec.Struct, frozen=True):
    """A row of the responses table. Fields up to `messages` are its columns, in order.

    Texts that may be large are UTF-8 where they are (`limits.LARGE_TEXT`).

    `created_at` is whole Unix seconds; `response_object`, `input` and `messages` are JSON text.
    `final` says that the object is in a terminal state; `has_input` that `input` is known, not
    merely absent (a polled snapshot does not repeat it).
    """

    tenant_id: str
    id: str
    created_at: int
    model: str
    response_object: LongText
    input: LongText
    messages: LongText
    final: bool = True
    has_input: bool = True


def _from_header(*names: str) -> msgspec.Meta:
    """Mark a column as what the first of these headers of a request says that it has.

    It is kept as far as it fits.
    """
    return msgspec.Meta(extra={"headers": names})


_SESSION_HEADERS = (
    "session-id", "session_id", "thread-id", "x-litellm-session-id", "x-opencode-session",
    "x-session-id", "helicone-session-id",
)  # fmt: skip


class ExchangeRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the exchanges table: fields are its columns, in order.

    `started_at` is Unix seconds; `request_body` and `raw_response` are zstd frames; `result` is
    JSON text, which is UTF-8 where it is large, as is `output_text`.
    """

    exchange_id: str
    tenant_id: str
    response_id: str | None = None
    previous_response_id: str | None = None
    conversation_id: str | None = None
    api: str
    transport: str
    state: str
    ended_by: str | None = None
    status_code: int | None = None
    error_code: str | None = None
    error_message: str | None = None
    started_at: float
    first_event_ms: float | None = None
    duration_ms: float | None = None
    requested_model: str | None = None
    model: str | None = None
    input_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    total_tokens: int | None = None
    method: str
    scheme: str
    host: str
    path: str
    user_agent: Annotated[str | None, _from_header("user-agent")] = None
    upstream_request_id: str | None = None
    request_body: bytes | None = None
    result: LongText | None = None
    output_text: LongText | None = None
    raw_response: bytes | None = None
    recorder_id: str
    port: int | None = None
    session_id: Annotated[str | None, _from_header(*_SESSION_HEADERS)] = None
    parent_exchange_id: str | None = None
    agent: Annotated[str | None, _from_header("x-openai-subagent")] = None
    label: str | None = None
    question: str | None = None
    service_tier: str | None = None
    cache_write_tokens: int | None = None
    incomplete_reason: str | None = None
    rate_limits: str | None = None
    context_digest: str | None = None
    event_times: str | None = None
    answer_digest: str | None = None


class PackedExchangeRow(ExchangeRow, frozen=True, kw_only=True):
    """A row of the exchanges table as it is stored: `request_body` may need another exchange's.

    `request_base_id` names that exchange, whose own body stands alone.
    """

    request_base_id: str | None = None


HEADER_COLUMNS: dict[str, tuple[bytes, ...]] = {
    name: tuple(header.encode() for header in meta.extra["headers"])
    for name, annotation in get_type_hints(ExchangeRow, include_extras=True).items()
    for meta in getattr(annotation, "__metadata__", ())
    if meta.extra and "headers" in meta.extra
}
"""The columns of exchanges that a request's headers fill, and the headers of each."""


class ConversationChange(msgspec.Struct, frozen=True):
    """What an exchange changes of a conversation, whose row has metadata and items as JSON.

    `items` are put behind those that are there, or in the place of one with the same id; where the
    conversation `begins` they are its first. `created_at` is whole Unix seconds, for a new row.
    """

    tenant_id: str
    id: str
    created_at: int
    metadata: str | None = None
    items: tuple[str, ...] = ()
    begins: bool = False
    removed_item: str | None = None
    deleted: bool = False


class Record(msgspec.Struct, frozen=True):
    """The rows that one exchange brings: its own, and those of a response and a conversation.

    `beginnings` are the digests of what its input may continue, the longest first, `answers` and
    `quotes` those of answers that may stand in it, the newest first. `pieces` are of what it adds
    to the response that it names, where that has a digest. `session_is_guessed`: the
    exchange's session comes from the body, and is none where the exchange continues another.
    """

    exchange: ExchangeRow
    response: ResponseRow | None = None
    conversation: ConversationChange | None = None
    beginnings: tuple[str, ...] = ()
    pieces: tuple[bytes, ...] | None = None
    answers: tuple[str, ...] = ()
    quotes: tuple[str, ...] = ()
    session_is_guessed: bool = False

    @property
    def is_linked(self) -> bool:
        """Return whether its content links it to others, before it or after."""
        row = self.exchange
        has_digest = row.context_digest is not None or row.answer_digest is not None
        searched = self.beginnings or self.answers or self.quotes
        return has_digest or bool(searched) or self.pieces is not None


class Deletion(msgspec.Struct, frozen=True):
    """The deletion of a response, which the API has deleted.

    It takes its place among the records: what came before it goes, what comes after it stays. Only
    the row of the responses table goes; exchanges are history, and what other responses hold of it
    is theirs. A response that is not there is no error.
    """

    tenant_id: str
    id: str


Change: TypeAlias = Record | Deletion
"""What a store is given, one after the other."""

_NAMES = ExchangeRow.__struct_fields__
STORED_COLUMNS = ", ".join(PackedExchangeRow.__struct_fields__)
"""The columns of exchanges, as they are selected for `queries.bodies.build_exchange`."""


class StoredResponse(msgspec.Struct, frozen=True):
    """A row of the responses table; `response_object`, `input`, `messages` are JSON text."""

    tenant_id: str
    id: str
    created_at: int
    model: str
    response_object: str
    input: str
    messages: str


def build_exchange_row(columns: tuple[Any, ...]) -> ExchangeRow:
    """Return the exchange with these values of its columns."""
    return ExchangeRow(**dict(zip(_NAMES, columns, strict=True)))


def pack_exchange_row(row: ExchangeRow, request_body: bytes, base_id: str) -> PackedExchangeRow:
    """Return a row whose body is a frame that needs the body of another exchange."""
    values = msgspec.structs.asdict(row) | {"request_body": request_body}
    return PackedExchangeRow(**values, request_base_id=base_id)


def list_stored_values(row: ExchangeRow) -> tuple[Any, ...]:
    """Return the values of an exchange in the order of the columns in which it is stored."""
    values = msgspec.structs.astuple(row)
    return values if isinstance(row, PackedExchangeRow) else (*values, None)


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


# Few known words each, which a rule of the table may ask for.
_KEPT = frozenset({"api", "transport", "state", "ended_by", "method", "scheme"})
_PLAIN: dict[str, Any] = {"str": "x", "Any": "x", "bytes": b"", "int": 1, "float": 1.0}


def build_probe(change: Change) -> Change:
    """Return a change of the same kind with ids of its own, short plain texts and no bodies."""
    name = f"probe-{uuid.uuid4()}"
    if isinstance(change, Deletion):
        return Deletion(name, name)
    response = change.response and ResponseRow(name, name, 1, "x", "{}", "[]", "[]")
    return Record(_build_plain_exchange(change.exchange, name), response)


def _build_plain_exchange(exchange: ExchangeRow, name: str) -> ExchangeRow:
    """Return a row with values in the same columns, and in those that can't do without."""
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(exchange):
        value = getattr(exchange, field.name)
        if field.name in _KEPT and isinstance(value, str):
            values[field.name] = value
        elif value is not None or field.required:
            kind = str(field.type)
            values[field.name] = next(_PLAIN[word] for word in _PLAIN if word in kind)
    return ExchangeRow(**values | {"exchange_id": name})


class WrittenRow(msgspec.Struct, array_like=True, frozen=True):
    """An exchange that has ended and is in the database. `line` is fit for any log."""

    flow_id: str
    turn: int
    line: str
    exchange_id: str
    response_id: str | None
    state: str
    error_code: str | None = None
    model: str | None = None
    requested_model: str | None = None
    input_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    duration_ms: float | None = None
    question: str | None = None
