"""A journal applied in this process: a bench for tests, with a real SQLite file."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from response_store.backends.base import Health, Store
from response_store.backends.registry import build_store
from response_store.config import Config
from response_store.diagnostics import Counters, ErrorReporter
from response_store.ingest.applier import Applier
from response_store.ingest.cleaning import SharedCleaned
from response_store.ingest.delivery import PendingChange
from response_store.journal.directory import JournalDirectory
from response_store.journal.frames import FrameKind
from tests.harness.database import write_empty
from tests.unit.ingest.proxy_side import ProxyJournal, end_frame, exchanges, make_config, rows


class Bench:
    """A proxy's journal, and what applies it. `crash` forgets all that is not on the disk."""

    def __init__(
        self, tmp_path: Path, text: str = "", *, url: str | None = None, **options: Any
    ) -> None:
        self.path = tmp_path / "responses.db"
        self.config = make_config(tmp_path, text, url=url)
        self.proxy = ProxyJournal(self.config, **options)
        self.counters = Counters()
        self.written: list[PendingChange] = []
        self.outstanding: set[int] | None = set()
        if url is None and not self.path.exists():
            write_empty(self.path)
        self.store = build_store(self.config)
        self.applier = self._applier(self.proxy.directory, self.config, self.store)

    def apply(self) -> None:
        """Apply all that is there, and write the position."""
        self.store.open()
        while self.applier.apply():
            pass
        self.applier.persist()

    def crash(self) -> None:
        """Begin again as a process does that was killed."""
        self.applier.close()
        self.store.close()
        self.store = build_store(self.config)
        self.applier = self._applier(self.proxy.directory, self.config, self.store)

    def end(self) -> bool:
        """Apply what a proxy has left behind that is gone; return whether the journal is."""
        self.proxy.close()
        assert self.proxy.directory.lock_reader()
        self.applier.lose_owner()
        self.apply()
        if self.applier.has_open:
            self.applier.interrupt_open()
            self.apply()
        return self.applier.finish()

    def clean(self, key: int) -> None:
        """Append a whole exchange to a cleaned segment."""
        seq = self.proxy.writer.next_seq()
        self.applier._cleaned.append(seq, FrameKind.END, key, *end_frame(key, alone=True))

    def states(self) -> dict[str, str]:
        """Return the state of each exchange in the database."""
        return exchanges(self.path)

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a statement."""
        return rows(self.path, statement, *values)

    def execute(self, statement: str) -> None:
        """Change the database behind the store's back."""
        with closing(sqlite3.connect(self.path)) as connection:
            connection.executescript(statement)

    def segments(self) -> list[str]:
        """Return the names of the journal's segments, and where each begins."""
        return [segment.name for segment in self.proxy.directory.segments()]

    def close(self) -> None:
        """Close everything."""
        self.applier.close()
        self.store.close()
        self.proxy.close()

    def _applier(self, directory: JournalDirectory, config: Config, store: Store) -> Applier:
        return Applier(
            directory,
            config,
            store,
            SharedCleaned(directory, config.durability),
            counters=self.counters,
            errors=ErrorReporter(self.counters),
            health=Health(time.monotonic),
            is_outstanding=self._is_outstanding,
            on_written=self._note,
        )

    def _is_outstanding(self, seq: int) -> bool:
        return seq in (self.outstanding or ())

    def _note(self, items: Sequence[PendingChange]) -> None:
        self.written += items
