"""The longest stall of the proxy's event loop while streams end and the database stands still.

Measured from inside the proxy (`scripts/loop_ticker.py`). Beside the frozen database: the same
streams with a database that works, and with no addon at all, twice: what a loop's longest gap is
anyway.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from benchmarks.control import Child
from benchmarks.places import PACKAGE_ROOT, SCRIPTS
from benchmarks.proxy import Proxy
from benchmarks.results import Result, Results, Target
from benchmarks.rig import Rig
from benchmarks.settings import Settings
from benchmarks.sides import PASS_THROUGH, Durability, Side
from benchmarks.spread import spread

TARGET = Target(40.0, 20.0, higher_is_better=False)
STREAMS = 8
STREAM_MS = 1000  # from the other events to the terminal one, which falls into the freeze
SETTLE_SECONDS = 1.0

TICKER = SCRIPTS / "loop_ticker.py"
SLOW_COMMIT = SCRIPTS / "slow_commit.py"
WITHOUT = Side("pass-through", (PASS_THROUGH, TICKER))
WITHOUT_AGAIN = Side("pass-through again", (PASS_THROUGH, TICKER))
WITH = Side("addon, power", (SLOW_COMMIT, TICKER), Durability.POWER)


def stall(rig: Rig, settings: Settings) -> Results:
    """No addon, no addon again, a working database, a locked one, one whose commit hangs."""
    for side in (WITHOUT, WITHOUT_AGAIN):
        with ticking(rig, side) as proxy:
            yield result(f"{side.name}", *gaps(rig, proxy, settings, nullcontext))
    if not settings.addon:
        return
    with ticking(rig, WITH) as proxy, Child("freezer") as freezer:
        database = WITH.database(proxy.folder)
        switch = slow_commit_switch(proxy.folder)
        seconds = settings.freeze_seconds
        yield result("addon, database works", *gaps(rig, proxy, settings, nullcontext))
        locked = gaps(rig, proxy, settings, lambda: write_lock(freezer, database))
        yield result("addon, database locked", *locked, TARGET)
        hung = gaps(rig, proxy, settings, lambda: slow_commit(switch, seconds))
        yield result("addon, commit hangs", *hung, TARGET)


def result(
    what: str, gaps: list[float], waits: list[float], target: Target | None = None
) -> Result:
    """Milliseconds; the worst of all freezes is in the note."""
    note = f"worst {max(gaps):.1f} ms; streams ended after {max(waits):.0f} ms at most"
    raw: dict[str, Any] = {"gaps_ms": gaps, "slowest_stream_ms": waits}
    return Result(f"longest loop stall, {what}", "ms", spread(gaps), target, note, raw)


@contextmanager
def ticking(rig: Rig, side: Side) -> Iterator[Proxy]:
    """A proxy with the ticker inside, and connections to it."""
    environment = {
        "BENCHMARK_TICKER_SOCKET": "ticker.sock",  # in the proxy's working directory
        "BENCHMARK_SLOW_COMMIT": "slow-commit",
        "PYTHONPATH": str(PACKAGE_ROOT),
    }
    with rig.proxy(side, environment=environment) as proxy:
        with rig.connected([proxy], f"sse=0,{STREAM_MS}", STREAMS, warm_up=STREAMS * 2):
            yield proxy


def gaps(
    rig: Rig, proxy: Proxy, settings: Settings, freeze: Any
) -> tuple[list[float], list[float]]:
    """The longest gap of each freeze, and what the slowest stream took; in milliseconds."""
    found, waits = [], []
    for _ in range(settings.freezes):
        rig.tell_client(do="burst", name=proxy.name)
        time.sleep(STREAM_MS / 2000)
        longest_gap(proxy)
        frozen: AbstractContextManager[None] = freeze()
        with frozen:
            time.sleep(settings.freeze_seconds)
        time.sleep(SETTLE_SECONDS)
        figures = rig.client_answer()
        found.append(longest_gap(proxy) * 1e3)
        waits.append(max(figures["total"]) * 1e3)
    return found, waits


def longest_gap(proxy: Proxy) -> float:
    """Seconds since the last question; asking starts a new measurement."""
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(10)
        asking.connect(str(proxy.folder / "ticker.sock"))
        return float(asking.makefile().readline())


@contextmanager
def write_lock(freezer: Child, database: Path) -> Iterator[None]:
    """Another process holds the database's write lock."""
    freezer.ask(do="hold", path=str(database))
    yield
    freezer.ask(do="release")


@contextmanager
def slow_commit(switch: Path, seconds: float) -> Iterator[None]:
    """Every commit that begins inside takes so long."""
    switch.write_text(str(seconds))
    yield
    switch.unlink()


def slow_commit_switch(folder: Path) -> Path:
    """The file that `scripts/slow_commit.py` looks at."""
    return folder / "slow-commit"
