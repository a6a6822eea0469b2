"""An exchange in one line: what a flow's comment says, and a line of a list."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import msgspec

from response_store.store.records import State
from response_store.telling.figures import NONE, format_duration, format_time
from response_store.telling.printable import put_on_one_line
from response_store.telling.tokens import Tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from response_store.ingest.channel import WrittenRow
    from response_store.store.query import Query
    from response_store.store.records import ExchangeRow
    from response_store.store.summaries import Summary

    Exchange: TypeAlias = ExchangeRow | Summary | WrittenRow

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
    return ", ".join(_shorten(part, _MAX_NAME) for part in parts if part)


def add_calls(query: Query, exchanges: Sequence[Summary]) -> list[Summary]:
    """Return exchanges that, where the model said nothing, say which tools it called.

    Looks at the first hundred of those: each takes a look at its answer.
    """
    silent = [one for one in exchanges if one.output_start is None and one.state in _ANSWERED]
    calls = {one.exchange_id: _format_calls(query, one) for one in silent[:_MAX_LOOKS]}
    return [
        msgspec.structs.replace(one, output_start=text)
        if (text := calls.get(one.exchange_id))
        else one
        for one in exchanges
    ]


def _format_calls(query: Query, one: Summary) -> str:
    from response_store.store.lookup import LookupResult  # noqa: PLC0415 (few lists need it)
    from response_store.telling.shown import format_calls  # noqa: PLC0415 (see above)

    response = query.response(one.tenant_id, one.response_id) if one.response_id else None
    exchange = None if response else query.exchange(one.tenant_id, one.exchange_id)
    return format_calls(LookupResult(exchange, response))


def format_list_line(summary: Summary) -> str:
    """Return a line of a list: when, what, and how the answer begins."""
    start = summary.output_start
    words = f": {_shorten(start, _MAX_START)}" if start else ""
    return f"{format_time(summary.started_at)}  {format_exchange(summary)}{words}"


def _shorten(text: str, limit: int) -> str:
    line = put_on_one_line(text)
    return line if len(line) <= limit else f"{line[:limit]}\u2026"
