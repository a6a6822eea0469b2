"""Marks and comments on captured flows, where somebody looks at flows.

mitmweb and the console have a view, the list of flows; a flow in it gets an emoji and a line once
its exchange has ended and is written. mitmdump has none, and pays nothing. What a user has put on
a flow stays, and what a user has taken off it is not put there again.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mitmproxy.flow import Flow
from mitmproxy.hooks import UpdateHook

from response_store.model.records import State, WrittenRow

MARKS = {
    State.QUEUED: ":hourglass:",
    State.IN_PROGRESS: ":hourglass:",
    State.COMPLETED: ":white_check_mark:",
    State.INCOMPLETE: ":warning:",
    State.FAILED: ":x:",
    State.CANCELLED: ":no_entry_sign:",
    State.REFUSED: ":no_entry:",
    State.INTERRUPTED: ":scissors:",
    State.UNREADABLE: ":question:",
    State.TOO_LARGE: ":elephant:",
}
"""The emoji of each state, as mitmproxy names them. An open exchange has none."""
_REMEMBERED = 200


@dataclass(slots=True)
class _MarkedFlow:
    """The marker and comment that we put on a flow, and how many turns its socket has had."""

    marked: str = ""
    comment: str = ""
    turns: int = 0


class Marks:
    """Marks flows. Used by the event loop's thread only; keeps no flow alive."""

    def __init__(self, find: Callable[[str], Flow | None], updated: Callable[[Flow], None]) -> None:
        self.ids: deque[str] = deque(maxlen=_REMEMBERED)  # of what was written, the newest last
        self._find = find
        self._updated = updated
        self._ours: weakref.WeakKeyDictionary[Flow, _MarkedFlow] = weakref.WeakKeyDictionary()

    def written(self, row: WrittenRow) -> None:
        """Mark the flow of an exchange that has ended and is written."""
        mark = MARKS.get(State(row.state))
        if mark is None:
            return
        from response_store.format.exchange import (  # noqa: PLC0415 (only with a view)
            choose_identifier,
            format_exchange,
        )

        self.ids.append(choose_identifier(row))
        flow = self._find(row.flow_id)
        if flow is None:
            return
        ours = self._ours.setdefault(flow, _MarkedFlow())
        comment = format_exchange(row)
        if row.turn:
            ours.turns = max(ours.turns, row.turn)
            comment += f" (turn {row.turn} of {ours.turns})"
        if _put(flow, "marked", mark, ours) | _put(flow, "comment", comment, ours):
            self._updated(flow)


def _put(flow: Flow, name: str, value: str, ours: _MarkedFlow) -> bool:
    """Set an attribute that is as we left it; say whether that changes it."""
    before = getattr(ours, name)
    if getattr(flow, name) != before or value == before:
        return False
    setattr(flow, name, value)
    setattr(ours, name, value)
    return True


def build_marks(master: Any) -> Marks | None:
    """Return what marks the flows of a master that has a view; None where it has none."""
    view = master.addons.get("view")
    if view is None:
        return None
    return Marks(view.get_by_id, lambda flow: master.addons.trigger(UpdateHook([flow])))
