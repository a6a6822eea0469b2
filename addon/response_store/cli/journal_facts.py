"""The status of a journal and its dead letters, as objects for programs and lines for people."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from response_store.cli.journal import journal_of
from response_store.config.model import SqliteTarget
from response_store.errors import StoreError
from response_store.store.journal.level import JournalStatus
from response_store.store.journal.reading import DeadLetter
from response_store.telling.figures import NONE, duration, local_time, size
from response_store.telling.printable import one_line

if TYPE_CHECKING:
    from response_store.cli.status_facts import Facts
    from response_store.config.model import JournalConfig

_REASONS = 3


def journal_status(config: JournalConfig) -> tuple[dict[str, object], Facts]:
    """What waits, and what is dead; `error` says why that is not known, where it is not."""
    path = SqliteTarget(config.path.absolute()).describe()
    try:
        status, file_bytes, letters = _looked(config)
    except StoreError as error:
        facts = [("journal", one_line(path)), ("journal error", one_line(str(error)))]
        return {"path": path, "error": str(error)}, facts
    reasons = list(dict.fromkeys(letter.reason for letter in letters))[:_REASONS]
    age = status.oldest_age(time.time())
    found = {
        "path": path,
        "error": None,
        "file_bytes": file_bytes,
        "max_bytes": config.max_bytes,
        **asdict(status),
        "oldest_age_seconds": age,
        "last_reasons": reasons,
    }
    where = f"{path}, {size(file_bytes)}" if file_bytes else f"{path}, not there yet"
    return found, [
        ("journal", one_line(where)),
        ("waiting", _waiting(status, age)),
        ("dead letters", one_line(_dead(status, reasons))),
    ]


def letters_object(letters: Sequence[DeadLetter]) -> dict[str, object]:
    """The dead letters as one JSON object."""
    return {"dead_letters": [asdict(letter) for letter in letters]}


def plain_letters(letters: Sequence[DeadLetter]) -> str:
    """A line a letter, tabs between the columns."""
    return "".join(
        "\t".join(
            (
                local_time(letter.buried_at),
                one_line(letter.response_id or NONE),
                one_line(letter.exchange_id),
                one_line(letter.tenant_id),
                size(letter.size),
                one_line(letter.reason),
            )
        )
        + "\n"
        for letter in letters
    )


def _looked(config: JournalConfig) -> tuple[JournalStatus, int, list[DeadLetter]]:
    with journal_of(config) as journal:
        if journal is None:
            return JournalStatus(), 0, []
        return journal.status(), journal.file_bytes(), journal.dead_letters()


def _waiting(status: JournalStatus, age: float | None) -> str:
    if age is None:
        return "nothing"
    records = "1 record" if status.records == 1 else f"{status.records} records"
    return f"{records}, {size(status.bytes)}, the oldest for {duration(1000 * age)}"


def _dead(status: JournalStatus, reasons: Sequence[str]) -> str:
    if not status.dead_letters:
        return "none"
    return f"{status.dead_letters}, {size(status.dead_bytes)}: {'; '.join(reasons)}"
