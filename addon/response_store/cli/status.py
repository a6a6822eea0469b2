"""`response-store status`: what the database holds, in numbers, and what waits for it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from response_store.cli import output
from response_store.cli.apply_journals import apply_journals, may_have_journals
from response_store.cli.output import Facts
from response_store.cli.source import (
    STORE_FAILED,
    Source,
    config_option,
    database_option,
    find_source,
    handle_errors,
    json_option,
)
from response_store.errors import StoreError
from response_store.format.text import format_size, format_time, put_on_one_line
from response_store.queries.reader import DatabaseLocation, SqliteLocation

if TYPE_CHECKING:
    from response_store.queries.statistics import StoreStatus


def build_database_object(status: StoreStatus) -> dict[str, object]:
    """Return all that is known, under the names of the fields."""
    columns = msgspec.structs.asdict(status)
    return {**msgspec.structs.asdict(columns.pop("place")), **columns}


def list_database_facts(status: StoreStatus) -> Facts:
    """Name and value of each line."""
    return [
        *_describe_place(status.place),
        ("schema", _format_counts(status.versions, "{name} version {count}")),
        ("exchanges", _format_total(status.exchanges, status.by_state)),
        ("apis", _format_counts(status.by_api) or "none"),
        ("responses", str(status.responses)),
        ("tenants", str(status.tenants)),
        ("open", _describe_open(status)),
        ("first", format_time(status.first_started_at)),
        ("last", format_time(status.last_started_at)),
    ]


def _describe_place(place: DatabaseLocation) -> Facts:
    database = ("database", put_on_one_line(place.database))
    match place:
        case SqliteLocation():
            log = f"write-ahead log {format_size(place.wal_bytes)}"
            return [database, ("size", f"{format_size(place.database_bytes)}, {log}")]
    tables = ", ".join(f"{name} {format_size(count)}" for name, count in place.table_bytes.items())
    return [
        database,
        ("server", put_on_one_line(f"PostgreSQL {place.server_version}")),
        ("size", f"{format_size(sum(place.table_bytes.values()))}: {tables}"),
    ]


def _format_total(total: int, parts: Mapping[str, int]) -> str:
    return f"{total}: {_format_counts(parts)}" if parts else str(total)


def _format_counts(parts: Mapping[str, int], form: str = "{count} {name}") -> str:
    return put_on_one_line(
        ", ".join(form.format(name=name, count=count) for name, count in parts.items())
    )


def _describe_open(status: StoreStatus) -> str:
    if not status.open:
        return "0"
    return f"{status.open}, the oldest since {format_time(status.oldest_open_started_at)}"


HELP = """Show what the database holds: exchanges by state and API, responses, times and sizes.

All tenants are counted. An exchange is open until its answer has ended.

Then it shows the journals, in which records wait for the database: whether the proxy runs, how
far the journal is applied, how long the rest has waited, and the rows that the database refused
(see "dead-letters"). Journals of other databases have a line with the command that applies them.
If the database is unreachable, the journals are shown, and the exit status is 1.

\b
Examples:
  response-store status
  response-store status --config proxy.yaml
  response-store status --json
"""


@click.command("status", help=HELP)
@config_option
@database_option
@json_option
def status_command(*, config: Path | None, database: Path | None, as_json: bool) -> None:
    """Say what the database holds: exchanges by state and API, responses, times and sizes."""
    with handle_errors():
        source = find_source(config, database)
        with suppress(StoreError):  # what is wrong with the database is said in its place
            apply_journals(source)
        facts_object, facts, failed = _read_database(source)
        waiting, more, unseen = _read_journals(source)
    _write({**facts_object, **waiting}, [*facts, *more], as_json)
    if failed or unseen:
        raise click.exceptions.Exit(STORE_FAILED)


def _read_database(source: Source) -> tuple[dict[str, object], Facts, bool]:
    """Return what the database holds, as an object and as facts, and whether it is away."""
    try:
        with source.open() as query:
            database_status = query.status()
    except StoreError as error:
        place = [
            ("database", put_on_one_line(source.shown_as)),
            ("error", put_on_one_line(str(error))),
        ]
        return {"database": source.shown_as, "error": str(error)}, place, True
    return (
        {**build_database_object(database_status), "error": None},
        list_database_facts(database_status),
        False,
    )


def _read_journals(source: Source) -> tuple[dict[str, list[dict[str, object]]], Facts, bool]:
    """Return the journals, as an object and as facts, and whether one can't be looked at."""
    if not may_have_journals(source.settings.journal.path, os.environ):
        return {"journals": [], "other_journals": []}, [("journal", "none")], False
    from response_store.cli.journal_status import build_journals_status  # noqa: PLC0415 (not for all)
    from response_store.cli.journals import CommandDatabase  # noqa: PLC0415

    with CommandDatabase(source) as database:
        return build_journals_status(database)


def _write(status: dict[str, object], facts: Facts, as_json: bool) -> None:
    if as_json:
        output.write_json(status)
    elif output.is_terminal():
        from response_store.cli.output import print_facts  # noqa: PLC0415 (rich only here)

        print_facts(output.open_terminal(), facts)
    else:
        output.write_text("".join(f"{name}\t{value}\n" for name, value in facts))
