"""`response-store redact --existing`: take secrets out of rows that are stored already."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from response_store.backends.registry import open_index, open_rewriter, open_source
from response_store.cli import output
from response_store.cli import source as completion_values
from response_store.cli.apply_journals import apply_journals
from response_store.cli.options import add_selection_options
from response_store.cli.progress import resumable_on_interrupt, show_progress
from response_store.cli.source import (
    STORE_FAILED,
    Source,
    config_option,
    database_option,
    find_source,
    handle_errors,
    json_option,
    note,
)
from response_store.errors import RowRefusedError, StoreError
from response_store.format.text import put_on_one_line
from response_store.search.index import index_exchange

if TYPE_CHECKING:
    from response_store.model.selection import Selection
    from response_store.pruning.redact import StoredRedaction
    from response_store.search.index import Index

HELP = """Remove secrets from stored rows, by `redact` in the configuration.

This is for rows that were captured before `redact` was set, imported or copied. Every column of
exchanges, responses and conversations is searched as at capture, and the search index is made
anew from the rest. What can't be searched is emptied.

Says how many rows there are and asks, unless --yes: removed text can't be restored. With
--dry-run it only counts what would change. Proxies can go on writing. After Ctrl-C, run the same
command again: clean rows are not written. Open exchanges, journals and dead letters are not
changed.

\b
Examples:
  response-store redact --existing --config proxy.yaml --dry-run
  response-store redact --existing --config proxy.yaml --yes
  response-store redact --existing --config proxy.yaml --session 019a2b7c
"""
_AGAIN = (
    "Rows that were written stay. Run the command again to go on: what is clean is not written."
)
_NO_PATTERNS = (
    "The configuration names nothing to redact. Name it: `redact: common`, or patterns of your own,"
    " in the file that --config or RESPONSE_STORE_CONFIG names."
)
_NOBODY_TO_ASK = "Nobody is there to be asked: add --yes, or --dry-run to see what would change."


@click.command("redact", help=HELP)
@click.option("--existing", is_flag=True, help="Required, because the change is permanent.")
@config_option
@database_option
@click.option(
    "--tenant", metavar="NAME", shell_complete=completion_values.complete_tenants,
    help="Only this tenant's rows; else all tenants'.",
)  # fmt: skip
@add_selection_options
@click.option("--dry-run", is_flag=True, help="Only search, and count what would change.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@json_option
def redact_command(
    *,
    existing: bool,
    config: Path | None,
    database: Path | None,
    tenant: str | None,
    selection: Selection,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Take secrets out of rows that are stored already."""
    if not existing:
        raise click.UsageError("Say --existing: rows that are stored are changed, for good.")
    with handle_errors(), resumable_on_interrupt(_AGAIN):
        source = find_source(config, database, tenant)
        if not source.settings.redact:
            raise click.UsageError(_NO_PATTERNS)
        apply_journals(source)
        missed = _redact(source, selection, tenant, dry_run=dry_run, yes=yes, as_json=as_json)
    if missed:
        note(f"{missed} rows were written by others meanwhile: run the command again.")
        raise click.exceptions.Exit(STORE_FAILED)


def _redact(
    source: Source,
    selection: Selection,
    tenant: str | None,
    *,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """Redact what is selected and say so; return how many rows could not be written."""
    from response_store.diagnostics import Counters, ErrorReporter  # noqa: PLC0415
    from response_store.model.zstd import Compressor  # noqa: PLC0415
    from response_store.pruning.redact import StoredRedaction  # noqa: PLC0415 (RE2)
    from response_store.redaction.patterns import build_patterns  # noqa: PLC0415
    from response_store.redaction.redactor import Redactor  # noqa: PLC0415

    counters = Counters()
    patterns = build_patterns(source.settings.redact)
    redactor = Redactor(patterns, lambda body: body, counters, ErrorReporter(counters))
    with open_source(source.target, source.tables) as reader:
        selection = source.resolve_for_all(reader, selection, tenant)
        redaction = StoredRedaction(reader, redactor, Compressor().frame)
        total = redaction.count(selection)
        if total and not dry_run and not yes:
            _ask(total)
        with (
            _open_for_writing(source, redaction, dry_run=dry_run),
            show_progress(total, "searching") as so_far,
        ):
            for number in redaction.run(selection):
                so_far.advance(number)
    _write(redaction, counters.snapshot(), total, dry_run=dry_run, as_json=as_json)
    return redaction.missed


def _ask(total: int) -> None:
    if not sys.stdin.isatty():
        raise click.UsageError(_NOBODY_TO_ASK)
    click.echo(f"to be searched: {total} rows", err=True)
    click.confirm("Take secrets out of them, for good?", abort=True, err=True)


@contextmanager
def _open_for_writing(
    source: Source, redaction: StoredRedaction, *, dry_run: bool
) -> Iterator[None]:
    """Have the redaction write, for as long as the block lasts, unless it is a dry run."""
    if dry_run:
        yield
        return
    with (
        closing(open_rewriter(source.target, source.tables)) as rewriter,
        closing(_IndexOnDemand(source)) as on_demand,
    ):
        redaction.write_with(rewriter, on_demand.index)
        yield


class _IndexOnDemand:
    """Indexes exchanges; where it can't, proxies do, or the next search."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._index: Index | None = None
        self._failed = False

    def index(self, exchange_id: str) -> None:
        """Index one exchange as it is now; say once where that can't be done."""
        if self._failed:
            return
        try:
            if self._index is None:
                self._index = open_index(self._source.target, self._source.tables)
            index_exchange(self._index, exchange_id, lambda: None)
        except StoreError as error:
            self._failed = not isinstance(error, RowRefusedError)
            note(f"Note: the search index is not brought up to date here. {error}")

    def close(self) -> None:
        """Close the index, if it is open."""
        if self._index is not None:
            self._index.close()


def _write(
    redaction: StoredRedaction,
    counts: dict[str, int],
    total: int,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    patterns = {
        name.removeprefix("redacted."): number
        for name, number in counts.items()
        if name.startswith("redacted.")
    }
    changed = {
        word: redaction.changed[word] for word in ("exchanges", "responses", "conversations")
    }
    left_out = dict(redaction.left_out)
    if as_json:
        output.write_json(
            {
                "searched": total,
                "would_change" if dry_run else "changed": changed,
                "patterns": patterns,
                "left_out": left_out,
                "missed": redaction.missed,
            }
        )
        return
    facts = [
        ("searched", f"{total} rows"),
        (
            "would change" if dry_run else "changed",
            ", ".join(f"{number} {word}" for word, number in changed.items()),
        ),
        *((f"pattern {name}", f"{number} rows") for name, number in patterns.items()),
        *((f"taken out whole: {name}", f"{number}") for name, number in left_out.items()),
    ]
    if output.is_terminal():
        from response_store.cli.output import print_facts  # noqa: PLC0415 (rich only here)

        print_facts(output.open_terminal(), [(put_on_one_line(n), v) for n, v in facts])
    else:
        output.write_text("".join(f"{put_on_one_line(n)}\t{value}\n" for n, value in facts))
