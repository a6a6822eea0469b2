"""Exchanges a second with 16 connections at work all the time, and CPU time an exchange.

Sides are compared in groups, each with a base and an A/A pair of its own: the fewer live side by
side, the nearer in time are the windows that are divided by each other.
"""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.results import Result, Results, Target
from benchmarks.rig import Rig
from benchmarks.settings import Settings
from benchmarks.sides import (
    BARE,
    BARE_AGAIN,
    EMPTY,
    EMPTY_ASYNC,
    POWER,
    PROCESS,
    REDACT,
    STREAMING,
    STREAMING_AGAIN,
    Side,
    older,
)
from benchmarks.spread import ratios, spread
from benchmarks.windows import Windows, measure

Targets = Mapping[Side, Target | None]
JSON_TARGETS = {PROCESS: Target(0.90, 0.95), POWER: Target(0.88, 0.93)}
SSE_TARGETS = {PROCESS: Target(0.93, 0.97), POWER: Target(0.75, 0.80)}
JSON_REDACTED = {REDACT: Target(0.80, 0.88)}
SSE_REDACTED = {REDACT: Target(0.75, 0.85)}
FLOOR: dict[Side, Target | None] = {EMPTY: None, EMPTY_ASYNC: None}


def json_throughput(rig: Rig, settings: Settings) -> Results:
    """2 KB JSON, beside mitmdump without any addon."""
    base = (BARE, BARE_AGAIN)
    for targets in groups(settings, JSON_TARGETS, JSON_REDACTED):
        yield from compare(rig, settings, "json", "JSON requests/s", base, targets)


def sse_throughput(rig: Rig, settings: Settings) -> Results:
    """Streams of 72 events, beside a pass-through stream callable."""
    base = (STREAMING, STREAMING_AGAIN)
    for targets in groups(settings, SSE_TARGETS, SSE_REDACTED):
        yield from compare(rig, settings, "sse=0,0", "SSE streams/s", base, targets)


def groups(settings: Settings, ours: Targets, redacted: Targets) -> list[Targets]:
    """Return what lives side by side: the addon, new and older; then what explains its figures."""
    if not settings.addon:
        return [{}]
    return [{**ours, **dict.fromkeys(older(settings.against))}, {**redacted, **FLOOR}]


def compare(
    rig: Rig, settings: Settings, kind: str, what: str, base: tuple[Side, Side], targets: Targets
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
        label = f"{side.name} / {base[0].name}"
        rate = spread(ratios(above.rate, below.rate))
        yield Result(f"{what}, {label}", "x", rate, targets.get(side), explain(above), raw)
        yield Result(f"CPU time of the proxy, {label}", "x", spread(ratios(above.cpu, below.cpu)))
        if side.has_ingester:
            both = spread(ratios(above.both_cpu, below.cpu))
            yield Result(f"CPU time of proxy and ingester, {label}", "x", both)


def baseline(what: str, side: Side, windows: Windows) -> Result:
    """The rate of the first side, for the scale."""
    rate = spread(windows.rate)
    return Result(f"{what}, {side.name}", "/s", rate, None, explain(windows), windows.as_dict())


def explain(windows: Windows) -> str:
    """CPU per exchange of all who take part, and how long a client waits."""
    cpu, upstream, client = (
        spread(values).median * 1e6
        for values in (windows.cpu, windows.upstream_cpu, windows.client_cpu)
    )
    return (
        f"proxy {cpu:.0f} us CPU each at {spread(windows.busy).median:.0%} of a core, "
        f"{explain_ingester(windows)}upstream {upstream:.0f}, client {client:.0f}; "
        f"p50 {spread(windows.p50).median * 1e3:.1f} ms"
    ) + explain_server(windows)


def explain_ingester(windows: Windows) -> str:
    """CPU an exchange that rows and the search index take; empty without an addon."""
    cpu, later = spread(windows.ingester_cpu).median * 1e6, spread(windows.later_cpu).median * 1e6
    behind = spread(windows.behind).median
    rows = f"ingester {cpu:.0f} ({behind:.0f} frames behind at the end), " if cpu >= 1 else ""
    return rows + (f"{later:.0f} for the search index afterwards, " if later >= 1 else "")


def explain_server(windows: Windows) -> str:
    """CPU an exchange of a database server; empty without one."""
    if not any(windows.server_cpu):
        return ""
    return f"; PostgreSQL {spread(windows.server_cpu).median * 1e6:.0f} us CPU each"
