"""A key that a stream spells in pieces is known again by its mark alone."""

from __future__ import annotations

import pytest

from response_store.jsontext import TooManyValuesError
from response_store.openai_api import credentials
from response_store.openai_api.credentials import PROCESS_KEY, find_echoes, marks_of
from tests.harness.work import at_most

KEY = b"sk-c4n4ry-0123456789"


@pytest.mark.parametrize(
    "text",
    [
        KEY,
        b"Incorrect API key provided: " + KEY + b".",
        b'{"message":"key=' + KEY + b'"}',
        b"(" + KEY + b"), and so on",
        b'"line\\n' + KEY + b'\\n"',
    ],
)
def test_a_credential_is_found(text: bytes) -> None:
    """Wherever it stands in a text, and whatever stands around it."""
    assert find_echoes([b"", text], marks_of([KEY]), PROCESS_KEY) == (KEY,)


def test_nothing_else_is_found() -> None:
    """Neither another one of its length, nor a part of it, nor anything without the key."""
    marks = marks_of([KEY])
    assert find_echoes([KEY[::-1], KEY[:-1], b"x " * 99], marks, PROCESS_KEY) == ()
    assert find_echoes([KEY], marks, b"") == ()
    assert find_echoes([KEY], marks, b"another key") == ()
    assert find_echoes([KEY], (), PROCESS_KEY) == ()


def test_a_mark_tells_nothing() -> None:
    """What is written to the disk holds no part of the credential; ordinary words have no mark."""
    ((length, digest),) = marks_of([KEY])
    assert length == len(KEY)
    assert not any(KEY[at : at + 3] in digest for at in range(len(KEY) - 2))
    assert marks_of([b"dummy-key"]) == ()


def test_looking_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A text of many words that might be it is not looked through for ever."""
    monkeypatch.setattr(credentials, "READ_SECONDS", 0.05)
    with at_most(1), pytest.raises(TooManyValuesError):
        find_echoes([(b"x" * 30 + b" ") * 1_000_000], marks_of([KEY]), PROCESS_KEY)
