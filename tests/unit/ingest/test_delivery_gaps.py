"""Which missing frames may still come."""

from __future__ import annotations

from response_store.ingest.delivery import Gaps


def test_only_what_was_announced_may_come_of_the_past() -> None:
    """Up to the last seq of the greeting only what is outstanding comes, beyond it anything."""
    gaps = Gaps(10, (4, 7))
    assert [seq for seq in range(1, 13) if gaps.is_outstanding(seq)] == [4, 7, 11, 12]


def test_what_is_void_does_not_come() -> None:
    """A seq that the proxy has given up is waited for no longer."""
    gaps = Gaps(0, ())
    gaps.void(3)
    assert not gaps.is_outstanding(3)
    assert gaps.is_outstanding(4)


def test_voids_behind_the_last_frame_are_reached_with_it() -> None:
    """Who waits for a seq that is void waits for the frame before it."""
    gaps = Gaps(0, ())
    for seq in (6, 7, 9):
        gaps.void(seq)
    assert gaps.reach(4) == 4
    assert gaps.reach(5) == 7
    assert gaps.reach(8) == 9


def test_what_was_passed_does_not_come_any_more() -> None:
    """Read again from the start, a journal has no gaps that are waited for twice."""
    gaps = Gaps(0, ())
    gaps.void(2)
    gaps.reach(5)
    assert not gaps.is_outstanding(2)
    assert not gaps.is_outstanding(5)
    assert gaps.is_outstanding(6)
