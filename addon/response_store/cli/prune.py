"""`response-store prune`: remove what is old, too much or not wanted, and give the room back."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, TypeAlias

import click
import msgspec

from response_store.cli import completion_values, output
from response_store.cli.apply_journals import apply_journals
from response_store.cli.progress import progress
from response_store.cli.prune_rules import Rule, rule
from response_store.cli.selecting import selection_options
from response_store.cli.sizes import Size
from response_store.cli.source import (
    Source,
    config_option,
    database_option,
    handle_errors,
    json_option,
    note,
    source,
)
from response_store.cli.times import PastTime
from response_store.store.backends import open_reader
from response_store.telling.figures import local_time, size
from response_store.telling.printable import one_line

if TYPE_CHECKING:
    from pathlib import Path

    from response_store.pruning.database import PruneTarget
    from response_store.pruning.measures import Survey
    from response_store.pruning.sweep import Pruner
    from response_store.store.selection import Selection

Facts: TypeAlias = list[tuple[str, str]]
INTERRUPTED = 130
_LEAST_REST = 0.001  # seconds, in which others get at the database
_NOTHING_ASKED = (
    "Say what is to go: --older-than 30d, --max-bytes 2GB, or a filter such as --state failed."
    " With --dry-run nothing is removed."
)
_NOBODY_TO_ASK = "Nobody is there to be asked: add --yes, or --dry-run to see what would go."
HELP = """Remove exchanges: by age, by size, or whatever the filters mean.

Says what would go and asks, unless --yes. An exchange takes its response along, unless another
exchange names it; what is open stays. Removing goes in small batches, so that proxies can go on
writing. It can be broken off with Ctrl-C at any time: the same command goes on.

A SQLite file gets smaller at the end: it is written anew if no proxy writes to it, else cut in
small steps. PostgreSQL uses room again by itself (autovacuum).

\b
Examples:
  response-store prune --older-than 30d --dry-run
  response-store prune --older-than 30d --yes
  response-store prune --max-bytes 2GB
  response-store prune --state failed --state refused --until 2026-01-01
  response-store prune --older-than 90d --all-tenants --yes --json
  response-store prune --vacuum
