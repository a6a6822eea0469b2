"""Handing a batch of journal entries to the database, so that each is written or buried.

What was written is removed from the journal at once, in the order in which it was taken out.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable

from response_store.counts import Counts
from response_store.errors import PassingStoreError, RowRefusedError, StoreError
from response_store.faults import Faults
from response_store.store.base import Store
from response_store.store.drain_batch import changes_of
from response_store.store.health import Health
from response_store.store.journal.entry import Entry, UnreadableEntryError
from response_store.store.journal.outlet import Outlet

logger = logging.getLogger(__name__)
_SUSPECTED = 5  # attempts that a row gets which fails in a way that nobody thought of


class UnexpectedError(PassingStoreError):
    """A row failed in a way that nobody thought of: a smaller batch would not help."""


class Delivery:
    """Delivers to one target. `on_settled` is called with the last entry of what is done with."""

    def __init__(
        self,
        outlet: Outlet,
        target: Store,
        *,
        health: Health,
        counts: Counts,
        faults: Faults,
        recorder_id: str | None,
        on_settled: Callable[[Entry], None],
    ) -> None:
        self._outlet = outlet
        self._target = target
        self._health = health
        self._counts = counts
        self._faults = faults
        self._recorder_id = recorder_id
        self._on_settled = on_settled
        self._reasons: set[str] = set()
        self._suspect = (0, 0)  # a sequence, and how often it failed

    def deliver(self, entries: list[Entry], given_up: Callable[[], bool]) -> None:
        """See entries through, the oldest ones of the journal. Raises StoreError to be tried again.

        What was settled before an error has left the journal.
        """
        readable: list[Entry] = []
        for entry in entries:
            reason = _unreadable(entry)
            if reason is None:
                readable.append(entry)
                continue
            self._deliver_readable(readable, given_up)  # first what stands before it
            if given_up():
                return
            readable = []
            self._bury(entry, reason)
        self._deliver_readable(readable, given_up)

    def _deliver_readable(self, entries: list[Entry], given_up: Callable[[], bool]) -> None:
        """Write a batch; where it holds a bad row, halve it until that one stands alone."""
        parts = [entries] if entries else []
        while parts and not given_up():
            part = parts.pop()
            try:
                self._write(part)
            except RowRefusedError as error:
                parts += self._halved(part, str(error))
            except StoreError:
                raise
            except Exception as error:  # noqa: BLE001 - a row of a kind that nobody thought of
                self._faults.report("drain", error)
                parts += self._halved_on_suspicion(part, type(error).__name__)
            else:
                self._note_success(part)

    def _write(self, part: list[Entry]) -> None:
        changes = changes_of(part, self._recorder_id, self._outlet.follows)
        self._health.busy()
        try:
            self._target.write(changes)
        finally:
            self._health.idle()

    def _halved(self, part: list[Entry], reason: str) -> list[list[Entry]]:
        """Both halves of a refused batch, the first one last; none of a row that stands alone."""
        if len(part) > 1:
            middle = len(part) // 2
            return [part[middle:], part[:middle]]
        self._bury(part[0], reason)
        return []

    def _halved_on_suspicion(self, part: list[Entry], kind: str) -> list[list[Entry]]:
        """As `_halved`, but a row alone may be innocent: it is tried again before it is buried."""
        if len(part) == 1:
            sequence, times = self._suspect
            times = times + 1 if sequence == part[0].sequence else 1
            self._suspect = part[0].sequence, times
            if times < _SUSPECTED:
                raise UnexpectedError(f"writing failed unexpectedly ({kind})")
        return self._halved(part, f"an error of its own ({kind})")

    def _bury(self, entry: Entry, reason: str) -> None:
        forgotten = self._outlet.bury(entry, reason)
        self._counts.add("dead_letters")
        if forgotten:
            self._counts.add("dropped.dead_letters_full", forgotten)
        if reason not in self._reasons:
            self._reasons.add(reason)
            logger.warning("response_store: a row was put with the dead letters: %s", reason)
        self._on_settled(entry)

    def _note_success(self, part: list[Entry]) -> None:
        self._health.committed()
        self._outlet.remove(part)
        self._counts.add("drained", len(part))
        self._on_settled(part[-1])
        with contextlib.suppress(StoreError):
            self._target.after_acknowledge()


def _unreadable(entry: Entry) -> str | None:
    """Why an entry can't be read, if so."""
    try:
        entry.change  # noqa: B018 - decodes it, once
    except UnreadableEntryError as error:
        return str(error)
    return None
