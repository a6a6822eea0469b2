"""The journal of a configuration, as the reading commands look into it."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from response_store.cli.source import note
from response_store.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from response_store.config.model import JournalConfig
    from response_store.store.journal.reading import JournalReading


def journal_of(config: JournalConfig | None) -> AbstractContextManager[JournalReading | None]:
    """The journal, open for reading; None where there is none (yet). Raises StoreError."""
    if config is None or not _is_there(config.path):
        return nullcontext()
    from response_store.store.journal.reading import JournalReading  # noqa: PLC0415 (rarely used)

    return JournalReading(config.path)


def journal_if_readable(
    config: JournalConfig | None,
) -> AbstractContextManager[JournalReading | None]:
    """As `journal_of`, but where it can't be read, a note says so and it is done without."""
    try:
        return journal_of(config)
    except StoreError as error:
        note(f"Note: {error}")
        return nullcontext()


@contextmanager
def waiting_noted(config: JournalConfig | None) -> Iterator[None]:
    """Note at the end of the block how many records the database may not have yet."""
    depth = _depth(config)
    try:
        yield
    finally:
        if depth:
            wait = "1 record still waits" if depth == 1 else f"{depth} records still wait"
            note(f"Note: {wait} in the journal, so the database may lack some of the newest.")


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # whoever opens it says what is wrong
        return True


def _depth(config: JournalConfig | None) -> int:
    with journal_if_readable(config) as journal:
        try:
            return journal.depth() if journal else 0
        except StoreError as error:
            note(f"Note: {error}")
            return 0
