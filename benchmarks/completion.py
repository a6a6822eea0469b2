"""Time that the addon adds until a client has the end of its answer, one client at a time."""

from __future__ import annotations

from benchmarks.results import Result, Results, Target
from benchmarks.rig import Rig
from benchmarks.settings import Settings
from benchmarks.sides import BARE, BARE_AGAIN, POWER, PROCESS, STREAMING, STREAMING_AGAIN, Side
from benchmarks.spread import spread
from benchmarks.turns import Turns, take_turns

TARGET = Target(2.0, 1.0, higher_is_better=False)


def completion(rig: Rig, settings: Settings) -> Results:
    """JSON beside no addon, SSE beside the pass-through callable."""
    for kind, base, again in (("json", BARE, BARE_AGAIN), ("sse=0,0", STREAMING, STREAMING_AGAIN)):
        sides = (again, POWER, PROCESS) if settings.addon else (again,)
        for side in sides:
            with rig.proxies(base, side) as proxies, rig.connected(proxies, kind, 1):
                turns = take_turns(rig, (proxies[0], proxies[1]), "total", settings)
            yield from results("SSE" if kind != "json" else "JSON", side, turns)


def results(what: str, side: Side, turns: Turns) -> Results:
    """p50, which has a target, and p95."""
    for share in (0.5, 0.95):
        note = f"{turns.base_ms(share):.2f} ms without, {turns.other_ms(share):.2f} ms with"
        target = TARGET if side.durability and share == 0.5 else None
        yield Result(
            f"added to completion, {what} p{share * 100:.0f}, {side.name}",
            "ms",
            spread(turns.added_ms(share)),
            target,
            note,
            turns.raw() if share == 0.5 else {},
        )
