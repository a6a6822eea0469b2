"""The figures of `ingester` and of `lag`, with PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from benchmarks import ingester, lag
from benchmarks.pipelined_driver import TimedPipeline
from benchmarks.postgres import PostgresServer, PostgresSide, postgres_server
from benchmarks.results import Results
from benchmarks.rig import Rig
from benchmarks.settings import Settings
from response_store.config import Durability

LOOKS = (0.002, 0.05)  # seconds between two, idle and loaded: each is a query of its own


def postgres_ingester(rig: Rig, settings: Settings) -> Results:
    """Rows a second, beside psycopg's `executemany` in pipeline mode."""
    folder = rig.folder / "ingester-postgres"
    folder.mkdir()
    with postgres_server(rig) as server:
        side = process_side(server, ingester.INGESTER, more=ingester.PROMPT)
        alone = replace(side, target=server.database())
        writers: dict[str, Callable[[], ingester.Writer]] = {
            name: partial(TimedPipeline, server.database()) for name in ingester.DRIVERS
        }
        writers[ingester.STORE] = partial(ingester.StoreAlone, alone, folder / ingester.STORE)
        where = f"PostgreSQL {server.version}"
        yield from ingester.compare(rig, settings, side, folder, writers, where)


def postgres_lag(rig: Rig, settings: Settings) -> Results:
    """From the end of an exchange to its row."""
    if settings.addon:
        with postgres_server(rig) as server:
            side = process_side(server, "addon, process, PostgreSQL")
            yield from lag.measure(rig, settings, side, "PostgreSQL", LOOKS)


def process_side(server: PostgresServer, name: str, more: str = "") -> PostgresSide:
    """Return the addon with the default durability and a fresh database."""
    database = server.database()
    return PostgresSide(
        name, durability=Durability.PROCESS, more=more, server=server, target=database
    )
