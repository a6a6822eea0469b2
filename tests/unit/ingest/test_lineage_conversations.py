"""Random conversations are linked as one is who saw all of them."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from response_store.backends.base import Turn
from response_store.ingest.lineage import Lineage
from response_store.model.records import ExchangeRow, Record
from response_store.queries.statements import TurnKey
from tests.unit.ingest.test_lineage import Conversation, asked, said

_COLUMNS = {
    TurnKey.RESPONSE: "response_id",
    TurnKey.CONTEXT: "context_digest",
    TurnKey.ANSWER: "answer_digest",
}


class Rows:
    """A database of exchanges in memory, which finds turns as the SQL does."""

    def __init__(self) -> None:
        self.rows: dict[str, ExchangeRow] = {}

    def write(self, records: list[Any]) -> None:
        self.rows |= {record.exchange.exchange_id: record.exchange for record in records}

    def find_turns(self, names: Any, key: TurnKey) -> list[Turn | None]:
        return [self._find(name, key) for name, _ in names]

    def _find(self, name: str, key: TurnKey) -> Turn | None:
        newest = key is not TurnKey.RESPONSE
        rows = sorted(self.rows.values(), key=lambda row: row.started_at, reverse=newest)
        for row in rows:
            if name == getattr(row, _COLUMNS[key]):
                return Turn(*(getattr(row, column) for column in Turn._fields))
        return None


STEP = st.tuples(
    st.integers(0, 5),  # how many came behind the one that it goes on from; else it begins one
    st.sampled_from(["ask", "ask", "ask", "name", "retry"]),
    st.sampled_from("abc"),  # what is asked
    st.sampled_from("AB"),  # what is answered
    st.sampled_from(["", "", "", "flush", "restart", "again"]),  # what happens behind it
)


@settings(deadline=None, max_examples=150)
@given(st.lists(STEP, min_size=2, max_size=25))
def test_random_conversations(steps: list[tuple[int, str, str, str, str]]) -> None:
    """Forks, retries, interleaved sessions, whole inputs and named ones, with restarts anywhere."""
    talk, database = Conversation(), Rows()
    store: Any = database
    lineage = Lineage(store)
    histories: list[list[Any]] = []
    paths: list[str] = []  # what was said up to the end of each exchange
    parents: list[str | None] = []
    batch: list[Record] = []
    for place, how, question, answer, then in steps:
        from_exchange = len(histories) - 1 - place if place < min(len(histories), 5) else None
        if how == "retry" and histories:
            from_exchange = max(0, len(histories) - 3)
        history = [] if from_exchange is None else histories[from_exchange]
        path = "" if from_exchange is None else paths[from_exchange]
        if how == "name" and from_exchange is not None:
            named = f"resp_{from_exchange + 1}"
            record = talk.responses([asked(question)], answer, previous_response_id=named)
            parents.append(f"e{from_exchange + 1}")
        else:
            record = talk.responses([*history, asked(question)], answer)
            newest = max((n for n, one in enumerate(paths) if path and one == path), default=None)
            parents.append(None if newest is None else f"e{newest + 1}")
        histories.append([*history, asked(question), said(answer)])
        paths.append(path + question + answer)
        batch.append(record)
        if then:
            linked = lineage.link(batch)
            if then == "again":
                assert lineage.link(batch) == linked
            database.write(linked)
            batch = []
        if then == "restart":
            lineage = Lineage(store)
    database.write(lineage.link(batch))
    rows = [database.rows[f"e{number + 1}"] for number in range(len(steps))]
    assert [row.parent_exchange_id for row in rows] == parents
    roots = {row.exchange_id: row.session_id for row in rows}
    for row, parent in zip(rows, parents, strict=True):
        assert row.session_id == (roots[parent] if parent else row.exchange_id)
