"""The last step before a change goes to the store: secrets are taken out of its rows.

Everything that is written passes here, whichever way it was read, and bodies are not packed yet. A
column that could not be searched is left out, and counted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import quote_plus, unquote_plus

import msgspec

from response_store.diagnostics import Counters, ErrorReporter
from response_store.jsontext import LongText, TooManyValuesError, as_utf8
from response_store.limits import COLUMN_SECONDS, MESSAGE_CHARS, Deadline
from response_store.model.records import (
    HEADER_COLUMNS,
    ConversationChange,
    Deletion,
    ExchangeRow,
    Record,
    ResponseRow,
    State,
)
from response_store.redaction.json_strings import (
    drop_secret_logprobs,
    join_deltas,
    list_texts,
    may_contain_secret,
    redact_body,
    redact_strings,
)
from response_store.redaction.patterns import (
    ESCAPE,
    Pattern,
    Patterns,
    RedactionTimeoutError,
    find_behind_escapes,
    find_secrets,
    mask_matches,
    strip_escapes,
)

_line_end = re.compile(rb"\\+[nrt]|\s")
_part = re.compile(r"[^/?&=]+")  # of a path
_IDS = ("response_id", "previous_response_id", "conversation_id")
_TEXTS = (
    "error_code", "error_message", "requested_model", "model", *HEADER_COLUMNS,
    "upstream_request_id", "label", "question", "service_tier", "incomplete_reason", "rate_limits",
)  # fmt: skip
_SHORT = (*_IDS, *_TEXTS, "host", "path")
_MAX_SEARCHED_AT_ONCE = 1 << 20  # characters


class Redactor:
    """Replaces the secrets in changes. Used by one thread, the writer's."""

    def __init__(
        self,
        patterns: Patterns,
        pack: Callable[[bytes], bytes],
        counters: Counters,
        errors: ErrorReporter | None = None,
    ) -> None:
        self._patterns = patterns
        self._pack = pack
        self._counters = counters
        self._errors = errors
        self._times = _Times()

    def redact_deletion(self, deletion: Deletion) -> Deletion:
        """Return a deletion whose id holds no secret. Never raises."""
        redactor = _TextRedactor(self._patterns, self._times, frozenset())
        return Deletion(deletion.tenant_id, redactor.id(deletion.id) or "")

    def redact_json(self, text: bytes) -> bytes | None:
        """Return a JSON text without secrets; None where it can't be searched. Counts no match."""
        redactor = _TextRedactor(self._patterns, self._times, frozenset())
        redacted: bytes | None = self._redact_value("context", redactor.body, text)
        return redacted

    def redact_record(self, record: Record) -> Record:
        """Return the record as it may be kept: packed, and nothing holds a secret. Never raises.

        Where one was found it is not linked: digests of what holds a secret tell of it.
        """
        if self._is_clean(record):
            return self._pack_bodies(record)
        ids = (getattr(record.exchange, name) for name in _IDS)
        redactor = _TextRedactor(
            self._patterns, self._times, frozenset(id_.encode() for id_ in ids if id_)
        )
        exchange = self._redact_exchange(record.exchange, redactor)
        response = self._redact_response(record.response, redactor) if record.response else None
        if exchange.state != State.OPEN:  # what it holds comes again with its end
            self._count(redactor)
        conversation = self._redact_conversation(record.conversation, redactor)
        return Record(
            msgspec.structs.replace(exchange, context_digest=None, answer_digest=None),
            response,
            conversation,
            session_is_guessed=record.session_is_guessed,
        )

    def redact_stored_exchange(self, row: ExchangeRow) -> dict[str, Any]:
        """Return the columns of a stored exchange that change; None: what can't be searched.

        Its bodies are unpacked.
        """
        ids = (getattr(row, name) for name in _IDS)
        redactor = _TextRedactor(
            self._patterns, self._times, frozenset(id_.encode() for id_ in ids if id_)
        )
        redacted = self._redact_exchange(row, redactor)
        return self._list_changes(row, redacted, redactor)

    def redact_stored_response(self, row: ResponseRow) -> dict[str, Any]:
        """Return the columns of a stored response that change; None: what can't be searched."""
        redactor = _TextRedactor(self._patterns, self._times, frozenset({row.id.encode()}))
        redacted = {
            name: self._redact_value(name, change, getattr(row, name))
            for name, change in _list_response_columns(redactor)
        }
        self._count(redactor)
        return {name: value for name, value in redacted.items() if value != getattr(row, name)}

    def redact_stored_texts(self, texts: Mapping[str, str]) -> dict[str, Any]:
        """Return the texts, JSON each, that change; None: what can't be searched."""
        redactor = _TextRedactor(self._patterns, self._times, frozenset())
        redacted = {
            name: self._redact_value(name, redactor.json, text) for name, text in texts.items()
        }
        self._count(redactor)
        return {name: text for name, text in redacted.items() if text != texts[name]}

    def _list_changes(
        self, row: ExchangeRow, redacted: ExchangeRow, redactor: _TextRedactor
    ) -> dict[str, Any]:
        """Return the columns that differ, those alone that were left out where nothing matched."""
        self._count(redactor)
        return {
            name: value
            for name in row.__struct_fields__
            if (value := getattr(redacted, name)) != getattr(row, name)
            and (redactor.matches or value is None)
        }

    def _count(self, redactor: _TextRedactor) -> None:
        for name, _ in redactor.matches:
            self._counters.add(f"redacted.{name}")

    def _is_clean(self, record: Record) -> bool:
        """Return whether one search of all of it tells that there is no secret, as nearly
        always.
        """
        row = record.exchange
        if "%" in row.path or sum(map(len, _list_bodies(record))) > _MAX_SEARCHED_AT_ONCE:
            return False
        try:
            look = [getattr(row, name).encode() for name in _SHORT if getattr(row, name)]
            for body in _list_bodies(record):
                look += list_texts(body.encode() if isinstance(body, str) else body)
            look += join_deltas(row.raw_response or b"")
            whole = b"\n".join(look)
            if ESCAPE in whole or b"logprobs" in whole:
                return False
            return not self._patterns.may_contain_secret(whole)
        except Exception:  # noqa: BLE001 - each column by itself then
            return False

    def _pack_bodies(self, record: Record) -> Record:
        """Return the record with its bodies packed and its error message shortened."""
        row = record.exchange
        packed = {
            name: self._pack(body)
            for name in ("request_body", "raw_response")
            if (body := getattr(row, name)) is not None
        }
        message = row.error_message
        if message and len(message) > MESSAGE_CHARS:
            message = message[:MESSAGE_CHARS]
        row = msgspec.structs.replace(row, error_message=message, **packed)
        return msgspec.structs.replace(record, exchange=row)

    def _redact_exchange(self, row: ExchangeRow, redactor: _TextRedactor) -> ExchangeRow:
        redacted: dict[str, Any] = {}
        for name in _IDS:
            redacted[name] = self._redact_value(name, redactor.id, getattr(row, name))
        for name in _TEXTS:
            redacted[name] = self._redact_value(name, redactor.text, getattr(row, name))
        message = redacted["error_message"]
        redacted["error_message"] = message[:MESSAGE_CHARS] if message else message
        for name, change in (("host", redactor.text), ("path", redactor.path)):
            redacted[name] = (
                self._redact_value(name, change, getattr(row, name)) or ""
            )  # never NULL
        redacted["request_body"] = self._redact_and_pack(
            "request_body", redactor.body, row.request_body
        )
        answered = _TextRedactor(self._patterns, self._times, redactor.ids)
        redacted["output_text"] = self._redact_value(
            "output_text", answered.long_text, row.output_text
        )
        redacted["result"] = self._redact_value("result", answered.json, row.result)
        raw = _TextRedactor(self._patterns, self._times, redactor.ids)
        redacted["raw_response"] = self._redact_raw_response(raw, answered, row.raw_response)
        redactor.matches |= answered.matches
        if redacted["raw_response"] is not None:  # else it may have found the half of one
            redactor.matches |= raw.matches
        else:
            redacted["event_times"] = None
        return msgspec.structs.replace(row, **redacted)

    def _redact_response(self, row: ResponseRow, redactor: _TextRedactor) -> ResponseRow | None:
        """Return the row of a response; None where one of its columns could not be searched."""
        redacted = {
            name: self._redact_value(name, change, getattr(row, name))
            for name, change in _list_response_columns(redactor)
        }
        if None in redacted.values():
            return None
        return msgspec.structs.replace(row, **redacted)

    def _redact_conversation(
        self, change: ConversationChange | None, redactor: _TextRedactor
    ) -> ConversationChange | None:
        """Return the change of a conversation; None where a part of it could not be searched."""
        if change is None:
            return None
        metadata = self._redact_value("metadata", redactor.json, change.metadata)
        items = tuple(self._redact_value("messages", redactor.json, item) for item in change.items)
        if None in items or (metadata is None and change.metadata is not None):
            return None
        name = self._redact_value("id", redactor.id, change.id)
        return msgspec.structs.replace(change, id=name, metadata=metadata, items=items)

    def _redact_raw_response(
        self, raw: _TextRedactor, answered: _TextRedactor, body: bytes | None
    ) -> bytes | None:
        """Return the bytes of an answer; None where a secret is spread over several of its
        events.
        """
        packed = self._redact_and_pack("raw_response", lambda body: _redact_raw(raw, body), body)
        if packed is None:
            return None
        if answered.matches - raw.matches:
            self._counters.add("redaction.raw_dropped")
            return None
        return packed

    def _redact_and_pack(
        self, name: str, change: Callable[[bytes], bytes | None], body: bytes | None
    ) -> bytes | None:
        redacted: bytes | None = self._redact_value(name, change, body)
        if body is not None and redacted is None:
            return None
        return None if redacted is None else self._pack(redacted)

    def _redact_value(self, name: str, change: Callable[[Any], Any], value: Any) -> Any:
        """Return a column without secrets; None where that fails or takes too long."""
        if value is None:
            return None
        self._times.deadline = Deadline(COLUMN_SECONDS, processor=True)
        try:
            return change(value)
        except _SpreadError:
            self._counters.add("redaction.raw_dropped")
        except (RedactionTimeoutError, TooManyValuesError):
            self._counters.add(f"redaction.too_slow.{name}")
        except Exception as error:  # noqa: BLE001 - what was not looked at may not be kept
            self._counters.add(f"redaction.failed.{name}")
            if self._errors is not None:
                self._errors.report("redaction", error)
        return None


