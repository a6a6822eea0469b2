"""The longest stall of the proxy's event loop that the addon adds, while streams end.

Measured from inside the proxy (`scripts/loop_ticker.py`), beside a proxy whose hooks do nothing.
What happens meanwhile: nothing; the database is locked by another program; the ingester stands
still; a request, an answer or a stream of megabytes passes; the search index of 10,000 rows is
being built.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeAlias

from benchmarks.control import Child
from benchmarks.lookup import fill
from benchmarks.places import SCRIPTS
from benchmarks.proxy import Proxy
from benchmarks.results import Result, Results, Target
from benchmarks.rig import Rig
from benchmarks.settings import Settings
from benchmarks.sides import EMPTY, EMPTY_HOOKS, POWER, PROCESS, Side, older
from benchmarks.spread import spread

TARGET = Target(10.0, 5.0, higher_is_better=False)  # ms
STREAMS = 8
STREAM_MS = 1000  # from the other events to the terminal one, which falls into what happens
SETTLE_SECONDS = 1.0
TO_INDEX = 10_000
LARGE = {"a request": "upload", "an answer": "download", "a stream": "flood"}
TICKER = SCRIPTS / "loop_ticker.py"
WITHOUT = Side(EMPTY.name, (EMPTY_HOOKS, TICKER))
WITHOUT_AGAIN = Side(f"{EMPTY.name} again", (EMPTY_HOOKS, TICKER))

Happening: TypeAlias = Callable[[Proxy], None]


@dataclass
class Gaps:
    """The longest gap of each burst of streams, and the slowest stream; milliseconds."""

    longest: list[float] = field(default_factory=list)
    slowest: list[float] = field(default_factory=list)


def stall(rig: Rig, settings: Settings) -> Results:
    """The addon, new and older, while each of these happens."""
    yield from beside_frozen_database(rig, settings)
    yield from beside_large_bodies(rig, settings)
    if settings.addon:
        yield from beside_indexing(rig, settings)


def beside_frozen_database(rig: Rig, settings: Settings) -> Results:
    """8 streams end while the database, or who writes it, stands still."""
    with Child("freezer") as freezer, ticking(rig, *sides(settings)) as proxies:
        seconds = settings.freeze_seconds
        happenings: dict[str, Happening] = {
            "nothing happens": partial(nothing, seconds),
            "the database is locked": partial(locked, freezer, seconds),
            "the ingester is stopped": partial(stopped, seconds),
        }
        yield from compare(rig, settings, proxies, happenings)


def beside_large_bodies(rig: Rig, settings: Settings) -> Results:
    """8 streams end while a body of megabytes passes."""
    size = settings.large_mb
    for what, name in LARGE.items():
        with Child("client") as heavy, ticking(rig, *sides(settings)) as proxies:
            for proxy in proxies:
                where = {"name": proxy.name, "port": proxy.port, "kind": f"{name}={size}"}
                heavy.ask(60.0, do="open", connections=1, **where)
            happening = partial(passing, rig, heavy)
            yield from compare(rig, settings, proxies, {f"{what} of {size} MB": happening})
            for proxy in proxies:
                heavy.ask(do="close", name=proxy.name)


def beside_indexing(rig: Rig, settings: Settings) -> Results:
    """8 streams end while the search index of rows that were there is being built."""
    path = rig.folder / "to-index.db"
    fill(path, TO_INDEX)
    gaps: dict[Side, Gaps] = {}
    new = [side for side in addon_sides(settings) if side.has_ingester]  # older ones refuse it
    for side in (WITHOUT, *new, WITHOUT_AGAIN):
        tried = replace(side, stored=path.with_name(f"{side.name}.db"), rows=TO_INDEX)
        assert tried.stored
        shutil.copy(path, tried.stored)
        with ticking(rig, tried) as (proxy,):
            gaps[side] = Gaps()
            for _ in range(settings.freezes):
                one_burst(rig, proxy, partial(nothing, 0.0), gaps[side])
                if side.durability and not proxy.side.unindexed(proxy.folder):
                    rig.complaints.append(f"{side.name}: the index was built before streams ended")
    yield from results(f"an index of {TO_INDEX:,} rows is built", gaps)


def sides(settings: Settings) -> list[Side]:
    """Return the A/A pair and the addon, all with the ticker inside."""
    return [WITHOUT, WITHOUT_AGAIN, *(addon_sides(settings) if settings.addon else [])]


def addon_sides(settings: Settings) -> list[Side]:
    return [replace(side, scripts=(TICKER,)) for side in (PROCESS, POWER, *older(settings.against))]


@contextmanager
def ticking(rig: Rig, *sides: Side) -> Iterator[list[Proxy]]:
    """Live proxies with the ticker inside, and connections to them."""
    environment = {"BENCHMARK_TICKER_SOCKET": "ticker.sock"}  # in the proxy's working directory
    with rig.proxies(*sides, environment=environment) as proxies:
        kind = f"sse=0,{STREAM_MS}"
        with rig.connected(proxies, kind, STREAMS, warm_up=STREAMS * 2):
            yield proxies


def compare(
    rig: Rig, settings: Settings, proxies: Sequence[Proxy], happenings: dict[str, Happening]
) -> Results:
    """Bursts of streams on each proxy in turn, there and back, for everything that happens."""
    for what, happening in happenings.items():
        concerned = [p for p in proxies if p.side.has_ingester or "ingester" not in what]
        gaps = {proxy.side: Gaps() for proxy in [*proxies[:2], *concerned]}
        for number in range(settings.freezes):
            order = [*gaps] if number % 2 == 0 else [*reversed(gaps)]
            for side in order:
                (proxy,) = (each for each in proxies if each.side == side)
                one_burst(rig, proxy, happening, gaps[side])
                proxy.settle()
                proxy.rest()
        yield from results(what, gaps)


def one_burst(rig: Rig, proxy: Proxy, happening: Happening, into: Gaps) -> None:
    """Have 8 streams end while something happens; note the longest gap of the event loop."""
    rig.tell_client(do="burst", name=proxy.name)
    time.sleep(STREAM_MS / 2000)
    longest_gap(proxy)
    happening(proxy)
    time.sleep(SETTLE_SECONDS)
    figures = rig.client_answer()
    into.longest.append(longest_gap(proxy) * 1e3)
    into.slowest.append(max(figures["total"]) * 1e3)


def results(what: str, gaps: dict[Side, Gaps]) -> Results:
    """What each side's longest gaps have over those of the first side, pair by pair."""
    base, *others = gaps
    below = gaps[base].longest
    for side in others:
        found = gaps[side]
        added = [one - other for one, other in zip(found.longest, below, strict=True)]
        note = (
            f"{spread(below).median:.1f} ms without, {spread(found.longest).median:.1f} ms with; "
            f"worst {max(below):.1f}, {max(found.longest):.1f} ms; "
            f"streams ended after {max(found.slowest):.0f} ms at most"
        )
        label = f"stall added, {what}, {side.name}"
        is_asked_for = side.has_ingester and what != "nothing happens"
        raw = {"without_ms": below, "with_ms": found.longest, "slowest_stream_ms": found.slowest}
        yield Result(label, "ms", spread(added), TARGET if is_asked_for else None, note, raw)


