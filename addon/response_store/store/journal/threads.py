"""Threads of which a part, mostly the newest, still waits in the journal.

The journal finds a response by its id alone. So what a response continues is found there, and
what continues it is not: give the id of the newest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from response_store.store.journal.shelf import JournalShelf
from response_store.store.lookup import Found
from response_store.store.records import Record
from response_store.store.threads import DEPTH, Member

if TYPE_CHECKING:
    from collections.abc import Sequence

    from response_store.store.journal.reading import JournalReading
    from response_store.store.records import Change
    from response_store.store.threads import ThreadShelf


class JournalThreads(JournalShelf):
    """A journal, over the thread shelf that it is drained to, if that can be read."""

    def __init__(self, journal: JournalReading, below: ThreadShelf | None) -> None:
        super().__init__(journal, below)
        self._waiting = journal
        self._stored = below

    def older(self, tenant: str, response_id: str) -> list[str]:
        """What a response continues, and so on, wherever each link is."""
        names, seen = [response_id], {response_id}
        while len(names) <= DEPTH:
            links = self._previous(tenant, names[-1])
            fresh = [name for name in links if name not in seen]
            names += fresh
            seen.update(fresh)
            if not fresh or len(fresh) < len(links):  # the end, or a loop
                break
        return names[1 : DEPTH + 1]

    def newer(self, tenant: str, response_id: str) -> list[str]:
        return self._stored.newer(tenant, response_id) if self._stored else []

    def begun(self, tenant: str, conversation_id: str) -> list[tuple[str, float]]:
        return self._stored.begun(tenant, conversation_id) if self._stored else []

    def members(self, tenant: str, response_ids: Sequence[str]) -> dict[str, Member]:
        """What is known of each, as if the journal had been drained."""
        members = self._stored.members(tenant, response_ids) if self._stored else {}
        for name in response_ids:
            if self._waiting.find(tenant, name):
                known = members.pop(name, None)
                found = Found(self.standing(tenant, name), self.response(tenant, name))
                if found.exchange or found.response:
                    members[name] = Member(found, known.branches if known else ())
        return members

    def _previous(self, tenant: str, response_id: str) -> list[str]:
        """What a waiting response continues, else the links from there on that are stored."""
        for change in self._waiting.find(tenant, response_id):
            previous = _named(change)
            if previous is not None:
                return [previous]
        return self._stored.older(tenant, response_id) if self._stored else []


def _named(change: Change) -> str | None:
    return change.exchange.previous_response_id if isinstance(change, Record) else None
