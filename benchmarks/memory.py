"""Resident memory after many exchanges, over that of a mitmdump without the addon."""

from __future__ import annotations

from benchmarks.proxy import Proxy
from benchmarks.results import Result, Results, Target
from benchmarks.rig import Rig
from benchmarks.settings import Settings
from benchmarks.sides import BARE, BARE_AGAIN, POWER, STREAMING, STREAMING_AGAIN, Side
from benchmarks.spread import spread

TARGET = Target(32.0, 16.0, higher_is_better=False)
MEGABYTE = 1e6
STEPS = 10
STREAMS_SHARE = 0.25  # a stream is as much work as three or four JSON exchanges


def memory(rig: Rig, settings: Settings) -> Results:
    """The same exchanges through each side; JSON, then streams."""
    yield from after(rig, "json", (BARE, BARE_AGAIN), settings.exchanges, settings)
    streams = int(settings.exchanges * STREAMS_SHARE)
    yield from after(rig, "sse=0,0", (STREAMING, STREAMING_AGAIN), streams, settings)


def after(
    rig: Rig, kind: str, base: tuple[Side, Side], exchanges: int, settings: Settings
) -> Results:
    """Megabytes over the first of `base` after so many exchanges of one kind."""
    sides = (*base, POWER) if settings.addon else base
    with rig.proxies(*sides) as proxies, rig.connected(proxies, kind):
        grown = {proxy.name: growth(rig, proxy, exchanges) for proxy in proxies}
    below = grown[base[0].name]
    for side in sides[1:]:
        above = grown[side.name]
        yield Result(
            f"memory after {exchanges:,} {'JSON' if kind == 'json' else 'SSE'}, {side.name}",
            "MB",
            spread([above[-1] - below[-1]]),
            TARGET if side.durability else None,
            f"{below[-1]:.0f} MB without, {above[-1]:.0f} MB with",
            {base[0].name: below, side.name: above},
        )


def growth(rig: Rig, proxy: Proxy, exchanges: int) -> list[float]:
    """Resident megabytes at the start and after each tenth of the exchanges."""
    found = [proxy.resident_bytes() / MEGABYTE]
    for _ in range(STEPS):
        count = max(1, exchanges // STEPS)
        rig.client(600.0, do="count", name=proxy.name, exchanges=count)
        found.append(proxy.resident_bytes() / MEGABYTE)
    return found
