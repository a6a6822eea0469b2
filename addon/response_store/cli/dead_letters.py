"""`response-store dead-letters`: the rows that the database refused, and another attempt."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from response_store.cli import output
from response_store.cli.apply_journals import apply_journals, may_have_journals
from response_store.cli.options import limit_option
from response_store.cli.source import (
    STORE_FAILED,
    FilePath,
    Source,
    config_option,
    database_option,
    find_source,
    handle_errors,
    json_option,
    note,
)
from response_store.format.text import NONE, format_size, format_time, put_on_one_line
from response_store.limits import NAME, shorten_name
from response_store.model.records import Change, Deletion

if TYPE_CHECKING:
    from response_store.backends.base import Store
    from response_store.ingest.dead_letters import DeadLetter
    from response_store.journal.directory import JournalDirectory

MAX_LISTED = 1000
_MAX_BYTES = 1 << 62  # nothing is to make room while they are only looked at
HELP = """List the rows that the database refused, newest first, with the reason.

They stay in their journal. A line has tabs between six columns: time, the response's id, the
exchange's id, the tenant, the size, and the reason. With an ID that row is printed in full, as a
line of an export.

With --output they are written to FILE as an export, which `response-store import` can load into
any database; they also stay in the list. With --retry they are written to the database again, for
instance after the cause is fixed: accepted rows leave the list. The status is 1 if some are left.

\b
Examples:
  response-store dead-letters
  response-store dead-letters | cut -f 6 | sort | uniq -c
  response-store dead-letters 6f1c5a0e-8f43-5a51-9d0e-0b7f | jq .request_body
  response-store dead-letters --output refused.jsonl
  response-store dead-letters --retry
"""


class ListedLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A refused row. `at` is when, in Unix seconds; `size` the bytes of the row."""

    reason: str
    at: float
    tenant_id: str
    response_id: str | None
    exchange_id: str | None
    size: int
    journal: str


@click.command("dead-letters", help=HELP)
@click.argument("identifier", metavar="[ID]", required=False)
@config_option
@database_option
@limit_option(maximum=MAX_LISTED, default=MAX_LISTED)
@click.option(
    "--output", "path", type=FilePath(allow_dash=True), metavar="FILE",
    help="Write them to this file as an export; - is standard output.",
)  # fmt: skip
@click.option("--retry", is_flag=True, help="Write them to the database again.")
@json_option
def dead_letters_command(
    *,
    identifier: str | None,
    config: Path | None,
    database: Path | None,
    limit: int,
    path: Path | None,
    retry: bool,
    as_json: bool,
) -> None:
    """List the rows that the database refused, and why."""
    if retry and (identifier is not None or path is not None):
        raise click.UsageError("--retry is for all of them: give it without ID and --output.")
    with handle_errors():
        source = find_source(config, database)
        directories = _find_own_journals(source)
        if retry:
            _retry(source, directories, as_json)
        elif identifier is None and path is None:
            _list(directories, limit, as_json)
        else:
            _export(directories, identifier, path)


def _find_own_journals(source: Source) -> Sequence[JournalDirectory]:
    if not may_have_journals(source.settings.journal.path, os.environ):
        return ()
    from response_store.cli.journals import CommandDatabase, find_journals  # noqa: PLC0415 (rarely needed)

    with CommandDatabase(source) as database:
        return find_journals(database).own


def _list(directories: Sequence[JournalDirectory], limit: int, as_json: bool) -> None:
    letters = [letter for directory in directories for letter in _read_letters(directory)]
    letters = sorted(letters, key=lambda letter: letter.at, reverse=True)[:limit]
    if as_json:
        output.write_json({"dead_letters": [msgspec.structs.asdict(one) for one in letters]})
    else:
        output.write_text(format_plain(letters))


