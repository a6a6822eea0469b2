"""The two looks of a copy."""

from __future__ import annotations

from response_store.model.selection import Selection
from response_store.model.tables import EXCHANGES
from response_store.transfer.load import Copy
from tests.unit.transfer.databases import PostgresTables, SqliteFile


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
    assert (counts.rows, counts.there, counts.different) == (4, 4, 0)
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
