"""The journal of a proxy: where a run puts it, and how far its proxy has come."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

from response_store.journal.directory import JournalDirectory
from response_store.journal.reader import JournalReader

FOLDER = "journals"


def configuration(folder: Path) -> str:
    """Return the lines of a configuration that put the journal into a folder of its own there."""
    return f"journal: {{path: {json.dumps(str(folder / FOLDER))}}}\n"


def find(folder: Path) -> Path | None:
    """Return the one journal of a proxy's folder; None where it has gone or never was."""
    headers = list((folder / FOLDER).glob("*-*-*-*-*/journal.json"))
    assert len(headers) < 2, headers
    return headers[0].parent if headers else None


def last_seq(folder: Path) -> int:
    """Return the last frame that the proxy has written; 0 without a journal."""
    path = find(folder)
    if path is None:
        return 0
    with closing(JournalReader(JournalDirectory.open(path))) as reader:
        return reader.last_seq()


def bytes_on_disk(folder: Path) -> int:
    """Return the bytes of its segments."""
    path = find(folder)
    return JournalDirectory.open(path).bytes_on_disk() if path else 0
