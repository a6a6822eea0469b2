"""Get by id through the CLI's query: how much longer it takes in a thousand times more rows."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from benchmarks import raw_driver
from benchmarks.results import Result, Results, Target
from benchmarks.rig import Rig
from benchmarks.rows import TENANT, records
from benchmarks.settings import Settings
from benchmarks.spread import ratios, spread
from response_store.backends.registry import open_file
from response_store.config import Durability

TARGET = Target(2.2, 2.1, higher_is_better=False)
SMALL = 1000
BATCH = 1000
KNOWN = 10_000  # ids that are asked for
LOOKUPS_A_SECOND = 2000
TEXT = "A short answer."
RESPONSE = f"SELECT * FROM {raw_driver.TABLES.responses} WHERE tenant_id = ? AND id = ?"

Lookup = Callable[[str], object]


@dataclass(frozen=True)
class Database:
    """A filled database, opened, and the ids to look for."""

    lookups: dict[str, Lookup]
    ids: list[str]

    def seconds(self, name: str, count: int, chance: random.Random) -> float:
        """Mean time of a lookup."""
        wanted, lookup = chance.choices(self.ids, k=count), self.lookups[name]
        start = time.perf_counter()
        for identifier in wanted:
            found = lookup(identifier)
        seconds = time.perf_counter() - start
        assert found is not None
        return seconds / count


def lookup(rig: Rig, settings: Settings) -> Results:
    """`Query.find` as `show` uses it, `Query.response`, and the bare driver."""
    with database(rig.folder, SMALL) as small, database(rig.folder, settings.rows) as large:
        names = list(small.lookups)
        found = {name: [(0.0, 0.0)] * 0 for name in names}
        chance, count = random.Random(7), max(100, int(LOOKUPS_A_SECOND * settings.seconds))
        for number in range(settings.windows):
            for name in names if number % 2 == 0 else reversed(names):
                found[name].append(in_turns(small, large, name, count // 2, chance))
    for name, pairs in found.items():
        yield result(name, pairs, settings.rows)


def in_turns(
    small: Database, large: Database, name: str, count: int, chance: random.Random
) -> tuple[float, float]:
    """Mean seconds in the small and in the large database: small, large, large, small."""
    one = small.seconds(name, count, chance)
    other = large.seconds(name, count, chance) + large.seconds(name, count, chance)
    return (one + small.seconds(name, count, chance)) / 2, other / 2


def result(name: str, pairs: list[tuple[float, float]], rows: int) -> Result:
    """How many times longer, with the times in the note."""
    below, above = ([pair[place] for pair in pairs] for place in (0, 1))
    note = f"{spread(below).median * 1e6:.0f} us, {spread(above).median * 1e6:.0f} us"
    target = None if name == "bare SQLite" else TARGET
    label = f"get by id, {rows:,} rows / {SMALL:,}, {name}"
    ratio = spread(ratios(above, below))
    return Result(label, "x", ratio, target, note, {"small": below, "large": above})


@contextmanager
def database(folder: Path, rows: int) -> Iterator[Database]:
    """A database of so many short exchanges."""
    path = folder / f"lookup-{rows}.db"
    ids = fill(path, rows)
    with ExitStack() as stack:
        query = stack.enter_context(open_file(path, raw_driver.TABLES))
        bare = stack.enter_context(raw_driver.database(path, Durability.PROCESS))
        lookups: dict[str, Lookup] = {
            "find": lambda wanted: query.find(TENANT, wanted),
            "response": lambda wanted: query.response(TENANT, wanted),
            "bare SQLite": lambda wanted: bare.execute(RESPONSE, (TENANT, wanted)).fetchone(),
        }
        yield Database(lookups, ids)


def fill(path: Path, rows: int) -> list[str]:
    """Write the rows; return some of their ids, spread over all of them."""
    ids, step = [], max(1, rows // KNOWN)
    with raw_driver.database(path, Durability.PROCESS) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        made = records(rows, seed=rows, text=TEXT)
        while batch := list(islice(made, BATCH)):
            raw_driver.write(connection, raw_driver.values(batch))
            ids += [record.response.id for record in batch[::step] if record.response]
    return ids
