"""The folder that holds the journals of a user: where it is, and whether it is safe to use."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

import platformdirs

from response_store.journal.errors import make_refusal, make_unusable_error
from response_store.journal.private_files import check_folder, sync_folder
from response_store.links import TooManyLinksError, find_foreign_link

DAMAGED = "damaged"  # beside the journals: what was damaged in any of them
JOURNAL_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
NEW_PREFIX, GONE_PREFIX = ".new-", ".gone-"
_OWN_NAME = re.compile(rf"({DAMAGED}|({re.escape(NEW_PREFIX)}|\.gone-)?{JOURNAL_ID.pattern})")


def prepare_folder(
    configured: Path | None, environ: Mapping[str, str], *, create: bool = True
) -> Path:
    """Return the real path of the folder of journals, made (0700) and checked.

    `journal.path` as configured, else `journals` in $STATE_DIRECTORY (systemd's), else in the
    user's state folder. With `create` False a folder that does not exist is returned as it is.
    Raises JournalError where somebody else could read it or put files there.
    """
    path = (configured or _find_default(environ)).absolute()
    try:
        _check_links(path)
        real = path.resolve()
        if configured is None:
            _restrict_mode(real.parent, 0o022)
        if create:
            _make(real)
        if real.exists() or create:
            _check_parent(real.parent)
            _check_own(real)
    except OSError as error:
        raise make_unusable_error(path, error) from None
    return real


def _find_default(environ: Mapping[str, str]) -> Path:
    """Return the place where nothing is configured."""
    systemd = environ.get("STATE_DIRECTORY", "").split(":")[0]
    state = Path(systemd) if systemd else platformdirs.user_state_path("response-store", False)
    return state / "journals"


def _check_links(path: Path) -> None:
    """See that each link on the way is root's or ours: its owner decides where it leads."""
    try:
        link = find_foreign_link(path)
    except TooManyLinksError:
        raise make_refusal(path, "has too many links", "name the folder itself") from None
    if link is not None:
        raise make_refusal(link, "is another user's link", "name a folder of your own")


def _make(path: Path) -> None:
    """Make a folder and its parents, each 0700 and kept by the disk."""
    if path.exists():
        return
    _make(path.parent)
    if path.parent.exists():
        _check_parent(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)
    sync_folder(path.parent)


def _check_parent(parent: Path) -> None:
    """See that nobody else can put a folder of his own in the place of ours."""
    status = parent.stat()
    if status.st_uid not in {0, os.geteuid()}:
        raise make_refusal(parent, "belongs to another user", "name a folder of your own")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not status.st_mode & stat.S_ISVTX:
        raise make_refusal(parent, "can be written by other users", f"chmod go-w {parent}")


def _check_own(folder: Path) -> None:
    """See that a folder is this user's alone; take the bits for others off one of journals."""
    if all(_OWN_NAME.fullmatch(path.name) for path in folder.iterdir()):
        _restrict_mode(folder, 0o077)
    check_folder(folder)


def _restrict_mode(folder: Path, bits: int) -> None:
    """Take bits of the mode off a folder of ours; leave what is missing or another user's."""
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        status = os.fstat(fd)
        if status.st_uid == os.geteuid() and status.st_mode & bits:
            os.fchmod(fd, stat.S_IMODE(status.st_mode) & ~bits)
    finally:
        os.close(fd)
