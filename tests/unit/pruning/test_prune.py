"""What goes and what stays, in both databases."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from response_store.backends.postgres.prune import PostgresRemover
from response_store.backends.registry import open_database
from response_store.backends.sqlite.connection import connect
from response_store.backends.sqlite.prune import SqliteRemover
from response_store.config import Durability, SqliteTarget
from response_store.errors import PermanentStoreError, TransientStoreError
from response_store.model.selection import Selection
from response_store.pruning import batch as measures
from response_store.pruning.batch import START
from response_store.pruning.prune import Pruner, _choose_batch_size
from tests.harness.postgres_shared import target_of
from tests.unit.pruning.conftest import Anywhere, Open, ids, response_ids
from tests.unit.queries.stored import NAMES, Stored, packed
from tests.unit.queries.stored_in_postgres import StoredInPostgres


def going_on(_: float) -> bool:
    return True


def swept(opened: Open, stored: Anywhere, selection: Selection, *tenants: str) -> Pruner:
    pruner = Pruner(opened(stored), going_on)
    pruner.remove(selection, tenants or ("default",))
    return pruner


def test_what_was_begun_earlier_goes(anywhere: Anywhere, opened: Open) -> None:
    """Up to the time, of this tenant; several batches, of rows that began at one moment too."""
    anywhere.exchanges(
        [{"exchange_id": f"old-{n:03}", "started_at": float(n // 50)} for n in range(300)]
    )
    anywhere.exchange("new", started_at=6.0)
    anywhere.exchange("other", started_at=1.0, tenant_id="other")
    pruner = swept(opened, anywhere, Selection(until=6.0))
    assert ids(anywhere) == ["new", "other"]
    assert (pruner.exchanges, pruner.responses) == (300, 0)


def test_what_passes_the_filters_goes(anywhere: Anywhere, opened: Open) -> None:
    """Others between them stay."""
    states = ["failed", "completed"]
    anywhere.exchanges(
        [
            {"exchange_id": f"e{n:02}", "started_at": float(n), "state": states[n % 2]}
            for n in range(90)
        ]
    )
    swept(opened, anywhere, Selection(states=("failed",), since=10.0))
    assert ids(anywhere) == [f"e{n:02}" for n in range(90) if n % 2 or n < 10]


def test_open_exchanges_stay(anywhere: Anywhere, opened: Open) -> None:
    """Somebody may still write them, however old they are."""
    anywhere.exchange("open", state="open", started_at=1.0)
    anywhere.exchange("ended", started_at=2.0)
    swept(opened, anywhere, Selection())
    assert ids(anywhere) == ["open"]


def test_a_response_goes_with_the_last_that_names_it(anywhere: Anywhere, opened: Open) -> None:
    """One that another exchange is about, or continues, stays; so does one nobody ever named."""
    for name in ("gone", "polled", "continued", "foreign"):
        anywhere.response(name)
    anywhere.response("gone", tenant_id="other")
    for n, name in enumerate(("gone", "polled", "continued")):
        anywhere.exchange(f"old-{name}", response_id=name, started_at=float(n))
    anywhere.exchange("new-poll", response_id="polled", started_at=10.0)
    anywhere.exchange("new-turn", previous_response_id="continued", started_at=11.0)
    anywhere.exchange("elsewhere", response_id="gone", tenant_id="other", started_at=12.0)
    pruner = swept(opened, anywhere, Selection(until=5.0))
    assert response_ids(anywhere) == ["continued", "foreign", "gone", "polled"]
    assert (pruner.exchanges, pruner.responses) == (3, 1)
    swept(opened, anywhere, Selection())
    assert response_ids(anywhere) == ["foreign", "gone"]


def test_the_oldest_go_until_the_rest_fits(anywhere: Anywhere, opened: Open) -> None:
    """Of all tenants, no more than needed by far; what is open and old is passed over."""
    noise = bytes(range(256)) * 40
    rows = [
        {"exchange_id": f"e{n:03}", "tenant_id": f"t{n % 3}", "started_at": float(n),
         "request_body": packed(noise[n % 256 :]) + noise}
        for n in range(200)
    ]  # fmt: skip
    anywhere.exchanges(rows)
    anywhere.exchanges(
        [{"exchange_id": f"open{n}", "started_at": -1.0 - n, "state": "open"} for n in range(30)]
    )
    database = opened(anywhere)
    most = measures.measure_used_bytes(database.reader) // 2
    Pruner(database, going_on).shrink(most)
    left = [name for name in ids(anywhere) if name.startswith("e")]
    assert measures.measure_used_bytes(database.reader) <= most
    assert 60 < len(left) < 110
    assert left == [f"e{n:03}" for n in range(200 - len(left), 200)]
    assert len(ids(anywhere)) == len(left) + 30
    Pruner(database, going_on).shrink(1)
    assert [name for name in ids(anywhere) if name.startswith("e")] == []


def test_it_can_be_stopped_between_two_batches(anywhere: Anywhere, opened: Open) -> None:
    """What has gone is gone, and the rest is whole."""
    anywhere.exchanges([{"exchange_id": f"e{n:03}", "started_at": float(n)} for n in range(100)])
    pruner = Pruner(opened(anywhere), lambda _: False)
    pruner.remove(Selection(), ["default"])
    assert 0 < pruner.exchanges < 100
    assert len(ids(anywhere)) == 100 - pruner.exchanges


def test_batches_take_the_time_that_they_may() -> None:
    """Slow ones become smaller, quick ones grow, at most to twice the size."""
    assert _choose_batch_size(20, 0.04) == 2
    assert _choose_batch_size(20, 0.0001) == 40
    assert _choose_batch_size(150, 0.0001) == 200
    assert _choose_batch_size(1, 1.0) == 1


def test_large_rows_go_in_small_batches(anywhere: Anywhere, opened: Open) -> None:
    """However many small ones came before: writers wait while a batch is removed."""
    body = bytes(400_000)
    anywhere.exchanges(
        [{"exchange_id": f"e{n:03}", "started_at": float(n),
          "request_body": body if n >= 100 else None, "raw_response": body if n >= 105 else None}
         for n in range(110)]
    )  # fmt: skip
    batches: list[int] = []
    pruner = Pruner(opened(anywhere), going_on, lambda batch: batches.append(batch.exchanges))
    pruner._rows = 105
    pruner.remove(Selection(), ["default"])
    assert batches[0] == 102
    assert max(batches[1:]) <= 2
    assert sum(batches) == 110


def test_a_survey(anywhere: Anywhere, opened: Open) -> None:
    """How many, from when to when, and about how much."""
    anywhere.response("r", response_object="x" * 5000)
    anywhere.exchange("a", started_at=1.0, response_id="r", output_text="y" * 3000)
    anywhere.exchange("b", started_at=2.0)
    anywhere.exchange("c", started_at=3.0, state="open")
    found = measures.survey_selection(opened(anywhere).reader, Selection(tenant="default"))
    assert (found.exchanges, found.oldest, found.newest) == (2, 1.0, 2.0)
    assert found.bytes > 1000


def test_a_file_that_is_locked_is_tried_again(stored: Stored, opened: Open) -> None:
    """Another program holds the lock: several attempts, then the error."""
    stored.exchange("e")
    database, pauses = opened(stored), []
    database.remover._connection.execute("PRAGMA busy_timeout = 1")  # type: ignore[attr-defined]

    def pause(taken: float) -> bool:
        pauses.append(taken)
        return True

    with closing(sqlite3.connect(stored.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(TransientStoreError, match="locked by another program"):
            Pruner(database, pause).remove(Selection(), ["default"])
        other.execute("ROLLBACK")
    assert len(pauses) == 5
    Pruner(database, pause).remove(Selection(), ["default"])
    assert ids(stored) == []


def test_postgresql_waits_for_nobody(stored_in_postgres: StoredInPostgres, opened: Open) -> None:
    """Rows that somebody else holds are passed over: an exchange, and a response alike."""
    stored = stored_in_postgres
    for name in ("a", "b"):
        stored.response(name)
        stored.exchange(name, response_id=name)
    database = opened(stored)
    with psycopg.connect(stored.database.url()) as other:
        other.execute("SELECT 1 FROM openai_exchanges WHERE exchange_id = 'a' FOR UPDATE")
        other.execute("SELECT 1 FROM openai_responses WHERE id = 'b' FOR UPDATE")
        batch = database.remover.remove("default", Selection(), START, 10)
    assert (batch.exchanges, batch.responses) == (1, 0)
    assert ids(stored) == ["a"]
    assert response_ids(stored) == ["a", "b"]


def test_a_role_that_may_not_remove(stored_in_postgres: StoredInPostgres) -> None:
    """It is told which rights it lacks; nothing has gone."""
    stored, database = stored_in_postgres, stored_in_postgres.database
    stored.exchange("e")
    role = database.server.create_role(f"keeping_{database.name}")
    database.execute(f"GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO {role}")
    with (
        closing(PostgresRemover(target_of(database.url(user=role)), NAMES)) as remover,
        pytest.raises(PermanentStoreError, match="GRANT SELECT, UPDATE, DELETE ON openai_exchang"),
    ):
        remover.remove("default", Selection(), START, 10)
    assert ids(stored) == ["e"]


def test_writers_get_through_between_batches(stored: Stored, opened: Open) -> None:
    """While much is removed, a writer waits for a batch at most: pauses hold no lock."""
    stored.exchanges([{"exchange_id": f"e{n:05}", "started_at": float(n)} for n in range(1000)])
    pauses = 0
    with closing(sqlite3.connect(stored.path, timeout=0, isolation_level=None)) as other:

        def write(_: float) -> bool:
            nonlocal pauses
            pauses += 1
            other.execute("BEGIN IMMEDIATE")
            other.execute("COMMIT")
            return True

        pruner = Pruner(opened(stored), write)
        pruner.remove(Selection(), ["default"])
    assert pruner.exchanges == 1000
    assert pauses > 4  # a batch has at most 200 rows


def test_a_file_gives_back_room_in_small_steps(tmp_path: Path) -> None:
    """While others write: a file that the store has made, as far as its end is free."""
    path = tmp_path / "responses.db"
    connect(SqliteTarget(path), Durability.PROCESS, NAMES).close()
    stored = Stored(path)
    body = bytes(range(256)) * 200
    stored.exchanges(
        [{"exchange_id": f"e{n}", "started_at": float(n), "request_body": body} for n in range(60)]
    )
    before = path.stat().st_size
    with open_database(SqliteTarget(path), NAMES) as database:
        steps: list[float] = []
        pruner = Pruner(database, lambda taken: steps.append(taken) is None)
        pruner.remove(Selection(until=50.0), ["default"])
        assert isinstance(database.remover, SqliteRemover)
        assert database.remover.free_bytes() > before / 2
        batches = len(steps)
        pruner.release_space()
        assert len(steps) - batches > 3
        assert database.remover.free_bytes() == 0
        database.remover.truncate()
    assert path.stat().st_size < before / 3
    assert ids(stored) == [f"e{n}" for n in range(50, 60)]
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_an_older_file_gives_nothing_back(tmp_path: Path) -> None:
    """One that was made without that is left as it is, at once."""
    stored = Stored(tmp_path / "old.db")
    body = bytes(range(256)) * 200
    stored.exchanges([{"exchange_id": f"e{n}", "request_body": body} for n in range(20)])
    with open_database(SqliteTarget(stored.path), NAMES) as database:
        pruner = Pruner(database, going_on)
        pruner.remove(Selection(), ["default"])
        pruner.release_space()
        assert isinstance(database.remover, SqliteRemover)
        assert database.remover.free_bytes() > 0
