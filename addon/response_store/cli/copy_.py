"""`response-store copy`: from one database to another."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from response_store.cli import completion_values
from response_store.cli.apply_journals import apply_journals
from response_store.cli.file_path import FilePath
from response_store.cli.import_tallies import note_what_went_wrong, write_tallies
from response_store.cli.progress import progress, resumable_on_interrupt
from response_store.cli.selecting import selection_options
from response_store.cli.source import (
    STORE_FAILED,
    Source,
    config_option,
    database_option,
    handle_errors,
    json_option,
    source,
)
from response_store.config import URL_VARIABLE, load_config
from response_store.config.model import SqliteTarget
from response_store.config.secret import is_url
from response_store.transfer.copying import Copy, CountsByTable
from response_store.transfer.ends import (
    are_one_file,
    are_one_server,
    are_same_names,
    open_source,
    open_target,
)
from response_store.transfer.scope import count_selected
from response_store.transfer.tables import TABLES

if TYPE_CHECKING:
    from response_store.config.postgres_target import PostgresTarget
    from response_store.config.tables import TableNames
    from response_store.store.selection import Selection
    from response_store.transfer.bringing import LoadCounts

TO_URL_VARIABLE = "RESPONSE_STORE_TO_DATABASE_URL"
HELP = f"""Copy what is stored to another database: SQLite to PostgreSQL, back, or to the same kind.

The source is found as every command finds its database; --to names a SQLite file, --to-config a
configuration whose database it goes to. That database's URL may also come from the variable
{TO_URL_VARIABLE}. Its tables are made where they are missing.

What is there already with equal content is not sent again: run the command again to go on after an
interruption, or to bring what is new. At the end every row is compared on both sides; what differs
is named, and the status is 1. No row is lowered: where the target's has come further, it stays.

All tenants' rows are copied unless --tenant names one. Proxies may go on on either side.

\b
Examples:
  response-store copy --to-config postgres.yaml
  response-store copy --config postgres.yaml --to backup.db
  response-store copy --tenant team-a --since 2026-11-01 --to team-a.db
"""


@click.command("copy", help=HELP)
@config_option
@database_option
@click.option(
    "--to", metavar="FILE", shell_complete=completion_values.files,
    help="The SQLite file to copy to; made where it is missing.",
)  # fmt: skip
@click.option(
    "--to-config", type=FilePath(), metavar="FILE",
    help="The YAML file whose database to copy to.",
)  # fmt: skip
@click.option(
    "--tenant", metavar="NAME", shell_complete=completion_values.tenants,
    help="Only this tenant's rows; else all tenants'.",
)  # fmt: skip
@selection_options
@json_option
def copy_command(
    *,
    config: Path | None,
    database: Path | None,
    to: str | None,
    to_config: Path | None,
    tenant: str | None,
    selection: Selection,
    as_json: bool,
) -> None:
    """Copy what is stored to another database."""
    meant = msgspec.structs.replace(selection, tenant=tenant)
    with handle_errors(), resumable_on_interrupt(_AGAIN):
        asked = source(config, database)
        target, tables = _target(asked, to, to_config)
        if are_one_file(asked.target, target) and are_same_names(asked.tables, tables):
            raise click.UsageError(_SAME)
        apply_journals(asked)
        tallies = _copied(asked, target, tables, meant)
    note_what_went_wrong(tallies)
    is_well = all(tally.is_well for tally in tallies.values())
    write_tallies(tallies, as_json, verified=is_well)
    if not is_well:
        raise click.exceptions.Exit(STORE_FAILED)


_SAME = "the source and the target are the same database: name another with --to FILE"
_AGAIN = "What was copied stays. Run the command again to go on: what is there is not sent again."


def _target(
    asked: Source, to: str | None, to_config: Path | None
) -> tuple[SqliteTarget | PostgresTarget, TableNames]:
    if (to is None) == (to_config is None):
        raise click.UsageError(
            "give either --to FILE or --to-config FILE: response-store copy --to backup.db"
        )
    if to_config is not None:
        # The variable that names the source's URL would make both ends one database.
        url = os.environ.get(TO_URL_VARIABLE, "")
        settings = load_config(to_config, {**os.environ, URL_VARIABLE: url})
        return settings.database, settings.tables
    assert to is not None
    if is_url(to):
        raise click.UsageError(
            "--to takes the path of a SQLite file. Everyone on this machine sees what stands on a"
            " command line, a password too: put the URL into a YAML file, or into"
            f" {TO_URL_VARIABLE}, and give --to-config."
        )
    return SqliteTarget(Path(to)), asked.tables


def _copied(
    asked: Source,
    target: SqliteTarget | PostgresTarget,
    tables: TableNames,
    meant: Selection,
) -> CountsByTable:
    with (
        open_source(asked.target, asked.tables) as reading,
        open_target(target, tables) as (there, writing),
    ):
        if are_one_server(reading, there):
            raise click.UsageError(_SAME)
        total = sum(count_selected(reading, table, meant) for table in TABLES)
        copy = Copy(reading, there, writing, meant)
        with progress(total, "copying") as so_far:
            brought = copy.bring(so_far.advance)
        with progress(total, "verifying") as so_far:
            verified = copy.verify(so_far.advance)
    return {table: _summed(brought[table], verified[table]) for table in TABLES}


def _summed(brought: LoadCounts, verified: LoadCounts) -> LoadCounts:
    """Return the result of the last look at each row; rows that it
    found and the first did not were sent.
    """
    told = replace(verified, there=min(brought.there, verified.there))
    return replace(told, sent=verified.there - told.there)
