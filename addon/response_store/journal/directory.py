"""Manage one journal's folder: what it is bound to, its files, and who owns and who reads it.

<folder of journals>/<journal id>/
        journal.json    the header: format, target, settings
        owner.lock      held by the proxy as long as it lives
        reader.lock     held by whoever applies the journal
        m-….seg l-….seg c-….seg
        position, dead-letters, ingester.log    the ingester's own

A journal appears under its name by a rename, whole and already locked by its owner, and goes by a
rename before anything in it is removed. So whoever has locked a file under the journal's name has
a journal that is still there.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
import uuid
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from response_store.config import Config
from response_store.journal.errors import (
    JournalError,
    JournalNewerError,
    make_refusal,
    make_unusable_error,
)
from response_store.journal.frames import compute_seed
from response_store.journal.private_files import (
    GONE_PREFIX,
    JOURNAL_ID,
    NEW_PREFIX,
    check_folder,
    open_private,
    sync_folder,
    try_lock,
)

FORMAT = 1
HEADER_NAME, OWNER_LOCK, READER_LOCK = "journal.json", "owner.lock", "reader.lock"
_NEW_HEADER = "journal.json.new"
# The ingester's files: the last position, rows that the database refuses, its own errors.
POSITION, DEAD_LETTERS, LOG = "position", "dead-letters", "ingester.log"
_FILES = {HEADER_NAME, _NEW_HEADER, OWNER_LOCK, READER_LOCK, POSITION, LOG}
_MAX_HEADER_BYTES = 1 << 20
_ABANDONED = 60.0  # seconds after which a folder that never became a journal is removed
_SEGMENT = re.compile(r"([mlc])-([0-9]{20})\.seg")
_UNFINISHED = re.compile(r"[ml]-[0-9]{20}\.new")


class Target(msgspec.Struct, frozen=True):
    """The database that a journal is bound to. No user, no password.

    `place` is the real path of a SQLite file, ":memory:", or host:port/dbname.
    """

    backend: str
    place: str
    tables: dict[str, str]


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What a journal says of itself. `settings` are those that shape a row."""

    journal_id: str
    target: Target
    settings: dict[str, Any]
    created_at: float
    database_id: str | None = None
    format: int = FORMAT


class _Format(msgspec.Struct):
    format: int


class SegmentKind(StrEnum):
    """Who wrote a segment, and what its number means."""

    MAIN = "m"  # the proxy's loop: no frame in it has a lower seq
    LARGE = "l"  # a thread of the proxy: the seq of its only frame
    CLEANED = "c"  # the ingester: a running number


class SegmentEntry(NamedTuple):
    """A segment file as it was listed; `size` in bytes."""

    name: str
    kind: SegmentKind
    number: int
    size: int


def format_segment_name(kind: SegmentKind, number: int) -> str:
    """Return the name of a segment's file."""
    return f"{kind}-{number:020d}.seg"


def format_unfinished_name(seq: int) -> str:
    """Return the name of a large segment's file until it is whole."""
    return f"l-{seq:020d}.new"


