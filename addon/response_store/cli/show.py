"""`response-store show`: one exchange, or a thread of them, as a conversation or as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from response_store.cli import output
from response_store.cli import source as completion_values
from response_store.cli.apply_journals import apply_journals
from response_store.cli.output import ERROR, LABEL, choose_style, print_facts
from response_store.cli.source import (
    config_option,
    database_option,
    find_source,
    handle_errors,
    json_option,
    tenant_option,
)
from response_store.format import exchange
from response_store.format.exchange import format_plain
from response_store.format.facts import list_facts
from response_store.format.text import (
    escape_controls,
    escape_json,
    put_on_one_line,
)
from response_store.format.transcript import (
    Section,
    describe_continued,
    format_plain_thread,
    format_sums,
    list_sections,
)
from response_store.queries.session_turns import find_session_thread
from response_store.queries.threads import Thread, find_thread

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from response_store.queries.exchanges import Query
    from response_store.queries.lookup import LookupResult


def show_thread(
    query: Query, tenant: str, identifier: str, as_json: bool, *, session: bool = False
) -> None:
    """Print the thread, or the session, that an identifier is of. Raises StoreError."""
    with query.snapshot() as lookup:
        if session:
            thread = find_session_thread(query.reader, tenant, identifier)
        else:
            thread = find_thread(lookup, tenant, identifier)
        if as_json:
            _write_json(thread)
        elif output.is_terminal():
            print_thread(output.open_terminal(), thread)
        else:
            for text in format_plain_thread(thread):
                output.write_text(text)


def _write_json(thread: Thread) -> None:
    """Print the list of the objects that `show --json` prints, in order, each on a new line."""
    before = b"["
    for node in thread.nodes():
        data = output.encode_object(exchange.build_object(node.entry))
        if output.is_terminal():
            data = escape_json(data.decode("utf-8", "replace")).encode()
        output.write_bytes(before + data)
        before = b",\n"
    output.write_bytes(b"]\n")


_CUT = "\u2026"  # where a table has cut an id short
HELP = """Show one exchange: what was asked, what was answered, what it cost.

ID is a response's id, an exchange's id, or the beginning of either, if no other begins so.

With --json: every column of the exchange, the request's body, and the response as the API
sent it, to the letter.

With --thread: the whole conversation that the response is part of, oldest first, each item once.
It goes by previous_response_id and conversation, up to the first response that is stored and on
to the newest; where it parts, along the branch that was begun last. With --json: a list of what
--json gives for each response.

With --session in the place of ID: the same of a whole session, with all its agents and branches, in
the order of time.

\b
Examples:
  response-store show resp_68a1
  response-store show resp_68a1 --json | jq .response.usage
  response-store show resp_68a1 --raw > answer.sse
  response-store show --thread resp_68a1
  response-store show --session last
"""


@click.command("show", help=HELP)
@click.argument(
    "identifier", metavar="[ID]", required=False,
    shell_complete=completion_values.complete_identifiers,
)  # fmt: skip
@config_option
@database_option
@tenant_option
@json_option
@click.option(
    "--thread", "whole_thread", is_flag=True,
    help="The whole conversation that it is part of, oldest first.",
)  # fmt: skip
@click.option(
    "--session", metavar="ID", shell_complete=completion_values.complete_sessions,
    help="A whole session: its id, the beginning of it, or what is in it; last is the newest.",
)  # fmt: skip
@click.option(
    "--raw", is_flag=True, help="The bytes of the answer as they came, where they were kept."
)
def show_command(
    *,
    identifier: str | None,
    config: Path | None,
    database: Path | None,
    tenant: str | None,
    as_json: bool,
    whole_thread: bool,
    session: str | None,
    raw: bool,
) -> None:
    """Show one exchange: what was asked, what was answered, what it cost."""
    if as_json and raw:
        raise click.UsageError("--json and --raw exclude each other.")
    if (identifier is None) == (session is None):
        raise click.UsageError("Name an exchange or response by its ID, or a session: --session ID")
    if (whole_thread or session) and raw:
        raise click.UsageError(
            "--raw is of one exchange: it goes with neither --thread nor --session."
        )
    if raw and output.is_terminal():
        raise click.UsageError("--raw could upset this terminal: send it to a file or a pipe.")
    with handle_errors():
        source = find_source(config, database, tenant)
        wanted = (identifier or session or "").removesuffix(_CUT)
        apply_journals(source)
        with source.open() as query:
            if whole_thread or session is not None:
                is_session = session is not None
                show_thread(query, source.tenant, wanted, as_json, session=is_session)
            else:
                _write(query.find(source.tenant, wanted), as_json, raw)


def _write(entry: LookupResult, as_json: bool, raw: bool) -> None:
    if raw:
        output.write_bytes(exchange.get_raw_response(entry))
    elif as_json:
        output.write_json(exchange.build_object(entry))
    elif output.is_terminal():
        print_exchange(output.open_terminal(), entry)
    else:
        output.write_text(format_plain(entry))


_HEADING = "bold"


def print_thread(console: Console, thread: Thread) -> None:
    """Print a line for each response, then what is new in it; the
    terminal itself wraps the text.
    """
    from rich.text import Text  # noqa: PLC0415 (slow to load)

    if thread.continues is not None:
        console.print(
            Text(f"{put_on_one_line(describe_continued(thread))}\n", style="dim"), soft_wrap=True
        )
    counted = []
    for section in list_sections(thread):
        counted.append(section.tokens)
        console.print(_build_heading(section), soft_wrap=True)
        for turn in section.turns:
            console.print()
            console.print(Text(put_on_one_line(turn.label), style=LABEL), soft_wrap=True)
            console.print(Text(escape_controls(turn.text)), soft_wrap=True)
        console.print()
    console.print(Text("  ".join(format_sums(counted)), style=_HEADING), soft_wrap=True)


def _build_heading(section: Section) -> Text:
    from rich.text import Text  # noqa: PLC0415 (slow to load)

    *columns, state = section.heading
    style = choose_style(section.state.partition(",")[0])
    return Text.assemble(("  ".join([*columns, ""]), _HEADING), (state, style))


def print_exchange(console: Console, entry: LookupResult) -> None:
    """Print facts, then each turn under its speaker; the terminal itself wraps the text."""
    from rich.text import Text  # noqa: PLC0415 (slow to load)

    print_facts(console, [(name, put_on_one_line(value)) for name, value in list_facts(entry)])
    for turn in exchange.list_turns(entry):
        console.print()
        console.print(Text(put_on_one_line(turn.label), style=LABEL), soft_wrap=True)
        console.print(Text(escape_controls(turn.text)), soft_wrap=True)
    for line in _end(entry):
        console.print(line, soft_wrap=True)


def _end(entry: LookupResult) -> list[Text]:
    from rich.text import Text  # noqa: PLC0415 (slow to load)

    row = entry.exchange
    if row is None or row.state == "completed":
        return []
    told = put_on_one_line(f"{row.state}, ended by {row.ended_by}" if row.ended_by else row.state)
    return [Text(f"\n{told}", style=ERROR if row.error_code else choose_style(row.state))]
