"""Where things are in the checkout, and which folder the databases of a run live in."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE_ROOT = ROOT / "addon"
CAPTURE_SCRIPT = PACKAGE_ROOT / "capture.py"
SCRIPTS = Path(__file__).resolve().parent / "scripts"

MEMORY_FILE_SYSTEMS = {"tmpfs", "ramfs"}


def make_folder(wanted: Path | None = None) -> Path:
    """A fresh folder on the checkout's own disk, unless `wanted` says where.

    A commit on a file system in memory costs nothing, and would flatter every figure.
    """
    parent = wanted or Path(tempfile.gettempdir())
    if wanted is None and (parent.stat().st_dev != ROOT.stat().st_dev or in_memory(parent)):
        parent = ROOT
    return Path(tempfile.mkdtemp(prefix="response-store-benchmark-", dir=parent)).resolve()


def in_memory(folder: Path) -> bool:
    """Whether the folder's file system has no disk below it."""
    return mount_of(folder)[1] in MEMORY_FILE_SYSTEMS


def mount_of(folder: Path) -> tuple[str, str]:
    """Device and file system type that hold a folder; ("unknown", "unknown") without /proc."""
    best, found = "", ("unknown", "unknown")
    for mount_point, device, kind in _mounts():
        inside = os.path.commonpath([mount_point, folder.resolve()]) == mount_point
        if inside and len(mount_point) >= len(best):
            best, found = mount_point, (device, kind)
    return found


def _mounts() -> list[tuple[str, str, str]]:
    try:
        lines = Path("/proc/self/mounts").read_text().splitlines()
    except OSError:
        return []
    rows = [line.split() for line in lines]
    return [(row[1].replace("\\040", " "), row[0], row[2]) for row in rows]
