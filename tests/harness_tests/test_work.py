"""Bounds on processor time hold on machines of any speed."""

from __future__ import annotations

import pytest

from tests.harness import work


def spend(seconds: float) -> None:
    """Take so much processor time."""
    used = work.measure()
    while used() < seconds:
        pass


@pytest.mark.parametrize(("slow", "holds"), [(1.0, False), (100.0, True)])
def test_a_slow_machine_may_take_longer(
    monkeypatch: pytest.MonkeyPatch, slow: float, holds: bool
) -> None:
    """As much longer as its other work takes."""
    monkeypatch.setattr(work, "USUAL", work.USUAL * work.slowness() / slow)
    if holds:
        with work.at_most(0.01):
            spend(0.02)
    else:
        with pytest.raises(AssertionError, match="on a machine that is"), work.at_most(0.01):
            spend(0.04)
