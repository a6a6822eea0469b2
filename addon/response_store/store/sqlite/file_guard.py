"""Checks of the files at a database's paths before SQLite opens them.

A clone, an unpacked archive or another user of a shared folder can have put it there. A file is
looked at through a descriptor that can read nothing (O_PATH): closing any other one would take the
locks that SQLite holds on the same file along.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from response_store.config.secret import mask_credentials
from response_store.errors import PermanentStoreError
from response_store.links import TooManyLinksError, find_foreign_link

_LOG = "-wal"
_BESIDE = (_LOG, "-shm", "-journal")
_OTHERS = 0o077
_O_PATH = getattr(os, "O_PATH", None)  # Linux has it
_OPEN_FLAGS = (_O_PATH or 0) | os.O_NOFOLLOW | os.O_CLOEXEC


def check_files(path: Path, where: str, *, writes: bool = True, closes: bool = True) -> None:
    """See that a database and what SQLite keeps beside it are this user's own, plain files.

    Who only reads may read root's as well. With `closes` the bits for other users are taken off
    our own, and a warning says so. `path` need not exist. Raises PermanentStoreError, which begins
    with `where` and names the fix, or OSError.
    """
    owners = {os.geteuid()} if writes else {os.geteuid(), 0}
    _check_links(path, where)
    real = os.path.realpath(path)
    # The database is the last: a log that a proxy begins meanwhile is one with a database.
    side_files = {
        suffix: _check_path(real + suffix, where, owners, closes=closes) for suffix in _BESIDE
    }
    database = _check_path(real, where, owners, closes=closes)
    if side_files[_LOG] is not None and (database is None or not database.st_size):
        raise _build_error(
            where,
            real + _LOG,
            "is there without its database",
            "put the database back beside it, as it may hold what was written last, or remove it",
        )


def _check_links(path: Path, where: str) -> None:
    try:
        link = find_foreign_link(path.absolute())
    except TooManyLinksError:
        raise _build_error(where, path, "has too many links", "name the file itself") from None
    if link is not None:
        raise _build_error(where, link, "is another user's link", "name a file of your own")


def _check_path(path: str, where: str, owners: set[int], *, closes: bool) -> os.stat_result | None:
    """Return what stands at a path; None where nothing does."""
    try:
        descriptor = os.open(path, _OPEN_FLAGS) if _O_PATH is not None else None
        status = os.lstat(path) if descriptor is None else os.fstat(descriptor)
    except FileNotFoundError:
        return None
    try:
        _check(path, status, where, owners)
        if closes and status.st_mode & _OTHERS and status.st_uid == os.geteuid():
            _close_to_others(path, descriptor, status, where)
    finally:
        if descriptor is not None:
            os.close(descriptor)
    return status


def _check(path: str, status: os.stat_result, where: str, owners: set[int]) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise PermanentStoreError(f"{where}{_get_suffix(path)}: a folder: name a file in it")
    if not stat.S_ISREG(status.st_mode):
        raise _build_error(where, path, "is no regular file", "remove it, or name another file")
    if status.st_uid not in owners:
        fix = "run as its owner, or name a copy of your own"
        raise _build_error(where, path, "belongs to another user", fix)


def _close_to_others(path: str, descriptor: int | None, status: os.stat_result, where: str) -> None:
    """Take the bits for other users off; where that can't be done, say how it can."""
    import logging  # noqa: PLC0415 (commands start quicker without)

    logger = logging.getLogger(__name__)
    mode = stat.S_IMODE(status.st_mode) & ~_OTHERS
    try:
        if descriptor is None:
            os.chmod(path, mode, follow_symlinks=False)  # noqa: PTH101 - the path is a text
        else:
            os.chmod(f"/proc/self/fd/{descriptor}", mode)  # noqa: PTH101 - a descriptor
    except (OSError, NotImplementedError):
        logger.warning(
            "%s: %s is readable by other users: chmod go= %s",
            where,
            _mask_name(path),
            _mask_name(path),
        )
    else:
        logger.warning(
            "%s: %s was readable by other users: it is its owner's alone now",
            where,
            _mask_name(path),
        )


def _get_suffix(path: str) -> str:
    return next((suffix for suffix in _BESIDE if path.endswith(suffix)), "")


def _build_error(where: str, path: str | Path, reason: str, fix: str) -> PermanentStoreError:
    return PermanentStoreError(f"{where}: {_mask_name(path)} {reason}: {fix}")


def _mask_name(path: str | Path) -> str:
    """Return a file's name, without what could be a password in it."""
    return mask_credentials(os.path.basename(path))  # noqa: PTH119 - texts and paths
