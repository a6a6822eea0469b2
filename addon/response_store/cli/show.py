"""`response-store show`: one exchange, or a thread of them, as a conversation or as JSON."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from response_store.cli import output
from response_store.cli import source as completion_values
from response_store.cli.apply_journals import apply_journals
from response_store.cli.identifiers import NEWEST, PlaceCommand, find_entry, resolve_identifier
from response_store.cli.output import LABEL, choose_style
from response_store.cli.pager import print_paged
from response_store.cli.source import (
    FilePath,
    config_option,
    database_option,
    find_source,
    handle_errors,
    json_option,
    tenant_option,
)
from response_store.format import exchange
from response_store.format.conversation import BlockBuilder, build_conversation
from response_store.format.exchange import format_plain
from response_store.format.facts import NO_COST, CostText, describe_cost, list_facts, list_head
from response_store.format.terminal import draw_beside, draw_blocks, draw_facts, draw_head
from response_store.format.terminal_text import WrappedText
from response_store.format.text import put_on_one_line
from response_store.format.transcript import (
    Section,
    ThreadSums,
    describe_continued,
    format_plain_thread,
    list_sections,
)
from response_store.queries.session_turns import find_session_thread
from response_store.queries.threads import Thread, find_thread

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from response_store.pricing.prices import Prices
    from response_store.queries.lookup import LookupResult

HELP = """Show one exchange: request, answer and cost.

ID is the id of a response or exchange, or a unique beginning of one. Without ID it is the newest
exchange; -2 is the one before it, -3 the one before that.

A terminal shows a line of facts, then the conversation; -v shows all facts, settings and
instructions in full. A pipe gets everything as plain text.

With --json: every column of the exchange, the request's body, and the response as the API sent
it, verbatim.

With --thread: the whole conversation of the response, oldest first, each item once. It follows
previous_response_id and conversation, back to the first stored response and on to the newest; at
a fork, along the branch that began last. With --json: a list of the objects that --json gives for
each response.

With --session instead of ID: the same for a whole session, with all agents and branches, in order
of time.

With --events: the events of a stream with the time of each, if capture.raw_bodies kept it. A
terminal shows the new part of each event; -v shows all of it.

With --diff: what changed from turn to turn, as `response-store diff` shows it.

\b
Examples:
  response-store show
  response-store show -2
  response-store show resp_68a1 --json | jq .response.usage
  response-store show resp_68a1 --answer > answer.md
  response-store show resp_68a1 --curl | sh
  response-store show --thread resp_68a1 --html talk.html --open
  response-store show --session last
  response-store show --session last --diff
  response-store show resp_68a1 --events
  response-store show resp_68a1 --raw > answer.sse
