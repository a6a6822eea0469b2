"""The SQL for PostgreSQL, made of the tables' names and the rows' fields."""

from __future__ import annotations

from dataclasses import dataclass

from response_store.config import TableNames
from response_store.resources import schema_text
from response_store.store.columns import EXCHANGE_COLUMNS, RESPONSE_COLUMNS, quoted
from response_store.store.ranks import rank
from response_store.store.records import EndedBy, State


@dataclass(frozen=True, slots=True)
class Statements:
    """What a store says, each with a `%s` for each value.

    `replace_response` and `add_response` take the values of a response, `lock_response` and
    `delete_response` its key; `record_exchange` the values of an exchange. Rows of exchanges are
    replaced only upwards: an open one by an ended one, one that was cut off by a whole one, one
    without its raw answer by one that has more of it.
    """

    replace_response: str
    add_response: str
    lock_response: str
    delete_response: str
    record_exchange: str
    open_recorders: str
    close_abandoned: str


def folded(tables: TableNames) -> TableNames:
    """The names as PostgreSQL takes them where they are not quoted: in lower case."""
    return TableNames(
        tables.responses.lower(), tables.conversations.lower(), tables.exchanges.lower()
    )


def fill(name: str, tables: TableNames) -> list[str]:
    """Read a file of `schemas/postgres` with its placeholders filled, as single statements."""
    names = {key: quoted(value) for key, value in tables.by_placeholder().items()}
    text = schema_text(f"postgres/{name}").format(**names)
    bare = "\n".join(line.partition("--")[0].rstrip() for line in text.splitlines())
    return [statement.strip() for statement in bare.split(";") if statement.strip()]


def statements(tables: TableNames) -> Statements:
    """The statements for these tables, whose names are folded."""
    responses, exchanges = quoted(tables.responses), quoted(tables.exchanges)
    into_responses = _insert(responses, RESPONSE_COLUMNS)
    return Statements(
        replace_response=(
            f"{into_responses} ON CONFLICT (tenant_id, id) DO UPDATE SET "
            f"{_updates(RESPONSE_COLUMNS, 'tenant_id', 'id')}"
        ),
        add_response=f"{into_responses} ON CONFLICT (tenant_id, id) DO NOTHING RETURNING 1",
        lock_response=(
            f"SELECT {', '.join(RESPONSE_COLUMNS)} FROM {responses} "
            "WHERE tenant_id = %s AND id = %s FOR UPDATE"
        ),
        delete_response=f"DELETE FROM {responses} WHERE tenant_id = %s AND id = %s",
        record_exchange=_record_exchange(exchanges),
        open_recorders=(
            f"SELECT DISTINCT recorder_id FROM {exchanges} WHERE state = '{State.OPEN.value}'"
        ),
        close_abandoned=(
            f"UPDATE {exchanges} SET state = '{State.INTERRUPTED.value}', "
            f"ended_by = '{EndedBy.PROXY_STOPPED.value}' "
            f"WHERE state = '{State.OPEN.value}' AND recorder_id = %s"
        ),
    )


def _record_exchange(exchanges: str) -> str:
    new, old = rank("excluded.state"), rank(f"{exchanges}.state")
    return (
        f"{_insert(exchanges, EXCHANGE_COLUMNS)} ON CONFLICT (exchange_id) DO UPDATE SET "
        f"{_updates(EXCHANGE_COLUMNS, 'exchange_id')} WHERE {new} > {old} OR ({new} = {old} "
        "AND coalesce(length(excluded.raw_response), 0) "
        f"> coalesce(length({exchanges}.raw_response), 0))"
    )


def _insert(table: str, columns: tuple[str, ...]) -> str:
    values = ", ".join(["%s"] * len(columns))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({values})"


def _updates(columns: tuple[str, ...], *key: str) -> str:
    return ", ".join(f"{name} = excluded.{name}" for name in columns if name not in key)
