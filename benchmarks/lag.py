"""From the end of an exchange at its client until its row can be read in the database.

On an idle machine, one exchange after the other; then at half the rate that 16 connections reach.
Another process looks for rows and for nothing else (`watcher`).
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.control import Child
from benchmarks.proxy import Proxy
from benchmarks.results import Result, Results, Target
from benchmarks.rig import CONNECTIONS, Rig
from benchmarks.settings import Settings
from benchmarks.sides import PROCESS, Side
from benchmarks.spread import percentile, spread

IDLE_RATE = 20.0  # exchanges a second: each ends long before the next begins
PEAK_WINDOWS = 3
IDLE_P50 = Target(20.0, 10.0, higher_is_better=False)  # ms
IDLE_P99 = Target(100.0, 50.0, higher_is_better=False)
LOADED_P99 = Target(1000.0, 300.0, higher_is_better=False)
KINDS = {"JSON": "json", "SSE": "sse=0,0"}


def lag(rig: Rig, settings: Settings) -> Results:
    """SQLite, with the default durability."""
    if settings.addon:
        yield from measure(rig, settings, PROCESS, "SQLite")


def measure(
    rig: Rig, settings: Settings, side: Side, where: str, every: tuple[float, float] = (0.001, 0.01)
) -> Results:
    """Both kinds of load; `every` are the seconds between two looks, idle and loaded."""
    with rig.proxies(side) as (proxy,):
        for what, kind in KINDS.items():
            with rig.connected([proxy], kind, 1, warm_up=20):
                lags = at_rate(rig, proxy, IDLE_RATE, settings, every[0])
            yield result(f"{what}, {where}, idle, p50", lags, 0.5, IDLE_P50)
            yield result(f"{what}, {where}, idle, p99", lags, 0.99, IDLE_P99)
        for what, kind in KINDS.items():
            with rig.connected([proxy], kind, CONNECTIONS):
                rate = peak(rig, proxy, settings) / 2
                lags = at_rate(rig, proxy, rate, settings, every[1])
            label = f"{what}, {where}, {rate:.0f}/s, half of the peak"
            yield result(f"{label}, p50", lags, 0.5, None)
            yield result(f"{label}, p99", lags, 0.99, LOADED_P99)


def peak(rig: Rig, proxy: Proxy, settings: Settings) -> float:
    """Return the exchanges a second with all connections at work, the median of a few windows."""
    rates = []
    for _ in range(PEAK_WINDOWS):
        wanted = {"do": "window", "name": proxy.name, "seconds": settings.seconds}
        figures = rig.client(settings.seconds + 60, **wanted)
        rates.append(figures["done"] / figures["elapsed"])
        proxy.settle()
        proxy.rest()
    return spread(rates).median


def at_rate(
    rig: Rig, proxy: Proxy, rate: float, settings: Settings, every: float
) -> list[list[float]]:
    """Return the milliseconds of each exchange, in blocks as long as windows."""
    proxy.settle()
    proxy.rest()
    seconds = settings.windows * settings.seconds
    with Child("watcher") as watcher:
        watcher.ask(do="watch", database=proxy.side.connection_string(proxy.folder), every=every)
        wanted = {"do": "ends", "name": proxy.name, "rate": rate, "seconds": seconds}
        ends = rig.client(seconds + 60, **wanted)
        proxy.settle()
        seen = watcher.ask(do="seen")
    missing = ends.keys() - seen.keys()
    if missing:
        raise RuntimeError(f"{len(missing)} of {len(ends)} rows were never seen")
    lags = [(seen[response_id] - ended) * 1e3 for response_id, ended in ends.items()]
    size = max(1, len(lags) // settings.windows)
    return [lags[at : at + size] for at in range(0, len(lags), size)]


def result(
    what: str, blocks: Sequence[Sequence[float]], share: float, target: Target | None
) -> Result:
    """The median of the blocks; a p99 is that of all, as a block has too few for one."""
    lags = [one for block in blocks for one in block]
    by_block = [percentile(block, share) for block in blocks]
    found = spread(by_block if share == 0.5 else [percentile(lags, share)])
    note = f"{len(lags):,} exchanges, {max(lags):.1f} ms at most"
    return Result(f"row after its exchange, {what}", "ms", found, target, note, {"ms": by_block})
