"""An outage of PostgreSQL under a steady load: what the traffic, the memory and the rows say.

A lead, the outage, and some time after it in which the journal is applied while the load goes on.
Most answers are JSON, a tenth are streams. Each exchange is due at its time, whatever the others
take. Beside it the same load without the addon, twice. Two kinds of outage: the server is stopped,
so that it refuses connections, and it is frozen, so that it keeps them and says nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import journals, memory
from benchmarks.postgres import PostgresServer, PostgresSide, postgres_server
from benchmarks.proxy import Proxy
from benchmarks.results import Result, Results, Target
from benchmarks.rig import Rig
from benchmarks.settings import Settings
from benchmarks.sides import Side
from benchmarks.spread import percentile, spread
from benchmarks.stall import TARGET, TICKER, WITHOUT, WITHOUT_AGAIN, longest_gap
from response_store.config import Durability

SSE_SHARE = 0.1
SSE_CONNECTIONS = 8
STREAMS = " streams"
LEAD = 1 / 6  # of the outage
AFTER = 1 / 3
SAMPLE_SECONDS = 0.5
KINDS = {"stopped": ("stop", "start"), "frozen": ("freeze", "thaw")}


@dataclass
class Course:
    """What was seen of one proxy. Gaps and waits are milliseconds, sizes megabytes."""

    gap_before: float = 0.0
    gap_during: float = 0.0
    gap_after: float = 0.0
    resident: list[float] = field(default_factory=list)  # from the beginning of the outage on
    slowest: float = 0.0
    p99: float = 0.0
    exchanges: int = 0
    frames: int = 0  # that came during the outage
    journal: float = 0.0  # what the journal takes on the disk at its end
    applied: float = 0.0  # seconds from there until the database has all of them

    @property
    def grown(self) -> float:
        return max(self.resident) - self.resident[0]


def postgres_outage(rig: Rig, settings: Settings) -> Results:
    """No addon, no addon again, each kind of outage."""
    base = Course()
    for side in (WITHOUT, WITHOUT_AGAIN):
        with ticking(rig, side) as proxy:
            seen = course(rig, proxy, settings)
        if side is WITHOUT:
            base = seen
        else:
            yield stall_result(side.name, seen, base)
            yield memory_result(side.name, seen, base)
    if settings.addon:
        for kind in KINDS:
            with postgres_server(rig) as server:
                yield from outage(rig, settings, server, kind, base)


def outage(
    rig: Rig, settings: Settings, server: PostgresServer, kind: str, base: Course
) -> Results:
    """One outage of a server of its own."""
    side = PostgresSide(
        f"PostgreSQL {kind}",
        (TICKER,),
        Durability.PROCESS,
        server=server,
        target=server.database(),
    )
    with ticking(rig, side) as proxy:
        seen = course(rig, proxy, settings, KINDS[kind])
    seen.exchanges = rig.exchanges(proxy)
    yield stall_result(side.name, seen, base, TARGET)
    yield memory_result(side.name, seen, base, memory.TARGET)
    yield applied_result(side, seen, settings)
    yield once_result(side, proxy.folder, seen)


@contextmanager
def ticking(rig: Rig, side: Side) -> Iterator[Proxy]:
    """A proxy with the ticker inside, and connections for both kinds of answers."""
    socket = {"BENCHMARK_TICKER_SOCKET": "ticker.sock"}  # in the proxy's working directory
    with rig.proxy(side, environment=socket) as proxy:
        with (
            rig.connected([proxy], "json"),
            rig.connected([proxy], "sse=0,0", SSE_CONNECTIONS, label=STREAMS),
        ):
            yield proxy


def course(
    rig: Rig, proxy: Proxy, settings: Settings, kind: tuple[str, str] | None = None
) -> Course:
    """The whole course of one proxy; without a kind nothing happens to the database."""
    seen, seconds = Course(), settings.outage_seconds
    begin_load(rig, proxy, settings)
    longest_gap(proxy)
    watch(proxy, seconds * LEAD)
    seen.gap_before = longest_gap(proxy) * 1e3
    turn = turning(proxy, kind)
    turn(0)
    first = journals.last_seq(proxy.folder)
    seen.resident += watch(proxy, seconds)
    seen.gap_during = longest_gap(proxy) * 1e3
    last = journals.last_seq(proxy.folder)
    seen.frames, seen.journal = last - first, journals.bytes_on_disk(proxy.folder) / memory.MEGABYTE
    turn(1)
    until = time.monotonic() + seconds * AFTER
    if proxy.side.has_ingester:
        seen.applied = proxy.side.settle_through(proxy.folder, last)
    seen.resident += watch(proxy, max(0.0, until - time.monotonic()))
    end_load(rig, seen, settings)
    seen.gap_after = longest_gap(proxy) * 1e3
    return seen


def turning(proxy: Proxy, kind: tuple[str, str] | None) -> Callable[[int], None]:
    """Begins (0) and ends (1) the outage, where there is one."""
    side = proxy.side
    if kind is None or not isinstance(side, PostgresSide):
        return lambda _: None
    return lambda which: side.server.ask(kind[which])


def begin_load(rig: Rig, proxy: Proxy, settings: Settings) -> None:
    """Have the client ask at a steady rate, to the end of the course."""
    streams = settings.outage_rate * SSE_SHARE
    rates = {proxy.name: settings.outage_rate - streams, proxy.name + STREAMS: streams}
    rig.tell_client(do="pace", rates=rates, seconds=length(settings))


def end_load(rig: Rig, seen: Course, settings: Settings) -> None:
    """Wait for the last answer, and note how long they took."""
    figures: list[dict[str, Any]] = rig.client_answer(length(settings) + 60)
    waits = [wait * 1e3 for each in figures for wait in each["total"]]
    seen.slowest, seen.p99 = max(waits), percentile(waits, 0.99)


def length(settings: Settings) -> float:
    """Seconds of the whole course."""
    return settings.outage_seconds * (LEAD + 1 + AFTER)


def watch(proxy: Proxy, seconds: float) -> list[float]:
    """Let so much time pass; return the megabytes that the proxy had meanwhile."""
    until = time.monotonic() + seconds
    found = [proxy.resident_bytes() / memory.MEGABYTE]
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, SAMPLE_SECONDS))
        found.append(proxy.resident_bytes() / memory.MEGABYTE)
    return found


def stall_result(what: str, seen: Course, base: Course, target: Target | None = None) -> Result:
    """During the outage, over no addon; before and after it stand beside."""
    note = (
        f"{base.gap_during:.1f} ms without, {seen.gap_during:.1f} ms with; "
        f"{seen.gap_before:.1f} ms before, {seen.gap_after:.1f} ms after it; "
        f"answers: p99 {seen.p99:.1f} ms, slowest {seen.slowest:.0f} ms"
    )
    added, label = spread([seen.gap_during - base.gap_during]), f"stall added, outage, {what}"
    return Result(label, "ms", added, target, note, asdict(seen))


def memory_result(what: str, seen: Course, base: Course, target: Target | None = None) -> Result:
    """How much more it grew than without the addon."""
    note = f"grew {base.grown:.1f} MB without, {seen.grown:.1f} MB with"
    label = f"memory growth, outage, {what}"
    return Result(label, "MB", spread([seen.grown - base.grown]), target, note)


def applied_result(side: Side, seen: Course, settings: Settings) -> Result:
    """How long it took to apply what came meanwhile, while the load went on."""
    rate = seen.frames / seen.applied if seen.applied else 0.0
    note = (
        f"{seen.frames:,} frames, {seen.journal:.1f} MB in the journal; {rate:,.0f} frames/s, "
        "pause and connecting included"
    )
    label = f"applied after {settings.outage_seconds:g} s of outage, {side.name}"
    return Result(label, "s", spread([seen.applied]), None, note)


def once_result(side: PostgresSide, folder: Path, seen: Course) -> Result:
    """What share of the exchanges is in the database, each once; a complaint ends the run."""
    complaint = side.complaint(folder, seen.exchanges)
    (rows,) = side.target.row("SELECT count(*) FROM openai_exchanges")
    note = complaint or f"{seen.exchanges:,} exchanges, each with one row and one response"
    label = f"rows / exchanges at the end, {side.name}"
    return Result(label, "x", spread([rows / seen.exchanges]), None, note)
