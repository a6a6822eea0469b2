"""`response-store copy`: from one database to another."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from response_store.backends.registry import (
    are_one_file,
    are_one_server,
    are_same_names,
    open_source,
    open_target,
)
from response_store.cli import source as completion_values
from response_store.cli.apply_journals import apply_journals
from response_store.cli.import_ import note_problems, write_counts
from response_store.cli.options import add_selection_options
from response_store.cli.progress import resumable_on_interrupt, show_progress
from response_store.cli.source import (
    STORE_FAILED,
    FilePath,
    Source,
    config_option,
    database_option,
    find_source,
    handle_errors,
    json_option,
)
from response_store.config import URL_VARIABLE, SqliteTarget, TableNames, load_config
from response_store.config.secret import is_url
from response_store.model.tables import TABLES
from response_store.transfer.load import Copy, CountsByTable, LoadCounts
from response_store.transfer.pages import count_selected

if TYPE_CHECKING:
    from response_store.config.postgres_target import PostgresTarget
    from response_store.model.selection import Selection

TO_URL_VARIABLE = "RESPONSE_STORE_TO_DATABASE_URL"
HELP = f"""Copy what is stored to another database: SQLite to PostgreSQL, back, or to the same kind.

The source database is found as for every command. --to names a SQLite file; --to-config a
configuration with the target database, whose URL may also be in the variable
{TO_URL_VARIABLE}. Missing tables are created.

Stored rows with equal content are not sent again: run the command again to continue after an
interruption, or to copy new rows. At the end every row is compared on both sides; differences are
named, and the status is 1. A row is never replaced by an older state.

All tenants' rows are copied unless --tenant names one. Proxies may keep writing on either side.

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
    "--to", metavar="FILE", shell_complete=completion_values.complete_files,
    help="The SQLite file to copy to; created if missing.",
)  # fmt: skip
@click.option(
    "--to-config", type=FilePath(), metavar="FILE",
    help="The YAML file that names the target database.",
)  # fmt: skip
@click.option(
    "--tenant", metavar="NAME", shell_complete=completion_values.complete_tenants,
    help="Only this tenant's rows; else all tenants'.",
)  # fmt: skip
@add_selection_options
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
    with handle_errors(), resumable_on_interrupt(_AGAIN):
        source = find_source(config, database, tenant)
        target, tables = _choose_target(source, to, to_config)
        if are_one_file(source.target, target) and are_same_names(source.tables, tables):
            raise click.UsageError(_SAME)
        apply_journals(source)
        counts_by_table = _copy(source, target, tables, selection, tenant)
    note_problems(counts_by_table)
    is_well = all(counts.is_complete for counts in counts_by_table.values())
    write_counts(counts_by_table, as_json, verified=is_well)
    if not is_well:
        raise click.exceptions.Exit(STORE_FAILED)


_SAME = "the source and the target are the same database: name another with --to FILE"
_AGAIN = "What was copied stays. Run the command again to go on: what is there is not sent again."


def _choose_target(
    source: Source, to: str | None, to_config: Path | None
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
    return SqliteTarget(Path(to)), source.tables


def _copy(
    source: Source,
    target: SqliteTarget | PostgresTarget,
    tables: TableNames,
    selection: Selection,
    tenant: str | None,
) -> CountsByTable:
    with (
        open_source(source.target, source.tables) as reader,
        open_target(target, tables) as (target_reader, writing),
    ):
        if are_one_server(reader, target_reader):
            raise click.UsageError(_SAME)
        selection = source.resolve_for_all(reader, selection, tenant)
        total = sum(count_selected(reader, table, selection) for table in TABLES)
        copy = Copy(reader, target_reader, writing, selection)
        with show_progress(total, "copying") as so_far:
            loaded = copy.load(so_far.advance)
        with show_progress(total, "verifying") as so_far:
            verified = copy.verify(so_far.advance)
    return {table: _sum_counts(loaded[table], verified[table]) for table in TABLES}


def _sum_counts(loaded: LoadCounts, verified: LoadCounts) -> LoadCounts:
    """Return the result of the last look at each row; rows that it
    found and the first did not were sent.
    """
    unchanged = min(loaded.unchanged, verified.unchanged)
    return replace(verified, unchanged=unchanged, sent=verified.unchanged - unchanged)
