"""What the reading side finds."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from response_store.backends.registry import open_file
from response_store.errors import StoreError
from response_store.model.records import ExchangeRow
from response_store.queries import exchanges, lookup, statistics
from response_store.queries.exchanges import Cursor, Query
from response_store.queries.schema_state import MIGRATIONS
from tests.harness.each import each
from tests.hypothesis_profiles import examples
from tests.unit.queries.conftest import Anywhere
from tests.unit.queries.stored import NAMES, Stored

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def reader(anywhere: Anywhere) -> Iterator[Query]:
    with anywhere.open() as opened:
        yield opened


MOST_PAGES = 20


def walked(reader: Query, tenant: str, limit: int) -> list[str]:
    """The ids of every page, by following the cursors."""
    ids: list[str] = []
    before: Cursor | None = None
    for _ in range(MOST_PAGES):
        page = reader.recent(tenant, limit=limit, before=before)
        ids.extend(one.exchange_id for one in page.exchanges)
        if page.next is None:
            return ids
        before = Cursor.parse(str(page.next))
    raise AssertionError("the pages have no end")


def test_the_newest_comes_first(anywhere: Anywhere, reader: Query) -> None:
    """Exchanges are listed by the time they started, whatever the order they were written in."""
    for name, started_at in (("a", 2.0), ("b", 3.0), ("c", 1.0)):
        anywhere.exchange(name, started_at=started_at)
    page = reader.recent("default", limit=10)
    assert [one.exchange_id for one in page.exchanges] == ["b", "a", "c"]
    assert page.next is None


@settings(
    max_examples=examples(30),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
)
@given(
    times=st.lists(st.sampled_from([0.0, 1.5, 1.5000000000000002, 1e9 + 0.1]), max_size=12),
    limit=st.integers(1, 5),
)
def test_pages_neither_repeat_nor_skip(
    times: list[float], limit: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Following the cursors gives each exchange once, also where many started at one time."""
    stored = Stored(tmp_path_factory.mktemp("pages") / "responses.db")
    rows = [{"exchange_id": f"e{at}", "started_at": time} for at, time in enumerate(times)]
    if rows:
        stored.exchanges(rows)
    with open_file(stored.path, NAMES) as reader:
        ids = walked(reader, "default", limit)
    expected = sorted(rows, key=lambda row: (row["started_at"], row["exchange_id"]), reverse=True)
    assert ids == [row["exchange_id"] for row in expected]


def test_what_started_at_one_time_has_an_order(anywhere: Anywhere, reader: Query) -> None:
    """Ids break the tie by their bytes, whatever the database's language says of letters."""
    ids = ["a", "B", "b_1", "b1", "b-1", "é", "e9", "ab", "a b"]
    anywhere.exchanges([{"exchange_id": one} for one in ids])
    expected = sorted(ids, key=str.encode, reverse=True)
    for limit in (1, 4, 20):
        assert walked(reader, "default", limit) == expected


def test_new_rows_do_not_disturb_a_walk(anywhere: Anywhere, reader: Query) -> None:
    """A row that is written while somebody pages appears in no later page."""
    anywhere.exchanges([{"exchange_id": f"e{at}", "started_at": float(at)} for at in range(6)])
    first = reader.recent("default", limit=3)
    anywhere.exchange("new", started_at=100.0)
    rest = reader.recent("default", limit=10, before=first.next)
    assert [one.exchange_id for one in rest.exchanges] == ["e2", "e1", "e0"]


@pytest.mark.parametrize("text", ["", "7", "x,e", ",", "1e,2"])
def test_a_wrong_cursor_is_refused(text: str) -> None:
    """Text that no page gave is no cursor."""
    with pytest.raises(ValueError, match=r"cursor|float"):
        Cursor.parse(text)


def test_a_tenant_sees_only_its_own(anywhere: Anywhere, reader: Query) -> None:
    """Nothing of another tenant is found, by any way of asking."""
    anywhere.exchange("secret-exchange", response_id="resp_secret", tenant_id="other")
    anywhere.response("resp_secret", tenant_id="other")
    assert not reader.recent("default", limit=10).exchanges
    assert reader.exchange("default", "secret-exchange") is None
    assert reader.response("default", "resp_secret") is None
    for identifier in ("secret-exchange", "resp_secret", "secret", "resp"):
        with pytest.raises(StoreError, match="is not found for tenant"):
            reader.find("default", identifier)
    assert reader.find("other", "resp_secret").response is not None