def _export(
    directories: Sequence[JournalDirectory], identifier: str | None, path: Path | None
) -> None:
    """Write rows as an export does; one row alone, of an id, without its head and end."""
    from response_store.cli.export import open_destination  # noqa: PLC0415 (rarely needed)
    from response_store.ingest.dead_letters import DeadLetters  # noqa: PLC0415 (see above)
    from response_store.transfer.jsonl import changes_as_lines  # noqa: PLC0415 (see above)

    letters_by_directory = [DeadLetters(directory, _MAX_BYTES).read() for directory in directories]
    changes = [letter.change for letters in letters_by_directory for letter in letters]
    if identifier is not None:
        changes = [change for change in changes if identifier in _read_ids(change)]
        if not changes:
            raise click.UsageError(f"no dead letter has the id {put_on_one_line(identifier)}")
    lines, left_out = changes_as_lines(changes, bare=path is None)
    with open_destination(path) as write:
        write(b"".join(lines))
    if left_out:
        note(f"Note: {left_out} changes are not exported, as they are no rows: deletions, items of"
             " conversations. --retry applies them.")  # fmt: skip


def _read_ids(change: Change) -> tuple[str | None, ...]:
    if isinstance(change, Deletion):
        return (change.id,)
    response = change.response.id if change.response else None
    return change.exchange.exchange_id, change.exchange.response_id, response


def _read_letters(directory: JournalDirectory) -> Iterable[ListedLetter]:
    from response_store.ingest.dead_letters import DeadLetters  # noqa: PLC0415 (see above)
    from response_store.ingest.exchanges import encode_change  # noqa: PLC0415 (see above)

    for letter in DeadLetters(directory, _MAX_BYTES).read():
        yield _build_listed(letter, len(encode_change(letter.change)), directory)


def _build_listed(letter: DeadLetter, size: int, directory: JournalDirectory) -> ListedLetter:
    change = letter.change
    tenant: str
    response_id: str | None
    exchange_id: str | None = None
    if isinstance(change, Deletion):
        tenant, response_id = change.tenant_id, change.id
    else:
        exchange = change.exchange
        tenant, exchange_id = exchange.tenant_id, exchange.exchange_id
        response_id = change.response.id if change.response else exchange.response_id
    return ListedLetter(
        reason=letter.reason,
        at=letter.at,
        tenant_id=tenant,
        response_id=response_id,
        exchange_id=exchange_id,
        size=size,
        journal=str(directory.path),
    )


def format_plain(letters: Iterable[ListedLetter]) -> str:
    """Return a line a letter, tabs between the columns."""
    return "".join(
        "\t".join(
            (
                format_time(letter.at),
                put_on_one_line(shorten_name(letter.response_id or NONE, NAME)),
                put_on_one_line(letter.exchange_id or NONE),
                put_on_one_line(shorten_name(letter.tenant_id)),
                format_size(letter.size),
                put_on_one_line(letter.reason),
            )
        )
        + "\n"
        for letter in letters
    )


def _retry(source: Source, directories: Sequence[JournalDirectory], as_json: bool) -> None:
    """Write them again, and say how many the database has now. Raises StoreError."""
    written = left = 0
    if directories:
        from response_store.cli.abandoned import open_store  # noqa: PLC0415 (rarely needed)

        apply_journals(source)
        with open_store(source) as store:
            store.open()
            for directory in directories:
                one = _retry_one(directory, store)
                written, left = written + one[0], left + one[1]
    if as_json:
        output.write_json({"written": written, "left": left})
    else:
        output.write_text(f"written\t{written}\nleft\t{left}\n")
    if left:
        raise click.exceptions.Exit(STORE_FAILED)


def _retry_one(directory: JournalDirectory, store: Store) -> tuple[int, int]:
    """Return how many of a journal's were written, and how many are left. Raises StoreError."""
    from response_store.ingest.dead_letters import DeadLetters  # noqa: PLC0415 (see above)

    if not directory.exists():
        return 0, 0
    letters = DeadLetters(directory, _MAX_BYTES)
    if not letters.number:
        return 0, 0
    if not directory.lock_reader():
        note(
            f"Note: {directory.path} is in use by its proxy, which keeps the dead letters open:"
            " give --retry again once it has ended. Now: response-store dead-letters --output FILE,"
            " then response-store import FILE; writing them twice changes nothing."
        )
        return 0, letters.number
    try:
        written = letters.retry(store)
        if not letters.number and not directory.is_owned() and directory.is_empty():
            directory.remove()
        return written, letters.number
    finally:
        directory.close()
