"""Whether a wait is worth it."""

from __future__ import annotations

from response_store.store.patience import Patience


def test_patience_is_there_at_first() -> None:
    """Nothing has run out yet."""
    assert Patience().left(0)


def test_one_wait_in_vain_ends_it() -> None:
    """After a wait that ran out there is none, until a commit."""
    patience = Patience()
    patience.ran_out(3)
    assert not patience.left(3)
    assert patience.left(4)


def test_a_commit_during_the_wait_counts() -> None:
    """A commit that came while a wait ran out brings patience back."""
    patience = Patience()
    patience.ran_out(3)
    assert patience.left(4)
    patience.ran_out(4)
    assert not patience.left(4)
