"""Frames that wait: in order, bounded by number and by bytes."""

from __future__ import annotations

import pytest

from response_store.journal.frames import HEADER_SIZE
from response_store.journal.receipts import Backlog, Receipt, WaitingFrame


def frame(key: int, body: bytes = b"") -> WaitingFrame:
    """Return a frame that waits."""
    return WaitingFrame(3, key, b"head", (body,), Receipt())


def test_first_come_first_served() -> None:
    """What is put back is first again."""
    backlog = Backlog()
    for key in range(3):
        assert backlog.add(frame(key))
    first = backlog.pop()
    backlog.put_back(first)
    assert [backlog.pop().key for _ in range(3)] == [0, 1, 2]
    assert len(backlog) == 0
    assert backlog.held_bytes == 0


def test_sizes_are_those_in_a_file() -> None:
    """Header, head and body."""
    backlog = Backlog()
    backlog.add(frame(1, b"12345"))
    assert backlog.held_bytes == HEADER_SIZE + 4 + 5


def test_bounded_by_number() -> None:
    """One more is refused, and changes nothing."""
    backlog = Backlog(max_frames=2)
    assert [backlog.add(frame(key)) for key in range(3)] == [True, True, False]
    backlog.pop()
    assert backlog.add(frame(3))


def test_bounded_by_bytes() -> None:
    """What does not fit is refused; a smaller one may fit."""
    backlog = Backlog(max_bytes=3 * HEADER_SIZE)
    assert backlog.add(frame(1, bytes(HEADER_SIZE - 4)))
    assert not backlog.add(frame(2, b"x"))
    assert backlog.held_bytes == 2 * HEADER_SIZE


def test_empty() -> None:
    """There is nothing to take."""
    with pytest.raises(IndexError):
        Backlog().pop()
