"""Link exchanges: which one an exchange continues, and which session both belong to.

What is continued is named by the request (a previous response), or known by content: an earlier
exchange whose input and answer are the beginning of this input (`openai_api/context.py`). Where
nothing is found an exchange begins a session, which has its id.

The parent may be in the same batch, among those that were linked last, or in the database, which is
asked for what is left of a batch at once. Linking a batch anew, as after an error, gives the same.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from response_store.backends.base import Store, Turn
from response_store.model.records import Change, ExchangeRow, Record, Transport

_MAX_TURNS = 20_000
_MAX_ASKED = 8  # beginnings of one input that the database is asked for


class _Key(NamedTuple):
    """What a turn is found by: the digest of its context, or the id of its response."""

    tenant: str
    name: str
    is_response: bool


class Lineage:
    """Links what one journal brings. For one thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._turns: OrderedDict[_Key, Turn] = OrderedDict()

    def link(self, changes: Sequence[Change]) -> list[Change]:
        """Return changes whose exchanges have their parent and session. Raises StoreError."""
        self._ask_database(changes)
        return [self._link(one) if isinstance(one, Record) else one for one in changes]

    def _link(self, record: Record) -> Record:
        row = record.exchange
        parent = next((turn for key in _list_keys(record) if (turn := self._turns.get(key))), None)
        if parent is not None and parent.exchange_id == row.exchange_id:
            parent = None
        session = row.session_id or row.conversation_id or (parent.session_id if parent else None)
        linked = msgspec.structs.replace(
            row,
            session_id=session or row.exchange_id,
            parent_exchange_id=parent.exchange_id if parent else None,
        )
        self._note(linked)
        return msgspec.structs.replace(record, exchange=linked, beginnings=())

    def _note(self, row: ExchangeRow) -> None:
        turn = Turn(row.exchange_id, row.session_id)
        for key in _list_own_keys(row):
            if key.is_response:
                self._turns.setdefault(key, turn)  # the first has made it
            else:
                self._turns[key] = turn
        while len(self._turns) > _MAX_TURNS:
            self._turns.popitem(last=False)

    def _ask_database(self, changes: Sequence[Change]) -> None:
        """Note the turns that these changes may continue, and which nobody here knows."""
        unknown: dict[_Key, None] = {}
        coming: set[_Key] = set()
        for record in changes:
            if not isinstance(record, Record):
                continue
            keys = list(_list_keys(record))
            if not any(key in self._turns or key in coming for key in keys):
                unknown.update(dict.fromkeys(keys[:_MAX_ASKED]))
            coming.update(_list_own_keys(record.exchange))
        for is_response in (False, True):
            keys = [key for key in unknown if key.is_response is is_response]
            if keys:
                names = [(key.name, key.tenant) for key in keys]
                turns = self._store.find_turns(names, by_response=is_response)
                self._turns.update((k, t) for k, t in zip(keys, turns, strict=True) if t)


def _list_keys(record: Record) -> Iterator[_Key]:
    """Yield what the exchange may continue, the best first."""
    row = record.exchange
    if row.previous_response_id is not None:
        yield _Key(row.tenant_id, row.previous_response_id, is_response=True)
    elif row.response_id is not None and not _creates(row):
        yield _Key(row.tenant_id, row.response_id, is_response=True)
    for digest in record.beginnings:
        yield _Key(row.tenant_id, digest, is_response=False)


def _list_own_keys(row: ExchangeRow) -> Iterable[_Key]:
    if row.context_digest is not None:
        yield _Key(row.tenant_id, row.context_digest, is_response=False)
    if row.response_id is not None and _creates(row):
        yield _Key(row.tenant_id, row.response_id, is_response=True)


def _creates(row: ExchangeRow) -> bool:
    """Return whether an exchange asked for a new response, and not for one that is there."""
    is_post = row.method == "POST" and not row.path.endswith("/cancel")
    return is_post or row.transport == Transport.WEBSOCKET.value
