"""Apply journals of earlier releases: SQLite files in which records waited for PostgreSQL.

One is drained once and set aside, as `NAME.drained`. Its records are idempotent, so that a drain
that was broken off goes on where it was. What PostgreSQL refuses stays in the file's own table of
dead letters. A file that is not an earlier journal of this user is left alone, and so is one that
nobody names: what lies in a working folder can have come with a clone, to forge or delete rows.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from response_store.config.model import Backend
from response_store.errors import RowRefusedError, StoreError, TransientStoreError
from response_store.journal.errors import JournalError, make_refusal, make_unusable_error
from response_store.journal.private_files import open_private, sync_folder, try_lock
from response_store.model.records import Change, Deletion, Record

if TYPE_CHECKING:
    import sqlite3

    from response_store.backends.base import Store
    from response_store.config import Config
    from response_store.diagnostics import Counters

DEFAULT_NAME = "response-store-journal.db"
"""The file in the working directory of a proxy whose configuration named none: not believed."""
DRAINED = ".drained"
_ASIDE = ".earlier"
_MAX_RECORDS = 256  # of a batch
_MAX_BYTES = 8 * 1024 * 1024
_BUSY_SECONDS = 2.0
_MAGIC = b"SQLite format 3\0"
_APPLICATION_ID = 0x52534A4C  # "RSJL"
_VERSION = 1
_PARTS = ("-wal", "-shm", "")  # of a database, the one that names the others last
_TAKE = "SELECT sequence, kind, size, payload FROM waiting ORDER BY sequence LIMIT ?"
_REMOVE = "DELETE FROM waiting WHERE sequence <= ?"
_BURY = """
INSERT INTO dead_letters SELECT sequence, ?, ?, kind, queued_at, size, tenant_id, response_id,
       exchange_id, payload
