"""A store that is written while it is served: what was written before counts, committed or not."""

from __future__ import annotations

from typing import Protocol

from response_store.errors import PassingStoreError
from response_store.serving.stored import Found, Wanted

SETTLE_SECONDS = 1.5  # that a lookup waits for the writes before it
DELETE_SECONDS = 1.5


class Reads(Protocol):
    """Looks up what is committed, for one thread."""

    def find(self, tenant: str, response_id: str, wanted: Wanted) -> Found | None:
        """As `Stored.find`, of what is committed."""

    def close(self) -> None:
        """Let go of everything."""


class Writes(Protocol):
    """The way into the store, from any thread."""

    def settled(self, seconds: float) -> bool:
        """Wait until all that was handed over so far is committed or lost; False: it is not."""

    def delete(self, tenant: str, response_id: str, seconds: float) -> bool:
        """Delete, behind all that was handed over, and wait for the commit; False: not yet."""


class ServedStore:
    """`Stored`, for one thread."""

    def __init__(self, reads: Reads, writes: Writes) -> None:
        self._reads = reads
        self._writes = writes

    def find(self, tenant: str, response_id: str, wanted: Wanted) -> Found | None:
        if not self._writes.settled(SETTLE_SECONDS):
            raise PassingStoreError("what came last is not written yet: try again later")
        return self._reads.find(tenant, response_id, wanted)

    def delete(self, tenant: str, response_id: str) -> bool:
        if self.find(tenant, response_id, Wanted.PRESENCE) is None:
            return False
        if not self._writes.delete(tenant, response_id, DELETE_SECONDS):
            raise PassingStoreError("the deletion is not written yet: try again later")
        return True

    def close(self) -> None:
        """Let go of everything."""
        self._reads.close()
