"""The bound on what is copied, over all exchanges."""

from __future__ import annotations

from response_store.capture.budget import Budget


def test_budget() -> None:
    """What does not fit is not taken."""
    budget = Budget(10)
    assert budget.take(10)
    assert not budget.take(1)
    assert budget.held == 10
    budget.release(4)
    assert budget.take(4)
    assert not budget.take(1)
    assert budget.take(-10)
    assert budget.held == 0
