"""Rows a second out of a journal, over those of the raw driver in batches of the same size.

The same rows into the same schema on the same disk. The driver gets them as ready tuples; the
ingester, a process of its own with its real loop, reads frames, reads the bodies in them, and
writes so that a row may be there already. All are timed until the last row is committed. The store
by itself gets ready records: what is left of the ingester when nothing has to be read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Protocol

from benchmarks import raw_driver
from benchmarks.frames import ends, records
from benchmarks.ingester_process import Ingester
from benchmarks.processes import cpu_seconds, peak_bytes
from benchmarks.results import Result, Results, Target
from benchmarks.rig import Rig
from benchmarks.settings import Settings
from benchmarks.sides import Side
from benchmarks.spread import ratios, spread
from response_store.backends.base import Checkpoint
from response_store.backends.registry import build_store
from response_store.config import Durability, load_config
from response_store.ingest.delivery import MAX_RECORDS
from response_store.model.records import Record

TARGET = Target(0.8, 0.9)
ROWS_A_SECOND = 4096
PROMPT = "acknowledge: database\n"  # so that it reports each commit
DRIVERS = ("driver", "driver again")
STORE, INGESTER = "store", "ingester"


class Writer(Protocol):
    """What writes records in batches, timed."""

    def seconds(self, records: Sequence[Record]) -> float: ...

    def close(self) -> None: ...


class SqliteDriver:
    """The standard library's."""

    def __init__(self, path: Path, durability: Durability) -> None:
        self._stack = ExitStack()
        self._connection = self._stack.enter_context(raw_driver.database(path, durability))

    def seconds(self, records: Sequence[Record]) -> float:
        size = MAX_RECORDS
        parts = [raw_driver.values(records[at : at + size]) for at in range(0, len(records), size)]
        start = time.perf_counter()
        for part in parts:
            raw_driver.write(self._connection, part)
        return time.perf_counter() - start

    def close(self) -> None:
        self._stack.close()


class StoreAlone:
    """The addon's own store, in this process."""

    def __init__(self, side: Side, folder: Path) -> None:
        folder.mkdir()
        self._store = build_store(load_config(side.configure(folder)))
        self._store.open()
        self._position = 0

    def seconds(self, records: Sequence[Record]) -> float:
        start = time.perf_counter()
        for at in range(0, len(records), MAX_RECORDS):
            batch, before = records[at : at + MAX_RECORDS], self._position or None
            self._position += len(batch)
            self._store.write(batch, Checkpoint(STORE, self._position, before))
            self._store.maintain()
        return time.perf_counter() - start

    def close(self) -> None:
        self._store.close()


def ingester(rig: Rig, settings: Settings) -> Results:
    """SQLite, both durabilities."""
    for durability in Durability:
        folder = rig.folder / f"ingester-{durability}"
        folder.mkdir()
        side = Side(INGESTER, durability=durability, more=PROMPT)
        writers: dict[str, Callable[[], Writer]] = {
            name: partial(SqliteDriver, folder / f"{name}.db", durability) for name in DRIVERS
        }
        writers[STORE] = partial(StoreAlone, side, folder / STORE)
        yield from compare(rig, settings, side, folder, writers, f"SQLite, {durability}")


def compare(
    rig: Rig,
    settings: Settings,
    side: Side,
    folder: Path,
    makers: Mapping[str, Callable[[], Writer]],
    where: str,
) -> Results:
    """The same rows several times, in turns there and back, each on a database of its own."""
    count = max(MAX_RECORDS, round(ROWS_A_SECOND * settings.seconds))
    names = [*makers, INGESTER] if settings.addon else [*DRIVERS]
    rates: dict[str, list[float]] = {name: [] for name in names}
    cpu: list[float] = []
    with opened(side, folder, makers) as (writers, process):
        if settings.addon:
            process.seconds(ends(MAX_RECORDS, seed=1 << 20))  # opens the database, too
        for number in range(settings.windows):
            frames = list(ends(count, seed=number))
            rows = list(records(frames, process.config, process.directory.journal_id))
            for name in names if number % 2 == 0 else reversed(names):
                before = cpu_seconds(process.pid)
                taken = process.seconds(frames) if name == INGESTER else writers[name].seconds(rows)
                rates[name].append(count / taken)
                if name == INGESTER:
                    cpu.append((cpu_seconds(process.pid) - before) / count)
            side.rest(folder)
        note = f"{explain(cpu, process)}; driver {spread(rates[DRIVERS[0]]).median:,.0f} rows/s"
    if settings.addon and (text := side.complaint(folder, MAX_RECORDS + count * settings.windows)):
        rig.complaints.append(f"{where}: {text}")
    yield from results(rates, where, note)


def results(rates: Mapping[str, list[float]], where: str, note: str) -> Results:
    """Each but the first over the first."""
    base, *others = rates
    for name in others:
        target = TARGET if name == INGESTER else None
        rate = spread(ratios(rates[name], rates[base]))
        beside = f"{spread(rates[name]).median:,.0f} rows/s; {note}, batches of {MAX_RECORDS}"
        raw = {base: rates[base], name: rates[name]}
        yield Result(f"{name} / {base}, rows/s, {where}", "x", rate, target, beside, raw)


def explain(cpu: Sequence[float], process: Ingester) -> str:
    """What the process takes; where it did nothing, nothing."""
    if not cpu:
        return "no ingester"
    peak = peak_bytes(process.pid) / 1e6
    return f"ingester {spread(cpu).median * 1e6:.0f} us CPU each, {peak:.0f} MB at most"


@contextmanager
def opened(
    side: Side, folder: Path, makers: Mapping[str, Callable[[], Writer]]
) -> Iterator[tuple[dict[str, Writer], Ingester]]:
    """What is compared, each with a database of its own."""
    with ExitStack() as stack:
        writers = {name: make() for name, make in makers.items()}
        for one in writers.values():
            stack.callback(one.close)
        process = Ingester(side.configure(folder))
        stack.callback(process.close)
        yield writers, process
