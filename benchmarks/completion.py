"""Time that the addon adds until a client has the end of its answer, one client at a time."""

from __future__ import annotations

from benchmarks.results import Result, Results, Target
from benchmarks.rig import Rig
from benchmarks.settings import Settings
from benchmarks.sides import (
    BARE,
    BARE_AGAIN,
    EMPTY,
    POWER,
    PROCESS,
    STREAMING,
    STREAMING_AGAIN,
    Side,
    older,
)
from benchmarks.spread import spread
from benchmarks.turns import Turns, take_turns
from response_store.config import Durability

TARGET = Target(0.3, 0.15, higher_is_better=False)  # ms


def completion(rig: Rig, settings: Settings) -> Results:
    """JSON beside no addon, SSE beside the pass-through callable."""
    for kind, base, again in (("json", BARE, BARE_AGAIN), ("sse=0,0", STREAMING, STREAMING_AGAIN)):
        for side in compared(settings, again):
            with rig.proxies(base, side) as proxies, rig.connected(proxies, kind, 1):
                turns = take_turns(rig, (proxies[0], proxies[1]), "total", settings)
            yield from results("SSE" if kind != "json" else "JSON", side, turns)


def compared(settings: Settings, again: Side) -> list[Side]:
    """Return the sides beside the base, each in a pair with it."""
    return [again, *([PROCESS, POWER, EMPTY, *older(settings.against)] if settings.addon else [])]


def results(what: str, side: Side, turns: Turns) -> Results:
    """p50, which has a target, and p95."""
    for share in (0.5, 0.95):
        note = f"{turns.base_ms(share):.2f} ms without, {turns.other_ms(share):.2f} ms with"
        is_asked_for = side.durability is Durability.PROCESS and side.has_ingester and share == 0.5
        yield Result(
            f"added to completion, {what} p{share * 100:.0f}, {side.name}",
            "ms",
            spread(turns.added_ms(share)),
            TARGET if is_asked_for else None,
            note,
            turns.raw() if share == 0.5 else {},
        )
