"""The rows of a change without secrets: the last step before it goes to the store.

Everything that is written passes here, whichever way it was read, and bodies are not packed yet.
What can't be made sure of is not kept: the column is left out, and counted.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote_plus, unquote_plus

import msgspec

from response_store.counts import Counters
from response_store.faults import ErrorReporter
from response_store.ingest.result_state import MESSAGE_CHARS
from response_store.json_text import TooManyValuesError
from response_store.limits import COLUMN_SECONDS, Deadline
from response_store.redaction.bodies import in_body
from response_store.redaction.escapes import ESCAPE, behind_escapes, without_escapes
from response_store.redaction.logprobs import without_logprobs
from response_store.redaction.patterns import Pattern, Patterns, TooSlowError, secrets, without
from response_store.redaction.streams import joined_texts
from response_store.redaction.strings import in_strings, suspicious, texts
from response_store.store.records import (
    Change,
    ConversationChange,
    Deletion,
    ExchangeRow,
    Record,
    ResponseRow,
    State,
)

_line_end = re.compile(rb"\\+[nrt]|\s")
_part = re.compile(r"[^/?&=]+")  # of a path
_IDS = ("response_id", "previous_response_id", "conversation_id")
_TEXTS = (
    "error_code", "error_message", "requested_model", "model", "user_agent", "upstream_request_id",
)  # fmt: skip
_SHORT = (*_IDS, *_TEXTS, "host", "path")
_LOOK_AT_ONCE = 1 << 20  # characters


class Redaction:
    """Takes the secrets out of changes. Used by one thread, the writer's."""

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

    def change(self, change: Change) -> Change:
        """A change whose bodies are packed, and which holds no secret. Never raises."""
        if isinstance(change, Deletion):
            known = _Texts(self._patterns, self._times, frozenset())
            return Deletion(change.tenant_id, known.id(change.id) or "")
        if self._is_clean(change):
            return self._finished(change)
        ids = (getattr(change.exchange, name) for name in _IDS)
        known = _Texts(self._patterns, self._times, frozenset(id_.encode() for id_ in ids if id_))
        exchange = self._exchange(change.exchange, known)
        response = self._response(change.response, known) if change.response else None
        if exchange.state != State.OPEN:  # what it holds comes again with its end
            for name, _ in known.found:
                self._counters.add(f"redacted.{name}")
        conversation = self._conversation(change.conversation, known)
        return Record(exchange, response, conversation)

    def _is_clean(self, record: Record) -> bool:
        """Whether one look at all of it tells that there is no secret, as nearly always."""
        row = record.exchange
        if "%" in row.path or sum(map(len, _bodies(record))) > _LOOK_AT_ONCE:
            return False
        try:
            look = [getattr(row, name).encode() for name in _SHORT if getattr(row, name)]
            for body in _bodies(record):
                look += texts(body.encode() if isinstance(body, str) else body)
            look += joined_texts(row.raw_response or b"")
            whole = b"\n".join(look)
            if ESCAPE in whole or b"logprobs" in whole:
                return False
            return not self._patterns.suspect(whole)
        except Exception:  # noqa: BLE001 - each column by itself then
            return False

    def _finished(self, record: Record) -> Record:
        """Bodies packed, messages clipped."""
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
        return Record(row, record.response, record.conversation)

    def _exchange(self, row: ExchangeRow, known: _Texts) -> ExchangeRow:
        made: dict[str, Any] = {}
        for name in _IDS:
            made[name] = self._made(name, known.id, getattr(row, name))
        for name in _TEXTS:
            made[name] = self._made(name, known.text, getattr(row, name))
        message = made["error_message"]
        made["error_message"] = message[:MESSAGE_CHARS] if message else message
        for name, change in (("host", known.text), ("path", known.path)):
            made[name] = self._made(name, change, getattr(row, name)) or ""  # never NULL
        made["request_body"] = self._packed("request_body", known.body, row.request_body)
        answered = _Texts(self._patterns, self._times, known.ids)
        made["output_text"] = self._made("output_text", answered.text, row.output_text)
        made["result"] = self._made("result", answered.json, row.result)
        raw = _Texts(self._patterns, self._times, known.ids)
        made["raw_response"] = self._raw(raw, answered, row.raw_response)
        known.found |= answered.found
        if made["raw_response"] is not None:  # else it may have found the half of one
            known.found |= raw.found
        return msgspec.structs.replace(row, **made)

    def _response(self, row: ResponseRow, known: _Texts) -> ResponseRow | None:
        """The row of a response; None where one of its columns can't be made sure of."""
        made = {
            name: self._made(name, change, getattr(row, name))
            for name, change in (
                ("id", known.id),
                ("model", known.text),
                ("response_object", known.json),
                ("input", known.json),
                ("messages", known.json),
            )
        }
        if None in made.values():
            return None
        return msgspec.structs.replace(row, **made)

    def _conversation(
        self, change: ConversationChange | None, known: _Texts
    ) -> ConversationChange | None:
        """The change of a conversation; None where a part of it can't be made sure of."""
        if change is None:
            return None
        metadata = self._made("metadata", known.json, change.metadata)
        items = tuple(self._made("messages", known.json, item) for item in change.items)
        if None in items or (metadata is None and change.metadata is not None):
            return None
        name = self._made("id", known.id, change.id)
        return msgspec.structs.replace(change, id=name, metadata=metadata, items=items)

    def _raw(self, raw: _Texts, answered: _Texts, body: bytes | None) -> bytes | None:
        """The bytes of an answer; none where a secret is spread over several of its events."""
        packed = self._packed("raw_response", lambda body: _whole_secrets(raw, body), body)
        if packed is None:
            return None
        if answered.found - raw.found:
            self._counters.add("redaction.raw_dropped")
            return None
        return packed

    def _packed(
        self, name: str, change: Callable[[bytes], bytes | None], body: bytes | None
    ) -> bytes | None:
        made: bytes | None = self._made(name, change, body)
        if body is not None and made is None:
            return None
        return None if made is None else self._pack(made)

    def _made(self, name: str, change: Callable[[Any], Any], value: Any) -> Any:
        """A column without secrets; None where that can't be had, or takes too long."""
        if value is None:
            return None
        self._times.deadline = Deadline(COLUMN_SECONDS, processor=True)
        try:
            return change(value)
        except _SpreadError:
            self._counters.add("redaction.raw_dropped")
        except (TooSlowError, TooManyValuesError):
            self._counters.add(f"redaction.too_slow.{name}")
        except Exception as error:  # noqa: BLE001 - what was not looked at may not be kept
            self._counters.add(f"redaction.failed.{name}")
            if self._errors is not None:
                self._errors.report("redaction", error)
        return None


