"""Read the filters of an address into a selection, and say what may be chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from response_store.cli.options import parse_past_time
from response_store.model.records import State
from response_store.model.selection import Selection
from response_store.web.page import PageError

if TYPE_CHECKING:
    from response_store.web.page import PageRequest

NAMES = ("since", "until", "model", "host", "client", "state", "label", "agent")
"""Arguments of an address that are filters."""
EVER = "all"
"""A `since` that leaves nothing out."""
PERIODS = (
    ("1h", "1 hour"),
    ("24h", "24 hours"),
    ("7d", "7 days"),
    ("30d", "30 days"),
    (EVER, "all"),
)
STATES = tuple(state.value for state in State)
ERRORS = tuple(state.value for state in State if state.is_error)
ANY_ERROR = "errors"
_MAX_VALUES = 20
_MAX_LENGTH = 500


@dataclass(frozen=True, slots=True)
class Filters:
    """The filters of an address, as they were written, and the selection that they mean."""

    selection: Selection
    values: dict[str, str]


def read_filters(request: PageRequest, *, since: str = "") -> Filters:
    """Return the filters; names of one kind may be several, with commas between.

    `since` stands in where the address says nothing of times. Raises PageError.
    """
    values = {name: request.get(name) for name in NAMES}
    if too_long := next((name for name in NAMES if len(values[name]) > _MAX_LENGTH), None):
        raise PageError(f"{too_long}: this is longer than {_MAX_LENGTH} characters.")
    if "since" not in request.arguments:
        values["since"] = since
    selection = Selection(
        tenant=request.source.tenant,
        models=split_names(values["model"]),
        hosts=split_names(values["host"]),
        clients=split_names(values["client"]),
        states=_read_states(values["state"]),
        labels=split_names(values["label"]),
        agents=split_names(values["agent"]),
        since=_read_time("since", values["since"]),
        until=_read_time("until", values["until"]),
    )
    return Filters(selection, values)


def split_names(text: str) -> tuple[str, ...]:
    """Return the names between commas. Raises PageError where they are too many."""
    names = tuple(filter(None, map(str.strip, text.split(","))))
    if len(names) > _MAX_VALUES:
        raise PageError(f"At most {_MAX_VALUES} names at once.")
    return names


def _read_states(text: str) -> tuple[str, ...]:
    states = tuple(
        state for name in split_names(text) for state in (ERRORS if name == ANY_ERROR else (name,))
    )
    if unknown := next((state for state in states if state not in STATES), None):
        raise PageError(f"state: {unknown!r} is none. There are: {', '.join(STATES)}, {ANY_ERROR}.")
    return states


def _read_time(name: str, text: str) -> float | None:
    if text in ("", EVER):
        return None
    try:
        return parse_past_time(text)
    except (ValueError, OverflowError, OSError):
        raise PageError(
            f"{name}: {text!r} is no time. Write 2h, 3d, yesterday, monday, 2026-11-01 or"
            " 2026-11-01 09:30."
        ) from None
