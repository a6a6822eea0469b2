"""What is said of a journal names it, the rule and the fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from response_store.errors import PermanentStoreError, TransientStoreError
from response_store.journal import errors

PATH = Path("/state/journals/x")
NO_SPACE = OSError(28, "No space left on device")


@pytest.mark.parametrize(
    "text",
    [
        str(errors.make_refusal(PATH, "is open to others", "chmod go= it")),
        str(errors.make_unusable_error(PATH, NO_SPACE)),
        str(errors.JournalWriteError(PATH, NO_SPACE)),
        errors.make_full_problem(PATH, 5, 4).text,
        errors.make_unwritable_problem(PATH, NO_SPACE).text,
        errors.make_slow_problem(PATH).text,
    ],
)
def test_a_text_names_the_place_and_the_setting(text: str) -> None:
    """Who reads it knows what to change."""
    assert str(PATH) in text
    assert "journal." in text


def test_a_newer_format_names_what_applies_it() -> None:
    """There is one command for it."""
    assert "flush" in str(errors.JournalNewerError(PATH, 2, 1))


def test_kinds() -> None:
    """A folder has to be fixed by somebody, a full disk may pass."""
    assert issubclass(errors.JournalNewerError, PermanentStoreError)
    assert issubclass(errors.JournalWriteError, TransientStoreError)
