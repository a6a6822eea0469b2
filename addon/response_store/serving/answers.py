"""Answer what the proxy asks its ingester: stored responses, and text for mitmproxy's prompt.

`tenant_id || ''` keeps planners from searching by tenant, which would walk all of a tenant's rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial

import msgspec
from msgspec import Raw

from response_store import jsontext
from response_store.backends.registry import open_query, open_reader
from response_store.backends.sqlite.connection import identify_file
from response_store.config import Config, Serve
from response_store.errors import StoreError, TransientStoreError
from response_store.format.exchange import add_calls, format_list_line, format_plain
from response_store.format.text import escape_controls
from response_store.ingest.channel import OK
from response_store.ingest.questions import AnswerFunction
from response_store.model.records import EndedBy, Transport
from response_store.model.selection import HOST_PORT
from response_store.openai_api.items import build_accumulated_sql, complete_output, read_accumulated
from response_store.openai_api.responses import STATES
from response_store.queries.bodies import read_input
from response_store.queries.exchanges import Query, Summary, build_summary
from response_store.queries.exchanges import select_newest as newest_that
from response_store.queries.lookup import KeptReader, Lookup, Pause
from response_store.serving import http_response
from response_store.serving.http_response import ServedAnswer
from response_store.serving.input_items import CursorError, build_item_list, split_items
from response_store.serving.replay import replay_body
from response_store.serving.request import (
    INCLUDE_UNSUPPORTED,
    BadRequest,
    DeleteResponse,
    Fields,
    GetInputItems,
    GetResponse,
    ResponseLookup,
    ServedResponse,
    StoreRequest,
    includes,
    parse_request,
)
from response_store.serving.service import StoreQuery, StoreReply, encode

_read_words = msgspec.msgpack.Decoder(list[str]).decode


class StoredAnswers:
    """Answers out of the database. For one thread; opens nothing before it is asked."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._serving: ServeQuestions | None = None
        self.by_kind: dict[str, AnswerFunction] = {
            "ping": lambda arguments: (OK, arguments),
            "look": self._look,
            "serve": self._serve,
        }

    def close(self) -> None:
        """Close what is open; it is opened again when it is needed. Idempotent."""
        if self._serving is not None:
            self._serving.close()

    def _look(self, arguments: bytes) -> tuple[str, bytes]:
        kind, *words = _read_words(arguments)
        return OK, answer_command(self._config, kind, words).encode()

    def _serve(self, arguments: bytes) -> tuple[str, bytes]:
        if self._serving is None:
            self._serving = ServeQuestions(self._config)
        return OK, self._serving.answer(arguments)


class _ResponseMembers(msgspec.Struct):
    status: Raw = jsontext.ABSENT
    output: Raw = jsontext.ABSENT


def serve(lookup: ResponseLookup, tenant: str, request: StoreRequest) -> ServedAnswer | None:
    """Answer a request out of a store. Blocks as long as the store does.

    None: what is to be deleted is there.
    """
    if isinstance(request, BadRequest):
        return http_response.build_bad_request(request.reason)
    try:
        if isinstance(request, DeleteResponse):
            response = lookup.find(tenant, request.id, Fields.PRESENCE)
            return http_response.build_not_found(request.id) if response is None else None
        return build_answer(request, lookup.find(tenant, request.id, request.fields))
    except TransientStoreError:
        return http_response.build_unavailable()
    except StoreError:
        return http_response.build_internal_error()


def serve_if_better(
    lookup: ResponseLookup, tenant: str, request: StoreRequest
) -> ServedAnswer | None:
    """Answer a request out of a store, unless the upstream is to be asked. Blocks as `serve`.

    What is not stored is the upstream's to judge, a query that breaks a rule of ours as well: any
    path that ends alike may be a service that we know nothing of.
    """
    try:
        match request:
            case DeleteResponse():
                return None
            case BadRequest():
                known = lookup.find(tenant, request.id, Fields.PRESENCE) is not None
                return http_response.build_bad_request(request.reason) if known else None
        response = lookup.find(tenant, request.id, request.fields)
    except StoreError:
        return None
    return None if needs_upstream(request, response) else build_answer(request, response)


def build_answer(
    request: GetResponse | GetInputItems, response: ServedResponse | None
) -> ServedAnswer:
    """Answer a request with what was found for it."""
    if response is None:
        return http_response.build_not_found(request.id)
    try:
        return (
            _answer_items(request, response)
            if isinstance(request, GetInputItems)
            else _answer_response(request, response)
        )
    except jsontext.UnreadableError:
        return http_response.build_internal_error()


