"""A disk that loses its power: what may be in a folder then, after calls that a trace has noted.

Of each file what was written behind its last sync may be missing, or be there in pieces of 512
bytes; of each folder, entries that were made, renamed or removed behind the folder's last sync. A
sync of a file does not keep its entry, and one of a folder does not keep what is in its files.
"""

from __future__ import annotations

import itertools
import os
import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.harness.traced import Call

SECTOR = 512
Keep = Callable[[], bool]


@dataclass(eq=False)
class File:
    """A file: what the disk has, and what it was given since. `size` is what programs see."""

    synced: bytes = b""
    pending: list[tuple[int, int, bytes | None]] = field(default_factory=list)
    size: int = 0

    def write(self, moment: int, at: int, data: bytes) -> None:
        """Write at an offset."""
        self.pending.append((moment, at, data))
        self.size = max(self.size, at + len(data))

    def truncate(self, moment: int, size: int) -> None:
        """Cut, or lengthen with zeros."""
        self.pending.append((moment, size, None))
        self.size = size

    def sync(self, began: int) -> None:
        """Have the disk keep what had been written when the sync began."""
        content = bytearray(self.synced)
        for _, at, data in [change for change in self.pending if change[0] < began]:
            _change(content, at, data)
        self.synced = bytes(content)
        self.pending = [change for change in self.pending if change[0] >= began]

    def after_loss(self, keep: Keep, keep_sector: Keep) -> bytes:
        """Return what the disk has after a loss of power."""
        content = bytearray(self.synced)
        for _, at, data in self.pending:
            if not keep():
                continue
            if data is None:
                _change(content, at, None)
                continue
            for first, piece in _sectors(at, data):
                if keep_sector():
                    _change(content, first, piece)
        return bytes(content)


@dataclass(eq=False)
class Folder:
    """A folder: its entries as the disk has them, changes since, and what programs see."""

    synced: dict[str, File | Folder] = field(default_factory=dict)
    pending: list[tuple[int, dict[str, File | Folder | None]]] = field(default_factory=list)
    entries: dict[str, File | Folder] = field(default_factory=dict)

    def change(self, moment: int, changes: dict[str, File | Folder | None]) -> None:
        """Change entries, all of them or none; None removes one."""
        self.pending.append((moment, changes))
        _enter(self.entries, changes)

    def sync(self, began: int) -> None:
        """Have the disk keep the entries that there were when the sync began."""
        for _, changes in [change for change in self.pending if change[0] < began]:
            _enter(self.synced, changes)
        self.pending = [change for change in self.pending if change[0] >= began]

    def after_loss(self, keep: Keep) -> dict[str, File | Folder]:
        """Return the entries that the disk has after a loss of power."""
        entries = dict(self.synced)
        for _, changes in self.pending:
            if keep():
                _enter(entries, changes)
        return entries


