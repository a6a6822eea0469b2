"""WebSockets: turns a second, time added to the terminal message, and memory.

Turns have 72 messages like the streams of `sse`, where not said otherwise, and each socket asks
for its next one when it has the terminal message of the one before.
"""

from __future__ import annotations

from benchmarks.completion import compared, results
from benchmarks.memory import growth
from benchmarks.memory import results as memory_results
from benchmarks.payloads import DELTAS
from benchmarks.results import Results, Target
from benchmarks.rig import Rig
from benchmarks.settings import Settings
from benchmarks.sides import (
    BARE,
    BARE_AGAIN,
    FORGETTING,
    FORGETTING_AGAIN,
    POWER,
    PROCESS,
)
from benchmarks.throughput import compare, groups
from benchmarks.turns import take_turns

TURN = f"websocket={DELTAS}"
SHORT_TURN = "websocket=4"  # 12 messages
WARM_UP = 20
TARGETS = {PROCESS: Target(0.93, 0.97), POWER: Target(0.90, 0.95)}


def websocket_throughput(rig: Rig, settings: Settings) -> Results:
    """16 sockets, beside mitmdump without any addon."""
    base = (BARE, BARE_AGAIN)
    for targets in groups(settings, TARGETS, {}):
        yield from compare(rig, settings, TURN, "WebSocket turns/s", base, targets)


def websocket_completion(rig: Rig, settings: Settings) -> Results:
    """One socket, turn by turn across two live proxies."""
    for side in compared(settings, BARE_AGAIN):
        with rig.proxies(BARE, side) as proxies, rig.connected(proxies, TURN, 1, WARM_UP):
            turns = take_turns(rig, (proxies[0], proxies[1]), "total", settings)
        yield from results("WebSocket", side, turns)


def websocket_memory(rig: Rig, settings: Settings) -> Results:
    """A socket that is open for long, then many at once."""
    turns, sockets = settings.turns, settings.sockets
    yield from after(rig, f"{turns:,} turns on one socket", SHORT_TURN, 1, turns, settings)
    each = max(1, turns // 5 // sockets)
    what = f"{each * sockets:,} turns on {sockets} sockets"
    yield from after(rig, what, TURN, sockets, each * sockets, settings)


def after(rig: Rig, what: str, kind: str, sockets: int, turns: int, settings: Settings) -> Results:
    """Megabytes over a mitmdump that forgets messages, and what one that keeps them takes."""
    sides = [FORGETTING, FORGETTING_AGAIN, BARE, *([PROCESS] if settings.addon else [])]
    grown = {}
    for side in sides:  # one after the other: what keeps its messages may take a gigabyte
        with rig.proxies(side) as proxies, rig.connected(proxies, kind, sockets, max(sockets, 20)):
            grown[side] = growth(rig, proxies[0], turns)
    yield from memory_results(what, grown)
