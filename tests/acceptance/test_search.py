"""What passed a proxy is found by its words, seconds later, whatever became of the proxy."""

from __future__ import annotations

import re
import sqlite3
import sys
from contextlib import closing
from typing import TYPE_CHECKING

from response_store.backends.sqlite.schema import fill
from response_store.queries.schema_state import MIGRATIONS
from response_store.resources import read_schema
from tests.acceptance.searching import ANSWER, FOUND, ids, search, stream, wait_indexed
from tests.conftest import BY_TENANT
from tests.harness import limited
from tests.harness.proxy import wait_until
from tests.harness.records import NAMES
from tests.unit.queries.stored import REQUIRED

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import MakeProxy
    from tests.fakes.model_server import ModelServer


ENTRIES = "SELECT exchange_id FROM openai_exchanges_search"
PARTS = "SELECT rowid FROM openai_exchanges_search_words"
LIMITED = (sys.executable, limited.__file__)


def test_a_stream_is_found_seconds_later(
    make_proxy: MakeProxy, model_server: ModelServer, tenant: str
) -> None:
    """A word in its middle, Chinese and code; of the right tenant alone, with its surroundings."""
    with make_proxy() as proxy:
        response_id = stream(proxy, model_server, tenant)
        stream(proxy, model_server, f"{tenant}-other")
        wait_indexed(proxy.database, 2)
        for words in FOUND:
            assert ids(search(proxy, tenant, words)) == [response_id], words
        found = search(proxy, tenant, "canary", "tell")
        assert search(proxy, tenant, "nowhere") == {"hits": [], "total": 0, "not_indexed": 0}
        finished = proxy.terminate()
    (hit,) = found["hits"]
    assert (found["total"], found["not_indexed"], hit["where"]) == (1, 0, "answer")
    assert [hit["snippet"][start:end] for start, end in hit["marks"]] == ["canary"]
    assert hit["snippet"].strip("\u2026") in re.sub(r"\s", " ", ANSWER)
    assert "fault" not in finished.output


def test_what_a_killed_proxy_left(
    make_proxy: MakeProxy, model_server: ModelServer, tenant: str
) -> None:
    """After a kill -9 the search itself indexes what is lacking, and so does the next proxy."""
    with make_proxy() as proxy:
        first = stream(proxy, model_server, tenant)
        proxy.kill9()
        assert ids(search(proxy, tenant, "canary")) == [first]
        wait_indexed(proxy.database, 1)
        with closing(sqlite3.connect(proxy.database.path)) as connection:
            connection.execute("DELETE FROM openai_exchanges_search")
            connection.commit()
    with make_proxy() as proxy:
        wait_indexed(proxy.database, 1)
        assert ids(search(proxy, tenant, "canary")) == [first]


def test_two_proxies(
    make_proxy: MakeProxy, model_server: ModelServer, tenant: str, tmp_path: Path
) -> None:
    """On one file one of them indexes; all is found, and has one entry and one part."""
    path = tmp_path / "shared.db"
    config = {**BY_TENANT, "database_url": f"sqlite:///{path}"}
    with make_proxy("a", config=config) as one, make_proxy("b", config=config) as other:
        made = {stream(proxy, model_server, tenant) for _ in range(2) for proxy in (one, other)}
        kept = type(one.database)(path)
        kept.all_ended(tenant, 4)
        wait_until(lambda: len(kept.rows(ENTRIES)) >= 2, "what one has written is indexed")
        assert set(ids(search(one, tenant, "canary"))) == made  # which indexes what is lacking
        assert len(kept.rows(ENTRIES)) == len(kept.rows(PARTS)) == 4
        for proxy in (one, other):
            finished = proxy.terminate()
            assert "fault" not in finished.output
        assert len(kept.rows(ENTRIES)) == len(kept.rows(PARTS)) == 4


def test_a_database_of_version_1(make_proxy: MakeProxy, tenant: str) -> None:
    """It gets the index at the start of a proxy, which fills it with the rows that are there."""
    proxy = make_proxy()
    proxy.folder.mkdir()
    with closing(sqlite3.connect(proxy.database.path)) as connection:
        for statement in [*fill("shared_tables.sql", NAMES), *fill("exchanges_001.sql", NAMES)]:
            connection.execute(statement)
        for table, version in (("responses", 1), ("exchanges", 1)):
            named = f"openai_{table}_schema_version"
            connection.execute(f"CREATE TABLE IF NOT EXISTS {named} (version BIGINT PRIMARY KEY)")
            connection.execute(f"INSERT INTO {named} VALUES ({version})")
        for number in range(300):
            row = {**REQUIRED, "tenant_id": tenant, "exchange_id": f"e{number}"}
            row |= {"output_text": f"number n{number}", "response_id": f"r{number}"}
            places = ", ".join("?" * len(row))
            connection.execute(
                f"INSERT INTO openai_exchanges ({', '.join(row)}) VALUES ({places})",
                [*row.values()],
            )
        connection.commit()
    with proxy:
        versions = proxy.database.rows("SELECT version FROM openai_exchanges_schema_version")
        assert versions == [{"version": len(MIGRATIONS)}]
        assert ids(search(proxy, tenant, "n299")) == ["r299"]
        wait_indexed(proxy.database, 300)
    assert "openai_exchanges_search" not in read_schema("sqlite/exchanges_001.sql")


def test_a_file_that_may_only_be_read(
    make_proxy: MakeProxy, model_server: ModelServer, tenant: str
) -> None:
    """What is indexed is found, and a note says how many exchanges are not, and why."""
    with make_proxy() as proxy:
        first = stream(proxy, model_server, tenant)
        wait_indexed(proxy.database, 1)
        stream(proxy, model_server, tenant)
        proxy.terminate()
        with closing(sqlite3.connect(proxy.database.path)) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")
            last = "SELECT max(entry_id) FROM openai_exchanges_search"
            connection.execute(
                f"DELETE FROM openai_exchanges_search WHERE entry_id > 1 AND entry_id = ({last})"
            )
            connection.commit()
        proxy.database.path.chmod(0o444)
        found = search(
            proxy,
            tenant,
            "canary",
            before=LIMITED,
            said="1 exchange is not indexed, so not searched",
        )
        assert (ids(found), found["not_indexed"]) == ([first], 1)
