"""The ingester's answers to the commands of mitmproxy's prompt: stored exchanges as text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from response_store.errors import StoreError
from response_store.store.query import Query, open_query
from response_store.store.selection import HOST_PORT
from response_store.store.summaries import Summary
from response_store.store.summaries import select_newest as newest_that
from response_store.telling.exchange_line import add_calls, format_list_line
from response_store.telling.plain import format_plain
from response_store.telling.printable import escape_controls

if TYPE_CHECKING:
    from response_store.config import Config

NEWEST, MATCHING, SHOWN = "newest", "matching", "shown"
MAX_LISTED = 100
MAX_SHOWN = 20_000  # characters
_CUT = "\u2026"  # where a list has cut an id short
_NAMES = "response_id model requested_model error_code output_text".split()
_TEXT = " || ' ' || ".join(
    ["exchange_id", "state", HOST_PORT, *[f"coalesce({name}, '')" for name in _NAMES]]
)
_OCCURS = f"lower({_TEXT}) LIKE lower(?) ESCAPE '!'"


def answer_command(config: Config, kind: str, arguments: Sequence[str]) -> str:
    """Return what a command shows, or why it can't be shown; safe to print.

    `NEWEST` takes a number of exchanges, `MATCHING` words, `SHOWN` an id or its beginning. Opens
    the database, read-only, for each call. Raises ValueError for a kind or arguments that it does
    not know.
    """
    answer, tenant = _KINDS.get(kind), config.tenant.id
    if answer is None:
        raise ValueError(f"no question of the kind {kind!r} is known")
    try:
        with open_query(config.database, config.tables, shown_as=_choose_label(config)) as query:
            return escape_controls(answer(query, tenant, arguments))
    except StoreError as error:
        return escape_controls(str(error))


def _show_newest(query: Query, tenant: str, arguments: Sequence[str]) -> str:
    limit = min(max(int(arguments[0]), 1), MAX_LISTED)
    found = query.recent(tenant, limit=limit).exchanges
    return f"the newest {limit}\n{_format_lines(query, found)}"


def _show_matching(query: Query, tenant: str, words: Sequence[str]) -> str:
    """Return the exchanges in whose names and answer every word occurs, whatever its case."""
    statement = newest_that(" AND ".join(["tenant_id = ?", *[_OCCURS] * len(words)]))
    patterns = [_build_pattern(word) for word in words]
    rows = query.reader.rows(statement, (tenant, *patterns, MAX_LISTED))
    return (
        f"exchanges with {' '.join(words)}\n{_format_lines(query, [Summary(*row) for row in rows])}"
    )


def _show_one(query: Query, tenant: str, arguments: Sequence[str]) -> str:
    """Return one exchange as a conversation, its beginning if it is long."""
    (identifier,) = arguments
    text = format_plain(query.find(tenant, identifier.removesuffix(_CUT))).expandtabs(16)
    if len(text) > MAX_SHOWN:
        text = f"{text[:MAX_SHOWN]}{_CUT}\nThe whole: response-store show {identifier}"
    return f"{identifier}\n{text}"


_KINDS: Mapping[str, Callable[[Query, str, Sequence[str]], str]] = {
    NEWEST: _show_newest,
    MATCHING: _show_matching,
    SHOWN: _show_one,
}


def _build_pattern(word: str) -> str:
    """Return the LIKE pattern of a text that has the word in it; `!` escapes its wildcards."""
    for special in "!%_":
        word = word.replace(special, f"!{special}")
    return f"%{word}%"


def _format_lines(query: Query, exchanges: Sequence[Summary]) -> str:
    return "\n".join(map(format_list_line, add_calls(query, exchanges))) or "none"


def _choose_label(config: Config) -> str | None:
    """Return what errors call the database: a file by its path, as it may be shown."""
    return config.database.describe() if config.database.server is None else None
