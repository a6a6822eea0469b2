"""Journals, writers and readers for tests."""

from __future__ import annotations

import time
import uuid
from collections import deque
from collections.abc import Callable
from pathlib import Path

from response_store.config import Durability
from response_store.diagnostics import Counters
from response_store.journal.directory import Header, JournalDirectory, Target
from response_store.journal.frames import Frame, FrameKind
from response_store.journal.reader import JournalReader
from response_store.journal.segments import CleanedWriter
from response_store.journal.writer import JournalWriter

TARGET = Target("sqlite", "/data/responses.db", {"exchanges": "openai_exchanges"})


def make_header(**values) -> Header:
    """Return a header with an id of its own."""
    values = {"journal_id": str(uuid.uuid4()), "target": TARGET, "settings": {}} | values
    return Header(created_at=0.0, **values)


def make_journal(folder: Path, **values) -> JournalDirectory:
    """Make a journal, owned by this process."""
    return JournalDirectory.create(folder, make_header(**values))


class EventLoop:
    """Collects what a loop would call, and calls it when the test says so; it has no clock."""

    def __init__(self) -> None:
        self.soon: deque[Callable[[], None]] = deque()
        self.later: list[tuple[float, Callable[[], None]]] = []

    def call_later(self, seconds: float, function: Callable[[], None]) -> None:
        """Note what is to be called, and after how many seconds."""
        self.later.append((seconds, function))

    def run(self) -> None:
        """Call what came by `call_soon_threadsafe`."""
        while self.soon:
            self.soon.popleft()()

    def run_until(self, condition: Callable[[], object], seconds: float = 10.0) -> None:
        """Run until the condition holds. Raises AssertionError."""
        stop_at = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < stop_at, "it did not come to that"
            self.run()
            time.sleep(0.001)
        self.run()


def make_writer(journal: JournalDirectory, loop: EventLoop, **options) -> JournalWriter:
    """Return a writer whose callbacks come when `loop` runs."""
    options = {
        "max_bytes": 64 << 20,
        "durability": Durability.PROCESS,
        "counters": Counters(),
    } | options
    return JournalWriter(journal, call_soon=loop.soon.append, **options)


def read_all(journal: JournalDirectory, **options) -> list[Frame]:
    """Return all frames of a journal whose owner is gone, in order."""
    reader = JournalReader(journal, **options)
    try:
        return [reader.frame(ref) for ref in reader.next(1_000_000)]
    finally:
        reader.close()


def seqs(frames: list[Frame]) -> list[int]:
    """Return the seqs of frames."""
    return [frame.seq for frame in frames]


def clean(journal: JournalDirectory, *numbers: int, body: bytes = b"", **options) -> None:
    """Write frames of these seqs into a cleaned segment of their own."""
    writer = CleanedWriter(journal, **options)
    for seq in numbers:
        writer.append(seq, FrameKind.END, seq, b"cleaned", (body,))
    writer.close()


def names_in(folder: Path) -> list[str]:
    """Return the names in a folder."""
    return sorted(path.name for path in folder.iterdir())


def open_files() -> int:
    """Return how many descriptors this process has."""
    return len(names_in(Path("/dev/fd")))
