"""What the commands ask of the database: looked up in a thread, told in the log."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from mitmproxy.log import ALERT

from response_store.cli.show import plain
from response_store.cli.source import Source
from response_store.errors import StoreError
from response_store.mitmweb.told import listed
from response_store.store.summaries import Summary
from response_store.store.summaries import newest as newest_that
from response_store.telling.printable import printable

if TYPE_CHECKING:
    from response_store.session import Session
    from response_store.store.query import Query

MOST_LISTED = 100
MOST_SHOWN = 20_000  # characters
_WRITE_SECONDS = 2.0  # what was captured just now is waited for
_NAMES = "response_id model requested_model error_code output_text".split()
_TEXT = " || ' ' || ".join(
    ["exchange_id", "state", "host", *[f"coalesce({n}, '')" for n in _NAMES]]
)
_OCCURS = f"lower({_TEXT}) LIKE lower(?) ESCAPE '!'"
logger = logging.getLogger(__name__)


class Question(NamedTuple):
    """What is asked, in a few words, and how a tenant's answer is found; runs in a thread."""

    words: str
    answer: Callable[[Query, str], str]


def newest(number: int) -> Question:
    """The newest exchanges."""
    most = min(max(number, 1), MOST_LISTED)

    def answer(query: Query, tenant: str) -> str:
        return _lines(query.recent(tenant, limit=most).exchanges)

    return Question(f"the newest {most}", answer)


def matching(words: Sequence[str]) -> Question:
    """The newest exchanges in whose names and answer every word occurs, whatever its case."""
    statement = newest_that(" AND ".join(["tenant_id = ?", *[_OCCURS] * len(words)]))
    patterns = [_pattern(word) for word in words]

    def answer(query: Query, tenant: str) -> str:
        rows = query.reading.rows(statement, (tenant, *patterns, MOST_LISTED))
        return _lines([Summary(*row) for row in rows])

    return Question(f"exchanges with {' '.join(words)}", answer)


def shown(identifier: str) -> Question:
    """One exchange, as a conversation."""

    def answer(query: Query, tenant: str) -> str:
        text = plain(query.find(tenant, identifier.removesuffix("\u2026"))).expandtabs(16)
        if len(text) <= MOST_SHOWN:
            return text
        return f"{text[:MOST_SHOWN]}\u2026\nThe whole: response-store show {identifier}"

    return Question(identifier, answer)


def look_up(session: Session, question: Question) -> None:
    """Find the answer and tell it in the log. Blocks: never for the event loop's thread."""
    config = session.config
    session.storage.drain(_WRITE_SECONDS)
    asked = Source(config.database, config.tables, config.tenant.id, session.storage.describe())
    try:
        with asked.open() as query:
            found = question.answer(query, asked.tenant)
    except StoreError as error:
        logger.warning("response_store: %s", printable(str(error)))
        return
    waiting = session.storage.waiting.records
    note = f"\n{waiting} records are not written yet, and may be missing here." if waiting else ""
    # Of this level is what a user has asked for.
    logger.log(ALERT, "response_store: %s%s", printable(f"{question.words}\n{found}"), note)


def _pattern(word: str) -> str:
    """The LIKE pattern of a text that has the word in it; `!` keeps its own wildcards from it."""
    for special in "!%_":
        word = word.replace(special, f"!{special}")
    return f"%{word}%"


def _lines(exchanges: Sequence[Summary]) -> str:
    return "\n".join(map(listed, exchanges)) or "none"
