"""Look up the one exchange or response that an id, or its beginning, means.

An identifier is a response id, an exchange id, or the beginning of either. Several exchanges may
name one response (a background response, its polls, a stream that was resumed and cut): the one
whose state has come furthest stands for it, of several such the newest. A response may have no
exchange at all where another program has written it.

`tenant_id || ''` keeps planners from searching by tenant, which would walk all of a tenant's rows.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TypeVar

import msgspec

from response_store.errors import StoreError
from response_store.model.precedence import REPRESENTATIVE_FIRST
from response_store.model.records import STORED_COLUMNS, ExchangeRow, State, StoredResponse
from response_store.queries.bodies import build_exchange, complete_response
from response_store.queries.reader import Reader

CANDIDATES = 10
LEAST, STEP = 6, 2  # characters of a short id, and by how many it grows
MAX_SHORTENED = 1_000
BATCH = 100  # beginnings that are looked at in one statement, three times each
_FINAL = frozenset({State.COMPLETED, State.INCOMPLETE, State.FAILED, State.CANCELLED})

BY_EXCHANGE = f"""
SELECT {STORED_COLUMNS} FROM {{exchanges}} WHERE exchange_id = ? AND tenant_id || '' = ?"""
BY_RESPONSE = f"""
SELECT {STORED_COLUMNS} FROM {{exchanges}} WHERE exchange_id = (
    SELECT exchange_id FROM {{exchanges}} WHERE response_id = ? AND tenant_id || '' = ?
    ORDER BY {REPRESENTATIVE_FIRST} LIMIT 1)"""
RESPONSE = f"""
SELECT {", ".join(StoredResponse.__struct_fields__)} FROM {{responses}}
WHERE tenant_id = ? AND id = ?"""

EXCHANGES_FROM = """
SELECT exchange_id AS id FROM {exchanges}
WHERE {begins[exchange_id]} AND tenant_id || '' = ? ORDER BY exchange_id LIMIT ?"""
NAMED_FROM = """
SELECT DISTINCT response_id AS id FROM {exchanges}
WHERE {begins[response_id]} AND tenant_id || '' = ? ORDER BY response_id LIMIT ?"""
RESPONSES_FROM = """
SELECT id FROM {responses}
WHERE {begins[id]} AND tenant_id = ? ORDER BY id LIMIT ?"""


class LookupResult(msgspec.Struct, frozen=True):
    """What is stored under an id: an exchange, a response, mostly both; never neither.

    `id_was_taken`: what the exchange received is in its `result`, as another response has its id.
    """

    exchange: ExchangeRow | None
    response: StoredResponse | None
    id_was_taken: bool = False


class Lookup:
    """Looks up exchanges and responses by their ids, one tenant's at a time."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def exchange(self, tenant: str, exchange_id: str) -> ExchangeRow | None:
        """Return the exchange with exactly this id."""
        row = self._reader.row(BY_EXCHANGE, (exchange_id, tenant))
        return build_exchange(self._reader, row) if row else None

    def latest_exchange(self, tenant: str, response_id: str) -> ExchangeRow | None:
        """Return the exchange that stands for exactly this response."""
        row = self._reader.row(BY_RESPONSE, (response_id, tenant))
        return build_exchange(self._reader, row) if row else None

    def response(self, tenant: str, response_id: str) -> StoredResponse | None:
        """Return the response with exactly this id, as it is stored."""
        row = self._reader.row(RESPONSE, (tenant, response_id))
        return StoredResponse(*row) if row else None

    def ids_with_prefix(self, tenant: str, prefix: str, limit: int) -> set[str]:
        """Return ids of either kind that begin so; where there are more than `limit`, more."""
        values = self._reader.bind_prefix(prefix)
        if values is None:
            return set()
        return {
            str(identifier)
            for statement in (EXCHANGES_FROM, NAMED_FROM, RESPONSES_FROM)
            for (identifier,) in self._reader.rows(statement, (*values, tenant, limit + 1))
        }

    def shorten(self, tenant: str, identifiers: Sequence[str]) -> dict[str, str]:
        """Return the beginning of each id by which `find` has it, of at least `LEAST` characters.

        Looks at the first `MAX_SHORTENED`; the others are whole.
        """
        short: dict[str, str] = {}
        pending, length = list(dict.fromkeys(identifiers))[:MAX_SHORTENED], LEAST
        while pending:
            counts = self._count_beginnings(tenant, {name[:length] for name in pending})
            short.update(
                (name, name[:length])
                for name in pending
                if len(name) <= length or counts.get(name[:length]) == 1
            )
            pending = [name for name in pending if name not in short]
            length += STEP
        return {name: short.get(name, name) for name in identifiers}

    def _count_beginnings(self, tenant: str, beginnings: Iterable[str]) -> Counter[str]:
        """Return how many ids of either kind begin so, counted up to two of a kind."""
        ids: set[tuple[str, str]] = set()
        names = sorted(beginnings)
        for first in range(0, len(names), BATCH):
            bound = [(name, self._reader.bind_prefix(name)) for name in names[first:][:BATCH]]
            parts = [
                (f"SELECT {at}, id FROM ({statement}) AS at{at}_{kind}", (*values, tenant, 2))
                for at, (_, values) in enumerate(bound)
                if values is not None
                for kind, statement in enumerate((EXCHANGES_FROM, NAMED_FROM, RESPONSES_FROM))
            ]
            if parts:
                statement = " UNION ALL ".join(part for part, _ in parts)
                values = [value for _, values in parts for value in values]
                rows = self._reader.rows(statement, values)
                ids.update((bound[at][0], identifier) for at, identifier in rows)
        return Counter(beginning for beginning, _ in ids)

    def find(self, tenant: str, identifier: str) -> LookupResult:
        """Return the one thing that an identifier means.

        Raises StoreError where it is none or several.
        """
        matches = self._exactly(tenant, identifier)
        if matches is None:
            matches = self._exactly(tenant, self._completed(tenant, identifier))
        if matches is None:  # cannot be: the completed identifier was read in the same snapshot
            raise self._nothing(tenant, identifier)
        return matches

    def _exactly(self, tenant: str, identifier: str) -> LookupResult | None:
        exchange = self.latest_exchange(tenant, identifier) or self.exchange(tenant, identifier)
        response_id = exchange.response_id if exchange else identifier
        response = self.response(tenant, response_id) if response_id else None
        if exchange and response and _met_a_taken_id(exchange, response):
            return LookupResult(exchange, None, id_was_taken=True)
        if response is not None:
            response = complete_response(self._reader, response)
        return LookupResult(exchange, response) if exchange or response else None

    def _completed(self, tenant: str, prefix: str) -> str:
        candidates = self.ids_with_prefix(tenant, prefix, CANDIDATES) if prefix else set()
        if not candidates:
            raise self._nothing(tenant, prefix)
        if len(candidates) > 1:
            raise _build_ambiguity_error(prefix, sorted(candidates))
        return candidates.pop()

    def _nothing(self, tenant: str, identifier: str) -> StoreError:
        return StoreError(
            f"{self._reader.name}: {identifier!r} is not found for tenant {tenant!r}. List what is"
            " stored with: response-store list"
        )


