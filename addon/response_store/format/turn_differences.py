"""Compare each turn of a thread or a session with the one that it goes on from.

That is its parent, where it was among the last turns, else the turn of the same agent before it.
Only so many turns are held at once, as each of them may hold the whole conversation.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from response_store.format.difference import Difference, compare
from response_store.format.difference_lines import (
    DifferenceLine,
    LineKind,
    build_object,
    list_changes,
)
from response_store.format.transcript import Section, list_sections

if TYPE_CHECKING:
    from response_store.queries.threads import Thread

MAX_HELD = 20
"""Turns that are held, of which one may be the parent of the next."""


class TurnDifference(NamedTuple):
    """A turn, and what has changed since the one that it goes on from; the first has none."""

    section: Section
    before: Section | None
    difference: Difference | None

    def to_object(self) -> dict[str, object]:
        """Return what programs get, with the ids of both."""
        after = {"after": self.section.identifier}
        if self.before is None or self.difference is None:
            return {"before": None, **after}
        tokens = self.before.tokens, self.section.tokens
        return {
            "before": self.before.identifier,
            **after,
            **build_object(self.difference, *tokens),
        }


def list_turn_differences(thread: Thread) -> Iterator[TurnDifference]:
    """Yield the turns of a thread, from the oldest. Only while the lookup's snapshot lasts."""
    held: OrderedDict[str, Section] = OrderedDict()
    for section in list_sections(thread):
        row = section.entry.exchange
        before = _find_before(held, section)
        difference = compare(before.exchanged, section.exchanged) if before else None
        yield TurnDifference(section, before, difference)
        held[row.exchange_id if row else section.identifier] = section
        if len(held) > MAX_HELD:
            held.popitem(last=False)


def _find_before(held: OrderedDict[str, Section], section: Section) -> Section | None:
    row = section.entry.exchange
    parent = held.get(row.parent_exchange_id or "") if row else None
    agent = row.agent if row else None
    same = (
        one
        for one in reversed(held.values())
        if (one.entry.exchange.agent if one.entry.exchange else None) == agent
    )
    return parent or next(same, None)


def list_thread_lines(thread: Thread) -> Iterator[DifferenceLine]:
    """Yield a line for each turn, then what has changed in it."""
    for turn in list_turn_differences(thread):
        yield DifferenceLine(LineKind.HEADING, f"=== {'  '.join(turn.section.heading)}")
        if turn.before is not None and turn.difference is not None:
            tokens = turn.before.tokens, turn.section.tokens
            yield from list_changes(turn.difference, *tokens)
        yield DifferenceLine(LineKind.PLAIN, "")
