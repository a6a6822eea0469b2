"""`response-store tail`: the last exchanges, and those that end from now on."""

from __future__ import annotations

import errno
import select
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from response_store.backends.registry import build_follower
from response_store.cli import output
from response_store.cli.apply_journals import apply_journals
from response_store.cli.exchange_table import TableLook, build_table
from response_store.cli.list import build_object, format_plain
from response_store.cli.options import add_selection_options
from response_store.cli.source import (
    Source,
    config_option,
    database_option,
    find_source,
    handle_errors,
    note,
    tenant_option,
)
from response_store.errors import StoreError
from response_store.model.records import State
from response_store.queries.exchanges import (
    Follower,
    Query,
    ReplacedError,
    Summary,
    list_last_ended,
)

if TYPE_CHECKING:
    from rich.console import Console

    from response_store.model.selection import Selection
    from response_store.pricing.prices import Prices


class TailWriter:
    """Writes each lot at once: JSON, plain text, or a table that goes on and on."""

    def __init__(self, as_json: bool, prices: Prices) -> None:
        self._as_json = as_json
        self._prices = prices
        self._console: Console | None = None

    def write(self, exchanges: Sequence[Summary]) -> None:
        """Write some exchanges."""
        if not exchanges:
            return
        if self._as_json:
            for one in exchanges:
                output.write_json(build_object(one, self._prices))
        elif output.is_terminal():
            self._draw(exchanges)
        else:
            output.write_text(format_plain(exchanges, self._prices))

    def _draw(self, exchanges: Sequence[Summary]) -> None:
        first, console = self._console is None, self._console or output.open_terminal()
        self._console = console
        look = TableLook(
            time.time(),
            {},
            steady=True,
            ascii_only=console.options.ascii_only,
            prices=self._prices,
        )
        console.print(build_table(exchanges, console.width, look, header=first))


MAX_PAUSE = 5.0  # seconds, while the database is away


def watch(
    source: Source, selection: Selection, limit: int, write: Callable[[Sequence[Summary]], None]
) -> None:
    """Write the last exchanges, and then whatever ends, for ever.

    Raises StoreError where the database can't be read to begin with, BrokenPipeError where nobody
    reads any more.
    """
    query = source.open()
    try:
        following = build_follower(query.reader, source.resolve(query.reader, selection))
        write(following.begin(query.reader, limit))
    except BaseException:
        query.close()
        raise
    watched = WatchedDatabase(source, following, query)
    try:
        while True:
            pause_while_read(watched.poll_interval)
            write(watched.look())
    finally:
        watched.close()


class WatchedDatabase:
    """A database that is looked at, and opened again where that fails."""

    def __init__(self, source: Source, following: Follower, query: Query) -> None:
        self._source = source
        self._following = following
        self._query: Query | None = query
        self._away = False
        self.poll_interval = following.poll_interval
        """Seconds to the next look."""

    def look(self) -> list[Summary]:
        """Return what has ended since the last call; nothing while the
        database is away, which is noted.
        """
        try:
            if self._query is None:
                self._query = self._source.open()
            rows = self._following.look(self._query.reader)
        except ReplacedError:
            self.close()
            return []
        except StoreError as error:
            self.close()
            self._failed(error)
            return []
        self._succeeded()
        return rows

    def close(self) -> None:
        """Close the database; closing twice is fine."""
        query, self._query = self._query, None
        if query is not None:
            query.close()

    def _failed(self, error: StoreError) -> None:
        if not self._away:
            note(f"Note: {error}\nWaiting until the database can be read again.")
        self._away = True
        self.poll_interval = min(2 * self.poll_interval, MAX_PAUSE)

    def _succeeded(self) -> None:
        if self._away:
            note("Note: the database can be read again.")
        self._away = False
        self.poll_interval = self._following.poll_interval


def pause_while_read(seconds: float) -> None:
    """Wait so long. Raises BrokenPipeError as soon as nobody reads standard output any more."""
    try:
        output = select.poll()
        output.register(sys.stdout.fileno(), 0)
    except (AttributeError, OSError, ValueError):  # no such file, or no such system
        time.sleep(seconds)
        return
    if output.poll(1000 * seconds):
        raise BrokenPipeError(errno.EPIPE, "standard output is closed")


DEFAULT_LINES = 10
MAX_LINES = 100_000
INTERRUPTED = 130  # as a shell has it for Ctrl-C
HELP = """Show the last exchanges, oldest first; with -f also those that end from then on.

An exchange is shown once, when it ends. A background response is shown when it is queued, and
again for each state that its polls return. Lines have the columns of "list".

With -f: Ctrl-C ends it, with status 130. If the database is unreachable, it waits; late exchanges
are shown late.

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
        source = find_source(config, database, tenant)
        out = TailWriter(as_json, source.load_prices())
        apply_journals(source)
        if follow:
            watch(source, selection, lines, out.write)
            return
        with source.open() as query:
            last = list_last_ended(query.reader, source.resolve(query.reader, selection), lines)
        out.write(last)


@contextmanager
def _exit_on_interrupt() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        raise click.exceptions.Exit(INTERRUPTED) from None
