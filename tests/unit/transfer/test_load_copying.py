"""The two looks of a copy."""

from __future__ import annotations

from contextlib import closing

from response_store.config import InputColumns
from response_store.model.selection import Selection
from response_store.model.tables import EXCHANGES
from response_store.model.zstd import unpack
from response_store.transfer.load import Copy
from tests.harness.agent_session import build_records, take_turns
from tests.unit.transfer.databases import AnyDatabase, PostgresTables, SqliteFile

TURNS = take_turns(12)


def test_what_changes_meanwhile_is_brought_again(
    sqlite: SqliteFile, in_postgres: PostgresTables
) -> None:
    """The second look brings what the source has gained since, and finds no difference."""
    for exchange_id in ("e1", "e2", "e3"):
        sqlite.exchange(exchange_id, state="open")
    with sqlite.read() as source, in_postgres.written() as (there, writing):
        copy = Copy(source, there, writing, Selection())
        assert copy.load(int)[EXCHANGES].sent == 3
        sqlite.exchange("e0")
        sqlite.execute("UPDATE openai_exchanges SET state = 'completed' WHERE exchange_id = 'e2'")
        counts = copy.verify(int)[EXCHANGES]
    assert (counts.rows, counts.unchanged, counts.different) == (4, 4, 0)
    assert in_postgres.contents() == sqlite.contents()


def test_a_row_that_goes_missing_is_brought_again(
    sqlite: SqliteFile, in_postgres: PostgresTables
) -> None:
    """What somebody deletes from the target during the copy is there at its end."""
    sqlite.exchange()
    with sqlite.read() as source, in_postgres.written() as (there, writing):
        copy = Copy(source, there, writing, Selection())
        copy.load(int)
        in_postgres.execute("DELETE FROM openai_exchanges")
        assert copy.verify(int)[EXCHANGES].is_complete
    assert in_postgres.contents() == sqlite.contents()


def test_a_session_stands_alone(
    sqlite: SqliteFile, other: SqliteFile, in_postgres: PostgresTables
) -> None:
    """What is stored once in a while is whole in a copy; a second one brings nothing, nor back."""
    records = [*build_records(TURNS)]
    for database in (sqlite, in_postgres):
        with closing(database.store()) as store:
            store.write(records)
    full = [*build_records(TURNS, InputColumns.ALWAYS)]
    pairs: list[tuple[AnyDatabase, AnyDatabase]] = [(sqlite, other), (in_postgres, other)]
    for source, target in [*pairs, (other, sqlite), (other, in_postgres)]:
        with source.read() as reading, target.written() as (there, writing):
            copy = Copy(reading, there, writing, Selection())
            copied = copy.load(int)
            assert all(counts.is_complete for counts in copy.verify(int).values())
        assert copied[EXCHANGES].sent == (len(TURNS) if source is sqlite else 0)
    rows = {row["exchange_id"]: row for row in other.rows("SELECT * FROM openai_exchanges")}
    for record, turn in zip(full, TURNS, strict=True):
        row = rows[record.exchange.exchange_id]
        assert row["request_base_id"] is None
        assert unpack(row["request_body"]) == turn.body
    responses = {row["id"]: row for row in other.rows("SELECT * FROM openai_responses")}
    for record in full:
        assert record.response is not None
        row = responses[record.response.id]
        assert (row["input"], row["messages"]) == (record.response.input, record.response.messages)
