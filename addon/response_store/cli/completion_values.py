"""What a shell offers for arguments and options: stored names, files, programs.

A prompt must not wait, and must not be written to. So the look at the database is read-only, is
given up after half a second, and whatever goes wrong means that nothing is offered. psycopg takes
longer to import than a look at a file, and is imported only where PostgreSQL is configured.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    import click

    from response_store.cli.source import Source

SECONDS = 0.5
NEWEST = 500  # exchanges that are looked at
MAX_OFFERED = 100  # names that are offered

# Captured names are put onto a command line: none may mean anything to a shell.
_HARMLESS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/@+-]*")
_ROWS = """
SELECT coalesce(response_id, exchange_id), coalesce(model, requested_model), host, state,
    started_at, scheme, port
FROM {exchanges} WHERE tenant_id = ? ORDER BY started_at DESC LIMIT ?"""

Offers: TypeAlias = Iterable[tuple[str, str | None]]
"""Names, each with what a shell may say of it."""


def complete_identifiers(
    context: click.Context, _: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the ids that `show` takes, the newest first; older ones if none of those begins so."""
    return _offer(context, incomplete, lambda source: _list_identifiers(source, incomplete))


def complete_models(
    context: click.Context, _: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the models of the newest exchanges."""
    return _offer(context, incomplete, lambda source: _list_column(source, 1))


def complete_hosts(
    context: click.Context, _: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the hosts of the newest exchanges."""
    return _offer(context, incomplete, _list_hosts)


def complete_tenants(
    context: click.Context, _: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return every tenant of the database."""
    return _offer(context, incomplete, _list_tenants)


def complete_files(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the mark that has the shell complete files itself."""
    return [CompletionItem(incomplete, type="file")]


def complete_programs(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the program that is to be run, then files."""
    words = context.params.get(str(parameter.name))
    if words or not incomplete or os.sep in incomplete:
        return complete_files(context, parameter, incomplete)
    found = sorted(set(_list_programs(incomplete)))[:MAX_OFFERED]
    return [CompletionItem(name) for name in found] or complete_files(
        context, parameter, incomplete
    )


def _list_programs(beginning: str) -> Iterator[str]:
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        with suppress(OSError), os.scandir(folder or ".") as entries:
            for entry in entries:
                if entry.name.startswith(beginning) and os.access(entry.path, os.X_OK):
                    yield entry.name


def _list_identifiers(source: Source, incomplete: str) -> Offers:
    from response_store.telling.figures import format_time  # noqa: PLC0415 (only where it is asked)

    rows = _read_rows(source)
    found = [
        (name, f"{state} {model or ''} {format_time(began)}")
        for name, model, _, state, began, *_ in rows
        if name.startswith(incomplete)
    ]
    if found or not incomplete:
        return found
    with source.open() as query, query.snapshot() as lookup:
        older = lookup.ids_with_prefix(source.tenant, incomplete, MAX_OFFERED)
    return [(name, None) for name in sorted(older)]


def _list_column(source: Source, place: int) -> Offers:
    return [(str(row[place]), None) for row in _read_rows(source) if row[place]]


def _list_hosts(source: Source) -> Offers:
    from response_store.telling.figures import format_host  # noqa: PLC0415 (only where it is asked)

    return [
        (format_host(scheme, host, port), None)
        for _, _, host, *_, scheme, port in _read_rows(source)
    ]


def _list_tenants(source: Source) -> Offers:
    from response_store.pruning.measures import list_tenants as all_tenants  # noqa: PLC0415

    with source.open() as query:
        return [(name, None) for name in all_tenants(query.reader)]


def _read_rows(source: Source) -> list[tuple[str, str | None, str, str, float, str, int | None]]:
    with source.open() as query:
        return list(query.reader.rows(_ROWS, (source.tenant, NEWEST)))


def _offer(
    context: click.Context, incomplete: str, look: Callable[[Source], Offers]
) -> list[CompletionItem]:
    """Return what `look` finds in time, each name once."""
    import logging  # noqa: PLC0415 (only where it is asked)

    logging.disable(logging.WARNING)  # a prompt is no place for it
    found = dict(_run_in_time(lambda: look(_find_source(context))))
    fitting = {
        name: description
        for name, description in found.items()
        if name.startswith(incomplete) and _HARMLESS.fullmatch(name)
    }
    return [
        CompletionItem(name, help=_escape(description))
        for name, description in list(fitting.items())[:MAX_OFFERED]
    ]


def _escape(text: str | None) -> str | None:
    from response_store.telling.printable import put_on_one_line  # noqa: PLC0415 (only where it is asked)

    return put_on_one_line(text) if text else None


def _find_source(context: click.Context) -> Source:
    """Return the database that the command line names so far, or the configuration."""
    from response_store.cli.source import find_source  # noqa: PLC0415 (only where it is asked)

    given = context.params
    config, database = (_expand_path(given.get(name)) for name in ("config", "database"))
    return find_source(config, database, given.get("tenant"))


def _expand_path(given: Path | None) -> Path | None:
    """Return a path as the shell would read it: what is typed has its `~` still."""
    return given.expanduser() if given else None


def _run_in_time(look: Callable[[], Offers]) -> Offers:
    """Return what `look` finds within the time there is; nothing if it fails."""
    found: list[tuple[str, str | None]] = []

    def looked() -> None:
        # Of an error in the middle of a command line nobody can be told.
        with suppress(Exception):
            found.extend(look())

    thread = threading.Thread(target=looked, name="response-store-completion", daemon=True)
    thread.start()
    thread.join(SECONDS)
    return [] if thread.is_alive() else found
