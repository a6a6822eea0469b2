"""Exchanges a second with 16 connections at work all the time, and CPU time an exchange."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.results import Result, Results, Target
from benchmarks.rig import Rig
from benchmarks.settings import Settings
from benchmarks.sides import BARE, BARE_AGAIN, POWER, PROCESS, STREAMING, STREAMING_AGAIN, Side
from benchmarks.spread import ratios, spread
from benchmarks.windows import Windows, measure

JSON_TARGETS = {POWER: Target(0.85, 0.95), PROCESS: Target(0.85, 0.95)}
SSE_TARGETS = {POWER: Target(0.65, 0.80), PROCESS: Target(0.78, 0.90)}


def json_throughput(rig: Rig, settings: Settings) -> Results:
    """2 KB JSON, beside mitmdump without any addon."""
    yield from compare(rig, settings, "json", "JSON requests/s", (BARE, BARE_AGAIN), JSON_TARGETS)


def sse_throughput(rig: Rig, settings: Settings) -> Results:
    """Streams of 72 events, beside a pass-through stream callable."""
    base = (STREAMING, STREAMING_AGAIN)
    yield from compare(rig, settings, "sse=0,0", "SSE streams/s", base, SSE_TARGETS)


def compare(
    rig: Rig,
    settings: Settings,
    kind: str,
    what: str,
    base: tuple[Side, Side],
    targets: Mapping[Side, Target | None],
) -> Results:
    """Each side's windows over those of the first of `base`; the second is the A/A pair."""
    sides = [*base, *(targets if settings.addon else ())]
    with rig.proxies(*sides) as proxies, rig.connected(proxies, kind):
        found = measure(rig, proxies, settings)
    below = found[base[0].name]
    yield baseline(what, base[0], below)
    for side in sides[1:]:
        above = found[side.name]
        raw = above.as_dict()
        rate, cpu = ratios(above.rate, below.rate), ratios(above.cpu, below.cpu)
        label = f"{what}, {side.name} / {base[0].name}"
        yield Result(label, "x", spread(rate), targets.get(side), explain(above), raw)
        yield Result(f"CPU time of it, {side.name} / {base[0].name}", "x", spread(cpu))


def baseline(what: str, side: Side, windows: Windows) -> Result:
    """The rate of the first side, for the scale."""
    return Result(
        f"{what}, {side.name}",
        "/s",
        spread(windows.rate),
        None,
        explain(windows),
        windows.as_dict(),
    )


def explain(windows: Windows) -> str:
    """CPU per exchange of all who take part, and how long a client waits."""
    cpu, upstream, client = (
        spread(values).median * 1e6
        for values in (windows.cpu, windows.upstream_cpu, windows.client_cpu)
    )
    return (
        f"proxy {cpu:.0f} us CPU each at {spread(windows.busy).median:.0%} of a core, "
        f"{explain_later(windows)}upstream {upstream:.0f}, client {client:.0f}; "
        f"p50 {spread(windows.p50).median * 1e3:.1f} ms"
    ) + explain_server(windows)


def explain_later(windows: Windows) -> str:
    """CPU an exchange that the search index takes when the load is over; empty without one."""
    later = spread(windows.later_cpu).median * 1e6
    return f"{later:.0f} for the search index afterwards, " if later >= 1 else ""


def explain_server(windows: Windows) -> str:
    """CPU an exchange of a database server, and how far it was behind; empty without one."""
    if not any(windows.server_cpu):
        return ""
    cpu, behind = spread(windows.server_cpu).median * 1e6, spread(windows.behind).median
    return f"; PostgreSQL {cpu:.0f} us CPU each, {behind:.0f} records behind at a window's end"
