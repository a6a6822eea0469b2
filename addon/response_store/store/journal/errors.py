"""What can be wrong with the journal, and how to mend it."""

from __future__ import annotations

from response_store.errors import PassingStoreError, PermanentStoreError, RowRefusedError


class JournalFullError(PassingStoreError):
    """The journal holds as much as `journal.max_bytes` allows until the database takes some."""


def full(where: str, held: int, most: int) -> JournalFullError:
    """The error where a batch does not fit, for now."""
    return JournalFullError(
        f"{where} is full: it holds {held} bytes, journal.max_bytes is {most}. It empties once "
        "the database can be reached again; mend that, or raise journal.max_bytes"
    )


def too_large(where: str, size: int, most: int) -> RowRefusedError:
    """The error for what would never fit, however empty the journal is."""
    return RowRefusedError(
        f"{where} can't hold {size} bytes, journal.max_bytes is {most}: raise it"
    )


def not_encodable(where: str, error: Exception) -> RowRefusedError:
    """The error for a record that is no text, number or bytes."""
    return RowRefusedError(f"{where}: a value does not fit ({type(error).__name__})")


def owned(where: str) -> PermanentStoreError:
    """The error where another proxy has the journal."""
    return PermanentStoreError(
        f"{where} belongs to another proxy that runs: give this one a journal.path of its own, "
        "or stop the other one first"
    )


def dismissed(where: str) -> PassingStoreError:
    """The error where somebody comes back who was told to go."""
    return PassingStoreError(f"{where} is in the hands of a later session")


def not_lockable(where: str) -> PermanentStoreError:
    """The error where the file system knows no locks."""
    return PermanentStoreError(
        f"{where}: its folder's file system has no file locks: name a file on a local disk "
        "in journal.path"
    )


def no_folder(where: str) -> PermanentStoreError:
    """The error where the journal's folder is missing."""
    return PermanentStoreError(
        f"{where}: its folder does not exist: make it, or name another file in journal.path"
    )


def foreign(where: str) -> PermanentStoreError:
    """The error where the file is a database of something else."""
    return PermanentStoreError(
        f"{where}: the file is a database, but no journal: name another file in journal.path"
    )


def newer(where: str, stored: int, known: int) -> PermanentStoreError:
    """The error where a newer release has made the journal."""
    return PermanentStoreError(
        f"{where} has version {stored}, this program knows {known}: use the release that made "
        "it, at least until the journal is empty, or name another file in journal.path"
    )


def missing(where: str) -> PermanentStoreError:
    """The error where there is no journal to read."""
    return PermanentStoreError(
        f"{where} does not exist: nothing has been journalled yet, or journal.path names "
        "another file"
    )