FROM waiting WHERE sequence = ?"""
_DEAD = "SELECT count(*) FROM dead_letters"
_read_record = msgspec.msgpack.Decoder(Record).decode
_read_deletion = msgspec.msgpack.Decoder(Deletion).decode
logger = logging.getLogger(__name__)


class _Entry(NamedTuple):
    sequence: int
    kind: str
    size: int
    payload: bytes


def move_aside(configured: Path) -> None:
    """Rename an earlier journal where the folder of journals is to be; do nothing where there is
    none.

    It is found there by `list_earlier_journals`. Raises JournalError where an older proxy still
    owns it.
    """
    if not _is_database(configured):
        return
    try:
        lock = try_lock(_find_lock(configured))
        if lock is None:
            raise make_refusal(
                configured, "is the journal of an older proxy that runs", "stop that one first"
            )
        with _close_at_end(lock):
            # What is renamed first is found by its name again, if we are killed in between.
            for part in _PARTS:
                path = configured.with_name(configured.name + part)
                if path.exists():
                    path.rename(configured.with_name(configured.name + _ASIDE + part))
            sync_folder(configured.parent)
    except OSError as error:
        raise make_unusable_error(configured, error) from None


def list_earlier_journals(config: Config) -> list[Path]:
    """Return the paths at which a configuration has earlier journals."""
    configured = config.journal.path
    if configured is None:
        return []
    paths = [configured, configured.with_name(configured.name + _ASIDE)]
    return [path for path in paths if _is_database(path)]


def warn_of_unnamed(config: Config) -> None:
    """Log that an earlier journal lies in the working directory, and how it is applied."""
    path = config.directory / DEFAULT_NAME
    if config.backend is Backend.POSTGRES and _is_database(path):
        logger.warning(
            "response_store: %s is left alone: it may be the journal of an earlier release, and"
            " anybody can have put it there. If it is yours, this applies it: response-store flush"
            " --journal %s",
            DEFAULT_NAME,
            DEFAULT_NAME,
        )


def drain_earlier(path: Path, store: Store, counters: Counters) -> bool:
    """Write what waits in an earlier journal to an open store, and set the file aside.

    Return whether that is done; the log says why where the file can't be used. Raises StoreError
    where the store fails: call it again later, what was written has left the file by then.
    """
    import sqlite3  # noqa: PLC0415 (mitmproxy's process has this module too)

    try:
        with _own(path):
            with closing(_connect(path)) as connection:
                written, dead = _drain(connection, path, store, counters)
                _checkpoint(connection)
            aside = _set_aside(path)
    except (JournalError, OSError, sqlite3.Error) as error:
        logger.warning(
            "response_store: the journal of an earlier release stays: %s", _describe_error(error)
        )
        return False
    more = f"; {dead} that it refuses stay in that file" if dead else ""
    logger.warning(
        "response_store: %d records of the earlier journal %s are in the database now, the file is "
        "%s%s", written, path, aside.name, more,
    )  # fmt: skip
    return True


def _is_database(path: Path) -> bool:
    """Return whether a SQLite file of this user stands at a path."""
    try:
        with os.fdopen(open_private(path), "rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except (OSError, JournalError):
        return False


@contextmanager
def _own(path: Path) -> Iterator[None]:
    """Keep older proxies from the journal. Raises JournalError where one has it, or others may."""
    for part in _PARTS:
        if os.path.lexists(file := path.with_name(path.name + part)):
            os.close(open_private(file))
    lock = try_lock(_find_lock(path))
    if lock is None:
        raise make_refusal(path, "belongs to an older proxy that runs", "start again after its end")
    with _close_at_end(lock):
        yield


@contextmanager
def _close_at_end(descriptor: int) -> Iterator[None]:
    try:
        yield
    finally:
        os.close(descriptor)


def _find_lock(path: Path) -> Path:
    """Return the lock file of older proxies. It stays: they may be about to lock it."""
    return path.with_name(f"{path.name.removesuffix(_ASIDE)}-owner.lock")


def _connect(path: Path) -> sqlite3.Connection:
    """Open a journal. Raises JournalError where it is none, or one that is not known."""
    # Closing a connection that may write would change a file that is not ours to change.
    with closing(_open(path, "ro")) as connection:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    if (application, version) != (_APPLICATION_ID, _VERSION):
        raise make_refusal(path, "is a database, but no journal of ours", "name another place")
    return _open(path, "rw")


def _open(path: Path, mode: str) -> sqlite3.Connection:
    import sqlite3  # noqa: PLC0415 (see above)

    uri = f"{path.absolute().as_uri()}?mode={mode}"
    return sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None)


def _drain(
    connection: sqlite3.Connection, path: Path, store: Store, counters: Counters
) -> tuple[int, int]:
    """Write all that waits, in order; return how many records, and how many are dead letters."""
    written = 0
    while entries := _take(connection):
        number, reason = _write(entries, path, store)
        counters.add("written", number)
        written += number
        last = entries[number - 1].sequence if number else entries[0].sequence - 1
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(_REMOVE, (last,))
        if reason is not None:
            refused_one = entries[number].sequence
            connection.execute(_BURY, (reason, time.time(), refused_one))
            connection.execute(_REMOVE, (refused_one,))
            counters.add("dead_letters")
        connection.execute("COMMIT")
    (dead,) = connection.execute(_DEAD).fetchone()
    return written, dead


def _take(connection: sqlite3.Connection) -> list[_Entry]:
    entries: list[_Entry] = []
    size = 0
    with closing(connection.execute(_TAKE, (_MAX_RECORDS,))) as rows:
        for row in rows:
            entries.append(_Entry(*row))
            size += entries[-1].size
            if size >= _MAX_BYTES:
                break
    return entries


def _write(entries: Sequence[_Entry], path: Path, store: Store) -> tuple[int, str | None]:
    """Write entries; return how many of the first are in the store, and why the next is not."""
    changes: list[Change] = []
    problem = None
    for entry in entries:
        try:
            changes.append(_decode(entry))
        except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
            problem = f"the journal's copy can't be read ({type(error).__name__})"
            break
    try:
        store.write(changes, None)
    except RowRefusedError:
        return _write_one_by_one(changes, path, store)
    return len(changes), problem


def _write_one_by_one(
    changes: Sequence[Change], path: Path, store: Store
) -> tuple[int, str | None]:
    for number, change in enumerate(changes):
        try:
            store.write([change], None)
        except RowRefusedError as error:
            if isinstance(change, Record) and not store.accepts(change):
                raise TransientStoreError(f"{path}: the database takes no rows: {error}") from None
            return number, str(error)
    return len(changes), None


def _decode(entry: _Entry) -> Change:
    """Return the change of an entry; a row that lacks newer columns gets their defaults."""
    match entry.kind:
        case "record":
            return _read_record(entry.payload)
        case "deletion":
            return _read_deletion(entry.payload)
        case _:
            raise ValueError("a kind of entry that is not known")


def _checkpoint(connection: sqlite3.Connection) -> None:
    """Have the file hold all of its rows, so that it can be renamed alone. Raises sqlite3.Error."""
    connection.execute("PRAGMA journal_mode = DELETE")


def _set_aside(path: Path) -> Path:
    """Rename the file to a name that is free, and return that."""
    name = path.name.removesuffix(_ASIDE) + DRAINED
    number = 1
    while os.path.lexists(aside := path.with_name(name if number == 1 else f"{name}-{number}")):
        number += 1
    path.rename(aside)
    sync_folder(path.parent)
    return aside


def _describe_error(error: Exception) -> str:
    """Return the words of an error, which hold no value of a row."""
    if isinstance(error, StoreError):
        return str(error)
    return getattr(error, "sqlite_errorname", None) or type(error).__name__
