"""`response-store list`: the newest exchanges."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import msgspec

from response_store.cli import output
from response_store.cli.apply_journals import apply_journals
from response_store.cli.selecting import add_selection_options, limit_option
from response_store.cli.source import (
    config_option,
    database_option,
    find_source,
    handle_errors,
    json_option,
    tenant_option,
)
from response_store.limits import NAME, shorten_name
from response_store.store.query import Cursor, Page, Summary
from response_store.store.selection import Selection
from response_store.store.summaries import OPENING_CHARACTERS
from response_store.telling.exchange_line import add_calls
from response_store.telling.figures import (
    NONE,
    format_duration,
    format_host,
    format_number,
    format_time,
)
from response_store.telling.printable import put_on_one_line

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from rich.console import Console

DEFAULT_LIMIT = 20
MAX_LIMIT = 100_000
NOTHING = (
    "No exchange of this tenant yet. Capture some with: response-store run -- COMMAND\n"
    "What there is of all tenants: response-store status"
)
NOTHING_LEFT = "No exchange that passes these filters. See all of them with: response-store list"


def _parse_cursor(_: click.Context, __: click.Parameter, text: str | None) -> Cursor | None:
    try:
        return Cursor.parse(text) if text is not None else None
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is no cursor. A cursor comes from the page before: as `next` with --json,"
            " or in the line under the table."
        ) from None


HELP = """List captured exchanges, newest first.

A terminal shows a table. A pipe gets a line an exchange with tabs between time, state, model,
input tokens, output tokens, duration, host, id and the first words of the answer; "-" stands
for what is not known.

A filter that is given several times takes any of what it names; of different filters all count.
Times are local, and those of the start.

A note on standard error says what running proxies have not written to the database yet.

\b
Examples:
  response-store list
  response-store list --limit 100 | cut -f 8
  response-store list --model 'gpt-5*' --state failed --since yesterday
  response-store list --since '3 days ago' --until 2h --host api.openai.com
  response-store list --database ~/captures/responses.db --json
  response-store list --before 1767225600.25,6f1c5a0e-8f43-5a51-9d0e-0b7f
"""


@click.command("list", help=HELP)
@config_option
@database_option
@tenant_option
@add_selection_options
@limit_option(maximum=MAX_LIMIT, default=DEFAULT_LIMIT)
@click.option(
    "--before", callback=_parse_cursor, metavar="CURSOR",
    help="Older ones only: the cursor that the page before ended with.",
)  # fmt: skip
@json_option
def list_command(
    *,
    config: Path | None,
    database: Path | None,
    tenant: str | None,
    selection: Selection,
    limit: int,
    before: Cursor | None,
    as_json: bool,
) -> None:
    """List captured exchanges, newest first."""
    with handle_errors():
        source = find_source(config, database, tenant)
        apply_journals(source)
        with source.open() as query:
            page = query.recent(source.tenant, limit=limit, before=before, selection=selection)
            if not as_json:
                page = Page(tuple(add_calls(query, page.exchanges)), page.next)
        _write(page, as_json, narrowed=selection != Selection())


def _write(page: Page, as_json: bool, narrowed: bool) -> None:
    if as_json:
        output.write_json(build_page_object(page))
    elif output.is_terminal():
        show_table(output.open_terminal(), page, narrowed=narrowed)
    else:
        output.write_text(format_plain(page.exchanges))


def build_page_object(page: Page) -> dict[str, object]:
    """Return the page as one JSON object: `exchanges`, and `next` for --before (or null)."""
    exchanges = [msgspec.Raw(output.encode_object(build_object(one))) for one in page.exchanges]
    return {"exchanges": exchanges, "next": None if page.next is None else str(page.next)}


def build_object(one: Summary) -> dict[str, object]:
    """Return an exchange as programs get it, in lists."""
    return msgspec.structs.asdict(one)


def format_plain(exchanges: Iterable[Summary]) -> str:
    """Return a line an exchange, tabs between the columns."""
    return "".join("\t".join(_list_fields(one)) + "\n" for one in exchanges)


def show_table(console: Console, page: Page, *, narrowed: bool = False) -> None:
    """Print the table, as wide as the terminal, and how to get to older exchanges.

    `narrowed` says that filters may have left something out.
    """
    from response_store.cli.list_table import build_table  # noqa: PLC0415 (rich only here)

    if not page.exchanges:
        console.print(NOTHING_LEFT if narrowed else NOTHING, soft_wrap=True)
        return
    console.print(build_table(page.exchanges, console.width))
    if page.next is not None:
        same = "the same with " if narrowed else ""
        console.print(f"older ones: {same}--before {page.next}", soft_wrap=True)


def _list_fields(one: Summary) -> tuple[str, ...]:
    return (
        format_time(one.started_at),
        put_on_one_line(one.state),
        put_on_one_line(shorten_name(one.model or one.requested_model or NONE)),
        format_number(one.input_tokens),
        format_number(one.output_tokens),
        format_duration(one.duration_ms),
        put_on_one_line(shorten_name(format_host(one.scheme, one.host, one.port))),
        put_on_one_line(shorten_name(choose_identifier(one), NAME)),
        put_on_one_line(choose_words(one)),
    )


def choose_identifier(one: Summary) -> str:
    """Return the id that `show` takes: the response's, else the exchange's."""
    return one.response_id or one.exchange_id


def choose_words(one: Summary) -> str:
    """Return how the answer begins, else why there is none."""
    why = ": ".join(filter(None, (one.error_code, one.error_message)))
    return one.output_start or why[:OPENING_CHARACTERS] or NONE