class _Times:
    """The deadline of the column that is searched."""

    deadline: Deadline | None = None


class _SpreadError(Exception):
    """A secret stands in several events, a part in each."""


class _TextRedactor:
    """Replaces secrets in the texts of one exchange, and remembers them.

    `ids` are texts that name this exchange and related ones: the user's own patterns are not
    applied to them.
    """

    def __init__(self, patterns: Patterns, times: _Times, ids: frozenset[bytes]) -> None:
        self._patterns = patterns
        self._times = times
        self.ids = ids
        self.matches: set[tuple[str, bytes]] = set()

    def id(self, value: str) -> str:
        """Redact an id; only built-in patterns apply, as no id has the shape of a key."""
        return self._replace(value.encode(), self._patterns.builtin).decode()

    def text(self, value: str) -> str:
        """Redact a plain text, which may quote JSON."""
        return self._text(value.encode()).decode(errors="replace")

    def long_text(self, value: LongText) -> LongText:
        """Redact a text that may be a large one, which is UTF-8 then."""
        return self.text(value) if isinstance(value, str) else self._text(value)

    def _text(self, text: bytes) -> bytes:
        redacted = self.replace(text)
        if b'"' in redacted and b"\\" in redacted:
            return redact_strings(redacted, self, 1)
        return redacted

    def path(self, value: str) -> str:
        """Redact a path, and what its percent signs stand for."""
        return _part.sub(self._redact_part, self.text(value)) if "%" in value else self.text(value)

    def _redact_part(self, match: re.Match[str]) -> str:
        unquoted = unquote_plus(match[0], errors="replace")
        redacted = self.text(unquoted)
        return match[0] if redacted == unquoted else quote_plus(redacted)

    def json(self, value: LongText) -> LongText:
        """Redact a JSON text in a text column."""
        body = as_utf8(value)
        redacted = self.body(body)
        if redacted is body:
            return value
        return redacted.decode(errors="replace") if isinstance(value, str) else redacted

    def body(self, body: bytes) -> bytes:
        """Redact a body of any kind."""
        redacted = redact_body(body, self) if may_contain_secret(body, self) else body
        return (
            drop_secret_logprobs(redacted, self._is_secret) if b"logprobs" in redacted else redacted
        )

    def may_contain_secret(self, text: bytes) -> bool:
        """Return whether a secret may be in a text; False is certain."""
        if self._times.deadline is not None and self._times.deadline.has_passed:
            raise RedactionTimeoutError
        if self._patterns.may_contain_secret(text):
            return True
        return ESCAPE in text and self._patterns.may_contain_secret(strip_escapes(text)[0])

    def _is_secret(self, text: bytes) -> bool:
        """Return whether joined tokens are a secret, and remember it as one that was taken out."""
        if not self.may_contain_secret(text):
            return False
        matches = find_secrets(text, self._patterns.all, deadline=self._times.deadline)
        self.matches.update(
            (name, _strip_line_ends(text[start:end])) for name, start, end in matches
        )
        return bool(matches)

    def replace(self, text: bytes, lead: bytes = b"") -> bytes:
        """Return a text without secrets; `lead` is what stands before it in JSON, and helps to find
        some.
        """
        if text in self.ids:
            return self._replace(text, self._patterns.builtin)
        return self._replace(text, self._patterns.all, lead)

    def _replace(self, text: bytes, patterns: tuple[Pattern, ...], lead: bytes = b"") -> bytes:
        if not (
            self.may_contain_secret(text) or (lead and self.may_contain_secret(lead + text + b'"'))
        ):
            return text
        matches = find_secrets(text, patterns, lead, self._times.deadline)
        if ESCAPE in text:
            matches = find_behind_escapes(text, matches, patterns, self._times.deadline)
        self.matches.update(
            (name, _strip_line_ends(text[start:end])) for name, start, end in matches
        )
        return mask_matches(text, matches) if matches else text


