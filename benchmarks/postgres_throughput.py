"""The figures of `throughput`, with the addon on PostgreSQL.

Clients wait for the local journal. Between two windows all of it is applied, and CPU time counts to
the end of that; how much was left at the end of a window stands beside.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.postgres import postgres_server, sides
from benchmarks.results import Results, Target
from benchmarks.rig import Rig
from benchmarks.settings import Settings
from benchmarks.sides import BARE, BARE_AGAIN, STREAMING, STREAMING_AGAIN, Side
from benchmarks.throughput import compare


def postgres_throughput(rig: Rig, settings: Settings) -> Results:
    """JSON beside no addon, SSE beside the pass-through callable."""
    with compared(rig, settings) as targets:
        base, what = (BARE, BARE_AGAIN), "JSON requests/s"
        yield from compare(rig, settings, "json", what, base, targets)
    with compared(rig, settings) as targets:
        base, what = (STREAMING, STREAMING_AGAIN), "SSE streams/s"
        yield from compare(rig, settings, "sse=0,0", what, base, targets)


@contextmanager
def compared(rig: Rig, settings: Settings) -> Iterator[dict[Side, Target | None]]:
    """The sides with the addon, on a server of their own; no target is set for them."""
    if not settings.addon:
        yield {}
        return
    with postgres_server(rig) as server:
        yield dict.fromkeys(sides(server))