def longest_gap(proxy: Proxy) -> float:
    """Return the longest gap in seconds since the last call; a new measurement starts."""
    with socket.socket(socket.AF_UNIX) as ticker:
        ticker.settimeout(10)
        ticker.connect(str(proxy.folder / "ticker.sock"))
        return float(ticker.makefile().readline())


def nothing(seconds: float, _: Proxy) -> None:
    """So many seconds pass."""
    time.sleep(seconds)


def locked(freezer: Child, seconds: float, proxy: Proxy) -> None:
    """Another process holds the database's write lock, where there is a database."""
    if proxy.side.durability:
        freezer.ask(do="hold", path=str(proxy.side.database(proxy.folder)))
    time.sleep(seconds)
    if proxy.side.durability:
        freezer.ask(do="release")


def stopped(seconds: float, proxy: Proxy) -> None:
    """The ingester gets no processor, where there is one."""
    with ExitStack() as stack:
        if ingester := proxy.ingester:
            os.kill(ingester, signal.SIGSTOP)
            stack.callback(os.kill, ingester, signal.SIGCONT)
        time.sleep(seconds)


def passing(rig: Rig, heavy: Child, proxy: Proxy) -> None:
    """A large body passes on a connection of its own."""
    heavy.ask(120.0, do="burst", name=proxy.name)
    rig.count(proxy, 1)