def test_an_exchange_comes_back_with_every_column(anywhere: Anywhere, reader: Query) -> None:
    """Each column of the row is in the field of its name."""
    fields = msgspec.structs.fields(ExchangeRow)
    values = {field.name: _value(field.name, field.type) for field in fields}
    anywhere.exchange(**values)
    row = reader.exchange(values["tenant_id"], values["exchange_id"])
    assert row is not None
    assert msgspec.structs.asdict(row) == values


def _value(name: str, kind: object) -> object:
    if "bytes" in str(kind):
        return name.encode()
    if "int" in str(kind):
        return len(name)
    return float(len(name)) if "float" in str(kind) else name


@pytest.fixture
def identified(anywhere: Anywhere) -> None:
    """Ids that begin alike, and exchanges of one response."""
    anywhere.exchange("e-one", response_id="resp_one")
    anywhere.exchange("e-two", response_id="resp_one_more")
    anywhere.exchange("e-unique", response_id="resp_unique")
    anywhere.exchange("no-response")
    anywhere.exchange("e-wide", response_id="grün-\U0010ffff\U0010ffff")
    anywhere.exchange("e-poll-1", response_id="polled", started_at=1.0)
    anywhere.exchange("e-poll-2", response_id="polled", started_at=2.0)
    anywhere.exchange("e-before", response_id="resumed", started_at=1.0, state="queued")
    anywhere.exchange("e-whole", response_id="resumed", started_at=2.0)
    anywhere.exchange("e-cut", response_id="resumed", started_at=3.0, state="interrupted")


@each(
    ("identifier", "found"),
    [
        ("resp_one", "e-one"),  # the whole response id
        ("e-one", "e-one"),  # the whole exchange id
        ("resp_u", "e-unique"),  # the beginning of either
        ("e-o", "e-one"),
        ("resp_one_more", "e-two"),  # one id is the beginning of another
        ("resp_one_", "e-two"),
        ("no-resp", "no-response"),
        ("grün-\U0010ffff", "e-wide"),  # no character sorts behind the last one
        ("grün", "e-wide"),
        ("polled", "e-poll-2"),  # the newest of several that name one response
        ("resumed", "e-whole"),  # unless another one has come further
    ],
)
def test_an_identifier_is_found(
    identified: None, reader: Query, identifier: str, found: str
) -> None:
    """A whole id wins; else the beginning of one id is enough."""
    exchange = reader.find("default", identifier).exchange
    assert exchange is not None
    assert exchange.exchange_id == found


def test_a_response_without_an_exchange_is_found(anywhere: Anywhere, reader: Query) -> None:
    """What another program has written to the responses table has no exchange."""
    anywhere.response("resp_praxis")
    found = reader.find("default", "resp_p")
    assert found.exchange is None
    assert found.response is not None
    assert found.response.id == "resp_praxis"


def test_an_ambiguous_beginning_lists_the_candidates(anywhere: Anywhere, reader: Query) -> None:
    """The error names what could have been meant."""
    anywhere.exchange("e1", response_id="resp_a1")
    anywhere.exchange("e2", response_id="resp_a2")
    with pytest.raises(StoreError) as caught:
        reader.find("default", "resp_a")
    assert "resp_a1" in str(caught.value)
    assert "resp_a2" in str(caught.value)
    assert "..." not in str(caught.value)


def test_a_very_ambiguous_beginning_lists_some(anywhere: Anywhere, reader: Query) -> None:
    """Of thousands of candidates a few are named."""
    anywhere.exchanges([{"exchange_id": f"e{at:05}"} for at in range(5000)])
    with pytest.raises(StoreError) as caught:
        reader.find("default", "e")
    assert str(caught.value).count("\n") == lookup.CANDIDATES + 1
    assert str(caught.value).endswith("...")


@each("identifier", ["", "nothing", "\udcff", "\U0010ffff", "a\0b", "%", "*"])
def test_an_unknown_identifier_is_an_error(
    identified: None, reader: Query, identifier: str
) -> None:
    """Nothing is found under an empty, unknown or impossible id, and the error says so."""
    with pytest.raises(StoreError, match="stored"):
        reader.find("default", identifier)


