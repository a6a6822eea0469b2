"""One exchange as plain text, for pipes and logs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from response_store.telling import shown
from response_store.telling.printable import one_line, printable

if TYPE_CHECKING:
    from response_store.store.lookup import LookupResult


def plain(found: LookupResult) -> str:
    """Return facts as name, tab, value; then each turn under a line that names the speaker."""
    facts = [f"{name}\t{one_line(value)}\n" for name, value in shown.facts(found)]
    turns = [
        f"\n--- {one_line(turn.label)}\n{printable(turn.text)}\n" for turn in shown.turns(found)
    ]
    return "".join(facts + turns)
