"""An exchange in one line: what a flow's comment says, and a line of a list."""

from __future__ import annotations

from typing import TYPE_CHECKING

from response_store.telling.figures import NONE, duration, local_time
from response_store.telling.printable import one_line
from response_store.telling.tokens import Tokens

if TYPE_CHECKING:
    from response_store.store.query import Summary
    from response_store.store.records import ExchangeRow

_LONGEST = 80  # characters of a name; what is cut off an id is not needed to find it
_WORDS = 60  # characters of an answer's beginning


def identifier(one: ExchangeRow | Summary) -> str:
    """The id to look an exchange up by: the response's, else the exchange's."""
    return one.response_id or one.exchange_id


def told(one: ExchangeRow | Summary) -> str:
    """Model, tokens, time, state and id, as far as they are known, fit for any screen."""
    took = duration(one.duration_ms)
    parts = (
        one.model or one.requested_model or "unknown model",
        str(Tokens(one.input_tokens, one.cached_tokens, one.output_tokens)),
        "" if took == NONE else took,
        f"{one.state} ({one.error_code})" if one.error_code else one.state,
        identifier(one),
    )
    return ", ".join(_short(part, _LONGEST) for part in parts if part)


def listed(one: Summary) -> str:
    """A line of a list: when, what, and how the answer begins."""
    words = f": {_short(one.output_start, _WORDS)}" if one.output_start else ""
    return f"{local_time(one.started_at)}  {told(one)}{words}"


def _short(text: str, most: int) -> str:
    line = one_line(text)
    return line if len(line) <= most else f"{line[:most]}\u2026"
