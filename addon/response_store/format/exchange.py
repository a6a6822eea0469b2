"""Write one exchange as a line, as a JSON object, and as facts and turns for people."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import msgspec

from response_store import jsontext
from response_store.errors import StoreError
from response_store.format.bodies import Tokens, is_json, parse_document, unpack_body
from response_store.format.facts import NO_COST, CostText, list_facts
from response_store.format.text import (
    NONE,
    escape_controls,
    format_duration,
    format_time,
    put_on_one_line,
)
from response_store.jsontext import LongText
from response_store.model.records import ExchangeRow, State, StoredResponse, WrittenRow
from response_store.openai_api.item_kinds import CALL, LabelledTurn
from response_store.openai_api.item_texts import Fields, as_fields, as_list
from response_store.openai_api.items import (
    ItemReader,
    TurnItem,
    choose_fuller,
    find_instructions,
    join_turns,
    read_accumulated,
    read_input_items,
    read_request_items,
    read_response_items,
    slice_accumulated,
)

if TYPE_CHECKING:
    from response_store.queries.exchanges import Query, Summary
    from response_store.queries.lookup import LookupResult

    Exchange: TypeAlias = ExchangeRow | WrittenRow

_BODIES = ("request_body", "raw_response", "result")


def build_object(entry: LookupResult, cost: CostText = NO_COST) -> dict[str, object]:
    """Return the columns of the exchange, its cost, `request`, `result`, `input` and `response`.

    The cost in USD and whose price that is are null where they are not known.
    Stored JSON is embedded as it stands. A request that is not JSON is in `request_base64`.
    """
    exchange, response = entry.exchange, entry.response
    return {
        **_list_columns(entry),
        "cost_usd": float(cost.cost.usd) if cost.cost else None,
        "price_source": cost.cost.source if cost.cost else None,
        **_build_request(exchange.request_body if exchange else None),
        "result": _embed(exchange.result if exchange else None),
        "input": _embed(response.input if response else None),
        "response": _embed(response.response_object if response else None),
    }


def get_raw_response(entry: LookupResult) -> bytes:
    """Return the bytes of the answer as they came. Raises StoreError where they were not kept."""
    frame = entry.exchange.raw_response if entry.exchange else None
    if frame is None:
        raise StoreError(
            "The raw bytes of this answer were not kept. `capture.raw_bodies: always` in the"
            " configuration keeps them from now on."
        )
    return unpack_body(frame)


_NOTHING: Fields = {}


class Exchanged(NamedTuple):
    """What both sides said. A warm-up asks for no answer.

    `request` and `answer` are the members of their bodies, as far as these could be read.
    """

    instructions: str
    inputs: list[TurnItem]
    answered: list[TurnItem]
    warm_up: bool = False
    request: Fields = _NOTHING
    answer: Fields = _NOTHING


def read_exchanged(entry: LookupResult, reader: ItemReader | None = None) -> Exchanged:
    """Return the instructions, the items of the request, and those of the answer.

    `reader` is one that has read an exchange which this one probably goes on from.
    """
    exchange, response = entry.exchange, entry.response
    body = _unpack_request(exchange.request_body) if exchange and exchange.request_body else b""
    request = parse_document(body.decode("utf-8", "replace"))
    instructions, items = find_instructions(request), read_request_items(request, reader)
    if not (instructions or items):
        items = read_input_items(parse_document(response.input if response else None))
    fields = as_fields(request)
    answer = as_fields(parse_document(_get_answer(entry)))
    warm_up = fields.get("generate") is False
    return Exchanged(instructions, items, _list_answered(entry), warm_up, fields, answer)


def list_turns(entry: LookupResult) -> list[LabelledTurn]:
    """Return the conversation: what was asked, then what was answered."""
    exchanged = read_exchanged(entry)
    first = [LabelledTurn("instructions", exchanged.instructions)] if exchanged.instructions else []
    return [*first, *join_turns([*exchanged.inputs, *exchanged.answered])]


def format_calls(entry: LookupResult) -> str:
    """Return the tool calls of an answer in one line: `→ name(arguments)`; empty without any."""
    calls = [turn for turn in join_turns(_list_answered(entry)) if turn.source == CALL][:_MAX_CALLS]
    return " ".join(f"\u2192 {_call_name(one)}({_shorten(one.text)})" for one in calls)


_MAX_CALLS = 5
_MAX_ARGUMENTS = 80  # characters


def _call_name(call: LabelledTurn) -> str:
    return call.name or call.title.removesuffix(" call").replace(" ", "_") or CALL


def _shorten(text: str) -> str:
    line = put_on_one_line(text)
    return line if len(line) <= _MAX_ARGUMENTS else f"{line[:_MAX_ARGUMENTS]}\u2026"


def _list_columns(entry: LookupResult) -> dict[str, object]:
    if entry.exchange is not None:
        columns: dict[str, Any] = msgspec.structs.asdict(entry.exchange)
    else:
        columns = dict.fromkeys(ExchangeRow.__struct_fields__)
    if entry.exchange is None and entry.response is not None:
        columns.update(tenant_id=entry.response.tenant_id, response_id=entry.response.id)
    return {name: value for name, value in columns.items() if name not in _BODIES}


def _build_request(frame: bytes | None) -> dict[str, object]:
    if frame is None:
        return {"request": None}
    body = _unpack_request(frame)
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = ""
    if is_json(text):
        return {"request": msgspec.Raw(body)}
    return {"request": None, "request_base64": base64.b64encode(body).decode()}


def _unpack_request(frame: bytes) -> bytes:
    try:
        return unpack_body(frame)
    except StoreError:  # damaged: what is stored is still worth having
        return frame


def _embed(value: LongText | None) -> object:
    """JSON text as it stands; text that is no JSON as a JSON string."""
    text = _as_str(value)
    if text is None or not is_json(text):
        return text
    return msgspec.Raw(text.encode("utf-8", "backslashreplace"))


def _list_answered(entry: LookupResult) -> list[TurnItem]:
    exchange, response = entry.exchange, entry.response
    items = _list_output(response) if response else []
    if join_turns(items) or not exchange:
        return items
    items = read_response_items(parse_document(_as_str(exchange.result)))
    text = _as_str(exchange.output_text)
    return (
        items if join_turns(items) or not text else [TurnItem((LabelledTurn("assistant", text),))]
    )


def _as_str(text: LongText | None) -> str | None:
    """Return a text of a row that was read, which is a `str` always."""
    return text.decode(errors="replace") if isinstance(text, bytes) else text


def _get_answer(entry: LookupResult) -> str | None:
    if entry.response is not None:
        return entry.response.response_object
    return _as_str(entry.exchange.result) if entry.exchange else None


def _list_output(response: StoredResponse) -> list[TurnItem]:
    """Return the items of a response's output, or those that streamed where they are more."""
    body = parse_document(response.response_object)
    text = slice_accumulated(response.input, response.messages)
    streamed = [parse_document(jsontext.read_slice(item)) for item in read_accumulated(text)]
    output = as_list(as_fields(body).get("output"))
    return read_response_items({**as_fields(body), "output": choose_fuller(output, streamed)})


