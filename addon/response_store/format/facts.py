"""List what is known of an exchange beside its conversation: a line that opens a view, and all."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from response_store.format.bodies import Tokens, count_priced_tokens, count_tokens
from response_store.format.text import (
    NONE,
    format_duration,
    format_host,
    format_money,
    format_number,
    format_time,
)
from response_store.model.records import Api, ExchangeRow, State

if TYPE_CHECKING:
    from response_store.pricing.prices import Cost, Prices
    from response_store.queries.lookup import LookupResult


class Fact(NamedTuple):
    """A fact of the line that opens a view: what it is of, and the text."""

    name: str
    text: str


class CostText(NamedTuple):
    """What an exchange cost: empty where that is not known, and with where the price is from."""

    short: str
    long: str
    cost: Cost | None = None


NO_COST = CostText("", "")


def list_head(entry: LookupResult, *, cost: str = "", now: float | None = None) -> list[Fact]:
    """Return the few facts that open a view: state, model, time, tokens, time taken and cost.

    Unknown ones are left out. `cost` is shown as it is given. Seen from `now`, in Unix seconds, a
    time has no more than it takes: no year of this year, no date of today.
    """
    row, response = entry.exchange, entry.response
    began = row.started_at if row else response.created_at if response else None
    model = (row and (row.model or row.requested_model)) or (response.model if response else "")
    facts = (
        Fact("state", _describe_state(row)),
        Fact("model", model),
        Fact("time", format_moment(began, now)),
        Fact("tokens", _describe_tokens(count_tokens(entry))),
        Fact("took", format_duration(row.duration_ms if row else None)),
        Fact("cost", cost),
    )
    return [fact for fact in facts if fact.text not in ("", NONE)]


def describe_cost(entry: LookupResult, prices: Prices) -> CostText:
    """Return what an exchange cost, and by whose price or why that is not known."""
    row = count_priced_tokens(entry)
    if not prices or row is None or row.input_tokens is None:
        return NO_COST
    cost = prices.compute_cost(row)
    if cost is None:
        return CostText("", f"not known: {_explain_unpriced(row)}")
    return CostText(format_money(cost.usd), f"{format_money(cost.usd)}, by {cost.source}", cost)


def _explain_unpriced(row: ExchangeRow) -> str:
    if row.output_tokens is None:
        return "tokens of output are not counted"
    tier = f" with tier {row.service_tier}" if row.service_tier else ""
    return f"no price of {row.model or row.requested_model or 'no model'} at {row.host}{tier}"


def format_moment(seconds: float | None, now: float | None = None) -> str:
    """Return Unix seconds as a local time, as short as it may be seen from `now`."""
    if seconds is None or now is None:
        return format_time(seconds)
    try:
        then, today = (datetime.fromtimestamp(each, tz=UTC).astimezone() for each in (seconds, now))
    except (OverflowError, ValueError, OSError):
        return format_time(seconds)
    if then.date() == today.date():
        return then.strftime("%H:%M:%S")
    return then.strftime("%m-%d %H:%M" if then.year == today.year else "%Y-%m-%d %H:%M")


def _describe_state(row: ExchangeRow | None) -> str:
    if row is None:
        return ""
    is_error = State(row.state).is_error if row.state in {*State} else True
    return f"{row.state} ({row.status_code})" if is_error and row.status_code else row.state


def _describe_tokens(tokens: Tokens) -> str:
    return str(Tokens(tokens.input, None, tokens.output))


def list_facts(entry: LookupResult, cost: str = "") -> list[tuple[str, str]]:
    """Name and value of what is known about the exchange, without the conversation.

    `cost` is shown as it is given.
    """
    if entry.exchange is None:
        return [(name, value) for name, value in _list_response_facts(entry) if value != NONE]
    exchanged = [
        *_list_exchange_facts(entry.exchange, entry),
        ("cost", cost),
        ("stored", _explain_missing(entry.exchange, entry)),
    ]
    return [(name, value) for name, value in exchanged if value and value != NONE]


def _list_response_facts(entry: LookupResult) -> Iterator[tuple[str, str]]:
    if entry.response is not None:
        yield "response", entry.response.id
        yield "tenant", entry.response.tenant_id
        yield "model", entry.response.model
        yield "tokens", str(count_tokens(entry)) or NONE
        yield "created", format_time(entry.response.created_at)


def _list_exchange_facts(row: ExchangeRow, entry: LookupResult) -> Iterator[tuple[str, str | None]]:
    yield "response", row.response_id
    yield "exchange", row.exchange_id
    yield "tenant", row.tenant_id
    yield "state", f"{row.state}, ended by {row.ended_by}" if row.ended_by else row.state
    yield "error", ": ".join(filter(None, (row.error_code, row.error_message)))
    yield "model", _describe_model(row)
    yield "tokens", str(count_tokens(entry))
    yield "time", format_time(row.started_at)
    yield "took", _describe_times(row)
    server = format_host(row.scheme, row.host, row.port)
    yield "request", f"{row.method} {row.scheme}://{server}{row.path}"
    yield "status", format_number(row.status_code)
    yield "api", f"{row.api} over {row.transport}"
    yield "client", row.user_agent
    yield "previous", row.previous_response_id
    yield "conversation", row.conversation_id
    yield "upstream id", row.upstream_request_id


def _explain_missing(row: ExchangeRow, entry: LookupResult) -> str | None:
    """Return what to say of a response that the exchange names and nobody has stored."""
    if entry.id_was_taken:
        return "with this exchange only: another response has its id already"
    if entry.response or row.result or not row.response_id or row.api != Api.RESPONSES:
        return None
    return "no: the response was deleted, or never stored"


def _describe_model(row: ExchangeRow) -> str | None:
    if row.model and row.requested_model and row.model != row.requested_model:
        return f"{row.model} (asked for {row.requested_model})"
    return row.model or row.requested_model


def _describe_times(row: ExchangeRow) -> str:
    first = row.first_event_ms
    exchanged = format_duration(row.duration_ms)
    if first is not None:
        return f"{exchanged}, first event after {format_duration(first)}"
    return "" if exchanged == NONE else exchanged
