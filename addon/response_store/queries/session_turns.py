"""Find one session, and its turns in the order of time, with what continues what.

A turn goes on from its parent. Where several responses to one agent go on from the same, the
session forks there, as when a question is asked again in other words; where another agent does, the
tool has started a subagent. So a turn is as deep as its parent, and one deeper at a fork or where
the agent changes.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence

import msgspec

from response_store.errors import StoreError
from response_store.model.records import Api
from response_store.model.selection import Selection
from response_store.queries.exchanges import Summary, build_summary, select_newest
from response_store.queries.lookup import LookupResult
from response_store.queries.reader import Reader
from response_store.queries.threads import Thread, ThreadLookup, ThreadNode

LAST = "last"
"""Stands for the newest session, and the newest run."""
MAX_TURNS = 10_000  # of one session
CANDIDATES = 10

_EXACTLY = """
SELECT session_id FROM {exchanges} WHERE session_id = ? AND tenant_id || '' = ? LIMIT 1"""
_OF_EXCHANGE = """
SELECT session_id, exchange_id FROM {exchanges} WHERE exchange_id = ? AND tenant_id || '' = ?"""
_OF_RESPONSE = """
SELECT session_id, exchange_id FROM {exchanges} WHERE response_id = ? AND tenant_id || '' = ?
ORDER BY started_at, exchange_id LIMIT 1"""
BEGINNING = """
SELECT DISTINCT session_id FROM {exchanges}
WHERE {begins[session_id]} AND tenant_id || '' = ? ORDER BY session_id LIMIT ?"""
BEGINNING_LONE = """
SELECT exchange_id FROM {exchanges} WHERE {begins[exchange_id]} AND session_id IS NULL
    AND tenant_id || '' = ? ORDER BY exchange_id LIMIT ?"""
_NEWEST = """
SELECT session_id, exchange_id FROM {exchanges} WHERE tenant_id = ?
ORDER BY started_at DESC, exchange_id COLLATE {bytewise} DESC LIMIT 1"""
# From label to label: of labels there are as many as runs, of exchanges many more.
LABELS = """
WITH RECURSIVE name (label) AS (
    SELECT min(label) FROM {exchanges} WHERE label IS NOT NULL
    UNION ALL
    SELECT (SELECT min(label) FROM {exchanges} WHERE label > name.label)
    FROM name WHERE name.label IS NOT NULL)
