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

from response_store.format.text import NONE, format_duration, put_on_one_line
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
        from response_store.format.exchange import choose_identifier  # noqa: PLC0415

        self.ids.append(choose_identifier(row))
        flow = self._find(row.flow_id)
        if flow is None:
            return
        ours = self._ours.setdefault(flow, _MarkedFlow())
        comment = format_comment(row)
        if row.turn:
            ours.turns = max(ours.turns, row.turn)
            comment += f" (turn {row.turn} of {ours.turns})"
        if _put(flow, "marked", mark, ours) | _put(flow, "comment", comment, ours):
            self._updated(flow)


_MAX_NAME, _MAX_WORDS = 60, 60  # characters
_APART = " · "


def format_comment(row: WrittenRow) -> str:
    """Return what differs from row to row, then the question, then model, state and id."""
    from response_store.format.exchange import choose_identifier  # noqa: PLC0415 (only with a view)

    took = format_duration(row.duration_ms)
    came = "" if row.output_tokens is None else f"{row.output_tokens} out"
    ended = row.error_code or ("" if row.state == State.COMPLETED else row.state)
    cached = f" ({row.cached_tokens} cached)" if row.cached_tokens else ""
    facts = (
        row.model or row.requested_model or "unknown model",
        "" if row.input_tokens is None else f"{row.input_tokens} in{cached}",
        f"{row.state} ({row.error_code})" if row.error_code else row.state,
        choose_identifier(row),
    )
    first = (_cut_short(ended, _MAX_NAME), came, "" if took == NONE else took)
    parts = (
        " ".join(part for part in first if part),
        _cut_short(row.question or "", _MAX_WORDS),
        ", ".join(_cut_short(fact, _MAX_NAME) for fact in facts if fact),
    )
    return _APART.join(part for part in parts if part)


def _cut_short(text: str, limit: int) -> str:
    line = put_on_one_line(text)
    return line if len(line) <= limit else f"{line[:limit].rstrip()}…"


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
