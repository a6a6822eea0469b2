"""The names of tables, and of what is named after them."""

from __future__ import annotations

import sqlite3

import pytest

from response_store.config import TableNames
from response_store.config.table_names import RESERVED_WORDS, find_collisions, find_name_problems
from response_store.resources import read_schema
from tests.harness.each import each
from tests.unit.config.conftest import Refusal

NAMES = TableNames("r", "c", "e")


def test_every_derived_name_follows_its_table() -> None:
    """The derived names are those that other programs on the same tables expect."""
    assert NAMES.by_placeholder() == {
        "responses": "r",
        "conversations": "c",
        "exchanges": "e",
        "responses_version": "r_schema_version",
        "exchanges_version": "e_schema_version",
        "conversations_tenant_index": "idx_c_tenant_id",
        "exchanges_started_index": "idx_e_started_at",
        "exchanges_response_index": "idx_e_response_id",
        "exchanges_previous_index": "idx_e_previous_response_id",
        "exchanges_conversation_index": "idx_e_conversation_id",
        "exchanges_state_index": "idx_e_state",
        "exchanges_session_index": "idx_e_session_id",
        "exchanges_label_index": "idx_e_label",
        "exchanges_context_index": "idx_e_context_digest",
        "exchanges_answer_index": "idx_e_answer_digest",
        "exchanges_base_index": "idx_e_base",
        "exchanges_view": "e_view",
        "exchanges_sessions_view": "e_sessions",
        "exchanges_journals": "e_journals",
        "exchanges_search": "e_search",
        "exchanges_leases": "e_leases",
        "exchanges_search_words": "e_search_words",
        "exchanges_search_unfinished_index": "idx_e_search_state",
        "exchanges_search_words_index": "idx_e_search_words",
        "exchanges_search_trigger": "e_search_delete",
        "exchanges_search_words_trigger": "e_search_words_delete",
    }


def test_the_views_of_the_default_tables_have_short_names() -> None:
    """Whoever asks by SQL types `exchanges`; two stores in one schema have views of their own."""
    names = TableNames("openai_responses", "openai_conversations", "OpenAI_Exchanges")
    assert (names.exchanges_view, names.exchanges_sessions_view) == ("exchanges", "sessions")


def test_the_sql_files_name_only_known_placeholders() -> None:
    """Every placeholder of the SQL files has a name, and SQLite accepts the result."""
    files = "shared_tables", "exchanges_001", "exchanges_002", "exchanges_003", "exchanges_004"
    files = *files, "exchanges_005", "exchanges_006", "exchanges_007", "search_words"
    with sqlite3.connect(":memory:") as connection:
        for file in files:
            sql = read_schema(f"sqlite/{file}.sql").format_map(NAMES.by_placeholder())
            connection.executescript(sql)
    connection.close()


@pytest.mark.parametrize(
    "name", ["", "1a", "a b", "a-b", "a;b", "a\n", "ä", "a" * 129, "Order", "sqlite_a", "PG_A"]
)
def test_a_bad_name_has_one_fault(name: str) -> None:
    """A name has one fault, the first that applies, and no TableNames can be made with it."""
    assert len(list(find_name_problems(name))) == 1
    with pytest.raises(ValueError, match="breaks a rule"):
        TableNames(name, "c", "e")


@pytest.mark.parametrize("name", ["a", "_", "A1_b", "key", "messages", "a" * 128, "sqlite", "pg"])
def test_a_good_name_has_no_fault(name: str) -> None:
    """Words that databases accept as names stay allowed."""
    assert list(find_name_problems(name)) == []


@each("word", sorted(RESERVED_WORDS))
def test_every_reserved_word_is_refused(word: str) -> None:
    """A reserved word is refused in any letter case."""
    assert [*find_name_problems(word), *find_name_problems(word.upper())]


@each(
    ("names", "keys"),
    [
        (("a", "A", "b"), ["conversations_table"]),
        (("a", "a", "a"), ["conversations_table", "exchanges_table"]),
        (("a", "a_schema_version", "b"), ["responses_table"]),
        (("a", "A_SCHEMA_VERSION", "b"), ["responses_table"]),
        (("b_schema_version", "c", "b"), ["exchanges_table"]),
        (("idx_c_tenant_id", "c", "e"), ["conversations_table"]),
        (("r", "c", "IDX_c_tenant_id"), ["conversations_table"]),
        (("r", "idx_e_state", "e"), ["exchanges_table"]),
        (("idx_e_started_at", "c", "e"), ["exchanges_table"]),
        (("r", "r_pkey", "e"), ["conversations_table"]),
        (("r", "c", "r_schema_version_pkey"), ["responses_table"]),
        (("e_search", "c", "e"), ["exchanges_table"]),
        (("E_Journals", "c", "e"), ["exchanges_table"]),
        (("r", "e_journals_pkey", "e"), ["exchanges_table"]),
        (("r", "E_Search_Words_Data", "e"), ["exchanges_table"]),
        (("r", "c", "e"), []),
        (("r", "r_schema", "r_version"), []),
    ],
)
def test_names_that_collide_are_found(names: tuple[str, str, str], keys: list[str]) -> None:
    """A table may not have the name of another, or of what is named after one."""
    assert [key for key, _ in find_collisions(*names)] == keys
    if keys:
        with pytest.raises(ValueError, match="collide"):
            TableNames(*names)


def test_a_collision_is_said_in_plain_words(refusal: Refusal) -> None:
    """The message says which two things have one name."""
    said = refusal("responses_table: idx_conv_tenant_id\nconversations_table: conv\n")
    assert (
        "store.yaml:2: conversations_table: its tenant_id index and the table of responses_table "
        "have one name: they collide"
    ) in said
