"""`response-store prune`: remove what is old, too much or not wanted, and give the room back."""

from __future__ import annotations

import sys
import time
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import click
import msgspec

from response_store.backends.registry import open_database, open_reader
from response_store.cli import output
from response_store.cli import source as completion_values
from response_store.cli.apply_journals import apply_journals
from response_store.cli.options import PastTime, Size, add_selection_options
from response_store.cli.progress import show_progress
from response_store.cli.source import (
    Source,
    config_option,
    database_option,
    find_source,
    handle_errors,
    json_option,
    note,
)
from response_store.errors import StoreError
from response_store.format.text import format_size, format_time, put_on_one_line
from response_store.model.records import State
from response_store.model.selection import Selection
from response_store.pruning import batch
from response_store.queries.lookup import Lookup

if TYPE_CHECKING:
    from response_store.pruning.batch import PruneTarget, Survey
    from response_store.pruning.prune import Pruner
    from response_store.queries.reader import Reader


@dataclass(frozen=True)
class PruneRule:
    """Exchanges that a selection means; or, with `max_bytes`, the oldest that are too much.

    `tenants` None: all of them.
    """

    selection: Selection
    tenants: tuple[str, ...] | None
    max_bytes: int | None = None

    def survey(self, reader: Reader) -> Survey:
        """Return what would be removed, exactly or about."""
        if self.max_bytes is not None:
            excess = batch.select_excess(reader, self.max_bytes)
            if excess is None:
                return batch.Survey(0, None, None, 0)
            return batch.survey_selection(reader, excess[0])
        tenant = self.tenants[0] if self.tenants else None
        return batch.survey_selection(
            reader, msgspec.structs.replace(self.selection, tenant=tenant)
        )

    def apply(self, pruner: Pruner) -> None:
        """Remove it."""
        if self.max_bytes is not None:
            pruner.shrink(self.max_bytes)
        else:
            reader = pruner.database.reader
            pruner.remove(self.selection, self.tenants or batch.list_tenants(reader))


def build_rule(
    selection: Selection,
    *,
    older_than: float | None,
    max_bytes: int | None,
    tenant: str | None,
    all_tenants: bool,
    default_tenant: str,
    identifiers: tuple[str, ...] = (),
) -> PruneRule | None:
    """Return what the options select; None where they name nothing to remove.

    Ids in it are as they were typed.
    """
    if identifiers:
        if selection != Selection() or (older_than, max_bytes) != (None, None) or all_tenants:
            raise click.UsageError("An ID names what to remove: give it without filters.")
        rows_of = default_tenant if tenant is None else tenant
        return PruneRule(Selection(exchange_ids=identifiers), (rows_of,))
    if tenant is not None and all_tenants:
        raise click.UsageError("--tenant and --all-tenants exclude each other.")
    if State.OPEN.value in selection.states:
        raise click.UsageError(
            "Exchanges that are open are still written; those of a proxy that was killed are"
            " closed when the next one starts. Prune them then."
        )
    if all_tenants and (selection.sessions or selection.recorder_ids):
        raise click.UsageError("A session or run is one tenant's: give it without --all-tenants.")
    filtered = selection != Selection() or older_than is not None
    if max_bytes is not None:
        if filtered or tenant is not None:
            raise click.UsageError(
                "--max-bytes takes the oldest exchanges of all tenants: give it without filters."
                " Run prune twice."
            )
        return PruneRule(Selection(), None, max_bytes)
    if not filtered:
        return None
    if older_than is not None:
        until = older_than if selection.until is None else min(older_than, selection.until)
        selection = msgspec.structs.replace(selection, until=until)
    rows_of = default_tenant if tenant is None else tenant
    return PruneRule(selection, None if all_tenants else (rows_of,))


