"""Define what can be wrong with a journal: errors, and the problem of one that can't take more."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from response_store.errors import PermanentStoreError, ResponseStoreError, TransientStoreError


class JournalError(PermanentStoreError):
    """A journal or its folder can't be used until somebody fixes it. The text names the fix."""


class JournalNewerError(JournalError):
    """A newer release has made the journal; it is left alone."""

    def __init__(self, path: Path, stored: int, known: int) -> None:
        super().__init__(
            f"journal {path}: its format is {stored}, this program knows {known}: apply it with "
            "the release that made it (response-store flush)"
        )


class JournalWriteError(TransientStoreError):
    """A file of the journal could not be written: the disk is full, or fails. Try again later."""

    def __init__(self, path: Path, error: OSError) -> None:
        super().__init__(format_unwritable(path, error))


class DamagedFrameError(ResponseStoreError):
    """A frame's bytes are not those that were appended, or its file is gone."""


@dataclass(frozen=True, slots=True)
class JournalProblem:
    """Why a journal takes no frames at the moment. `text` is for people and names the fix."""

    kind: Literal["full", "unwritable"]
    text: str


def make_refusal(path: Path, reason: str, fix: str) -> JournalError:
    """Return the error for a folder or file that is not safe to use."""
    return JournalError(f"journal.path: {path} {reason}: {fix}")


def make_unusable_error(path: Path, error: OSError) -> JournalError:
    """Return the error for a folder or file that the system refuses."""
    return JournalError(
        f"journal.path: {path} can't be used ({_describe_reason(error)}): give this user the right"
        " to write there, or name another folder in journal.path"
    )


def make_full_problem(path: Path, held: int, max_bytes: int) -> JournalProblem:
    """Return the problem of a journal that holds as much as it may."""
    return JournalProblem(
        "full",
        f"journal {path} is full: it holds {held} bytes, journal.max_bytes is {max_bytes}. It "
        "empties once the database takes records again: fix that, or raise journal.max_bytes",
    )


def make_unwritable_problem(path: Path, error: OSError) -> JournalProblem:
    """Return the problem of a journal whose disk refuses to take more."""
    return JournalProblem("unwritable", format_unwritable(path, error))


def make_slow_problem(path: Path) -> JournalProblem:
    """Return the problem of a journal whose disk is slower than the traffic."""
    return JournalProblem(
        "unwritable",
        f"journal {path}: its disk is slower than the traffic, large frames wait in memory: name "
        "a folder on a faster one in journal.path, or lower capture.max_body_bytes",
    )


def format_unwritable(path: Path, error: OSError) -> str:
    """Return the words for a file that could not be written."""
    return (
        f"journal {path} can't be written ({_describe_reason(error)}): make room on its disk, or"
        " name a folder on another one in journal.path"
    )


def _describe_reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
