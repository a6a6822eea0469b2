"""Threads: responses that continue one another, from the oldest to the newest.

What a response continues is the response that its `previous_response_id` names; a warm-up is a
link like any other. A thread goes from the response that was asked for to the oldest that can be
reached so, and the other way to the newest: where several responses continue one, to that which
was begun last. Where no response is named, the conversation links: what was begun before the
oldest, and after the newest, in the conversation that these name.

A link that is missing ends the thread, a loop is walked once, and neither way is followed further
than `DEPTH` responses.

`|| ''` keeps planners from the indexes of tenants and of responses, which would walk all rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from response_store.model.precedence import REPRESENTATIVE_FIRST
from response_store.model.records import STORED_COLUMNS, ExchangeRow, StoredResponse
from response_store.queries.bodies import build_exchange, complete_response
from response_store.queries.lookup import Lookup, LookupResult

DEPTH = 10_000
BATCH = 100  # responses that are read at once

OLDER = """
WITH RECURSIVE thread (step, response_id) AS (
    SELECT 0, CAST(? AS TEXT)
    UNION ALL
    SELECT step + 1, (
        SELECT previous_response_id FROM {exchanges} AS turn
        WHERE turn.response_id = thread.response_id AND previous_response_id IS NOT NULL
            AND tenant_id || '' = ?
        ORDER BY started_at, exchange_id LIMIT 1)
    FROM thread WHERE step < ? AND thread.response_id IS NOT NULL)
SELECT response_id FROM thread WHERE step > 0 AND response_id IS NOT NULL ORDER BY step"""
NEWER = """
WITH RECURSIVE thread (step, response_id) AS (
    SELECT 0, CAST(? AS TEXT)
    UNION ALL
    SELECT step + 1, (
        SELECT turn.response_id || '' AS name FROM {exchanges} AS turn
        WHERE turn.previous_response_id = thread.response_id AND turn.response_id || '' <> ''
            AND tenant_id || '' = ?
        GROUP BY name ORDER BY min(started_at) DESC, name DESC LIMIT 1)
    FROM thread WHERE step < ? AND thread.response_id IS NOT NULL)
SELECT response_id FROM thread WHERE step > 0 AND response_id IS NOT NULL ORDER BY step"""
CONVERSATION = """
SELECT response_id || '' AS name, min(started_at) AS began FROM {exchanges}
WHERE conversation_id = ? AND response_id || '' <> '' AND tenant_id || '' = ?
GROUP BY name ORDER BY began, name"""
SUCCESSORS = """
SELECT response_id || '' AS name FROM {exchanges}
WHERE previous_response_id = ? AND response_id <> previous_response_id AND tenant_id || '' = ?
GROUP BY name ORDER BY min(started_at), name"""


def select_representatives(count: int) -> str:
    """Return a statement for `count` ids of responses; it takes the ids, then the tenant twice.

    A row is an id, the exchange that represents that response, and how many responses continue it.
    """
    ids = ", ".join(["(CAST(? AS TEXT))"] * count)
    return f"""
WITH wanted (id) AS (VALUES {ids})
SELECT id, (
    SELECT exchange_id FROM {{exchanges}} WHERE response_id = id AND tenant_id || '' = ?
    ORDER BY {REPRESENTATIVE_FIRST} LIMIT 1), (
    SELECT count(DISTINCT response_id) FROM {{exchanges}}
    WHERE previous_response_id = id AND response_id <> id AND tenant_id || '' = ?)