def needs_upstream(request: GetResponse | GetInputItems, response: ServedResponse | None) -> bool:
    """Return whether the upstream, if it can be asked, has a better answer than we have.

    It has one about a response that is not stored or still runs, about an input that we never saw
    (it is empty then), and about an `include` that goes beyond what is stored.
    """
    if response is None:
        return True
    try:
        if isinstance(request, GetInputItems):
            items = split_items(response.input)
            return not items or not includes(items, request.include)
        seen = jsontext.slice_members(_complete_response(response), _ResponseMembers)
        state = STATES.get(jsontext.read_text(seen.status) or "")
        runs = state is not None and not state.is_final
        return runs or not _does_output_include(seen, request.include)
    except jsontext.UnreadableError:
        return True


def _answer_response(request: GetResponse, response: ServedResponse) -> ServedAnswer:
    text = _complete_response(response)
    if not _does_output_include(jsontext.slice_members(text, _ResponseMembers), request.include):
        return http_response.build_bad_request(INCLUDE_UNSUPPORTED)
    if request.stream:
        return http_response.build_stream_answer(replay_body(request, text, response.recorded))
    return http_response.build_json_answer(text)


def _complete_response(response: ServedResponse) -> bytes:
    """Return the response as JSON text, with what streamed where its own output lacks that."""
    text = response.response_object.encode(errors="replace")
    items = read_accumulated(response.accumulated)
    return complete_output(text, items) if items else text


def _does_output_include(seen: _ResponseMembers, include: tuple[str, ...]) -> bool:
    if not include or bytes(memoryview(seen.output)[:1]) != b"[":
        return True
    return includes(jsontext.slice_elements(seen.output), include)


def _answer_items(request: GetInputItems, response: ServedResponse) -> ServedAnswer:
    items = split_items(response.input)
    if not includes(items, request.include):
        return http_response.build_bad_request(INCLUDE_UNSUPPORTED)
    try:
        return http_response.build_json_answer(build_item_list(request, items))
    except CursorError as error:
        return http_response.build_bad_request(str(error))


_OBJECT = f"response_object, {build_accumulated_sql('{responses}')}"
_COLUMNS = {
    Fields.PRESENCE: "'', NULL",
    Fields.OBJECT: _OBJECT,
    Fields.STREAM: _OBJECT,
    Fields.INPUT: "input, NULL",
}
SERVED = {
    fields: f"SELECT {columns} FROM {{responses}} WHERE tenant_id = ? AND id = ?"
    for fields, columns in _COLUMNS.items()
}
RECORDED = f"""
SELECT raw_response FROM {{exchanges}}
WHERE response_id = ? AND tenant_id || '' = ? AND transport = '{Transport.SSE.value}'
    AND ended_by = '{EndedBy.TERMINAL_EVENT.value}' AND raw_response IS NOT NULL
ORDER BY started_at, exchange_id LIMIT 1"""


class ServedLookup(Lookup):
    """A `Lookup` that also finds what served answers are made of. For one thread."""

    def find_served(self, tenant: str, response_id: str, fields: Fields) -> ServedResponse | None:
        """Return some fields of the response with exactly this id. Raises StoreError."""
        streamed, several = fields is Fields.STREAM, fields in (Fields.STREAM, Fields.INPUT)
        with self._reader.snapshot() if several else nullcontext():
            row = self._reader.row(SERVED[fields], (tenant, response_id))
            if row is None:
                return None
            recorded = self._find_recorded(tenant, response_id) if streamed else None
            text = self._check_text(row[0])
            if fields is Fields.INPUT:
                return ServedResponse(input=read_input(self._reader, tenant, response_id, text))
        accumulated = row[1] if isinstance(row[1], str) else None
        return ServedResponse(text, recorded=recorded, accumulated=accumulated)

    def _find_recorded(self, tenant: str, response_id: str) -> bytes | None:
        """Return the oldest recorded stream of a response, a zstd frame."""
        row = self._reader.row(RECORDED, (response_id, tenant))
        return bytes(row[0]) if row else None

    def _check_text(self, value: object) -> str:
        if not isinstance(value, str):  # SQLite keeps whatever a program writes
            raise StoreError(
                f"{self._reader.name}: a row of a response holds something that is not text. "
                "Delete it, or have the program that wrote it write text."
            )
        return value


SECONDS = 2.5  # that one statement may take
_BUSY_SECONDS = 1.0


class ServingReads:
    """Looks up responses, for one thread."""

    def __init__(self, kept: KeptReader) -> None:
        self._kept = kept

    def find(self, tenant: str, response_id: str, fields: Fields) -> ServedResponse | None:
        """Return a response with all that is committed, as far as `fields` names it.

        Raises StoreError.
        """
        return self._kept.ask(
            lambda reader: ServedLookup(reader).find_served(tenant, response_id, fields)
        )

    def close(self) -> None:
        """Close what is open. Idempotent."""
        self._kept.close()


def build_serving_reads(config: Config) -> ServingReads:
    """Return what looks up the responses of a configuration, opened once it is asked."""
    return ServingReads(keep_reader(config))