"""
_FORMS = {
    "as_json": "--json", "raw": "--raw", "answer": "--answer", "request": "--request",
    "curl": "--curl", "html": "--html",
}  # fmt: skip
_OF_THREADS = ("as_json", "html")


class ShowOptions(NamedTuple):
    """How it is shown: in which form, where a page goes to and whether it is opened, how much."""

    form: str
    html: Path | None
    opens: bool
    verbose: bool
    paged: bool
    differences: bool
    events: bool


@click.command("show", help=HELP, cls=PlaceCommand)
@click.argument(
    "identifier", metavar="[ID]", default=NEWEST,
    shell_complete=completion_values.complete_identifiers,
)  # fmt: skip
@config_option
@database_option
@tenant_option
@click.option("--last", is_flag=True, help="The newest exchange, as without ID.")
@click.option(
    "--thread", "whole_thread", is_flag=True,
    help="The whole conversation of this response, oldest first.",
)  # fmt: skip
@click.option(
    "--session", metavar="ID", shell_complete=completion_values.complete_sessions,
    help="A whole session: its id, the beginning of it, or the id of an exchange in it; last is the"
    " newest.",
)  # fmt: skip
@click.option(
    "--diff", "differences", is_flag=True,
    help="With --thread or --session: what changed from turn to turn, and what was cached.",
)  # fmt: skip
@click.option("-v", "--verbose", is_flag=True, help="All facts, nothing shortened.")
@json_option
@click.option("--answer", is_flag=True, help="Only the text of the answer.")
@click.option("--request", is_flag=True, help="The request body, verbatim.")
@click.option("--curl", is_flag=True, help="A command that sends the request again.")
@click.option(
    "--html", type=FilePath(allow_dash=True), metavar="FILE",
    help="Write a self-contained page to share; - is standard output.",
)  # fmt: skip
@click.option("--open", "opens", is_flag=True, help="Open that page in the browser.")
@click.option("--raw", is_flag=True, help="The raw bytes of the answer, if they were stored.")
@click.option(
    "--events", is_flag=True,
    help="The events of a stream with their times, if they were stored; with --json a list.",
)  # fmt: skip
@click.option("--no-pager", is_flag=True, help="Print without a pager.")
def show_command(
    *,
    identifier: str,
    config: Path | None,
    database: Path | None,
    tenant: str | None,
    last: bool,
    whole_thread: bool,
    session: str | None,
    differences: bool,
    events: bool,
    verbose: bool,
    html: Path | None,
    opens: bool,
    no_pager: bool,
    **forms: bool,
) -> None:
    """Show one exchange: what was asked, what was answered, what it cost."""
    several = "--session" if session is not None else "--thread" if whole_thread else ""
    form = _choose_form({**forms, "html": html is not None or opens}, several)
    if (last or session is not None) and identifier != NEWEST:
        raise click.UsageError(f"{'--last' if last else '--session'} and ID exclude each other.")
    if differences and (not several or form == "html"):
        raise click.UsageError("--diff goes with --thread or --session, as text or with --json.")
    if events and (several or form not in ("", "as_json")):
        other = several or _FORMS[form]
        raise click.UsageError(f"--events is of one exchange, as text or with --json: not {other}.")
    if opens and str(html) == "-":
        raise click.UsageError("--open wants a file: name one with --html FILE, or none.")
    if form == "raw" and output.is_terminal():
        raise click.UsageError("--raw could upset this terminal: send it to a file or a pipe.")
    how = ShowOptions(form, html, opens, verbose, not no_pager, differences, events)
    with handle_errors():
        source = find_source(config, database, tenant)
        apply_journals(source)
        with source.open() as query:
            if several:
                named = identifier if session is None else session
                name = resolve_identifier(query, source.tenant, named)
                with query.snapshot() as lookup:
                    if session is None:
                        thread = find_thread(lookup, source.tenant, name)
                    else:
                        thread = find_session_thread(query.reader, source.tenant, name)
                    _write_thread(thread, how, source.load_prices())
            else:
                entry = find_entry(query, source.tenant, identifier)
                _write(entry, how, source.load_prices())


def _choose_form(flags: dict[str, bool], several: str) -> str:
    """Return the one form that is wanted; none is what people read. Raises UsageError."""
    forms = [name for name in _FORMS if flags[name]]
    if len(forms) > 1:
        raise click.UsageError(f"{' and '.join(map(_FORMS.get, forms))} exclude each other.")  # type: ignore[arg-type]
    form = forms[0] if forms else ""
    if several and form and form not in _OF_THREADS:
        raise click.UsageError(f"{_FORMS[form]} shows one exchange: give it without {several}.")
    return form


def _write(entry: LookupResult, how: ShowOptions, prices: Prices) -> None:
    match how.form:
        case form if how.events:
            from response_store.cli.show_events import write_events  # noqa: PLC0415 (few want it)

            as_json = form == "as_json"
            write_events(entry, as_json=as_json, verbose=how.verbose, paged=how.paged)
        case "raw":
            output.write_bytes(exchange.get_raw_response(entry))
        case "as_json":
            output.write_json(exchange.build_object(entry, describe_cost(entry, prices)))
        case "" if output.is_terminal():
            cost = describe_cost(entry, prices)
            console = output.open_terminal()
            print_exchange(console, entry, cost, verbose=how.verbose, paged=how.paged)
        case "":
            cost = describe_cost(entry, prices)
            output.write_text(format_plain(entry, cost.long))
        case form:
            from response_store.cli.show_forms import write_form  # noqa: PLC0415 (few want one)

            write_form(entry, form, prices, html=how.html, opens=how.opens, paged=how.paged)


def _write_thread(thread: Thread, how: ShowOptions, prices: Prices) -> None:
    match how.form:
        case form if how.differences:
            from response_store.cli.diff import write_thread_differences  # noqa: PLC0415 (as above)

            write_thread_differences(thread, as_json=form == "as_json", paged=how.paged)
        case "as_json":
            _write_json(thread, prices)
        case "html":
            from response_store.cli.show_forms import write_thread_html  # noqa: PLC0415 (as above)

            write_thread_html(thread, prices, how.html, opens=how.opens)
        case _ if output.is_terminal():
            console = output.open_terminal()
            print_thread(console, thread, prices, verbose=how.verbose, paged=how.paged)
        case _:
            for text in format_plain_thread(thread, prices):
                output.write_text(text)


def _write_json(thread: Thread, prices: Prices) -> None:
    """Print the list of the objects that `show --json` prints, in order, each on a new line."""
    before = b"["
    for node in thread.nodes():
        shown = exchange.build_object(node.entry, describe_cost(node.entry, prices))
        output.write_bytes(before + output.encode_shown(shown))
        before = b",\n"
    output.write_bytes(b"]\n")


def print_exchange(
    console: Console,
    entry: LookupResult,
    cost: CostText = NO_COST,
    *,
    verbose: bool = False,
    paged: bool = False,
) -> None:
    """Print a line of facts, then the conversation."""
    print_paged(console, draw_exchange(entry, cost, verbose=verbose), paged=paged)


def draw_exchange(
    entry: LookupResult,
    cost: CostText = NO_COST,
    *,
    verbose: bool = False,
    now: float | None = None,
) -> Iterator[RenderableType]:
    """Yield what is printed of an exchange; times are seen from `now`, else from this moment."""
    conversation = build_conversation(entry)
    state = entry.exchange.state if entry.exchange else ""
    head = list_head(entry, cost=cost.short, now=time.time() if now is None else now)
    yield draw_head(head, choose_style(state) if state else "")
    if verbose:
        yield from draw_facts(list_facts(entry, cost.long))
    yield from draw_beside(conversation, whole=verbose)
    yield from draw_blocks(conversation.blocks, whole=verbose)


def print_thread(
    console: Console,
    thread: Thread,
    prices: Prices | None = None,
    *,
    verbose: bool = False,
    paged: bool = False,
) -> None:
    """Print a line for each response, then what is new in it."""
    print_paged(console, draw_thread(thread, prices, verbose=verbose), paged=paged)


def draw_thread(
    thread: Thread, prices: Prices | None = None, *, verbose: bool = False
) -> Iterator[RenderableType]:
    """Yield what is printed of a thread, response by response."""
    from rich.text import Text  # noqa: PLC0415 (slow to load)

    if thread.continues is not None:
        continued = put_on_one_line(describe_continued(thread))
        yield WrappedText(Text(f"{continued}\n", style="italic"))
    sums, builder = ThreadSums(prices), BlockBuilder()
    for section in list_sections(thread):
        sums.add(section)
        yield _draw_heading(section)
        blocks = builder.add(section.new.instructions, section.new.items)
        yield from draw_blocks(blocks, whole=verbose)
        for turn in section.branches:
            yield Text.assemble("\n", (turn.label, LABEL), f"\n{turn.text}", overflow="ignore")
        yield ""
    yield WrappedText(Text(" \u00b7 ".join(sums.format()), style="bold"))


def _draw_heading(section: Section) -> WrappedText:
    from rich.text import Text  # noqa: PLC0415 (slow to load)

    *columns, state = section.heading
    style = choose_style(section.state.partition(",")[0])
    heading = Text.assemble((" \u00b7 ".join([*columns, ""]), "bold"), (state, f"bold {style}"))
    return WrappedText(heading)
