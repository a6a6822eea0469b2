"""`response-store list`: the newest exchanges, the narrower the terminal the fewer columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click
import msgspec

from response_store.cli import output
from response_store.cli.apply_journals import apply_journals
from response_store.cli.list_sessions import write_sessions
from response_store.cli.options import add_selection_options, limit_option
from response_store.cli.output import choose_style
from response_store.cli.source import (
    config_option,
    database_option,
    find_source,
    handle_errors,
    json_option,
    tenant_option,
)
from response_store.format.exchange import add_calls
from response_store.format.text import (
    NONE,
    format_duration,
    format_host,
    format_number,
    format_time,
    put_on_one_line,
)
from response_store.limits import NAME, shorten_name
from response_store.model.selection import Selection
from response_store.queries.exchanges import OPENING_CHARACTERS, Cursor, Page, Summary
from response_store.queries.sessions import list_sessions

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

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

With --sessions a line is a session: what belongs together, such as a run of a tool. A pipe gets
the time of its last exchange, id, turns, errors, tokens of input, cached and output, agents,
models, label and the first question.

A note on standard error says what running proxies have not written to the database yet.

\b
Examples:
  response-store list
  response-store list --limit 100 | cut -f 8
  response-store list --model 'gpt-5*' --state failed --since yesterday
  response-store list --since '3 days ago' --until 2h --host api.openai.com
  response-store list --database ~/captures/responses.db --json
  response-store list --before 1767225600.25,6f1c5a0e-8f43-5a51-9d0e-0b7f
  response-store list --sessions
  response-store list --run last
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
@click.option("--sessions", "as_sessions", is_flag=True, help="Sessions instead of exchanges.")
@json_option
def list_command(
    *,
    config: Path | None,
    database: Path | None,
    tenant: str | None,
    selection: Selection,
    limit: int,
    before: Cursor | None,
    as_sessions: bool,
    as_json: bool,
) -> None:
    """List captured exchanges, newest first."""
    narrowed = selection != Selection()
    with handle_errors():
        source = find_source(config, database, tenant)
        apply_journals(source)
        with source.open() as query:
            selection = source.resolve(query.reader, selection)
            if as_sessions:
                with query.snapshot():
                    sessions = list_sessions(query.reader, selection, limit=limit, before=before)
                write_sessions(sessions, as_json, narrowed=narrowed)
                return
            page = query.recent(source.tenant, limit=limit, before=before, selection=selection)
            if not as_json:
                page = Page(tuple(add_calls(query, page.exchanges)), page.next)
        _write(page, as_json, narrowed=narrowed)


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


class ListColumn(NamedTuple):
    """A column: from which width of the terminal it is there, and how wide it may get.

    A column with a `ratio` shares what the others leave.
    """

    name: str
    text: Callable[[Summary], str]
    from_width: int = 0
    max_width: int | None = None
    ratio: int | None = None
    right: bool = False


def _format_tokens(one: Summary) -> str:
    return f"{format_number(one.input_tokens)}/{format_number(one.output_tokens)}"


COLUMNS = (
    ListColumn("time", lambda one: format_time(one.started_at, "%m-%d %H:%M"), max_width=11),
    ListColumn("state", lambda one: one.state, max_width=11),
    ListColumn(
        "model", lambda one: one.model or one.requested_model or NONE, from_width=60, max_width=18
    ),
    ListColumn("in/out", _format_tokens, from_width=70, max_width=15, right=True),
    ListColumn(
        "took",
        lambda one: format_duration(one.duration_ms),
        from_width=90,
        max_width=12,
        right=True,
    ),
    ListColumn(
        "host",
        lambda one: format_host(one.scheme, one.host, one.port),
        from_width=130,
        max_width=24,
    ),
    ListColumn("id", choose_identifier, ratio=1),
    ListColumn("answer", choose_words, from_width=100, ratio=2),
)


def build_table(
    exchanges: Sequence[Summary], width: int, *, header: bool = True, steady: bool = False
) -> Table:
    """Return a table that fits into `width` cells; a row is one line.

    With `steady` the columns have the same places whatever they contain, so that tables of one
    width continue one another.
    """
    from rich.table import Table  # noqa: PLC0415 (slow to load)

    shown = [column for column in COLUMNS if width >= column.from_width]
    drawn = Table(
        box=None, expand=True, padding=(0, 2, 0, 0), header_style="bold", show_header=header
    )
    for column in shown:
        drawn.add_column(
            column.name,
            no_wrap=True,
            overflow="ellipsis",
            min_width=column.max_width if steady else None,
            max_width=column.max_width,
            ratio=column.ratio,
            justify="right" if column.right else "left",
        )
    for one in exchanges:
        drawn.add_row(*(_build_cell(column, one) for column in shown))
    return drawn


def _build_cell(column: ListColumn, one: Summary) -> Text:
    from rich.text import Text  # noqa: PLC0415 (slow to load)

    style = choose_style(one.state) if column.name == "state" else ""
    return Text(put_on_one_line(column.text(one)), style=style)
