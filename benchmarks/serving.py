"""Answers from the store: how long a GET takes, and what GETs cost the capture beside them."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks import raw_driver
from benchmarks.getting import Getting, paced
from benchmarks.lookup import SMALL, fill
from benchmarks.payloads import response_id
from benchmarks.results import Result, Results, Target
from benchmarks.rig import Rig
from benchmarks.rows import records
from benchmarks.settings import Settings
from benchmarks.sides import BARE, BARE_AGAIN, Side
from benchmarks.spread import percentile, ratios, spread
from benchmarks.windows import Windows, one_window
from response_store.config import Durability
from response_store.model.records import Record

GETS_A_SECOND = 200  # requests of each proxy in a window of a second
PACE = 50.0  # GETs a second beside a capture
ITEMS = 10_000
PAGE = 100
SHARES = (0.5, 0.99)
TO_INDEX = 10_000  # rows
INDEX_SECONDS = 300.0  # that building the index may take
BESIDE_INDEX = Target(50.0, 20.0, higher_is_better=False)  # ms, p99


@dataclass(frozen=True)
class Serving(Side):
    """The addon answering from a database that is there already; nothing is captured."""

    more: str = "serve: only\n"

    def complaint(self, folder: Path, exchanges: int) -> str | None:
        return None


@dataclass(frozen=True)
class Asked:
    """A proxy and what is asked of it."""

    name: str
    getting: Getting
    ids: Sequence[str]

    def block(self, count: int, chance: random.Random) -> list[float]:
        """Seconds of so many GETs, each for an id by chance."""
        return [self.getting.get(one) for one in chance.choices(self.ids, k=count)]


def serving_get(rig: Rig, settings: Settings) -> Results:
    """GET by id in a small and in a large database, beside a GET that a bare proxy passes on."""
    small, large = (_filled(rig.folder, rows) for rows in (SMALL, settings.rows))
    count = max(20, int(GETS_A_SECOND * settings.seconds))
    names = [BARE.name, BARE_AGAIN.name]
    stored = {f"{SMALL:,} stored": small, f"{settings.rows:,} stored": large}
    if settings.addon:
        names += list(stored)
    with _asked(rig, stored if settings.addon else {}) as asked:
        blocks = _blocks(asked, count, settings.windows)
    bare, few, many = names[0], names[2] if settings.addon else "", names[-1]
    yield _scale(f"GET by id, {bare}", blocks[bare])
    for name in names[1:]:
        yield from _compared(f"GET by id, {name} / {bare}", blocks[name], blocks[bare])
    if settings.addon:
        yield from _compared(f"GET by id, {many} / {few}", blocks[many], blocks[few])


def serving_input_items(rig: Rig, settings: Settings) -> Results:
    """One page, first and last, of a response with very many input items."""
    path = rig.folder / "input-items.db"
    identifier = _with_items(path, ITEMS)
    first = f"{identifier}/input_items?limit={PAGE}&order=asc"
    pages = {"first page": first, "last page": f"{first}&after={_item_id(ITEMS - PAGE - 1)}"}
    count = max(10, int(GETS_A_SECOND * settings.seconds / 8))
    stored = {name: (path, [what]) for name, what in pages.items()}
    with _asked(rig, stored) as asked:
        blocks = _blocks(asked, count, settings.windows)
    bare = blocks.pop(BARE.name)
    yield _scale(f"input_items, {BARE.name}", bare)
    for name, found in blocks.items():
        yield from _compared(f"input_items of {ITEMS:,}, {name} / {BARE.name}", found, bare)


def serving_capture(rig: Rig, settings: Settings) -> Results:
    """JSON requests/s that are captured while GETs are answered, beside the same without GETs."""
    path = rig.folder / "capture-and-serve.db"
    ids = fill(path, SMALL)
    side = Side(
        "addon, serving",
        durability=Durability.PROCESS,
        more="serve: prefer\n",
        stored=path,
        rows=SMALL,
    )
    alone, again, beside = Windows(), Windows(), Windows()
    taken: list[float] = []
    with rig.proxies(side) as (proxy,), rig.connected([proxy], "json"):
        for number in range(settings.windows):
            order = (alone, beside, again) if number % 2 == 0 else (again, beside, alone)
            for windows in order:
                with ExitStack() as stack:
                    if windows is beside:
                        stack.enter_context(paced(proxy.port, ids, PACE, taken))
                    one_window(rig, proxy, settings.seconds, windows)
    yield Result("captured JSON requests/s, no GETs", "/s", spread(alone.rate), raw=alone.as_dict())
    yield Result(
        "captured JSON requests/s, no GETs again / no GETs",
        "x",
        spread(ratios(again.rate, alone.rate)),
    )
    note = (
        f"a GET took {percentile(taken, 0.5) * 1e3:.1f} ms (p50), "
        f"{percentile(taken, 0.99) * 1e3:.1f} ms (p99) beside {len(ids):,} ids"
    )
    yield Result(
        f"captured JSON requests/s, {PACE:.0f} GETs/s / no GETs",
        "x",
        spread(ratios(beside.rate, alone.rate)),
        note=note,
        raw=beside.as_dict(),
    )


def serving_indexing(rig: Rig, settings: Settings) -> Results:
    """GET by id while the search index of rows that were there is being built."""
    path = rig.folder / "serve-and-index.db"
    ids = fill(path, TO_INDEX)
    side = Serving("addon, serving", durability=Durability.PROCESS, stored=path)
    taken: list[float] = []
    with ExitStack() as stack:
        (proxy,) = stack.enter_context(rig.proxies(side))
        stack.enter_context(closing(Getting(proxy.port))).get(ids[0])  # it has started
        stack.enter_context(paced(proxy.port, ids, PACE, taken))
        deadline = time.monotonic() + INDEX_SECONDS
        while side.unindexed(proxy.folder):
            if time.monotonic() > deadline:
                raise RuntimeError(f"the index is not built after {INDEX_SECONDS:.0f} s")
            time.sleep(0.2)
    for share, target in zip(SHARES, (None, BESIDE_INDEX), strict=True):
        yield Result(
            f"GET by id, an index of {TO_INDEX:,} rows is built, p{share * 100:.0f}",
            "ms",
            spread([percentile(taken, share) * 1e3]),
            target,
            note=f"{len(taken):,} GETs, the slowest took {max(taken) * 1e3:.1f} ms",
            raw={"ms": [seconds * 1e3 for seconds in taken]},
        )


@contextmanager
def _asked(rig: Rig, stored: dict[str, tuple[Path, list[str]]]) -> Iterator[list[Asked]]:
    """Two bare proxies, and one of ours for each database, warm."""
    sides: list[Side] = [BARE, BARE_AGAIN]
    sides += [
        Serving(name, durability=Durability.PROCESS, stored=path)
        for name, (path, _) in stored.items()
    ]
    wanted = [[response_id(1).decode()]] * 2 + [ids for _, ids in stored.values()]
    with rig.proxies(*sides) as proxies, ExitStack() as stack:
        asked = [
            Asked(proxy.name, stack.enter_context(closing(Getting(proxy.port))), ids)
            for proxy, ids in zip(proxies, wanted, strict=True)
        ]
        for one in asked:
            one.block(50, random.Random(1))
        yield asked


def _blocks(asked: Sequence[Asked], count: int, windows: int) -> dict[str, list[list[float]]]:
    """Blocks of GETs, the proxies in turn there and back, so that drift falls on all alike."""
    chance = random.Random(7)
    found: dict[str, list[list[float]]] = {one.name: [] for one in asked}
    for number in range(windows):
        for one in asked if number % 2 == 0 else reversed(asked):
            found[one.name].append(one.block(count, chance))
    return found


def _scale(label: str, blocks: list[list[float]]) -> Result:
    return Result(label, "ms", spread([percentile(one, 0.5) * 1e3 for one in blocks]))


def _compared(label: str, above: list[list[float]], below: list[list[float]]) -> Results:
    for share in SHARES:
        one, other = ([percentile(block, share) for block in blocks] for blocks in (above, below))
        note = f"{spread(one).median * 1e3:.2f} ms, {spread(other).median * 1e3:.2f} ms"
        yield Result(
            f"{label}, p{share * 100:.0f}",
            "x",
            spread(ratios(one, other)),
            note=note,
            raw={"above_ms": [v * 1e3 for v in one], "below_ms": [v * 1e3 for v in other]},
        )


def _filled(folder: Path, rows: int) -> tuple[Path, list[str]]:
    path = folder / f"serving-{rows}.db"
    return path, fill(path, rows)


def _with_items(path: Path, count: int) -> str:
    """A database with one response whose input has so many items; returns its id."""
    (record,) = records(1, seed=count)
    assert record.response is not None
    items = json.dumps([_item(number) for number in range(count)])
    response = msgspec.structs.replace(record.response, input=items, messages=items)
    with raw_driver.database(path, Durability.PROCESS) as connection:
        raw_driver.write(connection, raw_driver.values([Record(record.exchange, response)]))
    return response.id


def _item_id(number: int) -> str:
    return f"msg_{number:048x}"


def _item(number: int) -> dict[str, object]:
    part = {"type": "input_text", "text": f"Question {number}: what does the fox do?"}
    return {"id": _item_id(number), "type": "message", "role": "user", "content": [part]}
