"""Colours with a meaning."""

from __future__ import annotations

LABEL = "bold cyan"
ERROR = "red"
_STATES = {
    "completed": "green",
    "open": "cyan",
    "queued": "cyan",
    "in_progress": "cyan",
    "failed": "red",
    "refused": "red",
    "unreadable": "red",
}
_CUT_SHORT = "yellow"


def choose_style(state: str) -> str:
    """Return the colour of a state."""
    return _STATES.get(state, _CUT_SHORT)
