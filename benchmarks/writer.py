"""Rows a second through the writer, over those of the raw driver in batches of the same size.

Both take ready rows (the writer records, the driver tuples) into the same schema on the same
disk, and both are timed until the last row is committed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import raw_driver
from benchmarks.results import Result, Results, Target
from benchmarks.rig import Rig
from benchmarks.rows import records
from benchmarks.settings import Settings
from benchmarks.spread import ratios, spread
from response_store.config import Durability, SqliteTarget
from response_store.counts import Counts
from response_store.faults import Faults
from response_store.store.intake import Limits
from response_store.store.records import Record
from response_store.store.sqlite.store import SqliteStore
from response_store.store.ticket import Ticket
from response_store.store.writer import Writer

TARGET = Target(0.6, 0.8)
ROWS_A_SECOND = 4096
BATCH = Limits().batch_records


@dataclass(frozen=True, slots=True)
class Ready:
    """A payload that needs no building."""

    record: Record
    size: int = 4096


class TimedWriter:
    """A writer that tells how long a list of records takes until all are settled."""

    def __init__(self, path: Path, durability: Durability) -> None:
        counts = Counts()
        store = SqliteStore(SqliteTarget(path), raw_driver.TABLES, durability, "benchmark")
        self._writer = Writer[Ready](
            store,
            lambda ready: ready.record,
            counts=counts,
            faults=Faults(counts),
            on_settled=self._settled,
        )
        self._left = 0
        self._done = threading.Event()
        self._writer.start()

    def _settled(self, tickets: list[Ticket[Ready]]) -> None:
        self._left -= len(tickets)
        if not self._left:
            self._done.set()

    def seconds(self, batch: list[Record]) -> float:
        ready = [Ready(record) for record in batch]
        self._left = len(batch)
        self._done.clear()
        start = time.perf_counter()
        for one in ready:
            self._writer.submit(one)
        if not self._done.wait(60):
            raise TimeoutError("the writer did not finish")
        return time.perf_counter() - start

    def close(self) -> None:
        self._writer.close(10)


class TimedDriver:
    """The raw driver, timed the same way."""

    def __init__(self, path: Path, durability: Durability) -> None:
        self._stack = ExitStack()
        self._connection = self._stack.enter_context(raw_driver.database(path, durability))

    def seconds(self, batch: list[Record]) -> float:
        parts = [raw_driver.values(batch[at : at + BATCH]) for at in range(0, len(batch), BATCH)]
        start = time.perf_counter()
        for part in parts:
            raw_driver.write(self._connection, part)
        return time.perf_counter() - start

    def close(self) -> None:
        self._stack.close()


def writer(rig: Rig, settings: Settings) -> Results:
    """Both durabilities, with the driver against itself."""
    for durability in Durability:
        yield from compare(rig.folder, durability, settings)


def compare(folder: Path, durability: Durability, settings: Settings) -> Results:
    """The same rows into three databases, in turns there and back."""
    count = max(BATCH, int(ROWS_A_SECOND * settings.seconds))
    rates: dict[str, list[float]] = {"driver": [], "driver again": [], "writer": []}
    with sides(folder, durability) as timed:
        for number in range(settings.windows):
            batch = list(records(count, seed=number))
            names = list(rates) if number % 2 == 0 else list(reversed(rates))
            for name in names:
                rates[name].append(count / timed[name].seconds(batch))
    base = rates["driver"]
    note = f"driver {spread(base).median:,.0f} rows/s, batches of {BATCH}"
    for name in ("driver again", "writer"):
        target = TARGET if name == "writer" else None
        raw = {"driver": base, name: rates[name]}
        label = f"{name} / driver, rows/s, {durability}"
        yield Result(label, "x", spread(ratios(rates[name], base)), target, note, raw)


@contextmanager
def sides(folder: Path, durability: Durability) -> Iterator[dict[str, TimedDriver | TimedWriter]]:
    """What is compared, each on a fresh file."""
    with ExitStack() as stack:
        found: dict[str, TimedDriver | TimedWriter] = {}
        for name, kind in (
            ("driver", TimedDriver),
            ("driver again", TimedDriver),
            ("writer", TimedWriter),
        ):
            found[name] = kind(folder / f"{name} {durability}.db", durability)
            stack.callback(found[name].close)
        yield found