class _Times:
    """By when the column that is looked at has to be done."""

    deadline: Deadline | None = None


class _SpreadError(Exception):
    """A secret stands in several events, a part in each."""


class _Texts:
    """Replaces secrets in the texts of one exchange, and remembers what it found.

    `ids` are texts that name this exchange and its like: the user's own patterns pass them over.
    """

    def __init__(self, patterns: Patterns, times: _Times, ids: frozenset[bytes]) -> None:
        self._patterns = patterns
        self._times = times
        self.ids = ids
        self.found: set[tuple[str, bytes]] = set()

    def id(self, value: str) -> str:
        """An id; one that has the shape of a key is none."""
        return self._replaced(value.encode(), self._patterns.everywhere).decode()

    def text(self, value: str) -> str:
        """A text that stands for itself, and may quote JSON."""
        made = self.replace(value.encode())
        if b'"' in made and b"\\" in made:
            made = in_strings(made, self, 1)
        return made.decode(errors="replace")

    def path(self, value: str) -> str:
        """A path, and what its percent signs stand for."""
        return _part.sub(self._in_part, self.text(value)) if "%" in value else self.text(value)

    def _in_part(self, found: re.Match[str]) -> str:
        meant = unquote_plus(found[0], errors="replace")
        made = self.text(meant)
        return found[0] if made == meant else quote_plus(made)

    def json(self, value: str) -> str:
        """A JSON text in a text column."""
        body = value.encode()
        made = self.body(body)
        return value if made is body else made.decode(errors="replace")

    def body(self, body: bytes) -> bytes:
        """A body of any kind."""
        made = in_body(body, self) if suspicious(body, self) else body
        return without_logprobs(made, self._may_be_spelled) if b"logprobs" in made else made

    def suspect(self, text: bytes) -> bool:
        """Whether a secret may be in a text; False is certain."""
        if self._times.deadline is not None and self._times.deadline.has_passed:
            raise TooSlowError
        if self._patterns.suspect(text):
            return True
        return ESCAPE in text and self._patterns.suspect(without_escapes(text)[0])

    def _may_be_spelled(self, text: bytes) -> bool:
        """Whether tokens, joined, are a secret; it is noted as one that was taken out."""
        if not self.suspect(text):
            return False
        found = secrets(text, self._patterns.all, deadline=self._times.deadline)
        self.found.update((name, _essence(text[start:end])) for name, start, end in found)
        return bool(found)

    def replace(self, text: bytes, lead: bytes = b"") -> bytes:
        """A text without secrets; what leads to it in JSON tells of some."""
        if text in self.ids:
            return self._replaced(text, self._patterns.everywhere)
        return self._replaced(text, self._patterns.all, lead)

    def _replaced(self, text: bytes, patterns: tuple[Pattern, ...], lead: bytes = b"") -> bytes:
        if not (self.suspect(text) or (lead and self.suspect(lead + text + b'"'))):
            return text
        found = secrets(text, patterns, lead, self._times.deadline)
        if ESCAPE in text:
            found = behind_escapes(text, found, patterns, self._times.deadline)
        self.found.update((name, _essence(text[start:end])) for name, start, end in found)
        return without(text, found) if found else text


def _bodies(record: Record) -> list[Any]:
    """What may be long, or JSON."""
    row, response = record.exchange, record.response
    made = [row.request_body, row.output_text, row.result, row.raw_response]
    if response is not None:
        made += [response.id, response.model]
        made += [response.response_object, response.input, response.messages]
    if record.conversation is not None:
        made += [record.conversation.metadata, *record.conversation.items]
    return [body for body in made if body]


def _essence(secret: bytes) -> bytes:
    """A secret without its line ends, which are escaped again and again as one text quotes it."""
    return _line_end.sub(b"", secret)


def _whole_secrets(known: _Texts, body: bytes) -> bytes:
    """A raw answer without secrets. Raises _SpreadError where that takes more than cutting out.

    Joined before or after, its pieces must come to the same: of a long key one event may hold so
    much that it is one by itself, and the next one the rest.
    """
    made = known.body(body)
    if [known.body(text) for text in joined_texts(body)] != joined_texts(made):
        raise _SpreadError
    return made