def keep_reader(config: Config) -> KeptReader:
    """Return a configuration's database for single questions, opened once it is asked."""
    target, tables = config.database, config.tables
    name = f"{'SQLite ' if target.server is None else ''}{target.describe()}"
    opening = partial(
        open_reader,
        target,
        tables,
        shown_as=name,
        busy_seconds=_BUSY_SECONDS,
        statement_seconds=SECONDS,
    )
    return KeptReader(opening, lambda: identify_file(target.path), Pause())


_decode_query = msgspec.msgpack.Decoder(StoreQuery).decode


class ServeQuestions:
    """Answers questions of the kind `serve`. For one thread; it opens nothing before the first."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._reads: ServingReads | None = None

    def answer(self, arguments: bytes) -> bytes:
        """Return the reply to a question."""
        query = _decode_query(arguments)
        request = parse_request(query.method, query.path)
        if request is None:
            return encode(StoreReply(None))
        if self._reads is None:
            self._reads = build_serving_reads(self._config)
        answer_of = serve_if_better if query.mode == Serve.PREFER.value else serve
        return _encode_reply(answer_of(self._reads, query.tenant, request))

    def close(self) -> None:
        """Close what is open. Idempotent."""
        reads, self._reads = self._reads, None
        if reads is not None:
            reads.close()


def _encode_reply(answer: ServedAnswer | None) -> bytes:
    if answer is None:
        return encode(StoreReply(None))
    return encode(StoreReply(answer.status, answer.headers, answer.body))


NEWEST, MATCHING, SHOWN = "newest", "matching", "shown"
MAX_LISTED = 100
MAX_SHOWN = 20_000  # characters
_CUT = "\u2026"  # where a list has cut an id short
_NAMES = "response_id model requested_model error_code output_text".split()
_TEXT = " || ' ' || ".join(
    ["exchange_id", "state", HOST_PORT, *[f"coalesce({name}, '')" for name in _NAMES]]
)
_OCCURS = f"lower({_TEXT}) LIKE lower(?) ESCAPE '!'"


def answer_command(config: Config, kind: str, arguments: Sequence[str]) -> str:
    """Return what a command shows, or why it can't be shown; safe to print.

    `NEWEST` takes a number of exchanges, `MATCHING` words, `SHOWN` an id or its beginning. Opens
    the database, read-only, for each call. Raises ValueError for a kind or arguments that it does
    not know.
    """
    answer, tenant = _KINDS.get(kind), config.tenant.id
    if answer is None:
        raise ValueError(f"no question of the kind {kind!r} is known")
    try:
        with open_query(config.database, config.tables, shown_as=_choose_label(config)) as query:
            return escape_controls(answer(query, tenant, arguments))
    except StoreError as error:
        return escape_controls(str(error))


def _show_newest(query: Query, tenant: str, arguments: Sequence[str]) -> str:
    limit = min(max(int(arguments[0]), 1), MAX_LISTED)
    exchanges = query.recent(tenant, limit=limit).exchanges
    return f"the newest {limit}\n{_format_lines(query, exchanges)}"


def _show_matching(query: Query, tenant: str, words: Sequence[str]) -> str:
    """Return the exchanges in whose names and answer every word occurs, whatever its case."""
    statement = newest_that(" AND ".join(["tenant_id = ?", *[_OCCURS] * len(words)]))
    patterns = [_build_pattern(word) for word in words]
    rows = query.reader.rows(statement, (tenant, *patterns, MAX_LISTED))
    summaries = [build_summary(row) for row in rows]
    return f"exchanges with {' '.join(words)}\n{_format_lines(query, summaries)}"


def _show_one(query: Query, tenant: str, arguments: Sequence[str]) -> str:
    """Return one exchange as a conversation, its beginning if it is long."""
    (identifier,) = arguments
    text = format_plain(query.find(tenant, identifier.removesuffix(_CUT))).expandtabs(16)
    if len(text) > MAX_SHOWN:
        text = f"{text[:MAX_SHOWN]}{_CUT}\nThe whole: response-store show {identifier}"
    return f"{identifier}\n{text}"


_KINDS: Mapping[str, Callable[[Query, str, Sequence[str]], str]] = {
    NEWEST: _show_newest,
    MATCHING: _show_matching,
    SHOWN: _show_one,
}


def _build_pattern(word: str) -> str:
    """Return the LIKE pattern of a text that has the word in it; `!` escapes its wildcards."""
    for special in "!%_":
        word = word.replace(special, f"!{special}")
    return f"%{word}%"


def _format_lines(query: Query, exchanges: Sequence[Summary]) -> str:
    return "\n".join(map(format_list_line, add_calls(query, exchanges))) or "none"


def _choose_label(config: Config) -> str | None:
    """Return what errors call the database: a file by its path, as it may be shown."""
    return config.database.describe() if config.database.server is None else None
