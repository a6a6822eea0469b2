"""What is told of a store's health."""

from __future__ import annotations

from response_store.errors import PassingStoreError
from response_store.store.health import Health
from response_store.store.storage import HUNG_AFTER, state_of


def test_state() -> None:
    """The phase, and for a store that works whether a commit has gone unanswered for long."""
    now = [100.0]
    health = Health(lambda: now[0])
    health.opening()
    assert state_of(health) == "opening"
    health.opened()
    health.busy()
    assert state_of(health) == "ready"
    now[0] += HUNG_AFTER
    assert state_of(health) == "ready, no answer for over 2 s"
    health.committed()
    assert state_of(health) == "ready"
    health.busy()
    health.failed(PassingStoreError("away"), passing=True)
    now[0] += HUNG_AFTER
    assert state_of(health) == "waiting"
