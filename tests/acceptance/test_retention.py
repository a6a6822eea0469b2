"""A real proxy that keeps its rules while it captures."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from tests import harness
from tests.conftest import BY_TENANT
from tests.harness.clients import asking, fetch
from tests.harness.database import Database
from tests.harness.proxy import wait_until

if TYPE_CHECKING:
    from tests.conftest import MakeProxy
    from tests.fakes.model_server import ModelServer


HASTY = Path(harness.__file__).with_name("hasty.py")
DAY = 86_400


def age(path: Path, days: float) -> None:
    """Make all that has ended so much older."""
    with closing(sqlite3.connect(path, timeout=5)) as connection, connection:
        connection.execute(
            "UPDATE openai_exchanges SET started_at = started_at - ? WHERE state <> 'open'",
            (days * DAY,),
        )


def test_retention_beside_capture(
    make_proxy: MakeProxy, model_server: ModelServer, tenant: str
) -> None:
    """What is too old goes with its response while requests go on; all of these are kept."""
    config = BY_TENANT | {"retention": {"max_age_days": 2}}
    with make_proxy(config=config, in_ingester=[HASTY]) as proxy:
        for _ in range(5):
            fetch(proxy.port, asking(), f"{tenant}-old")
        assert len(proxy.database.all_ended(f"{tenant}-old", 5)) == 5
        age(proxy.database.path, 3)
        asked = 0
        deadline = time.monotonic() + 15
        while proxy.database.exchanges(f"{tenant}-old"):
            assert time.monotonic() < deadline, "the old ones stay"
            fetch(proxy.port, asking(stream=bool(asked % 2)), f"{tenant}-new")
            asked += 1
        rows = proxy.database.all_ended(f"{tenant}-new", asked)
        assert {row["state"] for row in rows} == {"completed"}
        assert len(proxy.database.responses(f"{tenant}-new")) == asked
        assert proxy.database.responses(f"{tenant}-old") == []
        told = wait_until(
            lambda: "pruned: 5" in (said := proxy.command("response_store.status")) and said,
            "it is counted",
        )
        assert "pruned.responses: 5" in told
        assert "fault" not in told
        removed = "retention removed 5 exchanges"
        wait_until(lambda: removed in proxy.output(), "it is said, once the room is given back")


def test_a_file_does_not_grow_beyond_its_bound(
    make_proxy: MakeProxy, model_server: ModelServer, tenant: str
) -> None:
    """The oldest go, the newest stay, and the file gives back the room."""
    config = BY_TENANT | {"retention": {"max_bytes": 2**20}}
    with make_proxy(config=config, in_ingester=[HASTY]) as proxy:
        for number in range(70):
            body = asking(input=f"{number} " + f"{number * 7919:x}" * 3000)
            fetch(proxy.port, body, tenant)
        proxy.flush()
        wait_until(lambda: used(proxy.database) <= 2**20, "it fits")
        kept = proxy.database.exchanges(tenant)
        assert 5 < len(kept) < 70
        assert [row["started_at"] for row in kept] == sorted(row["started_at"] for row in kept)
        wait_until(lambda: "pruned: " in proxy.command("response_store.status"), "it is counted")
        wait_until(lambda: free(proxy.database) == 0, "the room is given back")


def used(database: Database) -> int:
    """The pages of the file that are in use, in bytes."""
    return (_asked(database, "page_count") - free(database)) * _asked(database, "page_size")


def free(database: Database) -> int:
    """How many pages of the file nothing takes."""
    return _asked(database, "freelist_count")


def _asked(database: Database, name: str) -> int:
    with closing(sqlite3.connect(database.path)) as connection:
        return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
