"""One exchange as plain text, for pipes and logs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from response_store.telling import shown
from response_store.telling.printable import escape_controls, put_on_one_line

if TYPE_CHECKING:
    from response_store.store.lookup import LookupResult


def format_plain(entry: LookupResult) -> str:
    """Return facts as name, tab, value; then each turn under a line that names the speaker."""
    facts = [f"{name}\t{put_on_one_line(value)}\n" for name, value in shown.list_facts(entry)]
    turns = [
        f"\n--- {put_on_one_line(turn.label)}\n{escape_controls(turn.text)}\n"
        for turn in shown.list_turns(entry)
    ]
    return "".join(facts + turns)
