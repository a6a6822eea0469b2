"""A folder and files that their owner alone can read, and that are gone afterwards."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

PREFIX = "response-store-run-"


def make_private_folder() -> TemporaryDirectory[str]:
    """Return a context with a new folder for temporary files. Anybody may remove it early."""
    return TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True)


def open_private_file(path: Path) -> BinaryIO:
    """Return a new file, open for writing."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def write_private_file(path: Path, text: str) -> Path:
    """Write a new file; return its path."""
    with open_private_file(path) as file:
        file.write(text.encode())
    return path