def _list_response_columns(redactor: _TextRedactor) -> Iterable[tuple[str, Callable[[Any], Any]]]:
    return (
        ("id", redactor.id),
        ("model", redactor.text),
        ("response_object", redactor.json),
        ("input", redactor.json),
        ("messages", redactor.json),
    )


def _list_bodies(record: Record) -> list[Any]:
    """Return what may be long, or JSON."""
    row, response = record.exchange, record.response
    redacted = [row.request_body, row.output_text, row.result, row.raw_response]
    if response is not None:
        redacted += [response.id, response.model]
        redacted += [response.response_object, response.input, response.messages]
    if record.conversation is not None:
        redacted += [record.conversation.metadata, *record.conversation.items]
    return [body for body in redacted if body]


def _strip_line_ends(secret: bytes) -> bytes:
    """Return a secret without line ends, which are escaped again each time that one text quotes
    another.
    """
    return _line_end.sub(b"", secret)


def _redact_raw(redactor: _TextRedactor, body: bytes) -> bytes:
    """Return a raw answer without secrets. Raises _SpreadError where one is spread over events.

    Joined before or after, its pieces must come to the same: of a long key one event may hold so
    much that it is one by itself, and the next one the rest.
    """
    redacted = redactor.body(body)
    if [redactor.body(text) for text in join_deltas(body)] != join_deltas(redacted):
        raise _SpreadError
    return redacted
