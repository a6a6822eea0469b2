"""A journal, its two ends, and a drainer before a target that does what a test tells it to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from response_store.config import Durability
from response_store.counts import Counts
from response_store.faults import Faults
from response_store.store.backoff import Backoff
from response_store.store.base import Store
from response_store.store.drainer import Drainer, DrainLimits
from response_store.store.journal.file import JournalFile
from response_store.store.journal.inlet import Journal
from response_store.store.journal.outlet import Outlet
from response_store.store.records import Change, Record
from tests.harness.records import record
from tests.unit.store.scripted import PATIENT, ScriptedStore

MEGABYTE = 1024 * 1024


class Target(ScriptedStore):
    """A scripted store that keeps the changes as well."""

    def __init__(self) -> None:
        super().__init__()
        self.changes: list[Change] = []

    @property
    def records(self) -> list[Record]:
        """All that is no deletion."""
        return [change for change in self.changes if isinstance(change, Record)]

    def write(self, changes: Sequence[Change]) -> None:
        super().write(changes)
        self.changes += changes


class JournalBench:
    """One run of a proxy, as far as the journal is concerned."""

    def __init__(
        self,
        path: Path,
        *,
        max_bytes: int = 64 * MEGABYTE,
        durability: Durability = Durability.PROCESS,
        wall: Callable[[], float] = lambda: 1000.0,
    ) -> None:
        self.path = path
        self.counts = Counts()
        self.target = Target()
        self.drained: list[int] = []
        self.file = JournalFile(path, max_bytes=max_bytes, durability=durability)
        self.journal = Journal(self.file, wall=wall)
        self.outlet = Outlet(self.file, wall=wall)
        self.drainer: Drainer | None = None

    def open(self) -> JournalBench:
        self.journal.open()
        return self

    def write(self, *names: str, **columns: Any) -> None:
        """One batch, and what comes after the acknowledgement."""
        self.write_records(*[record(name, **columns) for name in names])

    def write_records(self, *changes: Change) -> None:
        self.journal.open()
        self.journal.write(changes)
        self.journal.after_acknowledge()

    def start(
        self,
        target: Store | None = None,
        *,
        pause: float = 0.0,
        gather: float = 0.0,
        batch: int = 200,
        batch_bytes: int = 8 * MEGABYTE,
        **how: Any,
    ) -> Drainer:
        """Start a drainer."""
        self.drainer = Drainer(
            self.outlet,
            target or self.target,
            counts=self.counts,
            faults=Faults(self.counts),
            limits=DrainLimits(batch, batch_bytes, gather),
            backoff=Backoff(first=pause, cap=pause, jitter=0.0),
            **({"on_drained": self.drained.append} | how),
        )
        self.drainer.start()
        return self.drainer

    def drain(self) -> None:
        """Wait until the journal is empty."""
        assert self.drainer is not None
        assert self.drainer.drain(PATIENT)

    def close(self) -> None:
        """End everything, in the order in which a proxy does."""
        self.target.may_go_on.set()
        self.journal.close()
        if self.drainer is not None:
            self.drainer.close(5)
            thread = self.drainer._thread
            assert thread is not None
            assert not thread.is_alive()
        self.outlet.close()
