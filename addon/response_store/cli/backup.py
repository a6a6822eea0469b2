"""`response-store backup`: everything in one file."""

from __future__ import annotations

from pathlib import Path

import click

from response_store.backends.registry import are_one_file, open_source, open_target
from response_store.cli import output
from response_store.cli.apply_journals import apply_journals
from response_store.cli.progress import resumable_on_interrupt, show_progress
from response_store.cli.source import (
    FilePath,
    Source,
    config_option,
    database_option,
    find_source,
    handle_errors,
    json_option,
)
from response_store.config.model import SqliteTarget
from response_store.errors import PermanentStoreError
from response_store.model.selection import Selection
from response_store.model.tables import TABLES
from response_store.transfer.backup import copy_file, count_rows, write_database
from response_store.transfer.load import Copy
from response_store.transfer.pages import count_selected

HELP = """Write everything that is stored into FILE; proxies can go on writing.

FILE is a complete SQLite database, even if PostgreSQL is backed up; only its owner may read it.
It replaces an earlier FILE when it is complete. Records that running proxies have not written to
the database yet are not in it: run response-store flush before.

To look at it: response-store list --database FILE. To restore it, stop the proxies and put it in
the place of the SQLite file, or copy it: response-store copy --database FILE --to-config
proxy.yaml.

Keep the configuration with it: it names tables and tenants.

\b
Examples:
  response-store backup responses-2026-11-28.db
  response-store backup --config postgres.yaml /backups/responses.db
  response-store flush && response-store backup nightly.db
"""


@click.command("backup", help=HELP)
@click.argument("file", metavar="FILE", type=FilePath())
@config_option
@database_option
@json_option
def backup_command(
    *, file: Path, config: Path | None, database: Path | None, as_json: bool
) -> None:
    """Write everything that is stored into one file."""
    with handle_errors(), resumable_on_interrupt(_AGAIN):
        source = find_source(config, database)
        if are_one_file(source.target, SqliteTarget(file)):
            raise click.UsageError(f"{file} is the database itself: name another file")
        if file.is_dir():
            raise click.UsageError(f"{file} is a folder: name a file in it")
        apply_journals(source)
        with write_database(file) as target:
            assert target.path is not None
            _fill(source, target)
            counts = count_rows(target.path, source.tables)
    _write(file, counts, as_json)


_AGAIN = "No file was written. Run the command again to begin anew."


def _fill(source: Source, target: SqliteTarget) -> None:
    if source.target.server is None:
        with open_source(source.target, source.tables):  # that it is one of ours
            assert source.target.path is not None, "what is in memory is refused"
            assert target.path is not None
            copy_file(source.target.path, target.path)
        return
    everything = Selection()
    with (
        open_source(source.target, source.tables) as reader,
        open_target(target, source.tables) as (theirs, writing),
    ):
        copy = Copy(reader, theirs, writing, everything)
        total = sum(count_selected(reader, table, everything) for table in TABLES)
        with show_progress(2 * total, "backing up") as so_far:
            copy.load(so_far.advance)
            counts_by_table = copy.verify(so_far.advance)
    if not all(counts.is_complete for counts in counts_by_table.values()):
        raise PermanentStoreError("rows did not arrive as they are: copy --to FILE names them")


def _write(file: Path, counts: dict[str, int], as_json: bool) -> None:
    size = file.stat().st_size
    if as_json:
        output.write_json({"file": str(file), "bytes": size, **counts})
        return
    facts = [("file", str(file)), ("bytes", str(size))]
    facts += [(kind, str(number)) for kind, number in counts.items()]
    output.write_text("".join(f"{name}\t{value}\n" for name, value in facts))