Facts: TypeAlias = list[tuple[str, str]]
INTERRUPTED = 130
_LEAST_REST = 0.001  # seconds, in which others get at the database
_NOTHING_ASKED = (
    "Say what is to go: --older-than 30d, --max-bytes 2GB, a filter such as --state failed, or an"
    " ID."
    " With --dry-run nothing is removed."
)
_NOBODY_TO_ASK = "Nobody is there to be asked: add --yes, or --dry-run to see what would go."
HELP = """Remove exchanges: by id, by age, by size, or by filters.

ID is the id of an exchange, or of a response (which means all its exchanges), or the beginning of
either.

Shows what would be removed and asks, unless --yes. A response is removed with the last exchange
that names it; open exchanges stay. Removing goes in small batches, so that proxies can go on
writing. After Ctrl-C, run the same command again to continue.

A SQLite file shrinks at the end: it is rewritten if no proxy writes to it, else it shrinks in
small steps. PostgreSQL reuses the room by itself (autovacuum).

\b
Examples:
  response-store prune --older-than 30d --dry-run
  response-store prune --older-than 30d --yes
  response-store prune --max-bytes 2GB
  response-store prune --state failed --state refused --until 2026-01-01
  response-store prune resp_68a1
  response-store prune --session 019a2b7c
  response-store prune --label nightly-20261128-020000 --yes
  response-store prune --older-than 90d --all-tenants --yes --json
  response-store prune --vacuum
"""