def test_the_status_counts(anywhere: Anywhere, reader: Query) -> None:
    """Counts, times and sizes of all tenants are those of the rows."""
    anywhere.exchange("a", started_at=5.0)
    anywhere.exchange("b", started_at=3.0, state="open", tenant_id="other")
    anywhere.exchange("c", started_at=4.0, state="open", api="chat_completions", tenant_id="third")
    anywhere.response("resp_1")
    found = reader.status()
    assert found.by_state == {"open": 2, "completed": 1}
    assert found.by_api == {"responses": 2, "chat_completions": 1}
    assert (found.exchanges, found.responses, found.tenants) == (3, 1, 3)
    assert (found.open, found.oldest_open_started_at) == (2, 3.0)
    assert (found.first_started_at, found.last_started_at) == (3.0, 5.0)
    assert found.versions == {"responses": 1, "exchanges": len(MIGRATIONS)}
    assert found.place.database == anywhere.shown
    if isinstance(anywhere, Stored):
        assert found.place.database_bytes == anywhere.path.stat().st_size
    else:
        assert found.place.server_version.split(".")[0].isdecimal()
        sizes = found.place.table_bytes
        assert list(sizes) == ["openai_responses", "openai_conversations", "openai_exchanges"]
        assert sizes["openai_exchanges"] > sizes["openai_conversations"] > 0


def test_the_status_of_nothing(reader: Query) -> None:
    """A database without rows has a status as well."""
    found = reader.status()
    assert (found.exchanges, found.responses, found.tenants, found.open) == (0, 0, 0, 0)
    assert found.first_started_at is found.last_started_at is found.oldest_open_started_at is None


# Few rows are of one response or open, so that these may be sorted.
SORTED = ("lookup.BY_RESPONSE", "status.OLDEST_OPEN")
STATEMENTS = {
    **{f"query.{name}": getattr(exchanges, name) for name in ("RECENT", "BEFORE")},
    **{
        f"lookup.{name}": getattr(lookup, name)
        for name in (
            "BY_EXCHANGE",
            "BY_RESPONSE",
            "RESPONSE",
            "EXCHANGES_FROM",
            "NAMED_FROM",
            "RESPONSES_FROM",
        )
    },
    **{
        f"status.{name}": getattr(statistics, name)
        for name in ("COUNTS", "RESPONSES", "OLDEST_OPEN", "SPAN")
    },
}
SEARCHED_BY = {
    "query.RECENT": "(tenant_id=?)",
    "query.BEFORE": "(tenant_id=? AND started_at<?)",
    "lookup.BY_EXCHANGE": "(exchange_id=?)",
    "lookup.BY_RESPONSE": "(response_id=?)",
    "lookup.RESPONSE": "(tenant_id=? AND id=?)",
    "lookup.EXCHANGES_FROM": "(exchange_id>? AND exchange_id<?)",
    "lookup.NAMED_FROM": "(response_id>? AND response_id<?)",
    "lookup.RESPONSES_FROM": "(tenant_id=? AND id>? AND id<?)",
    "status.COUNTS": "",
    "status.RESPONSES": "",
    "status.OLDEST_OPEN": "(state=?)",
    "status.SPAN": "(tenant_id=?)",
}


@pytest.mark.parametrize("name", STATEMENTS)
def test_every_statement_uses_an_index(stored: Stored, name: str) -> None:
    """SQLite plans no walk through a whole table for any statement, with or without rows."""
    stored.exchanges([{"exchange_id": f"e{at}", "response_id": f"r{at}"} for at in range(200)])
    with stored.open() as query:
        statement = query._reader._sql(STATEMENTS[name])
    for prepare in ("", "ANALYZE"):
        stored.script(prepare)
        with closing(sqlite3.connect(stored.path)) as connection:
            values = ["1"] * statement.count("?")
            plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", values)]
        on_tables = [step for step in plan if "openai_" in step]
        assert on_tables, plan
        assert all("USING" in step and "INDEX" in step for step in on_tables), plan
        assert any(SEARCHED_BY[name] in step for step in on_tables), plan
        assert name in SORTED or not any("FOR ORDER BY" in step for step in plan), plan


def test_a_reader_sees_what_a_writer_commits(stored: Stored) -> None:
    """A reader that is open sees new commits of a proxy, and never waits for its lock."""
    with (
        stored.open() as reader,
        closing(sqlite3.connect(stored.path, isolation_level=None)) as writer,
    ):
        writer.execute("BEGIN IMMEDIATE")
        stored_row = "INSERT INTO openai_responses VALUES ('default','resp_1',1,'m','{}','[]','[]')"
        writer.execute(stored_row)
        assert reader.response("default", "resp_1") is None
        writer.execute("COMMIT")
        assert reader.response("default", "resp_1") is not None


def test_a_reader_cannot_write(anywhere: Anywhere, reader: Query) -> None:
    """The connection itself refuses to change the database."""
    anywhere.exchange("e1")
    with pytest.raises(StoreError, match=r"READONLY|25006"):
        reader._reader.rows("DELETE FROM {exchanges}")
    assert reader.exchange("default", "e1") is not None
