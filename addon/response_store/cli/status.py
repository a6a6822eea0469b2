"""`response-store status`: what the database holds, in numbers, and what waits for it."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from response_store.cli import output
from response_store.cli.apply_journals import apply_journals, may_have_journals
from response_store.cli.source import (
    STORE_FAILED,
    Source,
    config_option,
    database_option,
    handle_errors,
    json_option,
    source,
)
from response_store.cli.status_facts import database_facts, database_object
from response_store.errors import StoreError
from response_store.telling.printable import one_line

if TYPE_CHECKING:
    from pathlib import Path

    from response_store.cli.status_facts import Facts

HELP = """Say what the database holds: exchanges by state and API, responses, times and sizes.

All tenants are counted. An exchange is open while its answer is on the way.

Then the journals in which proxies keep what is on its way to the database: whether the proxy runs,
how far the database is, how long the rest has waited, and what the database refused, which the
command "dead-letters" lists. Journals of other databases have a line with the command that applies
them. All of that works while the database is away; the exit status is 1 then.

\b
Examples:
  response-store status
  response-store status --config proxy.yaml
  response-store status --json
"""


@click.command("status", help=HELP)
@config_option
@database_option
@json_option
def status_command(*, config: Path | None, database: Path | None, as_json: bool) -> None:
    """Say what the database holds: exchanges by state and API, responses, times and sizes."""
    with handle_errors():
        asked = source(config, database)
        with suppress(StoreError):  # what is wrong with the database is said in its place
            apply_journals(asked)
        found, facts, failed = _database(asked)
        waiting, more, unseen = _journals(asked)
    _write({**found, **waiting}, [*facts, *more], as_json)
    if failed or unseen:
        raise click.exceptions.Exit(STORE_FAILED)


def _database(asked: Source) -> tuple[dict[str, object], Facts, bool]:
    """Return what the database holds, as an object and as facts, and whether it is away."""
    try:
        with asked.open() as query:
            found = query.status()
    except StoreError as error:
        place = [("database", one_line(asked.shown_as)), ("error", one_line(str(error)))]
        return {"database": asked.shown_as, "error": str(error)}, place, True
    return {**database_object(found), "error": None}, database_facts(found), False


def _journals(asked: Source) -> tuple[dict[str, list[dict[str, object]]], Facts, bool]:
    """Return the journals, as an object and as facts, and whether one can't be looked at."""
    if not may_have_journals(asked.settings.journal.path, os.environ):
        return {"journals": [], "other_journals": []}, [("journal", "none")], False
    from response_store.cli.journal_status import journals_status  # noqa: PLC0415 (not for all)
    from response_store.cli.journals import Database  # noqa: PLC0415

    with Database(asked) as database:
        return journals_status(database)


def _write(found: dict[str, object], facts: Facts, as_json: bool) -> None:
    if as_json:
        output.write_json(found)
    elif output.to_terminal():
        from response_store.cli.facts import print_facts  # noqa: PLC0415 (rich only here)

        print_facts(output.terminal(), facts)
    else:
        output.write_text("".join(f"{name}\t{value}\n" for name, value in facts))