class JournalDirectory:
    """One journal's folder. `problem` says why it must be left alone, if it must."""

    def __init__(self, path: Path, header: Header | None, problem: JournalError | None) -> None:
        self.path = path
        self.journal_id = path.name
        self.seed = compute_seed(self.journal_id)
        self.problem = problem
        self._header = header
        self._locks: dict[str, int] = {}

    @classmethod
    def create(cls, folder: Path, header: Header) -> JournalDirectory:
        """Make a journal in a folder of journals and return it, owned. Raises JournalError."""
        if not JOURNAL_ID.fullmatch(header.journal_id):
            raise ValueError("a journal's id is the text of a uuid")
        new = cls(folder / f"{NEW_PREFIX}{header.journal_id}", header, None)
        path = folder / header.journal_id
        try:
            new.path.mkdir(mode=0o700)
            if not new.lock_owner():
                raise make_refusal(new.path, "was taken away", "start again")
            new.write_header(header)
            new.path.rename(path)
            sync_folder(folder)
        except OSError as error:
            new._give_up()
            raise make_unusable_error(path, error) from None
        new.path, new.journal_id, new.seed = path, path.name, compute_seed(path.name)
        return new

    @classmethod
    def open(cls, path: Path) -> JournalDirectory:
        """Return the journal of a folder.

        Raises JournalError where it is not safe to use, JournalNewerError for a newer format.
        """
        path = path.absolute()
        if not JOURNAL_ID.fullmatch(path.name):
            raise make_refusal(path, "is no journal", "name the folder of one, see status")
        try:
            check_folder(path)
            return cls(path, _read_header(path), None)
        except OSError as error:
            raise make_unusable_error(path, error) from None

    @property
    def header(self) -> Header:
        """Return the header. Raises JournalError where it can't be used."""
        if self._header is None:
            raise self.problem or make_refusal(self.path, "has no header", "remove it")
        return self._header

    @property
    def format_known(self) -> bool:
        """Return whether this program knows the journal's format."""
        return not isinstance(self.problem, JournalNewerError)

    def write_header(self, header: Header) -> None:
        """Replace the header; the old one stays until the new one is on the disk. Raises OSError.

        Only for the owner that makes the journal, and the holder of the reader lock.
        """
        new = self.path / _NEW_HEADER
        fd = open_private(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        with os.fdopen(fd, "wb") as file:
            file.write(msgspec.json.encode(header))
            file.flush()
            os.fsync(fd)
        new.replace(self.path / HEADER_NAME)
        sync_folder(self.path)
        self._header = header

    def lock_owner(self) -> bool:
        """Take the owner lock without waiting; return whether we hold it. Raises JournalError."""
        return self._lock(OWNER_LOCK)

    def lock_reader(self) -> bool:
        """Take the reader lock without waiting; return whether we hold it. Raises JournalError."""
        return self._lock(READER_LOCK)

    def release_reader(self) -> None:
        """Give the reader lock back. Idempotent."""
        self._unlock(READER_LOCK)

    def is_owned(self) -> bool:
        """Return whether a proxy owns the journal: this process, or one that lives.

        Raises JournalError where the lock file is not safe to use.
        """
        return self._is_locked(OWNER_LOCK)

    def is_read(self) -> bool:
        """Return whether somebody is applying the journal, or this process. Raises as above."""
        return self._is_locked(READER_LOCK)

    def exists(self) -> bool:
        """Return whether the journal's folder is where it was."""
        return self.path.is_dir()

    def segments(self) -> list[SegmentEntry]:
        """Return the segments by kind and number; none where the folder is gone."""
        entries = []
        for entry in self._entries():
            if match := _SEGMENT.fullmatch(entry.name):
                with contextlib.suppress(FileNotFoundError):
                    size = entry.stat(follow_symlinks=False).st_size
                    kind = SegmentKind(match[1])
                    entries.append(SegmentEntry(entry.name, kind, int(match[2]), size))
        return sorted(entries)

    def open_segment(self, name: str, flags: int = os.O_RDONLY) -> int:
        """Return a descriptor of a segment. Raises JournalError where it is not ours, OSError."""
        return open_private(self.path / name, flags)

    def bytes_on_disk(self) -> int:
        """Return the bytes of all segments, also of those that are not finished yet."""
        total = 0
        for entry in self._entries():
            if _SEGMENT.fullmatch(entry.name) or _UNFINISHED.fullmatch(entry.name):
                with contextlib.suppress(FileNotFoundError):
                    total += entry.stat(follow_symlinks=False).st_size
        return total

    def is_empty(self) -> bool:
        """Return whether no segment holds a byte."""
        return not any(segment.size for segment in self.segments())

    def discard_segments(self) -> None:
        """Remove all segments: nothing in them is needed any more. Raises OSError."""
        for entry in self._entries():
            if _SEGMENT.fullmatch(entry.name) or _UNFINISHED.fullmatch(entry.name):
                Path(entry.path).unlink(missing_ok=True)

    def remove(self) -> bool:
        """Remove the journal with all that is in it, and give back its locks.

        Return False, and change nothing, while another one owns or reads it. Raises OSError.
        """
        return self._remove(lambda: True)

    def remove_if_empty(self) -> bool:
        """Remove the journal if no segment holds a byte and nobody owns or reads it.

        Return whether it is gone by that. One that has a `problem` is left alone, and one with
        rows that its database refuses.
        """
        if self.problem is not None or self.is_owned() or not self._is_done():
            return False
        return self._remove(self._is_done)

    def close(self) -> None:
        """Give back the locks. Idempotent."""
        for name in list(self._locks):
            self._unlock(name)

    def _is_done(self) -> bool:
        return self.is_empty() and not (self.path / DEAD_LETTERS).exists()

    def _give_up(self) -> None:
        """Remove what never became a journal, if it is ours: the disk may be full."""
        if self._locks:
            with contextlib.suppress(OSError):
                _delete(self.path)
        self.close()

    def _remove(self, may: Callable[[], bool]) -> bool:
        held = set(self._locks)
        if not (self.lock_reader() and self._lock_patiently(OWNER_LOCK) and may()):
            for name in set(self._locks) - held:
                self._unlock(name)
            return False
        renamed = self.path.with_name(GONE_PREFIX + self.journal_id)
        self.path.rename(renamed)
        # Else, after a loss of power, a folder of its name could be left without its header.
        sync_folder(self.path.parent)
        _delete(renamed)
        self.close()
        return True

    def _lock(self, name: str) -> bool:
        if name not in self._locks:
            fd = try_lock(self.path / name)
            if fd is None:
                return False
            self._locks[name] = fd
        return True

    def _lock_patiently(self, name: str) -> bool:
        """Lock in spite of those who only look: each holds a shared lock for microseconds."""
        for _ in range(20):
            if self._lock(name):
                return True
            time.sleep(0.001)
        return False

    def _unlock(self, name: str) -> None:
        if (fd := self._locks.pop(name, None)) is not None:
            os.close(fd)

    def _is_locked(self, name: str) -> bool:
        if name in self._locks:
            return True
        fd = try_lock(self.path / name, shared=True, create=False)
        if fd is None:
            return os.path.lexists(self.path / name)
        os.close(fd)
        return False

    def _entries(self) -> Iterator[os.DirEntry[str]]:
        with (
            contextlib.suppress(FileNotFoundError, NotADirectoryError),
            os.scandir(self.path) as entries,
        ):
            yield from entries


def list_journals(folder: Path, *, wall: Callable[[], float] = time.time) -> list[JournalDirectory]:
    """Return the journals of a folder, by id; also those that have a `problem`.

    What a killed process began and did not end is removed on the way: a journal that was never
    whole after 60 s, one that was about to be removed at once.
    """
    journals = []
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        for path in sorted(folder.iterdir()):
            if JOURNAL_ID.fullmatch(path.name):
                journals += _open(path)
            elif path.name.startswith((NEW_PREFIX, GONE_PREFIX)):
                with contextlib.suppress(OSError, JournalError):
                    _sweep(path, wall())
    return journals


def _open(path: Path) -> list[JournalDirectory]:
    try:
        return [JournalDirectory.open(path)]
    except JournalError as problem:
        is_removed = not os.path.lexists(path)
        return [] if is_removed else [JournalDirectory(path, None, problem)]


def _sweep(path: Path, now: float) -> None:
    """Remove what is left of a journal, unless somebody is still at it."""
    check_folder(path)
    if path.name.startswith(NEW_PREFIX) and now - path.stat().st_mtime < _ABANDONED:
        return
    lock = path / OWNER_LOCK
    fd = try_lock(lock, create=False)
    if fd is None and os.path.lexists(lock):
        return
    try:
        _delete(path)
    finally:
        if fd is not None:
            os.close(fd)


def _delete(path: Path) -> None:
    """Remove the files that a journal has, then its folder, unless there are others in it."""
    for file in sorted(path.iterdir()):
        if _is_ours(file.name):
            file.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        path.rmdir()


def _is_ours(name: str) -> bool:
    named = name in _FILES or name.startswith(DEAD_LETTERS)
    return named or bool(_SEGMENT.fullmatch(name) or _UNFINISHED.fullmatch(name))


def _read_header(path: Path) -> Header:
    with os.fdopen(open_private(path / HEADER_NAME), "rb") as file:
        text = file.read(_MAX_HEADER_BYTES)
    try:
        stored = msgspec.json.decode(text, type=_Format).format
        if stored != FORMAT:
            raise JournalNewerError(path, stored, FORMAT)
        header = msgspec.json.decode(text, type=Header)
    except (msgspec.DecodeError, UnicodeDecodeError):
        header = None
    if header is None or header.journal_id != path.name:
        raise make_refusal(path, "has a header that can't be read", "restore or remove the folder")
    return header


def build_header(config: Config) -> Header:
    """Return the header of a new journal."""
    return Header(
        journal_id=str(uuid.uuid4()),
        target=build_target(config),
        settings=config.shaping(),
        created_at=time.time(),
    )


def build_target(config: Config) -> Target:
    """Return the database of a configuration, without user and password."""
    tables = config.tables
    names = {
        "responses": tables.responses,
        "conversations": tables.conversations,
        "exchanges": tables.exchanges,
    }
    return Target(config.backend.value, _format_place(config), names)


def is_bound_to(header: Header, target: Target, database_id: Callable[[], str | None]) -> bool:
    """Return whether a journal belongs to a database: by its place, or else by its own id.

    `database_id` returns the id that the database has, where it can be reached.
    """
    theirs = header.target
    if (theirs.backend, theirs.tables) != (target.backend, target.tables):
        return False
    if theirs.place == target.place:
        return True
    # A file that was copied has the same id as its copy: the one that lies there has it.
    if target.backend == "sqlite" and Path(theirs.place).exists():
        return False
    return header.database_id is not None and header.database_id == database_id()


def _format_place(config: Config) -> str:
    database = config.database
    if database.server is not None:
        return database.server.describe().removeprefix("postgres://")
    if database.path is None:
        return ":memory:"
    return os.path.realpath(config.directory / database.path)
