"""Which recorders live: each holds a lock on a file of its own beside the database.

A row that is still open belongs to the recorder it names. When that one no longer holds its lock,
it was killed, and its open rows may be closed by whoever comes next. The lock goes with the
process, so nothing has to be cleaned up for this to be true; the files of the dead are swept away
for tidiness alone.

`enter` and `sweep` are called inside a write transaction of the database, one caller at a time.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from filelock import FileLock, Timeout

from response_store.store.sqlite.connection import real_path


class Recorders:
    """The recorders of one database file."""

    def __init__(self, database: Path) -> None:
        self._database = database.absolute()
        self._own: FileLock | None = None

    def enter(self, recorder_id: str) -> None:
        """Take this recorder's lock, again if its file is gone. Harmless when it is held."""
        if self._own is not None and Path(self._own.lock_file).exists():
            return
        self.leave()
        lock = _lock(self._path(recorder_id))
        lock.acquire(timeout=0)
        self._own = lock

    def leave(self) -> None:
        """Let go of the lock and remove its file. Idempotent."""
        lock, self._own = self._own, None
        if lock is not None:
            _remove(lock)

    def is_alive(self, recorder_id: str) -> bool:
        """Whether a recorder holds its lock; also where that can't be told."""
        return self._holds(self._path(recorder_id))

    def sweep(self) -> None:
        """Remove the files of recorders that were killed."""
        own = self._own.lock_file if self._own is not None else None
        with contextlib.suppress(OSError):
            prefix, suffix = self._path("\0").name.split("\0")
            for path in self._folder.iterdir():
                if path.name.startswith(prefix) and path.name.endswith(suffix) and str(path) != own:
                    self._holds(path)

    def _holds(self, path: Path) -> bool:
        if not path.exists():
            return False
        lock = _lock(path)
        try:
            lock.acquire(timeout=0)
        except (Timeout, OSError):  # held; or of another user, who may well live
            return True
        _remove(lock)
        return False

    @property
    def _folder(self) -> Path:
        return real_path(self._database).parent

    def _path(self, recorder_id: str) -> Path:
        return self._folder / f"{real_path(self._database).name}-recorder-{recorder_id}.lock"


def _lock(path: Path) -> FileLock:
    return FileLock(path, mode=0o600, thread_local=False)


def _remove(lock: FileLock) -> None:
    with contextlib.suppress(OSError):
        Path(lock.lock_file).unlink(missing_ok=True)
    lock.release()
