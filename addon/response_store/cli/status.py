"""`response-store status`: what the database holds, in numbers, and what waits for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from response_store.cli import output
from response_store.cli.journal import journal_of
from response_store.cli.source import (
    STORE_FAILED,
    Source,
    config_option,
    database_option,
    errors_told,
    json_option,
    source,
)
from response_store.cli.status_facts import database_facts, database_object
from response_store.errors import StoreError
from response_store.telling.printable import one_line

if TYPE_CHECKING:
    from pathlib import Path

    from response_store.cli.status_facts import Facts

MOST_LETTERS = 1000
HELP = """Say what the database holds: exchanges by state and API, responses, times and sizes.

All tenants are counted. An exchange is open while its answer is on the way.

With PostgreSQL, the proxy's journal is told of as well: what waits in it for the database, and the
dead letters, records that the database will never take. That works while the database is away;
the exit status is 1 then.

\b
Examples:
  response-store status
  response-store status --config proxy.yaml
  response-store status --json
  response-store status --dead-letters
"""


@click.command("status", help=HELP)
@config_option
@database_option
@click.option(
    "--dead-letters", is_flag=True, help="List what PostgreSQL will never take, and why, instead."
)
@json_option
def status_command(
    *, config: Path | None, database: Path | None, dead_letters: bool, as_json: bool
) -> None:
    """Say what the database holds: exchanges by state and API, responses, times and sizes."""
    with errors_told():
        asked = source(config, database)
        if dead_letters:
            _write_dead_letters(asked, as_json)
            return
        found, facts, failed = _looked(asked)
    _write(found, facts, as_json)
    if failed:
        raise click.exceptions.Exit(STORE_FAILED)


def _looked(asked: Source) -> tuple[dict[str, object], Facts, bool]:
    """The status as an object and as facts, and whether something could not be looked at."""
    if asked.journal is None:
        return *_database(asked), False
    from response_store.cli.journal_facts import journal_status  # noqa: PLC0415 (for one backend)

    error = None
    try:
        found, facts = _database(asked)
    except StoreError as failure:
        error = str(failure)
        found = {"database": asked.shown_as}
        facts = [("database", one_line(asked.shown_as)), ("error", one_line(error))]
    waiting, more = journal_status(asked.journal)
    whole = {**found, "error": error, "journal": waiting}
    return whole, facts + more, bool(error or waiting["error"])


def _database(asked: Source) -> tuple[dict[str, object], Facts]:
    with asked.open() as query:
        found = query.status()
    return database_object(found), database_facts(found)


def _write(found: dict[str, object], facts: Facts, as_json: bool) -> None:
    if as_json:
        output.write_json(found)
    elif output.to_terminal():
        from response_store.cli.facts import print_facts  # noqa: PLC0415 (rich only here)

        print_facts(output.terminal(), facts)
    else:
        output.write_text("".join(f"{name}\t{value}\n" for name, value in facts))


def _write_dead_letters(asked: Source, as_json: bool) -> None:
    if asked.journal is None:
        raise click.UsageError(
            "--dead-letters is for PostgreSQL alone: SQLite has no journal. Give the configuration"
            " of a proxy with backend: postgres."
        )
    from response_store.cli.journal_facts import (  # noqa: PLC0415 (for one backend)
        letters_object,
        plain_letters,
    )

    with journal_of(asked.journal) as journal:
        letters = journal.dead_letters(MOST_LETTERS) if journal else []
    if as_json:
        output.write_json(letters_object(letters))
    else:
        output.write_text(plain_letters(letters))
