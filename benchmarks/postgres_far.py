"""Time that the addon adds until a client has the end of its answer, with PostgreSQL far away.

One client at a time, as for `completion`. `acknowledge: journal` is to be as if the server were
near; `database` takes some ways there and back, but never in a stream.
"""

from __future__ import annotations

from benchmarks import completion
from benchmarks.postgres import PostgresServer, PostgresSide, postgres_server
from benchmarks.results import Result, Results, Target
from benchmarks.rig import Rig
from benchmarks.settings import Settings
from benchmarks.sides import BARE, BARE_AGAIN, STREAMING, STREAMING_AGAIN, Side
from benchmarks.spread import spread
from benchmarks.turns import ROUNDS, take_turns
from response_store.config import Durability

ACKNOWLEDGE = ("journal", "database")
SLOW_ROUNDS = 5  # of four requests in a block, where each may take some ways
WARM_UP = 20


def postgres_far(rig: Rig, settings: Settings) -> Results:
    """JSON beside no addon, SSE beside the pass-through callable."""
    for kind, base, again in (("json", BARE, BARE_AGAIN), ("sse=0,0", STREAMING, STREAMING_AGAIN)):
        yield compare(rig, settings, kind, base, again)
        if not settings.addon:
            continue
        with postgres_server(rig, settings.far_ms) as server:
            for acknowledge in ACKNOWLEDGE:
                yield compare(rig, settings, kind, base, far_side(server, acknowledge))


def far_side(server: PostgresServer, acknowledge: str) -> PostgresSide:
    """The addon with a database behind the long line."""
    return PostgresSide(
        f"PostgreSQL far, acknowledge {acknowledge}",
        durability=Durability.PROCESS,
        more=f"acknowledge: {acknowledge}\n",
        server=server,
        target=server.database(far=True),
    )


def compare(rig: Rig, settings: Settings, kind: str, base: Side, side: Side) -> Result:
    """The p50, request by request in turns across two live proxies."""
    rounds = SLOW_ROUNDS if side.name.endswith("database") else ROUNDS
    with rig.proxies(base, side) as (one, other):
        with rig.connected((one, other), kind, 1, WARM_UP):
            turns = take_turns(rig, (one, other), "total", settings, rounds)
    what = "JSON" if kind == "json" else "SSE"
    note = (
        f"{settings.far_ms:g} ms there and back; {turns.base_ms(0.5):.2f} ms without, "
        f"{turns.other_ms(0.5):.2f} ms with; p95 {turns.other_ms(0.95):.2f} ms"
    )
    label = f"added to completion, {what} p50, {side.name}"
    target = target_of(side)
    return Result(label, "ms", spread(turns.added_ms(0.5)), target, note, turns.raw())


def target_of(side: Side) -> Target | None:
    """Where only the journal is waited for, that of every journal."""
    return completion.TARGET if side.has_ingester and side.name.endswith("journal") else None
