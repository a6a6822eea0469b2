"""From what a user types to the one exchange or response that it means.

An identifier is a response id, an exchange id, or the beginning of either. Several exchanges may
name one response (a background response, its polls, a stream that was resumed and cut): the one
whose state has come furthest stands for it, of several such the newest. A response may have no
exchange at all where another program has written it.

`tenant_id || ''` keeps planners from searching by tenant, which would walk all of a tenant's rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from response_store.errors import StoreError
from response_store.store.ranks import rank
from response_store.store.rows import EXCHANGE_COLUMNS, StoredResponse, exchange_row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from response_store.store.reading import Reading
    from response_store.store.records import ExchangeRow

CANDIDATES = 10

STANDS_FIRST = f"{rank('state')} DESC, started_at DESC, exchange_id COLLATE {{bytewise}} DESC"
BY_EXCHANGE = f"""
SELECT {EXCHANGE_COLUMNS} FROM {{exchanges}} WHERE exchange_id = ? AND tenant_id || '' = ?"""
BY_RESPONSE = f"""
SELECT {EXCHANGE_COLUMNS} FROM {{exchanges}} WHERE exchange_id = (
    SELECT exchange_id FROM {{exchanges}} WHERE response_id = ? AND tenant_id || '' = ?
    ORDER BY {STANDS_FIRST} LIMIT 1)"""
RESPONSE = f"""
SELECT {", ".join(StoredResponse.__struct_fields__)} FROM {{responses}}
WHERE tenant_id = ? AND id = ?"""

EXCHANGES_FROM = """
SELECT exchange_id FROM {exchanges}
WHERE {begins[exchange_id]} AND tenant_id || '' = ? ORDER BY exchange_id LIMIT ?"""
NAMED_FROM = """
SELECT DISTINCT response_id FROM {exchanges}
WHERE {begins[response_id]} AND tenant_id || '' = ? ORDER BY response_id LIMIT ?"""
RESPONSES_FROM = """
SELECT id FROM {responses}
WHERE {begins[id]} AND tenant_id = ? ORDER BY id LIMIT ?"""


class Found(msgspec.Struct, frozen=True):
    """What an identifier means: an exchange, a response, mostly both; never neither."""

    exchange: ExchangeRow | None
    response: StoredResponse | None


class Shelf(Protocol):
    """Where exchanges and responses are looked up, one tenant's at a time."""

    @property
    def name(self) -> str:
        """What errors call it."""

    def exchange(self, tenant: str, exchange_id: str) -> ExchangeRow | None:
        """The exchange with exactly this id."""

    def standing(self, tenant: str, response_id: str) -> ExchangeRow | None:
        """The exchange that stands for exactly this response."""

    def response(self, tenant: str, response_id: str) -> StoredResponse | None:
        """The response with exactly this id."""

    def beginning_with(self, tenant: str, beginning: str, most: int) -> set[str]:
        """Ids of either kind that begin so; where there are more than `most`, more than `most`."""


class Tables:
    """The shelf that a database's tables are."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    @property
    def name(self) -> str:
        return self._reading.name

    def exchange(self, tenant: str, exchange_id: str) -> ExchangeRow | None:
        row = self._reading.row(BY_EXCHANGE, (exchange_id, tenant))
        return exchange_row(row) if row else None

    def standing(self, tenant: str, response_id: str) -> ExchangeRow | None:
        row = self._reading.row(BY_RESPONSE, (response_id, tenant))
        return exchange_row(row) if row else None

    def response(self, tenant: str, response_id: str) -> StoredResponse | None:
        row = self._reading.row(RESPONSE, (tenant, response_id))
        return StoredResponse(*row) if row else None

    def beginning_with(self, tenant: str, beginning: str, most: int) -> set[str]:
        values = self._reading.beginning(beginning)
        if values is None:
            return set()
        return {
            str(identifier)
            for statement in (EXCHANGES_FROM, NAMED_FROM, RESPONSES_FROM)
            for (identifier,) in self._reading.rows(statement, (*values, tenant, most + 1))
        }


def find(shelf: Shelf, tenant: str, identifier: str) -> Found:
    """The one thing that an identifier means. Raises StoreError where it is none or several."""
    found = _exactly(shelf, tenant, identifier)
    if found is None:
        found = _exactly(shelf, tenant, _completed(shelf, tenant, identifier))
    if found is None:  # cannot be: the completed identifier was read in the same snapshot
        raise _nothing(shelf, tenant, identifier)
    return found


def _exactly(shelf: Shelf, tenant: str, identifier: str) -> Found | None:
    exchange = shelf.standing(tenant, identifier) or shelf.exchange(tenant, identifier)
    response_id = exchange.response_id if exchange else identifier
    response = shelf.response(tenant, response_id) if response_id else None
    return Found(exchange, response) if exchange or response else None


def _completed(shelf: Shelf, tenant: str, beginning: str) -> str:
    candidates = shelf.beginning_with(tenant, beginning, CANDIDATES) if beginning else set()
    if not candidates:
        raise _nothing(shelf, tenant, beginning)
    if len(candidates) > 1:
        raise _ambiguous(beginning, sorted(candidates))
    return candidates.pop()


def _nothing(shelf: Shelf, tenant: str, identifier: str) -> StoreError:
    return StoreError(
        f"{shelf.name}: nothing is stored under {identifier!r} for tenant {tenant!r}."
        " See what is there with: response-store list"
    )


def _ambiguous(beginning: str, candidates: Sequence[str]) -> StoreError:
    lines = [f"  {candidate}" for candidate in candidates[:CANDIDATES]]
    more = ["  ..."] if len(candidates) > CANDIDATES else []
    head = f"{beginning!r} begins more than one id. Write more of the one that you mean:"
    return StoreError("\n".join([head, *lines, *more]))
