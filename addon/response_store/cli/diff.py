"""`response-store diff`: what has changed between two exchanges, and what it did to the cache."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from response_store.cli import output
from response_store.cli import source as completion_values
from response_store.cli.apply_journals import apply_journals
from response_store.cli.identifiers import NEWEST, PlaceCommand, find_entry
from response_store.cli.pager import print_paged
from response_store.cli.source import (
    config_option,
    database_option,
    find_source,
    handle_errors,
    json_option,
    tenant_option,
)
from response_store.errors import StoreError
from response_store.format.bodies import count_tokens
from response_store.format.difference import compare
from response_store.format.difference_lines import (
    DifferenceLine,
    LineKind,
    build_object,
    list_lines,
)
from response_store.format.exchange import read_exchanged
from response_store.format.terminal_text import GREEN, RED, WrappedText
from response_store.format.text import format_time, put_on_one_line
from response_store.format.turn_differences import list_thread_lines, list_turn_differences
from response_store.model.selection import Selection
from response_store.queries.exchanges import Cursor

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from response_store.queries.exchanges import Query
    from response_store.queries.lookup import LookupResult
    from response_store.queries.threads import Thread

HELP = """Show what changed between two exchanges: model, settings, tools, instructions, items.

A and B are ids, beginnings of ids, or positions: -1 is the newest exchange, -2 the one before it.
A single one is compared with what it continues: its parent in the session, else its previous
response, else the previous exchange of its session. Without arguments the newest exchange is
compared.

Equal items are only counted. Below the changes: how much of the input was cached; where the two
requests first differ, as a prompt cache can't be used from there on; what the API itself says
about its cache; and how many bytes each part of the requests has.

\b
Examples:
  response-store diff
  response-store diff resp_68a1
  response-store diff -5 -1
  response-store diff resp_68a1 resp_68b2 --json | jq .first_difference
"""


class ComparedPair(NamedTuple):
    """The earlier and the later exchange."""

    before: LookupResult
    after: LookupResult


@click.command("diff", help=HELP, cls=PlaceCommand)
@click.argument(
    "identifiers",
    metavar="[A [B]]",
    nargs=-1,
    shell_complete=completion_values.complete_identifiers,
)
@config_option
@database_option
@tenant_option
@json_option
@click.option("--no-pager", is_flag=True, help="Print without a pager.")
def diff_command(
    *,
    identifiers: tuple[str, ...],
    config: Path | None,
    database: Path | None,
    tenant: str | None,
    as_json: bool,
    no_pager: bool,
) -> None:
    """Say what has changed between two exchanges."""
    if len(identifiers) > 2:
        raise click.UsageError("Name two exchanges at most: what was before, and what came after.")
    with handle_errors():
        source = find_source(config, database, tenant)
        apply_journals(source)
        with source.open() as query:
            pair = _find_pair(query, source.tenant, identifiers or (NEWEST,))
        if as_json:
            output.write_json(build_pair_object(pair))
        elif output.is_terminal():
            print_difference(output.open_terminal(), pair, paged=not no_pager)
        else:
            for line in list_pair_lines(pair):
                output.write_text(f"{line.text}\n")


def _find_pair(query: Query, tenant: str, identifiers: tuple[str, ...]) -> ComparedPair:
    after = find_entry(query, tenant, identifiers[-1])
    if len(identifiers) == 1:
        return ComparedPair(find_previous(query, tenant, after), after)
    return ComparedPair(find_entry(query, tenant, identifiers[0]), after)


def find_previous(query: Query, tenant: str, entry: LookupResult) -> LookupResult:
    """Return what an exchange goes on from. Raises StoreError where nothing is known of that."""
    row = entry.exchange
    if row is not None:
        for name in filter(None, (row.parent_exchange_id, row.previous_response_id)):
            try:
                return query.find(tenant, name)
            except StoreError:
                continue  # it was pruned, or never captured
        if row.session_id is not None:
            selection = Selection(sessions=(row.session_id,))
            before = Cursor(row.started_at, row.exchange_id)
            page = query.recent(tenant, limit=1, before=before, selection=selection)
            if page.exchanges:
                return query.find(tenant, page.exchanges[0].exchange_id)
    raise StoreError(
        "This exchange is not known to continue another one. Name what to compare it with:"
        " response-store diff A B"
    )


def build_pair_object(pair: ComparedPair) -> dict[str, object]:
    """Return the difference as programs get it, with the ids of both."""
    difference = compare(read_exchanged(pair.before), read_exchanged(pair.after))
    return {
        "before": _get_identifier(pair.before),
        "after": _get_identifier(pair.after),
        **build_object(difference, count_tokens(pair.before), count_tokens(pair.after)),
    }


def list_pair_lines(pair: ComparedPair) -> Iterator[DifferenceLine]:
    """Yield a line for each exchange, then those of the difference."""
    difference = compare(read_exchanged(pair.before), read_exchanged(pair.after))
    yield DifferenceLine(LineKind.REMOVED, f"--- {_describe(pair.before)}")
    yield DifferenceLine(LineKind.ADDED, f"+++ {_describe(pair.after)}")
    yield from list_lines(difference, count_tokens(pair.before), count_tokens(pair.after))


def _describe(entry: LookupResult) -> str:
    began = entry.exchange.started_at if entry.exchange else None
    state = entry.exchange.state if entry.exchange else ""
    name = put_on_one_line(_get_identifier(entry))
    return "  ".join(filter(None, (name, format_time(began), put_on_one_line(state))))


def _get_identifier(entry: LookupResult) -> str:
    if entry.exchange is not None:
        return entry.exchange.response_id or entry.exchange.exchange_id
    return entry.response.id if entry.response else ""


def write_thread_differences(thread: Thread, *, as_json: bool, paged: bool) -> None:
    """Write what has changed from turn to turn. Raises StoreError."""
    if as_json:
        before = b"["
        for turn in list_turn_differences(thread):
            output.write_bytes(before + output.encode_shown(turn.to_object()))
            before = b",\n"
        output.write_bytes(b"]\n")
    elif output.is_terminal():
        print_paged(output.open_terminal(), draw_lines(list_thread_lines(thread)), paged=paged)
    else:
        for line in list_thread_lines(thread):
            output.write_text(f"{line.text}\n")


LINE_STYLES = {
    LineKind.HEADING: "bold",
    LineKind.SAME: "italic",
    LineKind.ADDED: GREEN,
    LineKind.REMOVED: RED,
    LineKind.PLAIN: "",
}
"""The styles of lines."""


def print_difference(console: Console, pair: ComparedPair, *, paged: bool = False) -> None:
    """Print the lines, each in its colour."""
    print_paged(console, draw_lines(list_pair_lines(pair)), paged=paged)


def draw_lines(lines: Iterator[DifferenceLine]) -> Iterator[RenderableType]:
    """Yield what is printed of each line."""
    from rich.text import Text  # noqa: PLC0415 (slow to load)

    for line in lines:
        yield WrappedText(Text(line.text, style=LINE_STYLES[line.kind]))
