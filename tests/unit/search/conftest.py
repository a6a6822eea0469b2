"""What the tests of searching share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import pytest

from response_store.backends.registry import open_index
from response_store.config import SqliteTarget
from response_store.model.selection import Selection
from response_store.queries.exchanges import Query
from response_store.search.index import Index, count_unindexed, index_missing
from response_store.search.query import search
from response_store.search.tokenizer import parse_terms
from tests.harness.postgres_shared import target_of
from tests.unit.cli.conftest import (
    Anywhere,
    anywhere,
    configured,
    place,
    run,
    session_stored,
    stored,
    stored_in_postgres,
)
from tests.unit.queries.stored import NAMES, Stored

__all__ = [
    "anywhere", "configured", "place", "run", "session_stored", "stored", "stored_in_postgres",
]  # fmt: skip

OpenIndex: TypeAlias = Callable[[], Index]


class Searching:
    """A database, its index, and what is found in it."""

    def __init__(self, anywhere: Anywhere) -> None:
        self.stored = anywhere
        self._opened: list[Index] = []
        self._query: Query | None = None

    def index(self) -> Index:
        """The index, open for writing; it is closed with the test."""
        if isinstance(self.stored, Stored):
            target = SqliteTarget(self.stored.path)
            self._opened.append(open_index(target, NAMES))
        else:
            self._opened.append(open_index(target_of(self.stored.database.url()), NAMES))
        return self._opened[-1]

    def catch_up(self) -> int:
        """Index what is missing; return how many those were."""
        return len(list(index_missing(self.index())))

    def unindexed(self) -> int:
        with self.stored.open() as query:
            return count_unindexed(query.reader.rows)

    def ids(self, *words: str, limit: int = 100, **chosen: object) -> set[str]:
        """The exchanges that are found."""
        selection = Selection(**{"tenant": "default", **chosen})  # type: ignore[arg-type]
        answer = search(self._asked().reader, parse_terms(words), selection, limit)
        assert answer.total >= len(answer.hits)
        return {hit.summary.exchange_id for hit in answer.hits}

    def count(self, table: str) -> int:
        """How many rows a table has."""
        with self.stored.open() as query:
            return int(query.reader.rows(f"SELECT count(*) FROM {{{table}}}")[0][0])

    def _asked(self) -> Query:
        self._query = self._query or self.stored.open()
        return self._query

    def close(self) -> None:
        if self._query is not None:
            self._query.close()
        for index in self._opened:
            index.close()


@pytest.fixture
def searching(anywhere: Anywhere) -> Iterator[Searching]:
    """An empty database, of either kind."""
    made = Searching(anywhere)
    yield made
    made.close()
