"""One exchange as `show` gives it: a JSON object for programs, facts and turns for people."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from response_store import json_text
from response_store.errors import StoreError
from response_store.openai_api.accumulated import read_accumulated, slice_accumulated
from response_store.openai_api.item_kinds import CALL, LabelledTurn
from response_store.openai_api.item_texts import as_fields, as_list
from response_store.openai_api.items import (
    TurnItem,
    choose_fuller,
    find_instructions,
    join_turns,
    read_input_items,
    read_request_items,
    read_response_items,
)
from response_store.store.records import Api, ExchangeRow
from response_store.telling.bodies import document, is_json, unpacked
from response_store.telling.figures import NONE, duration, host_port, local_time, number
from response_store.telling.printable import one_line
from response_store.telling.tokens import tokens_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from response_store.store.lookup import LookupResult
    from response_store.store.rows import StoredResponse

_BODIES = ("request_body", "raw_response", "result")


def as_object(found: LookupResult) -> dict[str, object]:
    """Return the columns of the exchange, then `request`, `result`, `input` and `response`.

    Stored JSON is embedded as it stands. A request that is not JSON is in `request_base64`.
    """
    exchange, response = found.exchange, found.response
    return {
        **_columns(found),
        **_request(exchange.request_body if exchange else None),
        "result": _embedded(exchange.result if exchange else None),
        "input": _embedded(response.input if response else None),
        "response": _embedded(response.response_object if response else None),
    }


def raw_response(found: LookupResult) -> bytes:
    """Return the bytes of the answer as they came. Raises StoreError where they were not kept."""
    frame = found.exchange.raw_response if found.exchange else None
    if frame is None:
        raise StoreError(
            "The raw bytes of this answer were not kept. `capture.raw_bodies: always` in the"
            " configuration keeps them from now on."
        )
    return unpacked(frame)


def facts(found: LookupResult) -> list[tuple[str, str]]:
    """Name and value of what is known about the exchange, without the conversation."""
    if found.exchange is None:
        return [(name, value) for name, value in _response_facts(found) if value != NONE]
    told = [*_exchange_facts(found.exchange, found), ("stored", _missing(found.exchange, found))]
    return [(name, value) for name, value in told if value and value != NONE]


class Exchanged(NamedTuple):
    """What both sides said. Of a warm-up no answer was asked for."""

    instructions: str
    asked: list[TurnItem]
    answered: list[TurnItem]
    warm_up: bool = False


def exchanged(found: LookupResult) -> Exchanged:
    """Return the instructions, the items of the request, and those of the answer."""
    exchange, response = found.exchange, found.response
    body = _body(exchange.request_body) if exchange and exchange.request_body else b""
    request = document(body.decode("utf-8", "replace"))
    instructions, items = find_instructions(request), read_request_items(request)
    if not (instructions or items):
        items = read_input_items(document(response.input if response else None))
    warm_up = isinstance(request, dict) and request.get("generate") is False
    return Exchanged(instructions, items, _answered(found), warm_up)


def turns(found: LookupResult) -> list[LabelledTurn]:
    """Return the conversation: what was asked, then what was answered."""
    told = exchanged(found)
    first = [LabelledTurn("instructions", told.instructions)] if told.instructions else []
    return [*first, *join_turns([*told.asked, *told.answered])]


def format_calls(found: LookupResult) -> str:
    """Return the tool calls of an answer in one line: `→ name(arguments)`; empty without any."""
    calls = [turn for turn in join_turns(_answered(found)) if turn.source == CALL][:_MAX_CALLS]
    return " ".join(f"\u2192 {_call_name(one)}({_shorten(one.text)})" for one in calls)


_MAX_CALLS = 5
_MAX_ARGUMENTS = 80  # characters


def _call_name(call: LabelledTurn) -> str:
    return call.name or call.title.removesuffix(" call").replace(" ", "_") or CALL


def _shorten(text: str) -> str:
    line = one_line(text)
    return line if len(line) <= _MAX_ARGUMENTS else f"{line[:_MAX_ARGUMENTS]}\u2026"


def _columns(found: LookupResult) -> dict[str, object]:
    if found.exchange is not None:
        columns: dict[str, Any] = msgspec.structs.asdict(found.exchange)
    else:
        columns = dict.fromkeys(ExchangeRow.__struct_fields__)
    if found.exchange is None and found.response is not None:
        columns.update(tenant_id=found.response.tenant_id, response_id=found.response.id)
    return {name: value for name, value in columns.items() if name not in _BODIES}


def _request(frame: bytes | None) -> dict[str, object]:
    if frame is None:
        return {"request": None}
    body = _body(frame)
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = ""
    if is_json(text):
        return {"request": msgspec.Raw(body)}
    return {"request": None, "request_base64": base64.b64encode(body).decode()}


def _body(frame: bytes) -> bytes:
    try:
        return unpacked(frame)
    except StoreError:  # damaged: what is stored is still worth having
        return frame


def _embedded(text: str | None) -> object:
    """Return JSON text as it stands; text that is not JSON as a JSON string."""
    if text is None or not is_json(text):
        return text
    return msgspec.Raw(text.encode("utf-8", "backslashreplace"))


def _answered(found: LookupResult) -> list[TurnItem]:
    exchange, response = found.exchange, found.response
    items = _output(response) if response else []
    if join_turns(items) or not exchange:
        return items
    items = read_response_items(document(exchange.result))
    if join_turns(items) or not exchange.output_text:
        return items
    return [TurnItem((LabelledTurn("assistant", exchange.output_text),))]


def _output(response: StoredResponse) -> list[TurnItem]:
    """Return the items of a response's output, or those that streamed where they are more."""
    body = document(response.response_object)
    text = slice_accumulated(response.input, response.messages)
    streamed = [document(json_text.as_str(item)) for item in read_accumulated(text)]
    output = as_list(as_fields(body).get("output"))
    return read_response_items({**as_fields(body), "output": choose_fuller(output, streamed)})


