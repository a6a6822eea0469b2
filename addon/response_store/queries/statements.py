"""The SQL of a store, which SQLite and PostgreSQL both take, made of the tables' names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from response_store.config import TableNames
from response_store.model.precedence import build_body_updates, build_supersedes
from response_store.model.records import EndedBy, State
from response_store.model.tables import (
    CONVERSATION_COLUMNS,
    LARGE_TEXTS,
    RESPONSE_COLUMNS,
    STORED_EXCHANGE_COLUMNS,
    quote_name,
)


class TurnKey(Enum):
    """What a turn is known by: the response that it made, the digest of its context or answer."""

    RESPONSE = "response"
    CONTEXT = "context"
    ANSWER = "answer"


@dataclass(frozen=True, slots=True)
class Statements:
    """The statements of a store, each with a parameter for each value.

    `replace_response` and `add_response` take the values of a response, `read_response`,
    `lock_response` (which SQLite has no need of) and `delete_response` its key; `record_exchange`
    the values of an exchange as it is stored, whose row is replaced only upwards (see
    `model/precedence.py`), `lock_base` the id of one whose body has to stand alone. Of a
    journal, `add_position` takes id, position and time, `move_position` position, time, id and the
    position before, `read_position` and `delete_position` its id. `set_result` takes a result and
    the id of an exchange that has none. `find_turns` take a digest or the id of a response, and a
    tenant; they give the columns of a `Turn`.
    Of a conversation, `add_conversation` takes the values of a row, `read_conversation`,
    `lock_conversation` and `delete_conversation` its key, `set_conversation` metadata, messages and
    the key. `set_database_id` takes time and id, `touch` a time.
    """

    replace_response: str
    add_response: str
    read_response: str
    lock_response: str
    delete_response: str
    add_conversation: str
    read_conversation: str
    lock_conversation: str
    set_conversation: str
    delete_conversation: str
    record_exchange: str
    set_result: str
    find_turns: Mapping[TurnKey, str]
    lock_base: str
    close_abandoned: str
    read_position: str
    add_position: str
    move_position: str
    delete_position: str
    read_database_id: str
    set_database_id: str
    touch: str


_TURN = "exchange_id, session_id, started_at, context_digest, question, requested_model"


def build_statements(tables: TableNames, mark: str, large: str = "") -> Statements:
    """Return the statements for these tables; `mark` stands for a value.

    `large` stands for a text that may come as UTF-8, where that takes another one.
    """
    large = large or mark
    responses, exchanges = quote_name(tables.responses), quote_name(tables.exchanges)
    journals = quote_name(tables.exchanges_journals)
    into_responses = _build_insert(responses, RESPONSE_COLUMNS, mark, large)
    this_response = f"WHERE tenant_id = {mark} AND id = {mark}"
    read_response = f"SELECT {', '.join(RESPONSE_COLUMNS)} FROM {responses} {this_response}"
    conversations = quote_name(tables.conversations)
    this_conversation = f"WHERE conversation_id = {mark} AND tenant_id = {mark}"
    read_conversation = f"SELECT metadata, messages FROM {conversations} {this_conversation}"
    this_journal = f"WHERE journal_id = {mark}"
    return Statements(
        replace_response=(
            f"{into_responses} ON CONFLICT (tenant_id, id) DO UPDATE SET "
            f"{_build_updates(RESPONSE_COLUMNS, 'tenant_id', 'id')}"
        ),
        add_response=f"{into_responses} ON CONFLICT (tenant_id, id) DO NOTHING RETURNING 1",
        read_response=read_response,
        lock_response=f"{read_response} FOR UPDATE",
        delete_response=f"DELETE FROM {responses} {this_response}",
        add_conversation=(
            f"{_build_insert(conversations, CONVERSATION_COLUMNS, mark)} "
            "ON CONFLICT (conversation_id, tenant_id) DO NOTHING RETURNING 1"
        ),
        read_conversation=read_conversation,
        lock_conversation=f"{read_conversation} FOR UPDATE",
        set_conversation=(
            f"UPDATE {conversations} SET metadata = {mark}, messages = {mark} {this_conversation}"
        ),
        delete_conversation=f"DELETE FROM {conversations} {this_conversation}",
        record_exchange=(
            f"{_build_insert(exchanges, STORED_EXCHANGE_COLUMNS, mark, large)}"
            f" ON CONFLICT (exchange_id) DO UPDATE SET {_build_exchange_updates(exchanges)}"
            f" WHERE {build_supersedes('excluded', exchanges)}"
        ),
        set_result=(
            f"UPDATE {exchanges} SET result = {large} WHERE exchange_id = {mark} AND result IS NULL"
        ),
        find_turns={
            TurnKey.RESPONSE: (
                f"SELECT {_TURN} FROM {exchanges} WHERE response_id = {mark} "
                f"AND tenant_id || '' = {mark} ORDER BY started_at LIMIT 1"
            ),
            **{
                key: f"SELECT {_TURN} FROM {exchanges} WHERE {key.value}_digest = {mark} "
                f"AND tenant_id = {mark} ORDER BY started_at DESC LIMIT 1"
                for key in (TurnKey.CONTEXT, TurnKey.ANSWER)
            },
        },
        lock_base=(
            f"SELECT request_body FROM {exchanges} WHERE exchange_id = {mark}"
            " AND request_base_id IS NULL"
        ),
        close_abandoned=(
            f"UPDATE {exchanges} SET state = '{State.INTERRUPTED}', "
            f"ended_by = '{EndedBy.PROXY_STOPPED}' WHERE state = '{State.OPEN}' AND NOT EXISTS "
            f"(SELECT 1 FROM {journals} WHERE journal_id = {exchanges}.recorder_id)"
        ),
        read_position=f"SELECT position FROM {journals} {this_journal}",
        add_position=(
            f"{_build_insert(journals, ('journal_id', 'position', 'changed_at'), mark)} "
            "ON CONFLICT (journal_id) DO NOTHING"
        ),
        move_position=(
            f"UPDATE {journals} SET position = {mark}, changed_at = {mark} {this_journal} "
            f"AND position = {mark}"
        ),
        delete_position=f"DELETE FROM {journals} {this_journal}",
        read_database_id=f"SELECT database_id FROM {journals} WHERE journal_id = ''",
        set_database_id=(
            f"INSERT INTO {journals} (journal_id, position, changed_at, database_id) "
            f"VALUES ('', 0, {mark}, {mark}) "
            "ON CONFLICT (journal_id) DO UPDATE SET database_id = excluded.database_id"
        ),
        touch=f"UPDATE {journals} SET changed_at = {mark} WHERE journal_id = ''",
    )


def _build_insert(table: str, columns: tuple[str, ...], mark: str, large: str = "") -> str:
    values = ", ".join(large if large and name in LARGE_TEXTS else mark for name in columns)
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({values})"


def _build_exchange_updates(exchanges: str) -> str:
    updates = build_body_updates(exchanges)
    return ", ".join(
        f"{name} = {updates.get(name, f'excluded.{name}')}"
        for name in STORED_EXCHANGE_COLUMNS
        if name != "exchange_id"
    )


def _build_updates(columns: tuple[str, ...], *key: str) -> str:
    return ", ".join(f"{name} = excluded.{name}" for name in columns if name not in key)
