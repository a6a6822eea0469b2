"""The list of sessions, and one session: its turns as one conversation, a part at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from response_store.errors import StoreError
from response_store.format.exchange import Exchanged, read_exchanged
from response_store.model.records import State
from response_store.model.zstd import read_stated_size
from response_store.openai_api.items import ItemReader
from response_store.queries.lookup import LookupResult
from response_store.queries.session_turns import SessionKey, SessionTurn, find_session, list_turns
from response_store.queries.sessions import (
    SessionSummary,
    compute_session_costs,
    list_sessions,
    summarize_sessions,
)
from response_store.web.blocks import MAX_BLOCKS, ShownBlock, build_new_blocks, show_blocks
from response_store.web.charts import draw_context, draw_waterfall
from response_store.web.exchange_pages import complete_running
from response_store.web.filters import read_filters
from response_store.web.list_pages import PAGE_SIZE, describe_filters, read_cursor
from response_store.web.page import Answer, PageRequest, render

if TYPE_CHECKING:
    from response_store.queries.exchanges import Query
    from response_store.queries.threads import ThreadLookup

TURNS = 30
"""Turns that are sent at once."""
PART_BYTES = 8 << 20
"""Bytes of stored bodies after which a part ends, however few its turns."""
_MAX_START = 1 << 20
_MAX_KEPT = 4  # exchanges that are kept in hand, as what goes on from them comes soon


def show_sessions(request: PageRequest, query: Query) -> Answer:
    """Return the list of sessions, that of the newest exchange first."""
    filters, prices = read_filters(request), request.source.load_prices()
    with query.snapshot():
        page = list_sessions(
            query.reader, filters.selection, limit=PAGE_SIZE, before=read_cursor(request)
        )
        costs = compute_session_costs(query.reader, request.source.tenant, page.sessions, prices)
    return render(
        "sessions.html",
        request,
        sessions=page.sessions,
        prices=prices,
        costs=costs,
        older=request.link_here(before=str(page.next)) if page.next else "",
        **describe_filters(request, filters.values),
    )


@dataclass(frozen=True, slots=True)
class ShownTurn:
    """A turn of a session as a page shows it: which one, and the blocks that are new in it."""

    number: int
    turn: SessionTurn
    blocks: list[ShownBlock]
    left_out: int


def show_session(request: PageRequest, query: Query) -> Answer:
    """Return the page of a session with the first of its turns."""
    key, turns, summary = _read_session(request, query)
    prices, tenant = request.source.load_prices(), request.source.tenant
    costs = compute_session_costs(query.reader, tenant, [summary] if summary else [], prices)
    return render(
        "session.html",
        request,
        key=key,
        summary=summary,
        prices=prices,
        cost=costs.get(key.id),
        waterfall=draw_waterfall(request, [turn.exchange for turn in turns], prices),
        context=draw_context([turn.exchange for turn in turns]),
        **_describe_part(request, query, turns),
    )


def show_turns(request: PageRequest, query: Query) -> Answer:
    """Return some more turns, for the page that has those before."""
    key, turns, _ = _read_session(request, query)
    prices, part = request.source.load_prices(), _describe_part(request, query, turns)
    return render("turns.html", request, key=key, prices=prices, **part)


def _read_session(
    request: PageRequest, query: Query
) -> tuple[SessionKey, list[SessionTurn], SessionSummary | None]:
    reader, tenant = query.reader, request.source.tenant
    with query.snapshot():
        key = find_session(reader, tenant, request.parts[0])
        turns = list_turns(reader, tenant, key)
        summaries = summarize_sessions(reader, tenant, [(key.id, key.is_lone)])
        return key, turns, next(iter(summaries), None)


def _describe_part(
    request: PageRequest, query: Query, turns: Sequence[SessionTurn]
) -> dict[str, Any]:
    start = request.get_number("start", at_most=_MAX_START)
    with query.snapshot() as lookup:
        reader = TurnReader(lookup, request.source.tenant)
        reader.complete = partial(complete_running, request, query)
        shown = [*read_turns(reader, turns, start, TURNS)]
    end = start + len(shown)
    is_running = any(one.turn.exchange.state == State.OPEN for one in shown)
    following = end if end < len(turns) else 0
    return {"turns": shown, "start": start, "following": following, "is_running": is_running}


def read_turns(
    reader: TurnReader, turns: Sequence[SessionTurn], start: int, count: int
) -> Iterator[ShownTurn]:
    """Yield some turns, each with what it adds to the one that it goes on from."""
    weight = 0
    for number in range(start, min(start + count, len(turns))):
        turn = turns[number]
        entry, own = reader.read(turn.exchange.exchange_id)
        before = reader.read(turn.parent)[1] if turn.parent else _NOTHING
        blocks = build_new_blocks(entry, own, before) if entry else []
        left_out = max(len(blocks) - MAX_BLOCKS, 0)
        yield ShownTurn(number, turn, show_blocks(blocks[left_out:], left_out), left_out)
        weight += _weigh(entry)
        if weight > PART_BYTES:
            return


_NOTHING = Exchanged("", [], [])


class TurnReader:
    """Reads exchanges, the last ones of which it keeps. `complete` adds what still comes to one."""

    complete: Callable[[LookupResult], LookupResult] = staticmethod(lambda entry: entry)

    def __init__(self, lookup: ThreadLookup, tenant: str) -> None:
        self._lookup = lookup
        self._tenant = tenant
        self._items = ItemReader()
        self._kept: dict[str, tuple[LookupResult | None, Exchanged]] = {}

    def read(self, exchange_id: str) -> tuple[LookupResult | None, Exchanged]:
        """Return an exchange and what was said in it; nothing where it was removed meanwhile."""
        kept = self._kept.pop(exchange_id, None)
        if kept is None:
            entry = None
            with suppress(StoreError):
                entry = self.complete(self._lookup.find(self._tenant, exchange_id))
            kept = entry, read_exchanged(entry, self._items) if entry else _NOTHING
        self._kept[exchange_id] = kept
        if len(self._kept) > _MAX_KEPT:
            del self._kept[next(iter(self._kept))]
        return kept


def _weigh(entry: LookupResult | None) -> int:
    row = entry.exchange if entry else None
    if row is None:
        return 0
    body = row.request_body or b""
    return min(len(body) * 8, read_stated_size(body)) + len(row.result or "")
