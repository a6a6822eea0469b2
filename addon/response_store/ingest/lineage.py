"""Link exchanges: which one an exchange continues, and which session both belong to.

What is continued is named by the request (a previous response), or known by content: an earlier
exchange whose input and answer are the beginning of this input (`openai_api/context.py`), or whose
answer alone stands in it. Content decides as well where what is named has said nothing, as when a
client warms up a socket. Where nothing is known an exchange begins a session, which has its id.

The parent may be in the same batch, among those that were linked last, or in the database, which is
asked for what may be better than what is known here. Linking a batch anew, as after an error, gives
the same: what an exchange continues is remembered, and so it stays from its open row to its end.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from response_store.backends.base import Store, Turn
from response_store.model.records import Change, ExchangeRow, Record, State, Transport
from response_store.openai_api.context import EMPTY, continue_digest
from response_store.queries.statements import TurnKey

_MAX_TURNS = 10_000  # by any of their keys
_MAX_AGE = 86_400  # seconds, of an answer that is known by its text alone
_MAX_LINKS = 2_000  # more than a batch has, and than are open mostly


class _Key(NamedTuple):
    """What a turn of a tenant is known by."""

    tenant: str
    name: str
    kind: TurnKey


class _Link(NamedTuple):
    """What an exchange continues; `is_certain` once it has ended, or continues something."""

    parent: Turn | None
    is_by_name: bool
    is_certain: bool


_NO_LINK = _Link(None, is_by_name=False, is_certain=False)


class Lineage:
    """Links what one journal brings. For one thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._turns: OrderedDict[_Key, Turn] = OrderedDict()  # the one used last is last
        self._links: OrderedDict[str, _Link] = OrderedDict()  # by exchange

    def link(self, changes: Sequence[Change]) -> list[Change]:
        """Return changes whose exchanges have their parent and session. Raises StoreError."""
        self._ask_database(changes)
        return [self._link(one) if isinstance(one, Record) else one for one in changes]

    def _link(self, record: Record) -> Record:
        row = record.exchange
        link = self._find_link(record)
        parent = link.parent
        session = _choose_session(record, link)
        columns: dict[str, Any] = {
            "session_id": session,
            "parent_exchange_id": parent.exchange_id if parent else None,
        }
        if parent is not None and record.pieces is not None:
            before: str | None = EMPTY.digest
            if link.is_by_name:
                before = parent.context_digest if session == parent.session_id else None
            if before:
                columns["context_digest"] = continue_digest(before, record.pieces)
        if parent is not None and link.is_by_name and row.previous_response_id is None:
            columns["question"] = row.question or parent.question  # it asks after what that began
            columns["requested_model"] = row.requested_model or parent.requested_model
        linked = msgspec.structs.replace(row, **columns)
        self._note(linked)
        return msgspec.structs.replace(
            record,
            exchange=linked,
            beginnings=(),
            pieces=None,
            answers=(),
            quotes=(),
            session_is_guessed=False,
        )

    def _find_link(self, record: Record) -> _Link:
        row = record.exchange
        link = self._links.get(row.exchange_id, _NO_LINK)
        if not link.is_certain:
            link = self._choose_parent(record)
            self._links[row.exchange_id] = link
            if len(self._links) > _MAX_LINKS:
                self._links.popitem(last=False)
        return link

    def _choose_parent(self, record: Record) -> _Link:
        row = record.exchange
        named: Turn | None = None
        for key in _list_keys(record):
            turn = self._turns.get(key)
            if turn is None or not _may_continue(record, key, turn):
                continue
            self._turns.move_to_end(key)
            if key.kind is not TurnKey.RESPONSE:
                return _Link(turn, is_by_name=False, is_certain=True)
            named = turn
            if turn.context_digest != EMPTY.digest:
                break
        is_certain = named is not None or row.state != State.OPEN
        return _Link(named, is_by_name=named is not None, is_certain=is_certain)

    def _note(self, row: ExchangeRow) -> None:
        turn = Turn(
            row.exchange_id,
            row.session_id,
            row.started_at,
            row.context_digest,
            row.question,
            row.requested_model,
        )
        for key in _list_own_keys(row):
            known = self._turns.get(key)
            if known is None or known.exchange_id == turn.exchange_id:
                self._turns[key] = turn
            elif key.kind is not TurnKey.RESPONSE and known.started_at <= turn.started_at:
                self._turns[key] = turn  # of a response the first has made it
            self._turns.move_to_end(key)
        while len(self._turns) > _MAX_TURNS:
            self._turns.popitem(last=False)

    def _ask_database(self, changes: Sequence[Change]) -> None:
        """Note the turns that these changes may continue, and which nobody here knows.

        What is in the database may be better than what is known here, but no worse is asked for.
        """
        unknown: dict[_Key, None] = {}
        coming: set[_Key] = set()
        for record in changes:
            if not isinstance(record, Record):
                continue
            if not self._links.get(record.exchange.exchange_id, _NO_LINK).is_certain:
                for key in _list_keys(record):
                    turn = self._turns.get(key)
                    if turn is None and key not in coming:
                        unknown[key] = None
                    elif key.kind is not TurnKey.RESPONSE or (
                        turn is not None and turn.context_digest != EMPTY.digest
                    ):
                        break
            coming.update(_list_own_keys(record.exchange))
        for kind in TurnKey:
            keys = [key for key in unknown if key.kind is kind]
            if keys:
                names = [(key.name, key.tenant) for key in keys]
                turns = self._store.find_turns(names, kind)
                self._turns.update((k, t) for k, t in zip(keys, turns, strict=True) if t)