"""


@click.command("prune", help=HELP)
@config_option
@database_option
@click.option(
    "--older-than", type=PastTime(), metavar="AGE",
    help="What was begun longer ago: 30d, 12h, '3 months ago', 2026-01-01.",
)  # fmt: skip
@click.option(
    "--max-bytes", type=Size(), metavar="SIZE",
    help="The oldest, of all tenants, until the rest takes no more than this: 500MB, 2GiB.",
)  # fmt: skip
@selection_options
@click.option(
    "--tenant", metavar="NAME", shell_complete=completion_values.tenants,
    help="Whose; else the tenant of the configuration.",
)  # fmt: skip
@click.option("--all-tenants", is_flag=True, help="Those of every tenant.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@click.option(
    "--vacuum/--no-vacuum", default=None,
    help="Write a SQLite file anew at the end, for which writers wait, or leave it as large as it"
    " is. Without either: anew if no proxy writes, else smaller in small steps.",
)  # fmt: skip
@json_option
def prune_command(
    *,
    config: Path | None,
    database: Path | None,
    older_than: float | None,
    max_bytes: int | None,
    selection: Selection,
    tenant: str | None,
    all_tenants: bool,
    dry_run: bool,
    yes: bool,
    vacuum: bool | None,
    as_json: bool,
) -> None:
    """Remove exchanges: by age, by size, or whatever the filters mean."""
    with handle_errors():
        asked = source(config, database, tenant)
        wanted = rule(
            selection, older_than=older_than, max_bytes=max_bytes, tenant=tenant,
            all_tenants=all_tenants, default_tenant=asked.tenant,
        )  # fmt: skip
        if wanted is None and not (vacuum and not dry_run):
            raise click.UsageError(_NOTHING_ASKED)
        apply_journals(asked)
        found = _surveyed(asked, wanted) if wanted else None
        if found is not None and (dry_run or not found.exchanges):
            _write(_would_go(found), {"would_go": msgspec.structs.asdict(found)}, as_json)
            if dry_run or not vacuum:
                return
        if found is not None and found.exchanges and not yes:
            _ask(found)
        _prune(asked, wanted if found and found.exchanges else None, found, vacuum, as_json)


def _surveyed(asked: Source, wanted: Rule) -> Survey:
    reading = open_reader(asked.target, asked.tables, shown_as=asked.shown_as)
    try:
        with reading.snapshot():
            return wanted.survey(reading)
    finally:
        reading.close()


def _ask(found: Survey) -> None:
    if not _somebody_is_there():
        raise click.UsageError(_NOBODY_TO_ASK)
    for name, value in _would_go(found):
        click.echo(f"{name}: {value}", err=True)
    click.confirm("Remove them?", abort=True, err=True)


def _somebody_is_there() -> bool:
    return sys.stdin.isatty()


def _prune(
    asked: Source, wanted: Rule | None, found: Survey | None, vacuum: bool | None, as_json: bool
) -> None:
    from response_store.pruning.database import open_database  # noqa: PLC0415 (when it is used)
    from response_store.pruning.sweep import Pruner  # noqa: PLC0415

    with open_database(asked.target, asked.tables, asked.shown_as) as database:
        pruner = Pruner(database, _rest)
        if wanted is not None and found is not None:
            with progress(found.exchanges, "removing") as so_far:
                pruner.on_batch = lambda batch: so_far.advance(batch.exchanges)
                try:
                    wanted.apply(pruner)
                except KeyboardInterrupt:
                    note(
                        f"\nStopped: {pruner.exchanges} exchanges have gone, whole batches."
                        " The same command goes on."
                    )
                    raise click.exceptions.Exit(INTERRUPTED) from None
        space = _room_given_back(database, vacuum, pruner)
    facts = [("removed", f"{pruner.exchanges} exchanges, {pruner.responses} responses"), *space[0]]
    removed = {"exchanges": pruner.exchanges, "responses": pruner.responses}
    _write(facts, {"removed": removed, **space[1]}, as_json)


def _room_given_back(
    database: PruneTarget, vacuum: bool | None, pruner: Pruner
) -> tuple[Facts, dict[str, object]]:
    """Make a file smaller where that is wanted, or fitting; say what became of the room."""
    space = database.remover.space
    if space is None:
        return [("room", "used again by PostgreSQL, after its autovacuum")], {}
    if vacuum or (vacuum is None and space.free_bytes() and not space.has_writers()):
        saved = space.vacuum()
        return [("room", f"{size(max(saved, 0))} given back")], {"bytes_given_back": saved}
    if vacuum is None:
        pruner.release_space()
    space.truncate()
    free = space.free_bytes()
    if not free:
        return [("room", "given back")], {"bytes_free": 0}
    told = f"{size(free)} free in the file, used again; response-store prune --vacuum gives it back"
    return [("room", told)], {"bytes_free": free}


def _rest(taken: float) -> bool:
    time.sleep(max(taken, _LEAST_REST))
    return True


def _would_go(found: Survey) -> Facts:
    if not found.exchanges:
        return [("would go", "nothing")]
    return [
        ("would go", f"{found.exchanges} exchanges"),
        ("oldest", local_time(found.oldest)),
        ("newest", local_time(found.newest)),
        ("about", size(found.bytes)),
    ]


def _write(facts: Facts, found: dict[str, object], as_json: bool) -> None:
    if as_json:
        output.write_json(found)
    elif output.to_terminal():
        from response_store.cli.facts import print_facts  # noqa: PLC0415 (rich only here)

        print_facts(output.terminal(), facts)
    else:
        output.write_text("".join(f"{name}\t{one_line(value)}\n" for name, value in facts))
