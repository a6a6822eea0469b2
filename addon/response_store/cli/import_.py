"""`response-store import`: an export into a database, and what became of its rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from response_store.backends.registry import open_target
from response_store.cli import output
from response_store.cli.apply_journals import apply_journals
from response_store.cli.progress import resumable_on_interrupt, show_progress
from response_store.cli.source import (
    STORE_FAILED,
    FilePath,
    config_option,
    find_source,
    handle_errors,
    json_option,
    note,
)
from response_store.errors import ResponseStoreError
from response_store.transfer.files import STANDARD, LineReader, read_lines
from response_store.transfer.jsonl import BadLineError
from response_store.transfer.load import Import, LoadCounts

if TYPE_CHECKING:
    from response_store.model.tables import Table

_WORDS = {
    "sent": "sent",
    "there": "there already",
    "further": "newer there, so kept",
    "refused": "refused",
    "different": "different",
}
"""The keys of the counts in JSON, and their names for people."""


def write_counts(
    counts_by_table: Mapping[Table, LoadCounts], as_json: bool, **more: object
) -> None:
    """Write how many rows of each table came to what."""
    if as_json:
        listed = {table.word: _list_counts(counts) for table, counts in counts_by_table.items()}
        output.write_json({**listed, **more})
        return
    facts = [(table.word, _format_counts(counts)) for table, counts in counts_by_table.items()]
    if output.is_terminal():
        from response_store.cli.output import print_facts  # noqa: PLC0415 (rich only here)

        print_facts(output.open_terminal(), facts)
    else:
        output.write_text("".join(f"{name}\t{value}\n" for name, value in facts))


def note_problems(counts_by_table: Mapping[Table, LoadCounts]) -> None:
    """Name the rows that did not arrive, on standard error."""
    for table, counts in counts_by_table.items():
        for problem in counts.problems:
            note(problem)
        if (more := counts.refused + counts.different - len(counts.problems)) > 0:
            note(f"and {more} more of the {table.word}")


def _list_counts(counts: LoadCounts) -> dict[str, int]:
    return {
        "rows": counts.rows,
        "sent": counts.sent,
        "there": counts.unchanged,
        "further": counts.newer,
        "refused": counts.refused,
        "different": counts.different,
    }


def _format_counts(counts: LoadCounts) -> str:
    parts = [f"{counts.rows} {'row' if counts.rows == 1 else 'rows'}"]
    listed = _list_counts(counts)
    parts += [f"{listed[name]} {words}" for name, words in _WORDS.items() if listed[name]]
    return ", ".join(parts)


MAX_REPORTED = 20
HELP = """Load an export into the database, which is created if missing.

FILE is an export, plain or compressed with zstd or gzip; - is standard input. Rows keep their
tenants. A row is never replaced by an older state. Importing a file twice changes nothing, so
after an interruption import it again: stored rows are skipped.

\b
Examples:
  response-store import captures.jsonl.zst
  response-store import --database all.db captures.jsonl
  zcat *.jsonl.gz | response-store import --config proxy.yaml -
  response-store import --keep-going damaged.jsonl
"""


@click.command("import", help=HELP)
@click.argument("path", metavar="FILE", type=FilePath(allow_dash=True))
@config_option
@click.option(
    "--database", type=FilePath(), metavar="FILE",
    help="The SQLite file to write, whatever the configuration says.",
)  # fmt: skip
@click.option("--keep-going", is_flag=True, help="Skip bad lines, and count them.")
@json_option
def import_command(
    *, path: Path, config: Path | None, database: Path | None, keep_going: bool, as_json: bool
) -> None:
    """Bring the rows of an export into the database."""
    with handle_errors(), resumable_on_interrupt(_AGAIN):
        source = find_source(config, database)
        source.prepare_folder()
        apply_journals(source)
        with read_lines(path) as lines, open_target(source.target, source.tables) as ends:
            importing = Import(*ends)
            _read(importing, lines, _BadLineHandler(path, keep_going))
    result = importing.result
    note_problems(result.counts_by_table)
    for problem in result.flaws:
        note(f"{_name(path)}: {problem} What is in it was imported.")
    if result.bad_lines:
        note(f"{_name(path)}: {result.bad_lines} bad lines were left out")
    write_counts(result.counts_by_table, as_json, bad_lines=result.bad_lines, flaws=result.flaws)
    if not result.is_complete:
        raise click.exceptions.Exit(STORE_FAILED)


_AGAIN = (
    "The batches that were written stay. Run the command again to go on: what is there already is"
    " passed over."
)


class _BadLineHandler:
    """What is done about a bad line."""

    def __init__(self, path: Path, keep_going: bool) -> None:
        self._name = _name(path)
        self._keep_going = keep_going
        self._reported = 0

    def __call__(self, number: int, error: BadLineError) -> None:
        text = f"{self._name}:{number}: {error}"
        if not self._keep_going:
            raise ResponseStoreError(
                f"{text} The lines before it were imported; --keep-going leaves bad ones out."
            )
        if self._reported < MAX_REPORTED:
            note(text)
        self._reported += 1


def _read(importing: Import, lines: LineReader, bad: _BadLineHandler) -> None:
    with show_progress(lines.total, "importing bytes") as so_far:
        importing.take(lines, lambda _: so_far.advance(lines.moved()), bad)


def _name(path: Path) -> str:
    return "standard input" if str(path) == STANDARD else str(path)
