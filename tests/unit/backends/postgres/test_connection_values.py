"""How values arrive, and what is prepared for them."""

from __future__ import annotations

import json
import random
import threading

import pytest

from response_store.errors import RowRefusedError, StoreError
from tests.harness.postgres import PostgresDatabase
from tests.harness.records import ANSWER, QUESTION, numbered, record, response
from tests.unit.backends.postgres.stores import ids, opened


def test_nul_is_replaced(database: PostgresDatabase) -> None:
    """PostgreSQL's text has no NUL: U+FFFD stands in its place, and the escape stays."""
    escaped = response(asked=[{"text": "a\0b"}])
    with opened(database) as store:
        store.write([record("a\0b", escaped, output_text="\0x\0")])
    (row,) = database.execute("SELECT exchange_id, output_text FROM openai_exchanges")
    assert row == {"exchange_id": "a\ufffdb", "output_text": "\ufffdx\ufffd"}
    (kept,) = database.execute("SELECT input FROM openai_responses")
    assert json.loads(kept["input"]) == [{"text": "a\0b"}]


def test_rows_of_any_shape_share_a_statement(database: PostgresDatabase) -> None:
    """What is missing and how large numbers are makes no further prepared statement."""
    rows = [
        record(f"e{at}", response(f"r{at}"), input_tokens=10**at, **{name: value})
        for at, (name, value) in enumerate(
            [("output_text", "x"), ("raw_response", b"x"), ("duration_ms", 1.5), ("error_code", "")]
        )
    ]
    with opened(database) as store:
        store.write(rows)
        store.write(numbered(5, start=100))
        with store._connections.connection() as connection:
            prepared = connection.execute(
                "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%INSERT%'"
            ).fetchone()
    assert prepared == (2,)


def test_asynchronous_commits_are_switched_on_again(database: PostgresDatabase) -> None:
    """What we call durable is: a role whose commits do not wait is given ones that do."""
    database.execute(
        "ALTER ROLE owner IN DATABASE " + database.name + " SET synchronous_commit = off"
    )
    with opened(database) as store, store._connections.connection() as connection:
        assert connection.execute("SHOW synchronous_commit").fetchone() == ("on",)


def test_an_id_that_no_index_takes(database: PostgresDatabase) -> None:
    """An index row has its limit: such a record is refused by itself, and the others are fine."""
    long = random.Random(1).randbytes(10_000).hex()
    with opened(database) as store:
        for place in range(3):
            batch = numbered(2)
            batch.insert(place, record(long))
            with pytest.raises(RowRefusedError) as caught:
                store.write(batch)
            assert long[:10] not in str(caught.value)
        store.write(numbered(2))
    assert ids(database) == ["e0", "e1"]


@pytest.mark.parametrize("final_first", [True, False])
def test_racing_snapshots(database: PostgresDatabase, final_first: bool) -> None:
    """Two proxies with snapshots of one new response: the final one stays, with its input."""
    done = response("r", "completed", answered=[ANSWER])
    early = response("r", "queued", asked=[QUESTION])
    snapshots = (done, early) if final_first else (early, done)
    with opened(database) as one, opened(database) as two:
        for _ in range(15):
            database.execute("DELETE FROM openai_responses")
            together = threading.Barrier(2)

            def write(store: object, answer: object, at: threading.Barrier = together) -> None:
                at.wait()
                store.write([record(answer=answer)])

            threads = [
                threading.Thread(target=write, args=pair)
                for pair in zip((one, two), snapshots, strict=True)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            (row,) = database.execute("SELECT response_object, messages FROM openai_responses")
            assert json.loads(row["response_object"])["status"] == "completed"
            assert json.loads(row["messages"]) == [QUESTION, ANSWER]


def test_batches_in_opposite_order(database: PostgresDatabase) -> None:
    """Proxies that write the same rows the other way round do not lock each other out."""
    errors: list[StoreError] = []
    rows = numbered(40)

    def work(name: str, batch: list[object]) -> None:
        try:
            with opened(database) as store:
                for _ in range(10):
                    store.write(batch)
        except StoreError as error:
            errors.append(error)

    threads = [
        threading.Thread(target=work, args=("one", rows)),
        threading.Thread(target=work, args=("two", rows[::-1])),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(ids(database)) == 40
