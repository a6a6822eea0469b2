"""`response-store show`: one exchange, as a conversation or as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from response_store.cli import output, shown
from response_store.cli.printable import one_line, printable
from response_store.cli.source import (
    config_option,
    database_option,
    errors_told,
    json_option,
    opened,
    tenant_option,
)

if TYPE_CHECKING:
    from pathlib import Path

    from response_store.store.lookup import Found


_CUT = "\u2026"  # where a table has cut an id short
HELP = """Show one exchange: what was asked, what was answered, what it cost.

ID is a response's id, an exchange's id, or the beginning of either, if no other begins so.

With --json: every column of the exchange, the request's body, and the response as the API
sent it, to the letter.

\b
Examples:
  response-store show resp_68a1
  response-store show resp_68a1 --json | jq .response.usage
  response-store show resp_68a1 --raw > answer.sse
"""


@click.command("show", help=HELP)
@click.argument("identifier", metavar="ID")
@config_option
@database_option
@tenant_option
@json_option
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
    raw: bool,
) -> None:
    """Show one exchange: what was asked, what was answered, what it cost."""
    if as_json and raw:
        raise click.UsageError("--json and --raw exclude each other.")
    if raw and output.to_terminal():
        raise click.UsageError("--raw could upset this terminal: send it to a file or a pipe.")
    with opened(config, database, tenant) as source:
        found = source.query.find(source.tenant, identifier.removesuffix(_CUT))
    with errors_told():
        _write(found, as_json, raw)


def _write(found: Found, as_json: bool, raw: bool) -> None:
    if raw:
        output.write_bytes(shown.raw_response(found))
    elif as_json:
        output.write_json(shown.as_object(found))
    elif output.to_terminal():
        from response_store.cli.show_view import show  # noqa: PLC0415 (rich only here)

        show(output.terminal(), found)
    else:
        output.write_text(plain(found))


def plain(found: Found) -> str:
    """Facts as name, tab, value; then each turn under a line that names the speaker."""
    facts = [f"{name}\t{one_line(value)}\n" for name, value in shown.facts(found)]
    turns = [
        f"\n--- {one_line(turn.label)}\n{printable(turn.text)}\n" for turn in shown.turns(found)
    ]
    return "".join(facts + turns)