@click.command("prune", help=HELP)
@click.argument(
    "identifiers", metavar="[ID]...", nargs=-1,
    shell_complete=completion_values.complete_identifiers,
)  # fmt: skip
@config_option
@database_option
@click.option(
    "--older-than", type=PastTime(), metavar="AGE",
    help="Exchanges that began longer ago: 30d, 12h, '3 months ago', 2026-01-01.",
)  # fmt: skip
@click.option(
    "--max-bytes", type=Size(), metavar="SIZE",
    help="The oldest exchanges of all tenants, until the rest has this size: 500MB, 2GiB.",
)  # fmt: skip
@add_selection_options
@click.option(
    "--tenant", metavar="NAME", shell_complete=completion_values.complete_tenants,
    help="Exchanges of this tenant; else of the tenant of the configuration.",
)  # fmt: skip
@click.option("--all-tenants", is_flag=True, help="Exchanges of every tenant.")
@click.option("--dry-run", is_flag=True, help="Only show what would be removed.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@click.option(
    "--vacuum/--no-vacuum", default=None,
    help="Rewrite a SQLite file at the end (writers wait), or leave its size. Without either:"
    " rewrite it if no proxy writes, else shrink it in small steps.",
)  # fmt: skip
@json_option
def prune_command(
    *,
    identifiers: tuple[str, ...],
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
        source = find_source(config, database, tenant)
        rule = build_rule(
            selection, older_than=older_than, max_bytes=max_bytes, tenant=tenant,
            all_tenants=all_tenants, default_tenant=source.tenant, identifiers=identifiers,
        )  # fmt: skip
        if rule is None and not (vacuum and not dry_run):
            raise click.UsageError(_NOTHING_ASKED)
        apply_journals(source)
        rule = _resolve(source, rule) if rule else None
        survey_result = _survey(source, rule) if rule else None
        if survey_result is not None and (dry_run or not survey_result.exchanges):
            _write(
                _describe_survey(survey_result),
                {"would_go": msgspec.structs.asdict(survey_result)},
                as_json,
            )
            if dry_run or not vacuum:
                return
        if survey_result is not None and survey_result.exchanges and not yes:
            _ask(survey_result)
        _prune(
            source,
            rule if survey_result and survey_result.exchanges else None,
            survey_result,
            vacuum,
            as_json,
        )


def _resolve(source: Source, rule: PruneRule) -> PruneRule:
    """Return a rule whose ids, sessions and runs are looked up. Raises StoreError."""
    typed = rule.selection
    if not (typed.exchange_ids or typed.sessions or typed.recorder_ids):
        return rule
    reader = open_reader(source.target, source.tables, shown_as=source.shown_as)
    with closing(reader), reader.snapshot():
        ids = [
            name
            for identifier in typed.exchange_ids
            for name in find_exchanges(reader, source.tenant, identifier)
        ]
        selection = msgspec.structs.replace(typed, exchange_ids=tuple(ids))
        resolved = source.resolve(reader, selection)
    return replace(rule, selection=msgspec.structs.replace(resolved, tenant=None))


_OF_RESPONSE = "SELECT exchange_id FROM {exchanges} WHERE response_id = ? AND tenant_id || '' = ?"


def find_exchanges(reader: Reader, tenant: str, identifier: str) -> list[str]:
    """Return the exchange of an id or its beginning; of a response all that it came in.

    Raises StoreError where it means none or several.
    """
    entry = Lookup(reader).find(tenant, identifier)
    if entry.exchange is None:
        raise StoreError(
            f"{reader.name}: {identifier!r} is a response without an exchange: another program has"
            " written it, and prune removes exchanges."
        )
    one = entry.exchange
    if one.response_id is None or one.exchange_id.startswith(identifier):
        return [one.exchange_id]
    return [name for (name,) in reader.rows(_OF_RESPONSE, (one.response_id, tenant))]


def _survey(source: Source, rule: PruneRule) -> Survey:
    reader = open_reader(source.target, source.tables, shown_as=source.shown_as)
    try:
        with reader.snapshot():
            return rule.survey(reader)
    finally:
        reader.close()


def _ask(survey_result: Survey) -> None:
    if not _is_interactive():
        raise click.UsageError(_NOBODY_TO_ASK)
    for name, value in _describe_survey(survey_result):
        click.echo(f"{name}: {value}", err=True)
    click.confirm("Remove them?", abort=True, err=True)


def _is_interactive() -> bool:
    return sys.stdin.isatty()


def _prune(
    source: Source,
    rule: PruneRule | None,
    survey_result: Survey | None,
    vacuum: bool | None,
    as_json: bool,
) -> None:
    from response_store.pruning.prune import Pruner  # noqa: PLC0415

    with open_database(source.target, source.tables, source.shown_as) as database:
        pruner = Pruner(database, _rest)
        if rule is not None and survey_result is not None:
            with show_progress(survey_result.exchanges, "removing") as so_far:
                pruner.on_batch = lambda batch: so_far.advance(batch.exchanges)
                try:
                    rule.apply(pruner)
                except KeyboardInterrupt:
                    note(
                        f"\nStopped: {pruner.exchanges} exchanges were removed, in whole batches."
                        " The same command removes the rest."
                    )
                    raise click.exceptions.Exit(INTERRUPTED) from None
        space = _give_room_back(database, vacuum, pruner)
    facts = [("removed", f"{pruner.exchanges} exchanges, {pruner.responses} responses"), *space[0]]
    removed = {"exchanges": pruner.exchanges, "responses": pruner.responses}
    _write(facts, {"removed": removed, **space[1]}, as_json)


def _give_room_back(
    database: PruneTarget, vacuum: bool | None, pruner: Pruner
) -> tuple[Facts, dict[str, object]]:
    """Make a file smaller where that is wanted, or fitting; say what became of the room."""
    space = database.remover.space
    if space is None:
        return [("room", "used again by PostgreSQL, after its autovacuum")], {}
    if vacuum or (vacuum is None and space.free_bytes() and not space.has_writers()):
        saved = space.vacuum()
        return [("room", f"{format_size(max(saved, 0))} given back")], {"bytes_given_back": saved}
    if vacuum is None:
        pruner.release_space()
    space.truncate()
    free = space.free_bytes()
    if not free:
        return [("room", "given back")], {"bytes_free": 0}
    room = f"{format_size(free)} free in the file, used again"
    return [("room", f"{room}; response-store prune --vacuum gives it back")], {"bytes_free": free}


def _rest(taken: float) -> bool:
    time.sleep(max(taken, _LEAST_REST))
    return True


def _describe_survey(survey_result: Survey) -> Facts:
    if not survey_result.exchanges:
        return [("would go", "nothing")]
    return [
        ("would go", f"{survey_result.exchanges} exchanges"),
        ("oldest", format_time(survey_result.oldest)),
        ("newest", format_time(survey_result.newest)),
        ("about", format_size(survey_result.bytes)),
    ]


def _write(facts: Facts, survey_result: dict[str, object], as_json: bool) -> None:
    if as_json:
        output.write_json(survey_result)
    elif output.is_terminal():
        from response_store.cli.output import print_facts  # noqa: PLC0415 (rich only here)

        print_facts(output.open_terminal(), facts)
    else:
        output.write_text("".join(f"{name}\t{put_on_one_line(value)}\n" for name, value in facts))
