"""From what a user types to the one exchange or response that it means.

An identifier is a response id, an exchange id, or the beginning of either. Several exchanges may
name one response (a background response and its polls): the newest stands for it. A response may
have no exchange at all where another program has written it.

`+tenant_id` keeps SQLite from searching by tenant, which would walk all of a tenant's rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from response_store.errors import StoreError
from response_store.store.rows import EXCHANGE_COLUMNS, StoredResponse, exchange_row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from response_store.store.reading import Reading
    from response_store.store.records import ExchangeRow

CANDIDATES = 10
_SURROGATES, _BEHIND_SURROGATES = 0xD800, 0xE000  # no text holds the code points between

BY_EXCHANGE = f"""
SELECT {EXCHANGE_COLUMNS} FROM {{exchanges}} WHERE exchange_id = ? AND +tenant_id = ?"""
BY_RESPONSE = f"""
SELECT {EXCHANGE_COLUMNS} FROM {{exchanges}} WHERE exchange_id = (
    SELECT exchange_id FROM {{exchanges}} WHERE response_id = ? AND +tenant_id = ?
    ORDER BY started_at DESC, exchange_id DESC LIMIT 1)"""
RESPONSE = f"""
SELECT {", ".join(StoredResponse.__struct_fields__)} FROM {{responses}}
WHERE tenant_id = ? AND id = ?"""

EXCHANGES_FROM = """
SELECT exchange_id FROM {exchanges}
WHERE exchange_id >= ? AND exchange_id < ? AND +tenant_id = ? ORDER BY exchange_id LIMIT ?"""
NAMED_FROM = """
SELECT DISTINCT response_id FROM {exchanges}
WHERE response_id >= ? AND response_id < ? AND +tenant_id = ? ORDER BY response_id LIMIT ?"""
RESPONSES_FROM = """
SELECT id FROM {responses}
WHERE id >= ? AND id < ? AND tenant_id = ? ORDER BY id LIMIT ?"""


class Found(msgspec.Struct, frozen=True):
    """What an identifier means: an exchange, a response, mostly both; never neither."""

    exchange: ExchangeRow | None
    response: StoredResponse | None


def exchange(reading: Reading, tenant: str, exchange_id: str) -> ExchangeRow | None:
    """The exchange with exactly this id."""
    row = reading.row(BY_EXCHANGE, (exchange_id, tenant))
    return exchange_row(row) if row else None


def response(reading: Reading, tenant: str, response_id: str) -> StoredResponse | None:
    """The response with exactly this id."""
    row = reading.row(RESPONSE, (tenant, response_id))
    return StoredResponse(*row) if row else None


def find(reading: Reading, tenant: str, identifier: str) -> Found:
    """The one thing that an identifier means. Raises StoreError where it is none or several."""
    found = _exactly(reading, tenant, identifier)
    if found is None:
        found = _exactly(reading, tenant, _completed(reading, tenant, identifier))
    if found is None:  # cannot be: the completed identifier was read in the same snapshot
        raise _nothing(reading, tenant, identifier)
    return found


def _exactly(reading: Reading, tenant: str, identifier: str) -> Found | None:
    row = reading.row(BY_RESPONSE, (identifier, tenant))
    its_exchange = exchange_row(row) if row else exchange(reading, tenant, identifier)
    response_id = its_exchange.response_id if its_exchange else identifier
    its_response = response(reading, tenant, response_id) if response_id else None
    return Found(its_exchange, its_response) if its_exchange or its_response else None


def _completed(reading: Reading, tenant: str, beginning: str) -> str:
    after = _after(beginning)
    if not beginning or after is None:
        raise _nothing(reading, tenant, beginning)
    candidates = {
        str(identifier)
        for statement in (EXCHANGES_FROM, NAMED_FROM, RESPONSES_FROM)
        for (identifier,) in reading.rows(statement, (beginning, after, tenant, CANDIDATES + 1))
    }
    if not candidates:
        raise _nothing(reading, tenant, beginning)
    if len(candidates) > 1:
        raise _ambiguous(beginning, sorted(candidates))
    return candidates.pop()


def _after(beginning: str) -> str | None:
    """The first text that sorts behind all that begin so: the last character, one up."""
    kept = beginning.rstrip("\U0010ffff")
    if not kept:
        return None
    code = ord(kept[-1]) + 1
    return kept[:-1] + chr(_BEHIND_SURROGATES if code == _SURROGATES else code)


def _nothing(reading: Reading, tenant: str, identifier: str) -> StoreError:
    return StoreError(
        f"{reading.name}: nothing is stored under {identifier!r} for tenant {tenant!r}."
        " See what is there with: response-store list"
    )


def _ambiguous(beginning: str, candidates: Sequence[str]) -> StoreError:
    lines = [f"  {candidate}" for candidate in candidates[:CANDIDATES]]
    more = ["  ..."] if len(candidates) > CANDIDATES else []
    head = f"{beginning!r} begins more than one id. Write more of the one that you mean:"
    return StoreError("\n".join([head, *lines, *more]))