FROM wanted"""


def select_exchanges(count: int) -> str:
    """Return a statement for `count` exchanges; it takes their ids."""
    marks = _repeat_mark(count)
    return f"SELECT {STORED_COLUMNS} FROM {{exchanges}} WHERE exchange_id IN ({marks})"


def select_responses(count: int) -> str:
    """Return a statement for `count` responses; it takes the tenant, then the ids."""
    columns = ", ".join(StoredResponse.__struct_fields__)
    marks = _repeat_mark(count)
    return f"SELECT {columns} FROM {{responses}} WHERE tenant_id = ? AND id IN ({marks})"


def _repeat_mark(count: int) -> str:
    return ", ".join(["?"] * count)


class ThreadNode(msgspec.Struct, frozen=True):
    """A response of a thread. `branches` are the ones that continue it, where they are several."""

    entry: LookupResult
    branches: tuple[str, ...] = ()


class ThreadLookup(Lookup):
    """A `Lookup` that also finds threads."""

    def ancestors(self, tenant: str, response_id: str) -> list[str]:
        """Return what a response continues, and so on; the last may be missing. May hold a loop."""
        return self._ids(OLDER, response_id, tenant, DEPTH)

    def descendants(self, tenant: str, response_id: str) -> list[str]:
        """Return what continues a response, and so on, each time what was begun last.

        May hold a loop.
        """
        return self._ids(NEWER, response_id, tenant, DEPTH)

    def in_conversation(self, tenant: str, conversation_id: str) -> list[tuple[str, float]]:
        """Return the responses of a conversation and when each was begun, in that order."""
        rows = self._reader.rows(CONVERSATION, (conversation_id, tenant))
        return [(name, started_at) for name, started_at in rows]

    def nodes(self, tenant: str, response_ids: Sequence[str]) -> dict[str, ThreadNode]:
        """Return what is known of each of at most `BATCH` responses, without the missing ones."""
        ids, count = tuple(response_ids), len(response_ids)
        rows = self._reader.rows(select_responses(count), (tenant, *ids))
        responses = (StoredResponse(*columns) for columns in rows)
        stored = {row.id: complete_response(self._reader, row) for row in responses}
        places = self._reader.rows(select_representatives(count), (*ids, tenant, tenant))
        exchanges = self._exchanges([one for _, one, _ in places if one is not None])
        nodes: dict[str, ThreadNode] = {}
        for name, one, branches in places:
            if one is not None or name in stored:
                several = self._ids(SUCCESSORS, name, tenant) if branches > 1 else ()
                nodes[name] = ThreadNode(
                    LookupResult(exchanges.get(one), stored.get(name)), tuple(several)
                )
        return nodes

    def _exchanges(self, ids: Sequence[str]) -> dict[str, ExchangeRow]:
        rows = self._reader.rows(select_exchanges(len(ids)), ids) if ids else ()
        exchanges = (build_exchange(self._reader, row) for row in rows)
        return {row.exchange_id: row for row in exchanges if row is not None}

    def _ids(self, statement: str, *values: object) -> list[str]:
        return [name for (name,) in self._reader.rows(statement, values)]


@dataclass(frozen=True, slots=True)
class Thread:
    """Responses from the oldest to the newest. Nothing but their ids is read yet.

    `last` is an exchange without a response, behind all of them: it was asked for. `continues` is
    what the oldest continues, where that is not shown: it is missing or, if `cut`, too far back.
    """

    ids: tuple[str, ...]
    last: LookupResult | None
    continues: str | None
    cut: bool
    _lookup: ThreadLookup
    _tenant: str

    def __len__(self) -> int:
        return len(self.ids) + (self.last is not None)

    def nodes(self) -> Iterator[ThreadNode]:
        """Read the nodes, some at a time. Only while the lookup's snapshot lasts."""
        for start in range(0, len(self.ids), BATCH):
            batch = self.ids[start : start + BATCH]
            known = self._lookup.nodes(self._tenant, batch)
            yield from (known[name] for name in batch if name in known)
        if self.last is not None:
            yield ThreadNode(self.last)


def find_thread(lookup: ThreadLookup, tenant: str, identifier: str) -> Thread:
    """Return the thread of an exchange or response by its id. Raises StoreError as `find` does."""
    requested = lookup.find(tenant, identifier)
    name = _get_response_id(requested)
    ancestors, continues, cut = _find_ancestors(lookup, tenant, requested)
    descendants = (
        _take_until_repeated(lookup.descendants(tenant, name), {name, *ancestors}) if name else []
    )
    chain = [*reversed(ancestors), *filter(None, [name]), *descendants]
    oldest = _find_response(lookup, tenant, ancestors[-1]) if ancestors else requested
    newest = _find_response(lookup, tenant, descendants[-1]) if descendants else requested
    earlier = [] if cut else _find_in_conversation(lookup, tenant, oldest, chain)[0]
    later = _find_in_conversation(lookup, tenant, newest, chain)[1] if name else []
    return Thread(
        ids=(*earlier, *chain, *later),
        last=None if name else requested,
        continues=None if earlier else continues,
        cut=cut,
        _lookup=lookup,
        _tenant=tenant,
    )


def _find_ancestors(
    lookup: ThreadLookup, tenant: str, entry: LookupResult
) -> tuple[list[str], str | None, bool]:
    """Return what is continued, from the newest; what the last of
    it continues; whether that is cut.
    """
    name = _get_response_id(entry)
    first = None if name else _get_previous_response_id(entry)
    start = name or first
    named = [*filter(None, [first]), *(lookup.ancestors(tenant, start) if start else [])]
    ancestors = _take_until_repeated(named, {name} if name else set())
    last = _find_response(lookup, tenant, ancestors[-1]) if ancestors else None
    if ancestors and last is None:
        return ancestors[:-1], ancestors[-1], False
    if last is not None and len(ancestors) >= DEPTH:
        return ancestors, _get_previous_response_id(last), True
    return ancestors, None, False


def _find_in_conversation(
    lookup: ThreadLookup, tenant: str, entry: LookupResult | None, chain: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Return what was begun before and after an exchange in its conversation."""
    exchange = entry.exchange if entry else None
    if exchange is None or exchange.conversation_id is None:
        return [], []
    exchanges = lookup.in_conversation(tenant, exchange.conversation_id)
    name = exchange.response_id or ""
    place = (dict(exchanges).get(name, exchange.started_at), name)
    placed = [(began, one) for one, began in exchanges if one not in {*chain}]
    before = [one for began, one in placed if (began, one) < place]
    after = [one for began, one in placed if (began, one) > place]
    return before[-DEPTH:], after[:DEPTH]


def _take_until_repeated(names: Iterable[str], seen: set[str]) -> list[str]:
    """Return the names up to the first that was seen before."""
    fresh = []
    for name in names:
        if name in seen:
            break
        seen.add(name)
        fresh.append(name)
    return fresh


def _find_response(lookup: ThreadLookup, tenant: str, response_id: str) -> LookupResult | None:
    node = lookup.nodes(tenant, [response_id]).get(response_id)
    return node.entry if node else None


def _get_response_id(entry: LookupResult) -> str | None:
    if entry.response is not None:
        return entry.response.id
    return entry.exchange.response_id if entry.exchange else None


def _get_previous_response_id(entry: LookupResult) -> str | None:
    return entry.exchange.previous_response_id if entry.exchange else None
