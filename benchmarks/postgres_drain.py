"""Rows a second out of a filled journal into PostgreSQL, over those of pipelined inserts.

The same rows into the same schema on the same server, in batches of the same size. The driver gets
them as ready tuples; the drainer reads them in the journal, writes them so that a row may be there
already, and removes them from the journal. Both are timed until the last row is committed, and the
journal's side until the journal is empty.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.pipelined_driver import BATCH, TimedPipeline
from benchmarks.postgres import ROWS, Database, PostgresServer, postgres_server
from benchmarks.raw_driver import TABLES
from benchmarks.results import Result, Results
from benchmarks.rig import Rig
from benchmarks.rows import records
from benchmarks.settings import Settings
from benchmarks.spread import ratios, spread
from response_store.config import Durability
from response_store.config.addresses import Reach
from response_store.config.postgres_target import postgres_target
from response_store.counts import Counts
from response_store.faults import Faults
from response_store.store.drainer import Drainer, DrainLimits
from response_store.store.journal.file import JournalFile
from response_store.store.journal.inlet import Journal
from response_store.store.journal.outlet import Outlet
from response_store.store.postgres.store import PostgresStore
from response_store.store.records import Record

ROWS_A_SECOND = 4000
JOURNAL_BYTES = 1 << 30
DRAIN_SECONDS = 120.0
NAMES = ("driver", "driver again", "drainer")


class Gated(PostgresStore):
    """A store that opens no sooner than its gate: so a journal is full when draining begins."""

    def __init__(self, database: Database, gate: threading.Event) -> None:
        url, authority = database.url, str(database.authority)
        target = postgres_target(url, Reach.PRIVATE, ssl_root_cert=authority)
        super().__init__(target, TABLES, "benchmark")
        self._gate = gate

    def open(self) -> None:
        self._gate.wait()
        super().open()


class TimedDrainer:
    """A journal and its drainer, which tell how long records take from one end to the other."""

    def __init__(self, database: Database, path: Path) -> None:
        self._gate = threading.Event()
        file = JournalFile(path, max_bytes=JOURNAL_BYTES, durability=Durability.POWER)
        self._journal, counts = Journal(file), Counts()
        self._drainer = Drainer(
            Outlet(file),
            Gated(database, self._gate),
            counts=counts,
            faults=Faults(counts),
            limits=DrainLimits(records=BATCH),
        )
        self._journal.open()
        self._drainer.start()
        self._gate.set()
        self._drain()

    def seconds(self, batch: Sequence[Record]) -> float:
        self._gate.clear()
        for at in range(0, len(batch), BATCH):
            self._journal.write(batch[at : at + BATCH])
        start = time.perf_counter()
        self._journal.after_acknowledge()
        self._gate.set()
        self._drain()
        return time.perf_counter() - start

    def close(self) -> None:
        self._gate.set()
        self._drainer.close(10)
        self._journal.close()

    def _drain(self) -> None:
        if not self._drainer.drain(DRAIN_SECONDS):
            raise TimeoutError(f"not drained; the database: {self._drainer.health.error}")


def postgres_drain(rig: Rig, settings: Settings) -> Results:
    """The same rows into three databases, in turns there and back."""
    count = max(1, round(ROWS_A_SECOND * settings.seconds / BATCH)) * BATCH  # no part of a batch
    names = NAMES if settings.addon else NAMES[:2]
    rates: dict[str, list[float]] = {name: [] for name in names}
    with postgres_server(rig) as server:
        databases = {name: server.database() for name in names}
        with timed(databases, rig.folder / "journal.db") as sides:
            for number in range(settings.windows):
                batch = list(records(count, seed=number))
                for name in names if number % 2 == 0 else reversed(names):
                    rates[name].append(count / sides[name].seconds(batch))
        rig.complaints += missing(databases, count * settings.windows)
        note = told(server, rates["driver"])
    for name in names[1:]:
        raw = {"driver": rates["driver"], name: rates[name]}
        ratio = spread(ratios(rates[name], rates["driver"]))
        beside = f"{spread(rates[name]).median:,.0f} rows/s; {note}"
        yield Result(f"{name} / driver, rows/s, PostgreSQL", "x", ratio, None, beside, raw)


@contextmanager
def timed(
    databases: dict[str, Database], journal: Path
) -> Iterator[dict[str, TimedPipeline | TimedDrainer]]:
    """What is compared, each with a database of its own."""
    with ExitStack() as stack:
        found: dict[str, TimedPipeline | TimedDrainer] = {}
        for name, database in databases.items():
            is_driver = name != "drainer"
            found[name] = TimedPipeline(database) if is_driver else TimedDrainer(database, journal)
            stack.callback(found[name].close)
        yield found


def missing(databases: dict[str, Database], rows: int) -> Iterator[str]:
    """Every row has to be in each database, once."""
    for name, database in databases.items():
        found = database.row(ROWS)
        if set(found) != {rows}:
            yield f"{name}: {rows} rows, {found} in PostgreSQL"


def told(server: PostgresServer, driver: list[float]) -> str:
    """For the scale."""
    rate = spread(driver).median
    return f"driver {rate:,.0f} rows/s, batches of {BATCH}, PostgreSQL {server.version}"
