"""`response-store show`: one exchange, or a thread of them, as a conversation or as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from response_store.cli import completion_values, output
from response_store.cli.apply_journals import apply_journals
from response_store.cli.source import (
    config_option,
    database_option,
    find_source,
    handle_errors,
    json_option,
    tenant_option,
)
from response_store.cli.thread import show_thread
from response_store.telling import shown
from response_store.telling.plain import format_plain

if TYPE_CHECKING:
    from pathlib import Path

    from response_store.store.lookup import LookupResult


_CUT = "\u2026"  # where a table has cut an id short
HELP = """Show one exchange: what was asked, what was answered, what it cost.

ID is a response's id, an exchange's id, or the beginning of either, if no other begins so.

With --json: every column of the exchange, the request's body, and the response as the API
sent it, to the letter.

With --thread: the whole conversation that the response is part of, oldest first, each item once.
It goes by previous_response_id and conversation, up to the first response that is stored and on
to the newest; where it parts, along the branch that was begun last. With --json: a list of what
--json gives for each response.

\b
Examples:
  response-store show resp_68a1
  response-store show resp_68a1 --json | jq .response.usage
  response-store show resp_68a1 --raw > answer.sse
  response-store show --thread resp_68a1
"""


@click.command("show", help=HELP)
@click.argument("identifier", metavar="ID", shell_complete=completion_values.complete_identifiers)
@config_option
@database_option
@tenant_option
@json_option
@click.option(
    "--thread", "whole_thread", is_flag=True,
    help="The whole conversation that it is part of, oldest first.",
)  # fmt: skip
@click.option(
    "--raw", is_flag=True, help="The bytes of the answer as they came, where they were kept."
)
def show_command(
    *,
    identifier: str,
    config: Path | None,
    database: Path | None,
    tenant: str | None,
    as_json: bool,
    whole_thread: bool,
    raw: bool,
) -> None:
    """Show one exchange: what was asked, what was answered, what it cost."""
    if as_json and raw:
        raise click.UsageError("--json and --raw exclude each other.")
    if whole_thread and raw:
        raise click.UsageError("--thread and --raw exclude each other.")
    if raw and output.is_terminal():
        raise click.UsageError("--raw could upset this terminal: send it to a file or a pipe.")
    with handle_errors():
        source, wanted = find_source(config, database, tenant), identifier.removesuffix(_CUT)
        apply_journals(source)
        with source.open() as query:
            if whole_thread:
                show_thread(query, source.tenant, wanted, as_json)
            else:
                _write(query.find(source.tenant, wanted), as_json, raw)


def _write(entry: LookupResult, as_json: bool, raw: bool) -> None:
    if raw:
        output.write_bytes(shown.get_raw_response(entry))
    elif as_json:
        output.write_json(shown.build_object(entry))
    elif output.is_terminal():
        from response_store.cli.show_view import show  # noqa: PLC0415 (rich only here)

        show(output.open_terminal(), entry)
    else:
        output.write_text(format_plain(entry))
