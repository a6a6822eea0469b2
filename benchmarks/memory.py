"""Resident memory after many exchanges: the proxy's over no addon, the ingester's whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmarks.processes import peak_bytes, resident_bytes
from benchmarks.proxy import Proxy
from benchmarks.results import Result, Results, Target
from benchmarks.rig import Rig
from benchmarks.settings import Settings
from benchmarks.sides import BARE, BARE_AGAIN, PROCESS, STREAMING, STREAMING_AGAIN, Side, older
from benchmarks.spread import spread
from response_store.config import Durability

TARGET = Target(16.0, 8.0, higher_is_better=False)  # MB over no addon
INGESTER_TARGET = Target(80.0, 60.0, higher_is_better=False)  # MB
MEGABYTE = 1e6
STEPS = 10
STREAMS_SHARE = 0.25  # a stream is as much work as three or four JSON exchanges


@dataclass
class Growth:
    """Megabytes at the start and after each tenth of the exchanges; of the ingester also its peak.

    The ingester's are taken as they are then: it may be behind.
    """

    proxy: list[float] = field(default_factory=list)
    ingester: list[float] = field(default_factory=list)
    peak: float = 0.0


def memory(rig: Rig, settings: Settings) -> Results:
    """The same exchanges through each side; JSON, then streams."""
    yield from after(rig, "json", (BARE, BARE_AGAIN), settings.exchanges, settings)
    streams = int(settings.exchanges * STREAMS_SHARE)
    yield from after(rig, "sse=0,0", (STREAMING, STREAMING_AGAIN), streams, settings)


def after(
    rig: Rig, kind: str, base: tuple[Side, Side], exchanges: int, settings: Settings
) -> Results:
    """Megabytes over the first of `base` after so many exchanges of one kind."""
    sides = [
        *base,
        *([PROCESS, *older(settings.against, Durability.PROCESS)] if settings.addon else []),
    ]
    with rig.proxies(*sides) as proxies, rig.connected(proxies, kind):
        grown = {proxy.side: growth(rig, proxy, exchanges) for proxy in proxies}
    yield from results(f"{exchanges:,} {'JSON' if kind == 'json' else 'SSE'}", grown)


def results(what: str, grown: Mapping[Side, Growth]) -> Results:
    """Each side's proxy over that of the first one, and ingesters as they are."""
    base, *others = grown.items()
    below = base[1].proxy
    for side, found in others:
        above, target = found.proxy, TARGET if side.has_ingester else None
        note = f"{below[-1]:.0f} MB without, {above[-1]:.0f} MB with; {above[0]:.0f} at the start"
        label, raw = f"memory after {what}, {side.name}", {base[0].name: below, side.name: above}
        yield Result(label, "MB", spread([above[-1] - below[-1]]), target, note, raw)
        if side.has_ingester:
            label, whole = f"memory of the ingester after {what}, {side.name}", found.ingester
            note = f"{whole[0]:.0f} MB at the start, {found.peak:.0f} MB at most"
            yield Result(
                label, "MB", spread([whole[-1]]), INGESTER_TARGET, note, {"megabytes": whole}
            )


def growth(rig: Rig, proxy: Proxy, exchanges: int) -> Growth:
    """Look at the memory at the start and after each tenth of the exchanges."""
    found = Growth()
    note(proxy, found)
    for _ in range(STEPS):
        count = max(1, exchanges // STEPS)
        rig.client(600.0, do="count", name=proxy.name, exchanges=count)
        note(proxy, found)
    return found


def note(proxy: Proxy, into: Growth) -> None:
    """Add what a proxy and its ingester have now."""
    into.proxy.append(proxy.resident_bytes() / MEGABYTE)
    if ingester := proxy.ingester:
        into.ingester.append(resident_bytes(ingester) / MEGABYTE)
        into.peak = peak_bytes(ingester) / MEGABYTE
