"""What the journal's tests share: a folder of journals and a journal in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from response_store.journal.directory import JournalDirectory
from response_store.journal.writer import JournalWriter
from tests.unit.journal.making import EventLoop, make_journal, make_writer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder of journals."""
    path = tmp_path / "journals"
    path.mkdir(mode=0o700)
    return path


@pytest.fixture
def journal(folder: Path) -> Iterator[JournalDirectory]:
    """A journal that this process owns."""
    directory = make_journal(folder)
    yield directory
    directory.close()


@pytest.fixture
def loop() -> EventLoop:
    """An event loop that runs when it is told to."""
    return EventLoop()


MakeWriter = Callable[..., JournalWriter]


@pytest.fixture
def new_writer(journal: JournalDirectory, loop: EventLoop) -> Iterator[MakeWriter]:
    """Make a writer of the journal; it is closed after the test."""
    writers = []

    def make(**options) -> JournalWriter:
        writers.append(make_writer(journal, loop, **options))
        return writers[-1]

    yield make
    for writer in writers:
        writer.close(1.0)
