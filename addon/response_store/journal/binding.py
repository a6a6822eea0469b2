"""What a journal is bound to: the database that a configuration names."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from response_store.config import Config
from response_store.journal.directory import Header, Target


def build_header(config: Config) -> Header:
    """Return the header of a new journal."""
    return Header(
        journal_id=str(uuid.uuid4()),
        target=build_target(config),
        settings=config.shaping(),
        created_at=time.time(),
    )


def build_target(config: Config) -> Target:
    """Return the database of a configuration, without user and password."""
    tables = config.tables
    names = {
        "responses": tables.responses,
        "conversations": tables.conversations,
        "exchanges": tables.exchanges,
    }
    return Target(config.backend.value, _format_place(config), names)


def is_bound_to(header: Header, target: Target, database_id: Callable[[], str | None]) -> bool:
    """Return whether a journal belongs to a database: by its place, or else by its own id.

    `database_id` returns the id that the database has, where it can be reached.
    """
    theirs = header.target
    if (theirs.backend, theirs.tables) != (target.backend, target.tables):
        return False
    if theirs.place == target.place:
        return True
    # A file that was copied has the same id as its copy: the one that lies there has it.
    if target.backend == "sqlite" and Path(theirs.place).exists():
        return False
    return header.database_id is not None and header.database_id == database_id()


def _format_place(config: Config) -> str:
    database = config.database
    if database.server is not None:
        return database.server.describe().removeprefix("postgres://")
    if database.path is None:
        return ":memory:"
    return os.path.realpath(config.directory / database.path)