def _choose_session(record: Record, link: _Link) -> str:
    """Return the session of an exchange; `docs/tables.md` has the order."""
    row = record.exchange
    continued = link.parent.session_id if link.parent is not None else None
    candidates = (
        None if record.session_is_guessed else row.session_id,
        row.conversation_id,
        continued if link.is_by_name else None,
        row.session_id,
        continued,
    )
    return next(filter(None, candidates), row.exchange_id)


def _may_continue(record: Record, key: _Key, turn: Turn) -> bool:
    """Return whether an exchange may continue the turn that has one of its keys."""
    row = record.exchange
    if turn.exchange_id == row.exchange_id:
        return False
    if key.kind is TurnKey.RESPONSE:
        return True
    if turn.started_at > row.started_at:
        return False  # nobody continues what comes later
    if key.kind is TurnKey.CONTEXT:
        return True
    is_recent = row.started_at - turn.started_at <= _MAX_AGE
    return is_recent and (key.name in record.answers or turn.session_id == row.session_id)


def _list_keys(record: Record) -> Iterator[_Key]:
    """Yield what the exchange may continue, the best first."""
    row = record.exchange
    if row.previous_response_id is not None:
        yield _Key(row.tenant_id, row.previous_response_id, TurnKey.RESPONSE)
    elif row.response_id is not None and not _creates(row):
        yield _Key(row.tenant_id, row.response_id, TurnKey.RESPONSE)
    for digest in record.beginnings:
        yield _Key(row.tenant_id, digest, TurnKey.CONTEXT)
    for digest in record.answers:
        yield _Key(row.tenant_id, digest, TurnKey.ANSWER)
    if row.session_id is not None and not record.session_is_guessed:
        for digest in record.quotes:
            yield _Key(row.tenant_id, digest, TurnKey.ANSWER)


def _list_own_keys(row: ExchangeRow) -> Iterable[_Key]:
    if row.context_digest is not None:
        yield _Key(row.tenant_id, row.context_digest, TurnKey.CONTEXT)
    if row.answer_digest is not None:
        yield _Key(row.tenant_id, row.answer_digest, TurnKey.ANSWER)
    if row.response_id is not None and _creates(row):
        yield _Key(row.tenant_id, row.response_id, TurnKey.RESPONSE)


def _creates(row: ExchangeRow) -> bool:
    """Return whether an exchange asked for a new response, and not for one that is there."""
    is_post = row.method == "POST" and not row.path.endswith("/cancel")
    return is_post or row.transport == Transport.WEBSOCKET.value
