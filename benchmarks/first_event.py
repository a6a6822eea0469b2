"""Time to the first event of a stream, beside a pass-through stream callable.

Without any callable mitmproxy holds a stream back until its end, so there is nothing else to
compare with. The upstream sends the first event at once and the others after a pause.
"""

from __future__ import annotations

from benchmarks.completion import compared
from benchmarks.results import Result, Results, Target
from benchmarks.rig import Rig
from benchmarks.settings import Settings
from benchmarks.sides import STREAMING, STREAMING_AGAIN, Side
from benchmarks.spread import ratios, spread
from benchmarks.turns import Turns, take_turns
from benchmarks.windows import measure

TARGET = Target(1.03, 1.01, higher_is_better=False)
PAUSE_MS = 5
WARM_UP = 50
FEW = 4  # clients at light concurrency


def first_event(rig: Rig, settings: Settings) -> Results:
    """One client at a time, then a few."""
    yield from alone(rig, settings)
    yield from among_few(rig, settings)


def alone(rig: Rig, settings: Settings) -> Results:
    """One client, request by request across two live proxies."""
    for side in compared(settings, STREAMING_AGAIN):
        with (
            rig.proxies(STREAMING, side) as proxies,
            rig.connected(proxies, f"sse={PAUSE_MS},0", 1, WARM_UP),
        ):
            turns = take_turns(rig, (proxies[0], proxies[1]), "first", settings)
        yield alone_result(side, turns)


def alone_result(side: Side, turns: Turns) -> Result:
    """The ratio of the medians of each block of turns."""
    note = f"{turns.base_ms(0.5):.2f} ms without, {turns.other_ms(0.5):.2f} ms with"
    found, target = spread(turns.ratios(0.5)), target_of(side)
    return Result(f"first event, one client, {side.name}", "x", found, target, note, turns.raw())


def among_few(rig: Rig, settings: Settings) -> Results:
    """A few clients at once, window by window."""
    sides = [STREAMING, *compared(settings, STREAMING_AGAIN)]
    with rig.proxies(*sides) as proxies, rig.connected(proxies, f"sse={PAUSE_MS},0", FEW):
        found = measure(rig, proxies, settings)
    below = found[STREAMING.name].first
    for side in sides[1:]:
        above = found[side.name].first
        note = f"{spread(below).median * 1e3:.2f} ms without, {spread(above).median * 1e3:.2f} with"
        label = f"first event, {FEW} clients, {side.name}"
        ratio = spread(ratios(above, below))
        yield Result(label, "x", ratio, target_of(side), note, found[side.name].as_dict())


def target_of(side: Side) -> Target | None:
    """Only the addon has one."""
    return TARGET if side.has_ingester else None
