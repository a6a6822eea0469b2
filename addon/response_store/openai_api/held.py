"""How much the accumulators hold of a stream until its end, bounded."""

from __future__ import annotations

from dataclasses import dataclass

from response_store.json_text import TooManyValuesError
from response_store.limits import PLACES, VALUES

PLACE = VALUES // PLACES
"""What an item, part, choice or tool call counts as, in members."""


@dataclass(slots=True)
class Held:
    """The members and places that a stream has so far."""

    count: int = 0

    def add(self, members: int) -> None:
        """Count some more. Raises TooManyValuesError."""
        self.count += members
        if self.count > VALUES:
            raise TooManyValuesError("more items, parts and members than are kept")
