"""What a journal is bound to: the database that a configuration names."""

from __future__ import annotations

import os
import time
import uuid

from response_store.config import Config, SqliteTarget
from response_store.journal.directory import Header, Target


def new_header(config: Config) -> Header:
    """Return the header of a new journal."""
    return Header(
        journal_id=str(uuid.uuid4()),
        target=target_of(config),
        settings=config.shaping(),
        created_at=time.time(),
    )


def target_of(config: Config) -> Target:
    """Return the database of a configuration, without user and password."""
    tables = config.tables
    names = {
        "responses": tables.responses,
        "conversations": tables.conversations,
        "exchanges": tables.exchanges,
    }
    return Target(config.backend.value, _place(config), names)


def _place(config: Config) -> str:
    database = config.database
    if not isinstance(database, SqliteTarget):
        return database.describe().removeprefix("postgres://")
    if database.path is None:
        return ":memory:"
    return os.path.realpath(config.directory / database.path)
