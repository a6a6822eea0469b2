"""`response-store export`: rows as JSON Lines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from response_store.backends.registry import are_one_file, open_source
from response_store.cli import output
from response_store.cli import source as completion_values
from response_store.cli.apply_journals import apply_journals
from response_store.cli.options import add_selection_options
from response_store.cli.progress import resumable_on_interrupt, show_progress
from response_store.cli.source import (
    FilePath,
    config_option,
    database_option,
    find_source,
    handle_errors,
    note,
)
from response_store.config.model import SqliteTarget
from response_store.format.text import escape_json
from response_store.model.tables import TABLES
from response_store.transfer.files import STANDARD, Write, write_file, write_standard_output
from response_store.transfer.jsonl import export
from response_store.transfer.pages import count_selected

if TYPE_CHECKING:
    from response_store.model.selection import Selection

HELP = """Write stored exchanges, responses and conversations as JSON Lines.

Nothing is lost: `response-store import` creates the same rows from it, in either database. All
tenants' rows are written unless --tenant names one. Filters choose exchanges; the responses and
conversations that these name come with them.

FILE appears when it is complete. A name that ends with .zst or .gz is compressed. Without
--output the lines go to standard output.

\b
Examples:
  response-store export --output captures.jsonl.zst
  response-store export --since yesterday | jq -r .output_text
  response-store export --tenant team-a --output team-a.jsonl
  response-store export | ssh other response-store import -
"""


@click.command("export", help=HELP)
@config_option
@database_option
@click.option(
    "--tenant", metavar="NAME", shell_complete=completion_values.complete_tenants,
    help="Only this tenant's rows; else all tenants'.",
)  # fmt: skip
@add_selection_options
@click.option(
    "--output", "path", type=FilePath(allow_dash=True), metavar="FILE",
    help="Where to; - is standard output.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, hidden=True)  # as all of it is
def export_command(
    *,
    config: Path | None,
    database: Path | None,
    tenant: str | None,
    selection: Selection,
    path: Path | None,
    as_json: bool,  # noqa: ARG001
) -> None:
    """Write what is stored as JSON Lines."""
    with handle_errors(), resumable_on_interrupt(_AGAIN):
        source = find_source(config, database, tenant)
        if path is not None and are_one_file(source.target, SqliteTarget(path)):
            raise click.UsageError(f"{path} is the database that is exported: name another file")
        apply_journals(source)
        with open_source(source.target, source.tables) as reader:
            selection = source.resolve_for_all(reader, selection, tenant)
            total = sum(count_selected(reader, table, selection) for table in TABLES)
            with open_destination(path) as write, show_progress(total, "exporting") as so_far:
                counts = export(reader, selection, write, so_far.advance)
    if path is not None and str(path) != STANDARD:
        note(f"{path}: {', '.join(f'{number} {what}' for what, number in counts.items())}")


_AGAIN = "No file was written. Run the command again to begin anew."


@contextmanager
def open_destination(path: Path | None) -> Iterator[Write]:
    """Give what writes lines: to a file, which is there once it is whole, or to standard output."""
    if path is not None and str(path) != STANDARD:
        with write_file(path) as write:
            yield write
    elif output.is_terminal():
        yield lambda data: output.write_text(escape_json(data.decode()))
    else:
        with write_standard_output() as write:
            yield write
