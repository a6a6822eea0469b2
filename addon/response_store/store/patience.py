"""Whether it is worth blocking for a commit."""

from __future__ import annotations


class Patience:
    """Runs out with a wait that was in vain; comes back with the next commit."""

    def __init__(self) -> None:
        self._ran_out_at: int | None = None

    def left(self, commits: int) -> bool:
        """Whether to wait, given how many commits there have been."""
        return self._ran_out_at != commits

    def ran_out(self, commits: int) -> None:
        """Note a wait that ran out; `commits` is their number when it began."""
        self._ran_out_at = commits
