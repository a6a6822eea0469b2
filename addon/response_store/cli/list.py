"""`response-store list`: the newest exchanges, the narrower the terminal the fewer columns."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from response_store.cli import output
from response_store.cli.apply_journals import apply_journals
from response_store.cli.exchange_table import TableLook, build_table, explain_error
from response_store.cli.list_sessions import write_sessions
from response_store.cli.options import add_selection_options, limit_option
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
    format_usd,
    put_on_one_line,
)
from response_store.limits import NAME, shorten_name
from response_store.model.selection import Selection
from response_store.queries.exchanges import (
    OPENING_CHARACTERS,
    SUMMARY_FIELDS,
    Cursor,
    Page,
    Summary,
)
from response_store.queries.sessions import compute_session_costs, list_sessions

if TYPE_CHECKING:
    from rich.console import Console

    from response_store.pricing.prices import Prices
    from response_store.queries.exchanges import Query

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

A terminal shows a table: when, a mark for the state (● ended well, ✗ error, … open, ◐ incomplete
or cut off), the model, question → answer or tool call, and an id for "show". A pipe gets a line
for each exchange, with tabs between time, state, model, input tokens, output tokens, duration,
host, id, the first words of the answer, those of the question, and cost in USD; "-" means
unknown. Tables of 110 columns or more show costs, if there are prices.

An exchange passes a filter that is given several times if it matches any of them; different
filters must all match. Times are local, and those of the start.

With --sessions each line is a session: exchanges that belong together, such as a run of a tool. A
pipe gets the time of its last exchange, id, turns, errors, tokens of input, cached and output,
agents, models, label, the first question, the known cost in USD, and the number of turns whose
cost is unknown.

If running proxies have not written everything to the database yet, a note on standard error says
so.

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
    help="Only older ones: the cursor at the end of the previous page.",
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
        ids: dict[str, str] = {}
        prices = source.load_prices()
        with source.open() as query:
            selection = source.resolve(query.reader, selection)
            if as_sessions:
                with query.snapshot():
                    sessions = list_sessions(query.reader, selection, limit=limit, before=before)
                costs = compute_session_costs(
                    query.reader, source.tenant, sessions.sessions, prices
                )
                write_sessions(sessions, costs, prices, as_json, narrowed=narrowed)
                return
            page = query.recent(source.tenant, limit=limit, before=before, selection=selection)
            if not as_json:
                page = Page(tuple(add_calls(query, page.exchanges)), page.next)
                if output.is_terminal():
                    ids = shorten_page_ids(query, source.tenant, page)
        _write(page, ids, prices, as_json, narrowed=narrowed)


def shorten_page_ids(query: Query, tenant: str, page: Page) -> dict[str, str]:
    """Return the beginnings of the exchanges' ids by which `show` finds them, by the whole ids."""
    with query.snapshot() as lookup:
        return lookup.shorten(tenant, [one.exchange_id for one in page.exchanges])


def _write(
    page: Page, ids: Mapping[str, str], prices: Prices, as_json: bool, narrowed: bool
) -> None:
    if as_json:
        output.write_json(build_page_object(page, prices))
    elif output.is_terminal():
        show_table(output.open_terminal(), page, ids, narrowed=narrowed, prices=prices)
    else:
        output.write_text(format_plain(page.exchanges, prices))


def build_page_object(page: Page, prices: Prices) -> dict[str, object]:
    """Return the page as one JSON object: `exchanges`, `next` for --before (or null), `prices`."""
    objects = (build_object(one, prices) for one in page.exchanges)
    exchanges = [msgspec.Raw(output.encode_object(one)) for one in objects]
    following = None if page.next is None else str(page.next)
    return {"exchanges": exchanges, "next": following, "prices": [*prices.used]}


def build_object(one: Summary, prices: Prices) -> dict[str, object]:
    """Return an exchange as programs get it, in lists, with its cost."""
    usd = prices.price(one)
    columns = {name: getattr(one, name) for name in SUMMARY_FIELDS}
    return columns | {"cost_usd": None if usd is None else float(usd)}


def format_plain(exchanges: Iterable[Summary], prices: Prices) -> str:
    """Return a line an exchange, tabs between the columns."""
    return "".join("\t".join(_list_fields(one, prices)) + "\n" for one in exchanges)


def show_table(
    console: Console,
    page: Page,
    ids: Mapping[str, str],
    *,
    narrowed: bool = False,
    now: float | None = None,
    prices: Prices | None = None,
) -> None:
    """Print the table, as wide as the terminal, and how to get to older exchanges.

    `ids` are short ones by the whole ones, `narrowed` says that filters may have left something
    out; times are seen from `now`, in Unix seconds.
    """
    if not page.exchanges:
        console.print(NOTHING_LEFT if narrowed else NOTHING, soft_wrap=True)
        return
    look = TableLook(
        now=time.time() if now is None else now,
        ids=ids,
        ascii_only=console.options.ascii_only,
        prices=prices,
    )
    console.print(build_table(page.exchanges, console.width, look))
    if page.next is not None:
        same = "the same with " if narrowed else ""
        console.print(f"older ones: {same}--before {page.next}", soft_wrap=True)


def _list_fields(one: Summary, prices: Prices) -> tuple[str, ...]:
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
        put_on_one_line(one.question or NONE),
        format_usd(prices.price(one)),
    )


def choose_identifier(one: Summary) -> str:
    """Return the id that `show` takes: the response's, else the exchange's."""
    return one.response_id or one.exchange_id


def choose_words(one: Summary) -> str:
    """Return how the answer begins, else why there is none."""
    return one.output_start or explain_error(one)[:OPENING_CHARACTERS] or NONE
