"""What arrives in a store goes by its rules: no row is ever lowered."""

from __future__ import annotations

import json
from typing import Any

import pytest

from response_store.model.selection import Selection
from response_store.model.tables import CONVERSATIONS, EXCHANGES, RESPONSES, TABLES, Row, Table
from response_store.transfer.load import LoadCounts, RowLoader
from response_store.transfer.pages import compute_digest, list_key_pages, read_digests, read_rows
from tests.unit.transfer.databases import REQUIRED, AnyDatabase, PostgresTables, SqliteFile

WORDS = {
    "conversations": "openai_conversations",
    "responses": "openai_responses",
    "exchanges": "openai_exchanges",
}


def row(table: Table, **columns: Any) -> Row:
    key = {"conversations": "conversation_id", "responses": "id", "exchanges": "exchange_id"}
    values = REQUIRED[WORDS[table.word]] | {key[table.word]: "one"} | columns
    return tuple(values.get(name) for name in table.names)


def with_status(status: str) -> str:
    return json.dumps({"status": status})


HIGH_AND_LOW = [
    (EXCHANGES, {"state": "completed"}, {"state": "open"}),
    (EXCHANGES, {"state": "completed"}, {"state": "interrupted", "raw_response": b"long"}),
    (EXCHANGES, {"state": "failed", "raw_response": b"long"}, {"state": "completed"}),
    (
        RESPONSES,
        {"response_object": with_status("completed")},
        {"response_object": with_status("queued")},
    ),
    (RESPONSES, {"input": '[{"a":1}]', "messages": '[{"a":1}]'}, {"input": "[]"}),
    (CONVERSATIONS, {"messages": "[1,2]"}, {"messages": "[1]"}),
]


@pytest.mark.parametrize(("table", "high", "low"), HIGH_AND_LOW)
def test_no_row_is_lowered(
    anywhere: AnyDatabase, table: Table, high: dict[str, Any], low: dict[str, Any]
) -> None:
    """In either order, and both in one batch, the higher one stays."""
    better, worse = row(table, **high), row(table, **low)
    name = WORDS[table.word]
    for batches in ([[better], [worse]], [[worse], [better]]):
        anywhere.execute(f"DELETE FROM {name}")
        with anywhere.written() as (reader, writing):
            for batch in batches:
                writing.write(table, batch)
            (kept,) = read_rows(reader, table, [table.key_of(better)])
            RowLoader(reader, writing).compare(table, [worse], counts := LoadCounts())
        assert kept == better
        assert (counts.newer, counts.different) == (1, 0)


def test_one_batch_may_hold_a_response_twice(anywhere: AnyDatabase) -> None:
    """The second one meets the first as if it were stored."""
    first = row(
        RESPONSES, response_object=with_status("completed"), input='[{"a":1}]', messages='[{"a":1}]'
    )
    late = row(RESPONSES, response_object=with_status("queued"))
    with anywhere.written() as (reader, writing):
        for batch in ([first, late], [late, first], [first, first]):
            anywhere.execute("DELETE FROM openai_responses")
            writing.write(RESPONSES, batch)
            assert [*read_rows(reader, RESPONSES, [("t1", "one")])] == [first]


def test_open_rows_stay_open(anywhere: AnyDatabase) -> None:
    """Bringing rows closes no exchange of a proxy that runs."""
    anywhere.exchange(state="open", recorder_id="a proxy elsewhere")
    with anywhere.written() as (_, writing):
        writing.write(RESPONSES, [row(RESPONSES)])
    assert anywhere.contents()["openai_exchanges"][0]["state"] == "open"


def test_digests_are_made_alike(sqlite: SqliteFile, in_postgres: PostgresTables) -> None:
    """Python and PostgreSQL make the same digest of the same row, and another of another."""
    rows = [
        row(EXCHANGES),
        row(EXCHANGES, exchange_id="two", output_text="東京\n", status_code=-(2**63)),
        row(EXCHANGES, exchange_id="3", started_at=-0.0, duration_ms=1e300, raw_response=b"\0\xff"),
        row(EXCHANGES, exchange_id="4", output_text="", request_body=b"", first_event_ms=0.1),
        row(EXCHANGES, exchange_id="5", output_text="a\0b", started_at=float("inf")),
    ]
    expected = {EXCHANGES.key_of(each): compute_digest(EXCHANGES, each) for each in rows}
    assert len(set(expected.values())) == len(rows)
    for database in (sqlite, in_postgres):
        with database.written() as (reader, writing):
            writing.write(EXCHANGES, rows)
            assert read_digests(reader, EXCHANGES, [*expected, ("none",)]) == expected


@pytest.mark.parametrize("max_weight", [1, 10**9])
def test_pages_have_every_row_once(anywhere: AnyDatabase, max_weight: int) -> None:
    """Whatever their size, pages neither repeat nor skip a row, and heavy rows stand alone."""
    for at in range(12):
        anywhere.exchange(f"e{at}", output_text="x" * at)
        anywhere.response(f"r{at % 4}", tenant_id=f"t{at // 4}")
    with anywhere.read() as reader:
        for table in TABLES:
            how = {"max_rows": 5, "max_weight": max_weight}
            pages = list(list_key_pages(reader, table, Selection(), **how))
            keys = [key for page in pages for key in page]
            assert keys == sorted(set(keys))
            assert len(keys) == (0 if table is CONVERSATIONS else 12)
            assert max(map(len, pages), default=0) <= (5 if max_weight > 1 else 2)


def test_a_selection_brings_what_it_names(anywhere: AnyDatabase) -> None:
    """Filters choose exchanges; responses and conversations come where one of them names them."""
    anywhere.exchange("e1", model="m1", response_id="r1", conversation_id="c1")
    anywhere.exchange("e2", model="m2", response_id="r2", conversation_id="c2")
    anywhere.exchange("e3", model="m1", response_id="r3", tenant_id="t2")
    for at in range(1, 5):
        anywhere.response(f"r{at}")
        anywhere.response(f"r{at}", tenant_id="t2")
        anywhere.conversation(f"c{at}")
    with anywhere.read() as reader:
        found = {
            name: [key for page in list_key_pages(reader, table, selection) for key in page]
            for selection in (
                Selection(models=("m1",)), Selection(tenant="t2"),
                Selection(tenant="t1", models=("m1",), since=1.0),
            )
            for table, name in [(t, (t.word, selection)) for t in TABLES]
        }  # fmt: skip
    assert list(found.values()) == [
        [("c1", "t1")], [("t1", "r1"), ("t2", "r3")], [("e1",), ("e3",)],
        [], [("t2", "r1"), ("t2", "r2"), ("t2", "r3"), ("t2", "r4")], [("e3",)],
        [("c1", "t1")], [("t1", "r1")], [("e1",)],
    ]  # fmt: skip
