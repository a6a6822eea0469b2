"""Whose fault it is that a row is refused: its own, or the table's, which refuses every row."""

from __future__ import annotations

from typing import Any

import pytest

from response_store.backends.base import Checkpoint
from response_store.errors import RowRefusedError, StoreError
from response_store.model.records import Change, Deletion, Record
from tests.contract.backends import Backend
from tests.contract.contents import Contents
from tests.contract.test_batches import BAD
from tests.harness.postgres import OWNER
from tests.harness.postgres_backend import PostgresDatabase
from tests.harness.records import numbered, record, response

WHOLE = record(
    "e1", response("r1", asked=[]), ended_by="body", input_tokens=7, duration_ms=1.5,
    raw_response=b"raw", output_text="long " * 1000, host="api.example.com",
)  # fmt: skip


def tables(contents: Contents) -> tuple[Any, ...]:
    journals = contents.backend.execute("SELECT * FROM openai_exchanges_journals")
    return contents.responses(), contents.exchanges(), journals


@pytest.mark.parametrize("kind", BAD)
def test_the_row_is_at_fault(contents: Contents, kind: str) -> None:
    """Where the values of a row are refused, a plain one would be taken; nothing of it stays."""
    contents.write(*numbered(3))
    before = tables(contents)
    assert contents.store.accepts(BAD[kind]())
    assert tables(contents) == before
    contents.store.write([record("next")], Checkpoint("j", 1, None))


@pytest.mark.parametrize(
    "change",
    [WHOLE, record("e1"), record("e1", state="open"), Deletion("t1", "r1"), Deletion("\ud800", "")],
    ids=["whole", "small", "open", "deletion", "impossible deletion"],
)
def test_a_table_that_is_well_takes_any_kind(contents: Contents, change: Change) -> None:
    """Where nothing is wrong with the tables, a change of any kind would be taken."""
    contents.write(WHOLE)
    before = tables(contents)
    assert contents.store.accepts(change)
    assert tables(contents) == before


REFUSING = (
    f"SET ROLE {OWNER}; CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN RAISE check_violation; END $$; "
)


def refuse(backend: Backend, table: str) -> None:
    """Have a table refuse all rows, as a rule does that another program has put there."""
    trigger = f"CREATE TRIGGER refuse BEFORE INSERT ON {table}"
    if isinstance(backend, PostgresDatabase):
        backend.execute(f"{REFUSING} {trigger} FOR EACH ROW EXECUTE FUNCTION refuse()")
    else:
        backend.execute(f"{trigger} BEGIN SELECT RAISE(ABORT, 'no'); END")


@pytest.mark.parametrize("table", ["openai_exchanges", "openai_responses"])
def test_the_table_is_at_fault(contents: Contents, table: str) -> None:
    """Where the table refuses every row, it would refuse a plain one; so it is with each kind."""
    refuse(contents.backend, table)
    before = tables(contents)
    for change in (WHOLE, record("e2", response("r2", status="queued"))):
        with pytest.raises(RowRefusedError):
            contents.write(change)
        assert not contents.store.accepts(change)
    assert contents.store.accepts(record("e3")) is (table == "openai_responses")
    assert tables(contents) == before


RULES = {
    "a new column that needs a value": "ALTER TABLE openai_exchanges ADD COLUMN extra TEXT "
    "CHECK (extra IS NOT NULL)",
    "a rule that nothing keeps": "ALTER TABLE openai_exchanges ADD COLUMN extra TEXT DEFAULT 'x' "
    "CHECK (extra <> 'x')",
}


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_of_another_program(contents: Contents, rule: str) -> None:
    """A rule that no row of ours can keep is the table's fault."""
    contents.backend.execute(RULES[rule])
    with pytest.raises(RowRefusedError):
        contents.write(WHOLE)
    assert not contents.store.accepts(WHOLE)


def test_a_rule_that_some_rows_keep(contents: Contents) -> None:
    """A rule that refuses some rows is the fault of those: they are bad rows there."""
    contents.backend.execute(
        "CREATE UNIQUE INDEX one_each ON openai_exchanges (tenant_id, output_text)"
    )
    contents.write(record("e1", output_text="same"))
    twice = record("e2", output_text="same")
    with pytest.raises(RowRefusedError):
        contents.write(twice)
    assert contents.store.accepts(twice)


def test_known_words_are_kept(contents: Contents) -> None:
    """A rule on the few words that a state can be does not make a plain row a bad one."""
    contents.backend.execute(
        "CREATE UNIQUE INDEX one_state ON openai_exchanges (transport) WHERE transport <> 'http'"
    )
    contents.write(record("e1", transport="http"))
    assert contents.store.accepts(record("e2", output_text="\ud800"))
    contents.write(record("e3", transport="sse"))
    assert not contents.store.accepts(record("e4", transport="sse"))


def test_a_rule_that_waits_for_the_commit(backend: Backend) -> None:
    """PostgreSQL may check at the commit alone: the probe, which has none, does not wait for it."""
    if not isinstance(backend, PostgresDatabase):
        return
    contents = Contents(backend)
    backend.execute(
        f"{REFUSING} CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON openai_exchanges "
        "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()"
    )
    with pytest.raises(RowRefusedError):
        contents.write(record())
    assert not contents.store.accepts(record())


def test_tables_that_are_gone(contents: Contents) -> None:
    """Where a table is gone nobody can say whose fault it is: that is an error of its own."""
    contents.backend.execute("ALTER TABLE openai_exchanges RENAME TO elsewhere")
    with pytest.raises(StoreError) as caught:
        contents.store.accepts(Record(record().exchange))
    assert not isinstance(caught.value, RowRefusedError)