class Disk:
    """The disk below a folder, in which nothing but these folders was when the trace began.

    `found` makes one of what a folder has by now, all of it synced.
    """

    def __init__(self, root: Path, folders: Sequence[str] = ()) -> None:
        self.top = _synced({name: Folder() for name in folders})
        self._root = root

    @classmethod
    def found(cls, root: Path) -> Disk:
        """Return the disk as it is after a start of the machine."""
        disk = cls(root)
        disk.top = _read(root)
        return disk

    def play(self, calls: Sequence[Call]) -> None:
        """Do what calls did."""
        for call in calls:
            getattr(self, f"_{call.name}", self._ignore)(call)

    def lose_power(self, target: Path, rng: random.Random) -> None:
        """Put into a folder, which is replaced, what the disk has after a loss of power now.

        How much is lost differs from time to time: all, nothing, or something between.
        """
        shutil.rmtree(target, ignore_errors=True)
        chances = [rng.choice((0.0, 0.5, 1.0, rng.random())) for _ in range(2)]
        whole = rng.choice((1.0, 0.9, 0.5))
        self._lay_down(
            self.top,
            target,
            lambda: rng.random() < chances[0],
            lambda: rng.random() < chances[1],
            lambda: rng.random() < whole,
        )

    def _lay_down(
        self, folder: Folder, target: Path, keep_entry: Keep, keep: Keep, keep_sector: Keep
    ) -> None:
        target.mkdir(mode=0o700)
        for name, node in folder.after_loss(keep_entry).items():
            if isinstance(node, Folder):
                self._lay_down(node, target / name, keep_entry, keep, keep_sector)
            elif not name.endswith("-shm"):  # memory
                fd = os.open(target / name, os.O_WRONLY | os.O_CREAT, 0o600)
                with os.fdopen(fd, "wb") as file:
                    file.write(node.after_loss(keep, keep_sector))

    # The calls

    def _openat(self, call: Call) -> None:
        found = self._find(call.place)
        if found is None or "O_DIRECTORY" in call.flags:
            return
        folder, name = found
        file = folder.entries.get(name)
        if file is None:
            if "O_CREAT" in call.flags:
                folder.change(call.ended, {name: File()})
        elif "O_TRUNC" in call.flags and isinstance(file, File) and file.size:
            file.truncate(call.ended, 0)

    def _write(self, call: Call) -> None:
        """Write at the end, as everything does here that names no offset."""
        if (file := self._file(call.place)) is not None:
            file.write(call.ended, file.size, call.data)

    def _pwrite64(self, call: Call) -> None:
        if (file := self._file(call.place)) is not None:
            file.write(call.ended, call.number, call.data)

    def _ftruncate(self, call: Call) -> None:
        if (file := self._file(call.place)) is not None:
            file.truncate(call.ended, call.number)

    def _fsync(self, call: Call) -> None:
        if self._is_root(call.place):
            self.top.sync(call.began)
        elif (found := self._find(call.place)) is not None:
            node = found[0].entries.get(found[1])
            if node is not None:
                node.sync(call.began)

    def _rename(self, call: Call) -> None:
        old, new = map(self._find, call.paths[-2:])
        if old is None or new is None:
            assert old is new is None, f"{call.paths} crosses the border of what is traced"
            return
        node = old[0].entries[old[1]]
        if old[0] is new[0]:
            old[0].change(call.ended, {old[1]: None, new[1]: node})
        else:
            new[0].change(call.ended, {new[1]: node})
            old[0].change(call.ended, {old[1]: None})

    def _unlink(self, call: Call) -> None:
        if (found := self._find(call.paths[-1])) is not None:
            found[0].change(call.ended, {found[1]: None})

    def _mkdir(self, call: Call) -> None:
        if (found := self._find(call.paths[-1])) is not None:
            found[0].change(call.ended, {found[1]: Folder()})

    def _unknown(self, call: Call) -> None:
        paths = [call.place, *call.paths]
        assert not any(map(self._find, paths)), f"{call.name} of {paths} is not simulated"

    def _ignore(self, call: Call) -> None:
        """Leave out what does nothing to a disk."""

    _open = _openat
    _creat = _pwritev = _truncate = _fallocate = _link = _linkat = _unknown
    _writev = _write
    _fdatasync = _fsync
    _renameat = _renameat2 = _rename
    _unlinkat = _rmdir = _unlink
    _mkdirat = _mkdir

    # Paths

    def _is_root(self, path: str) -> bool:
        return path == str(self._root)

    def _file(self, path: str) -> File | None:
        found = self._find(path)
        node = found[0].entries.get(found[1]) if found else None
        return node if isinstance(node, File) else None

    def _find(self, path: str) -> tuple[Folder, str] | None:
        """Return the folder that a path is in, and its name there; None where that is elsewhere."""
        if not path.startswith(f"{self._root}/"):
            return None
        *parents, name = path[len(str(self._root)) + 1 :].split("/")
        folder = self.top
        for parent in parents:
            node = folder.entries.get(parent)
            if not isinstance(node, Folder):
                return None
            folder = node
        return folder, name


def _synced(entries: dict[str, File | Folder]) -> Folder:
    return Folder(dict(entries), entries=dict(entries))


def _read(path: Path) -> Folder:
    """Return a folder with all that is in it."""
    entries: dict[str, File | Folder] = {}
    for entry in path.iterdir():
        if entry.is_dir():
            entries[entry.name] = _read(entry)
        else:
            content = entry.read_bytes()
            entries[entry.name] = File(content, size=len(content))
    return _synced(entries)


def _change(content: bytearray, at: int, data: bytes | None) -> None:
    """Write data at an offset, or cut or lengthen there."""
    if data is None:
        del content[at:]
    if len(content) < at:
        content.extend(bytes(at - len(content)))
    if data is not None:
        content[at : at + len(data)] = data


def _sectors(at: int, data: bytes) -> list[tuple[int, bytes]]:
    """Return data in the sectors that it lies in."""
    cuts = [at, *range(at - at % SECTOR + SECTOR, at + len(data), SECTOR), at + len(data)]
    return [(first, data[first - at : last - at]) for first, last in itertools.pairwise(cuts)]


def _enter(entries: dict[str, File | Folder], changes: dict[str, File | Folder | None]) -> None:
    for name, node in changes.items():
        if node is None:
            entries.pop(name, None)
        else:
            entries[name] = node