def _response_facts(found: LookupResult) -> Iterator[tuple[str, str]]:
    if found.response is not None:
        yield "response", found.response.id
        yield "tenant", found.response.tenant_id
        yield "model", found.response.model
        yield "tokens", str(tokens_of(found)) or NONE
        yield "created", local_time(found.response.created_at)


def _exchange_facts(row: ExchangeRow, found: LookupResult) -> Iterator[tuple[str, str | None]]:
    yield "response", row.response_id
    yield "exchange", row.exchange_id
    yield "tenant", row.tenant_id
    yield "state", f"{row.state}, ended by {row.ended_by}" if row.ended_by else row.state
    yield "error", ": ".join(filter(None, (row.error_code, row.error_message)))
    yield "model", _model(row)
    yield "tokens", str(tokens_of(found))
    yield "time", local_time(row.started_at)
    yield "took", _took(row)
    server = host_port(row.scheme, row.host, row.port)
    yield "request", f"{row.method} {row.scheme}://{server}{row.path}"
    yield "status", number(row.status_code)
    yield "api", f"{row.api} over {row.transport}"
    yield "client", row.user_agent
    yield "previous", row.previous_response_id
    yield "conversation", row.conversation_id
    yield "upstream id", row.upstream_request_id


def _missing(row: ExchangeRow, found: LookupResult) -> str | None:
    """Return what to say of a response that the exchange names and nobody has stored."""
    if found.response or row.result or not row.response_id or row.api != Api.RESPONSES:
        return None
    return "no: the response was deleted, or never stored"


def _model(row: ExchangeRow) -> str | None:
    if row.model and row.requested_model and row.model != row.requested_model:
        return f"{row.model} (asked for {row.requested_model})"
    return row.model or row.requested_model


def _took(row: ExchangeRow) -> str:
    first = row.first_event_ms
    told = duration(row.duration_ms)
    if first is not None:
        return f"{told}, first event after {duration(first)}"
    return "" if told == NONE else told