def _met_a_taken_id(exchange: ExchangeRow, response: StoredResponse) -> bool:
    """Return whether an exchange brought a whole response, and another one has its row."""
    result = exchange.result
    return bool(result) and exchange.state in _FINAL and result != response.response_object


def _build_ambiguity_error(beginning: str, candidates: Sequence[str]) -> StoreError:
    lines = [f"  {candidate}" for candidate in candidates[:CANDIDATES]]
    more = ["  ..."] if len(candidates) > CANDIDATES else []
    head = f"{beginning!r} begins more than one id. Write more of the one that you mean:"
    return StoreError("\n".join([head, *lines, *more]))


T = TypeVar("T")

PAUSE = 1.0  # seconds without another attempt after one that failed
_RETRY_SECONDS = (
    0.5  # seconds: what failed sooner may have been an idle connection, and is asked again
)


class Pause:
    """Keeps threads from connecting to a database that has just refused one of them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failed: tuple[float, StoreError] | None = None

    def check(self) -> None:
        """Raise what the last attempt raised, if that was a moment ago."""
        failed = self._failed
        if failed is not None and self._clock() < failed[0]:
            raise type(failed[1])(str(failed[1]))

    def failed(self, error: StoreError) -> None:
        """Note that an attempt failed."""
        self._failed = self._clock() + PAUSE, error


class KeptReader:
    """A `Reader` that is opened when it is needed. For one thread; a `pause` is for several.

    `identity` tells what would be opened now: where that has changed, it is opened anew.
    """

    def __init__(
        self, open_reading: Callable[[], Reader], identity: Callable[[], object], pause: Pause
    ) -> None:
        self._open_reader = open_reading
        self._identity = identity
        self._pause = pause
        self._reader: Reader | None = None
        self._opened_as: object = None

    def ask(self, question: Callable[[Reader], T]) -> T:
        """Ask what raises StoreError where the database does."""
        if self._reader is not None and self._opened_as == self._identity():
            asked_at = time.monotonic()
            try:
                return question(self._reader)
            except StoreError:
                # A connection that idles while its server starts again fails once.
                if time.monotonic() - asked_at > _RETRY_SECONDS:
                    self.close()
                    raise
        self.close()
        self._open()
        assert self._reader is not None
        try:
            return question(self._reader)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the database, if it is open. Idempotent."""
        reader, self._reader = self._reader, None
        if reader is not None:
            with suppress(StoreError):
                reader.close()

    def _open(self) -> None:
        self._pause.check()
        self._opened_as = self._identity()
        try:
            self._reader = self._open_reader()
        except StoreError as error:
            self._pause.failed(error)
            raise