def format_plain(entry: LookupResult, cost: str = "") -> str:
    """Return facts as name, tab, value; then each turn under a line that names the speaker."""
    facts = [f"{name}\t{put_on_one_line(value)}\n" for name, value in list_facts(entry, cost)]
    turns = [
        f"\n--- {put_on_one_line(turn.label)}\n{escape_controls(turn.text)}\n"
        for turn in list_turns(entry)
    ]
    return "".join(facts + turns)


_ANSWERED = (State.COMPLETED, State.INCOMPLETE)
_MAX_LOOKS = 100
_MAX_NAME = 80  # characters; what is cut off an id is not needed to find it
_MAX_START = 60  # characters of an answer's beginning


def choose_identifier(exchange: Exchange) -> str:
    """Return the id to look an exchange up by: the response's, else the exchange's."""
    return exchange.response_id or exchange.exchange_id


def format_exchange(exchange: Exchange) -> str:
    """Return model, tokens, time, state and id, as far as they are known, fit for any screen."""
    took = format_duration(exchange.duration_ms)
    state, error = exchange.state, exchange.error_code
    tokens = Tokens(exchange.input_tokens, exchange.cached_tokens, exchange.output_tokens)
    parts = (
        exchange.model or exchange.requested_model or "unknown model",
        str(tokens),
        "" if took == NONE else took,
        f"{state} ({error})" if error else state,
        choose_identifier(exchange),
    )
    return ", ".join(_cut_short(part, _MAX_NAME) for part in parts if part)


def add_calls(query: Query, exchanges: Sequence[Summary]) -> list[Summary]:
    """Return exchanges that, where the model said nothing, say which tools it called.

    Looks at the first hundred of those: each takes a look at its answer.
    """
    silent = [one for one in exchanges if not one.output_start and one.state in _ANSWERED]
    calls = {one.exchange_id: _format_calls(query, one) for one in silent[:_MAX_LOOKS]}
    return [
        msgspec.structs.replace(one, output_start=text)
        if (text := calls.get(one.exchange_id))
        else one
        for one in exchanges
    ]


def _format_calls(query: Query, one: Summary) -> str:
    from response_store.queries.lookup import LookupResult  # noqa: PLC0415 (few lists need it)

    response = query.response(one.tenant_id, one.response_id) if one.response_id else None
    exchange = None if response else query.exchange(one.tenant_id, one.exchange_id)
    return format_calls(LookupResult(exchange, response))


def format_list_line(summary: Summary) -> str:
    """Return a line of a list: when, what, and how the answer begins."""
    start = summary.output_start
    words = f": {_cut_short(start, _MAX_START)}" if start else ""
    return f"{format_time(summary.started_at)}  {format_exchange(summary)}{words}"


def _cut_short(text: str, limit: int) -> str:
    line = put_on_one_line(text)
    return line if len(line) <= limit else f"{line[:limit]}\u2026"
