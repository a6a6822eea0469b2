"""`response-store tail`: the last exchanges, and those that end from now on."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import click
import msgspec

from response_store.cli.apply_journals import apply_journals
from response_store.cli.selecting import add_selection_options
from response_store.cli.source import (
    config_option,
    database_option,
    find_source,
    handle_errors,
    tenant_option,
)
from response_store.cli.tail_lines import TailWriter
from response_store.cli.tail_watch import watch
from response_store.store.following import list_last_ended
from response_store.store.records import State

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from response_store.store.selection import Selection

DEFAULT_LINES = 10
MAX_LINES = 100_000
INTERRUPTED = 130  # as a shell has it for Ctrl-C
HELP = """Show the last exchanges, oldest first; with -f also those that end from then on, live.

An exchange is shown when it ends, and once. A response in the background, which is queued before it
is answered, is shown with each state that is seen of it. Lines have the columns of "list".

With -f: Ctrl-C ends it, with status 130. While the database is away, it is waited for; what comes
to it late is shown late.

\b
Examples:
  response-store tail
  response-store tail -f
  response-store tail -f -n 0 --state failed --state refused
  response-store tail -f --json | jq --unbuffered -r .output_start
"""


@click.command("tail", help=HELP)
@config_option
@database_option
@tenant_option
@click.option("--follow", "-f", is_flag=True, help="Go on with those that end from now on.")
@click.option(
    "--lines", "--limit", "-n", "lines", type=click.IntRange(0, MAX_LINES), default=DEFAULT_LINES,
    show_default=True, metavar="N", help="How many of the last ones.",
)  # fmt: skip
@add_selection_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for programs.")
def tail_command(
    *,
    config: Path | None,
    database: Path | None,
    tenant: str | None,
    follow: bool,
    lines: int,
    selection: Selection,
    as_json: bool,
) -> None:
    """Show the last exchanges, oldest first, and with -f those that end from then on."""
    if State.OPEN in selection.states:
        raise click.UsageError(
            "An exchange is shown at its end, so none is open here. See those that are with:"
            " response-store list --state open"
        )
    with _exit_on_interrupt(), handle_errors():
        source, out = find_source(config, database, tenant), TailWriter(as_json)
        chosen = msgspec.structs.replace(selection, tenant=source.tenant)
        apply_journals(source)
        if follow:
            watch(source, chosen, lines, out.write)
            return
        with source.open() as query:
            last = list_last_ended(query.reader, chosen, lines)
        out.write(last)


@contextmanager
def _exit_on_interrupt() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        raise click.exceptions.Exit(INTERRUPTED) from None
