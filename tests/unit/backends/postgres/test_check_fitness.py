"""Whether a store could work there: schema and rights. Nothing is changed by asking."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import pytest

from response_store.config import TableNames
from response_store.queries.schema_state import PRESENT
from tests.harness.postgres import PostgresDatabase
from tests.unit.backends.postgres.conftest import Check, Told
from tests.unit.backends.postgres.stores import opened
from tests.unit.backends.sqlite.files import PRAXIS

TABLES = (
    "openai_responses",
    "openai_conversations",
    "openai_exchanges",
    "openai_responses_schema_version",
    "openai_exchanges_schema_version",
    "openai_exchanges_journals",
)
NAMED = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY relname"
RIGHTS = "GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO"

CheckDatabase: TypeAlias = Callable[..., Told]


@pytest.fixture
def look(plain_database: PostgresDatabase, check: Check) -> CheckDatabase:
    """Checks the test's database as a role, and sees that nothing was changed by it."""

    def look(role: str = "owner", **keys: object) -> Told:
        before = plain_database.execute(NAMED)
        told = check(plain_database.url(user=role), ssl_mode="disable", **keys)
        assert plain_database.execute(NAMED) == before
        return told

    return look


@pytest.fixture
def role(plain_database: PostgresDatabase) -> str:
    """A role that may create nothing."""
    return plain_database.server.create_role(f"role_of_{plain_database.name}")


def test_an_empty_database(look: CheckDatabase) -> None:
    """The schema is absent, and the role may make it."""
    told = look()
    assert told.fine
    assert told.facts["schema"] == "absent; it is made at start, in schema public"
    assert told.facts["create tables"] == "yes, in schema public"


def test_an_empty_database_and_a_role_that_may_not_create(look: CheckDatabase, role: str) -> None:
    """The schema is absent, and the role may not make it: what to grant is told."""
    told = look(role)
    assert "the role may not create them: grant it CREATE" in told.problems
    assert told.facts["schema"] == "absent; the role may not make it"
    assert told.facts["create tables"] == "no, in schema public"


def test_a_role_without_any_schema(
    plain_database: PostgresDatabase, look: CheckDatabase, role: str
) -> None:
    """A search_path that leads nowhere is told."""
    plain_database.execute(f"ALTER ROLE {role} SET search_path = nowhere")
    assert look(role).facts["create tables"] == (
        "no: the role's search_path names no schema that is there"
    )


def test_a_schema_that_is_there(
    plain_database: PostgresDatabase, look: CheckDatabase, role: str
) -> None:
    """It is present with its versions; a role that may write to it needs no more."""
    with opened(plain_database):
        pass
    told = look()
    assert told.fine
    assert told.facts["schema"] == PRESENT
    for table in TABLES:
        assert told.facts[f"table {table}"] == "may SELECT, INSERT, UPDATE, DELETE"
    plain_database.execute(f"{RIGHTS} {role}")
    assert "may not DELETE on table openai_exchanges_journals" in look(role).problems
    plain_database.execute(f"GRANT DELETE ON openai_exchanges_journals TO {role}")
    told = look(role)
    assert told.fine
    assert told.facts["create tables"] == "no, in schema public"
    assert told.facts["table openai_responses"] == "may SELECT, INSERT, UPDATE"


def test_rights_that_are_missing(
    plain_database: PostgresDatabase, look: CheckDatabase, role: str
) -> None:
    """Each right that the store needs and the role lacks is named, with its table."""
    with opened(plain_database):
        pass
    plain_database.execute(
        f"{RIGHTS} {role}; REVOKE UPDATE, INSERT ON openai_exchanges FROM {role}"
    )
    told = look(role)
    assert "the role may not INSERT, UPDATE on table openai_exchanges: grant" in told.problems
    assert told.facts["table openai_exchanges"] == "may SELECT"
    plain_database.execute(f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {role}")
    told = look(role)
    assert told.facts["table openai_responses"] == "may nothing"
    assert "may not SELECT on table openai_exchanges_schema_version" in told.problems


def test_an_index_that_is_not_kept_up(
    plain_database: PostgresDatabase, look: CheckDatabase, role: str
) -> None:
    """A role that may not write the search index is fine; the check says what goes without."""
    with opened(plain_database):
        pass
    index = "openai_exchanges_search, openai_exchanges_search_words"
    deletes = f"{index}, openai_exchanges_journals"
    plain_database.execute(f"{RIGHTS} {role}; GRANT DELETE ON {deletes} TO {role}")
    assert not [name for name in look(role).facts if "search" in name]
    plain_database.execute(f"REVOKE DELETE, INSERT ON openai_exchanges_search_words FROM {role}")
    told = look(role)
    assert told.fine
    lacking = [text for name, text in told.facts.items() if "search" in name]
    assert lacking == ["is not kept up: the role may not INSERT, DELETE there"]


def test_a_database_of_praxis(plain_database: PostgresDatabase, look: CheckDatabase) -> None:
    """The shared tables are there, and ours are to be made."""
    plain_database.execute(f"SET ROLE owner; {PRAXIS}")
    told = look()
    assert told.fine
    assert told.facts["schema"] == (
        "incomplete: openai_exchanges, openai_exchanges_schema_version, "
        "openai_exchanges_journals missing; it is made at "
        "start, in schema public"
    )


def test_a_version_that_was_never_written(
    plain_database: PostgresDatabase, look: CheckDatabase
) -> None:
    """All tables are there, and something is still to be done at start."""
    with opened(plain_database):
        pass
    plain_database.execute("DELETE FROM openai_responses_schema_version")
    told = look()
    assert told.fine
    assert told.facts["schema"] == "present, older: it is brought up to date at start"


def test_a_newer_schema(plain_database: PostgresDatabase, look: CheckDatabase) -> None:
    """What a newer program made is refused in the store's own words."""
    with opened(plain_database):
        pass
    plain_database.execute("UPDATE openai_exchanges_schema_version SET version = 99")
    told = look()
    assert "openai_exchanges_schema_version says version 99, this program knows " in told.problems
    assert told.facts["schema"] == "present, but not one that this program can use"


def test_columns_that_are_missing(plain_database: PostgresDatabase, look: CheckDatabase) -> None:
    """They are named."""
    with opened(plain_database):
        pass
    plain_database.execute("ALTER TABLE openai_responses DROP COLUMN model, DROP COLUMN input")
    assert "table openai_responses lacks model, input" in look().problems


def test_names_are_folded(plain_database: PostgresDatabase, look: CheckDatabase) -> None:
    """The tables of the configuration are looked for as the store looks for them."""
    with opened(plain_database, names=TableNames("Mine", "Talks", "Exchanged")):
        pass
    told = look(responses_table="MINE", conversations_table="talks", exchanges_table="Exchanged")
    assert told.fine
    assert told.facts["schema"].startswith("present, version 1")
    assert "table mine" in told.facts
    assert look().facts["schema"].startswith("absent")


def test_a_database_that_may_only_be_read(
    plain_database: PostgresDatabase, look: CheckDatabase, role: str
) -> None:
    """It is told, since a store has to write."""
    with opened(plain_database):
        pass
    plain_database.execute(f"{RIGHTS} {role}")
    plain_database.execute(f"ALTER ROLE {role} SET default_transaction_read_only = on")
    assert "the database is read-only: default_transaction_read_only is on" in look(role).problems