SELECT label, (SELECT max(started_at) FROM {exchanges} WHERE label = name.label) AS last
FROM name WHERE label IS NOT NULL ORDER BY last DESC, label LIMIT ?"""
_RECORDER = """
SELECT recorder_id FROM {exchanges} WHERE label = ? AND tenant_id || '' = ?
ORDER BY started_at DESC LIMIT 1"""
_MAX_LABELS = 1_000  # of all tenants


class SessionKey(msgspec.Struct, frozen=True):
    """A session: its id, or with `is_lone` that of an exchange of which no session is known."""

    id: str
    is_lone: bool = False

    def select(self, tenant: str) -> Selection:
        """Return the selection of its exchanges."""
        if self.is_lone:
            return Selection(tenant=tenant, exchange_ids=(self.id,))
        return Selection(tenant=tenant, sessions=(self.id,))


class SessionTurn(msgspec.Struct, frozen=True):
    """A turn of a session. `parent` is what it goes on from, where that is in the session.

    `depth` is 0 for the first agent's line; `is_fork` says that the same agent has gone on from the
    parent before.
    """

    exchange: Summary
    parent: str | None
    depth: int
    is_fork: bool


def find_session(reader: Reader, tenant: str, identifier: str) -> SessionKey:
    """Return the session of an id: its own, its beginning, or that of something in it.

    `last` is the newest session. Raises StoreError where there is none, or more than one.
    """
    lookups: tuple[Callable[[], SessionKey | None], ...] = (
        lambda: _find_exactly(reader, tenant, identifier),
        lambda: _find_newest(reader, tenant) if identifier == LAST else None,
        lambda: _find_beginning(reader, tenant, identifier) if identifier else None,
    )
    for look in lookups:
        if (key := look()) is not None:
            return key
    raise StoreError(
        f"{reader.name}: {identifier!r} is no session of tenant {tenant!r}. List them with:"
        " response-store list --sessions"
    )


def _find_exactly(reader: Reader, tenant: str, identifier: str) -> SessionKey | None:
    if reader.row(_EXACTLY, (identifier, tenant)) is not None:
        return SessionKey(identifier)
    for statement in (_OF_EXCHANGE, _OF_RESPONSE):
        row = reader.row(statement, (identifier, tenant))
        if row is not None:
            return SessionKey(row[1], True) if row[0] is None else SessionKey(row[0])
    return None


def _find_newest(reader: Reader, tenant: str) -> SessionKey | None:
    row = reader.row(_NEWEST, (tenant,))
    if row is None:
        return None
    return SessionKey(row[1], True) if row[0] is None else SessionKey(row[0])


def _find_beginning(reader: Reader, tenant: str, beginning: str) -> SessionKey | None:
    keys = list_beginning(reader, tenant, beginning, CANDIDATES)
    if len(keys) > 1:
        lines = [f"  {key.id}" for key in keys[:CANDIDATES]]
        more = ["  ..."] if len(keys) > CANDIDATES else []
        head = f"{beginning!r} begins more than one session. Write more of the one that you mean:"
        raise StoreError("\n".join([head, *lines, *more]))
    return keys[0] if keys else None


def list_beginning(reader: Reader, tenant: str, beginning: str, limit: int) -> list[SessionKey]:
    """Return sessions whose ids begin so; where there are more than `limit`, more."""
    values = reader.bind_prefix(beginning)
    if values is None:
        return []
    values = (*values, tenant, limit + 1)
    named = [SessionKey(name) for (name,) in reader.rows(BEGINNING, values)]
    lone = [SessionKey(name, True) for (name,) in reader.rows(BEGINNING_LONE, values)]
    return sorted([*named, *lone], key=lambda key: key.id)


def list_labels(reader: Reader, limit: int) -> list[str]:
    """Return the labels of all tenants, that of the newest exchange first."""
    return [label for label, _ in reader.rows(LABELS, (limit,))]


def find_last_run(reader: Reader, tenant: str) -> tuple[str, str]:
    """Return label and recorder of the newest exchange that has a label: `run` gives one to each.

    Raises StoreError where none has.
    """
    for label in list_labels(reader, _MAX_LABELS):
        row = reader.row(_RECORDER, (label, tenant))
        if row is not None:
            return label, str(row[0])
    raise StoreError(
        f"{reader.name}: no exchange of tenant {tenant!r} is of a run. This makes one:"
        " response-store run -- COMMAND"
    )


def resolve_selection(reader: Reader, tenant: str, selection: Selection) -> Selection:
    """Return a selection whose sessions are whole ids, and whose `last` run is that one.

    Raises StoreError where an id means no session or several.
    """
    if not selection.sessions and LAST not in selection.recorder_ids:
        return selection
    keys = [find_session(reader, tenant, name) for name in selection.sessions]
    labels, recorders = selection.labels, selection.recorder_ids
    if LAST in recorders:
        label, recorder = find_last_run(reader, tenant)
        # The label is what an index knows of it.
        labels = labels or ((label,) if recorders == (LAST,) else ())
        recorders = tuple(recorder if one == LAST else one for one in recorders)
    return msgspec.structs.replace(
        selection,
        sessions=tuple(key.id for key in keys if not key.is_lone),
        exchange_ids=(*selection.exchange_ids, *(key.id for key in keys if key.is_lone)),
        labels=labels,
        recorder_ids=recorders,
    )


def list_turns(reader: Reader, tenant: str, key: SessionKey) -> list[SessionTurn]:
    """Return the turns of a session, the oldest first.

    Where there are more than `MAX_TURNS`, it is so many of the newest ones, and one more.
    """
    condition = key.select(tenant).condition()
    rows = reader.rows(select_newest(condition.sql), (*condition.values, MAX_TURNS + 1))
    return [*link_turns([build_summary(row) for row in reversed(rows)])]


def link_turns(exchanges: Sequence[Summary]) -> Iterator[SessionTurn]:
    """Yield the exchanges of a session, the oldest first, with their place in its tree."""
    known: dict[str, SessionTurn] = {}
    first: dict[tuple[str, str | None], str] = {}  # what an agent goes on with from a parent
    for one in exchanges:
        parent = known.get(one.parent_exchange_id or "")
        depth, is_fork = 0, False
        if parent is not None:
            place = parent.exchange.exchange_id, one.agent
            name = one.response_id if one.api == Api.RESPONSES else None
            name = name or one.exchange_id
            is_fork = first.setdefault(place, name) != name
            depth = parent.depth + (is_fork or one.agent != parent.exchange.agent)
        elif one.agent is not None and exchanges[0].agent != one.agent:
            depth = 1
        parent_id = parent.exchange.exchange_id if parent else None
        known[one.exchange_id] = turn = SessionTurn(one, parent_id, depth, is_fork)
        yield turn


class SessionNodes(ThreadLookup):
    """A `ThreadLookup` of one session's turns, whose branches are those of its tree.

    A turn is named by its response, which may have come in several exchanges. Other APIs than the
    Responses API have no such thing, and some of their servers give every answer one id: there a
    turn is its exchange, and has that one's id where several of the session share a response's.
    """

    def __init__(self, reader: Reader, turns: Sequence[SessionTurn]) -> None:
        super().__init__(reader)
        times = Counter(turn.exchange.response_id for turn in turns)
        self.names: dict[str, str] = {}
        self._exchange_ids: dict[str, str] = {}
        for one in (turn.exchange for turn in turns):
            is_response = one.response_id is not None and one.api == Api.RESPONSES
            has_name = is_response or times[one.response_id] == 1
            name = one.response_id if has_name and one.response_id else one.exchange_id
            self.names[one.exchange_id] = name
            if not is_response:
                self._exchange_ids[name] = one.exchange_id
        self._followers: defaultdict[str, dict[str | None, list[str]]] = defaultdict(dict)
        for turn in turns:
            if turn.parent is not None:
                parts = self._followers[self.names[turn.parent]]
                names = parts.setdefault(turn.exchange.agent, [])
                if (name := self.names[turn.exchange.exchange_id]) not in names:
                    names.append(name)

    def nodes(self, tenant: str, response_ids: Sequence[str]) -> dict[str, ThreadNode]:
        """Return what is known of each of at most `BATCH` turns, without the missing ones."""
        alone = {
            name: self._exchange_ids[name] for name in response_ids if name in self._exchange_ids
        }
        named = [name for name in response_ids if name not in alone]
        nodes = super().nodes(tenant, named) if named else {}
        exchanges = self._exchanges([*alone.values()])
        nodes |= {
            name: ThreadNode(LookupResult(exchanges[exchange_id], None))
            for name, exchange_id in alone.items()
            if exchange_id in exchanges
        }
        return {
            name: msgspec.structs.replace(node, branches=self._list_branches(name))
            for name, node in nodes.items()
        }

    def _list_branches(self, name: str) -> tuple[str, ...]:
        parts = self._followers.get(name, {}).values()
        return tuple(one for names in parts if len(names) > 1 for one in names)


def find_session_thread(reader: Reader, tenant: str, identifier: str) -> Thread:
    """Return a session as a thread: its turns in the order of time, whatever agent's they are.

    Raises StoreError as `find_session` does.
    """
    turns = list_turns(reader, tenant, find_session(reader, tenant, identifier))
    nodes = SessionNodes(reader, turns)
    names = [nodes.names[turn.exchange.exchange_id] for turn in turns]
    return Thread(
        ids=tuple(dict.fromkeys(names[-MAX_TURNS:])),
        last=None,
        continues=names[-MAX_TURNS - 1] if len(names) > MAX_TURNS else None,
        cut=len(names) > MAX_TURNS,
        _lookup=nodes,
        _tenant=tenant,
    )
