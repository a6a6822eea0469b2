"""Search an index: which exchanges have all terms, the best first.

Statements are in the words of `queries/reader.py`; what differs between the databases is how one
term is looked up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from response_store.model.selection import Condition, Selection
from response_store.queries.exchanges import SUMMARY_FIELDS, Summary, build_summary
from response_store.queries.reader import Reader, Row
from response_store.search import tokenizer as spelling
from response_store.search.index import count_unindexed, read_row
from response_store.search.snippets import Snippet, build_snippet
from response_store.search.texts import extract_texts
from response_store.search.tokenizer import Term

# bm25 is the smaller the better. It can't stand in an aggregate: hence two steps.
_SQLITE_TERM = """
SELECT found / 65536 AS entry, max(-score) AS score
FROM (SELECT rowid AS found, rank AS score FROM {exchanges_search_words}
      WHERE {exchanges_search_words} MATCH ? LIMIT -1 OFFSET 0)
GROUP BY found / 65536"""
_POSTGRES_TERM = """
SELECT exchange_id AS entry, max(ts_rank(words, looked_for)) AS score
FROM {exchanges_search_words}, CAST(? AS tsquery) AS looked_for
WHERE words @@ looked_for GROUP BY exchange_id"""
_WORDS_ARE_KEPT = """
SELECT 1 FROM sqlite_master, pragma_module_list
WHERE type = 'trigger' AND sqlite_master.name = trim('{exchanges_search_words_trigger}', '"')
    AND pragma_module_list.name = 'fts5'"""
_SUMMARY = ", ".join(f"e.{name}" for name in SUMMARY_FIELDS[:-1])


class Hit(NamedTuple):
    """An exchange that has all terms; the higher the score, the better.

    `snippet` is None where the exchange has changed since it was indexed.
    """

    summary: Summary
    score: float
    snippet: Snippet | None


class SearchResult(NamedTuple):
    """The best hits, how many there are in all, and how many exchanges are not indexed."""

    hits: tuple[Hit, ...]
    total: int
    unindexed: int


def search(
    reader: Reader,
    terms: Sequence[Term],
    selection: Selection,
    limit: int,
    unindexed: int | None = None,
) -> SearchResult:
    """Return the best `limit` hits of a selection, in one state of the database.

    Without terms there are no hits, and neither without a tenant in the selection. Who has just
    counted what is not indexed passes the number as `unindexed`: counting reads whole tables.
    Raises StoreError.
    """
    if not terms:
        return SearchResult((), 0, count_unindexed(reader.rows) if unindexed is None else unindexed)
    with reader.snapshot():
        statement, values = _build_statement(reader, terms, selection)
        rows = reader.rows(statement, (*values, limit))
        hits = tuple(_build_hit(reader, terms, columns) for columns in rows)
        total = int(rows[0][1]) if rows else 0
        return SearchResult(
            hits, total, count_unindexed(reader.rows) if unindexed is None else unindexed
        )


def is_searchable(reader: Reader) -> bool:
    """Return whether words are indexed: a SQLite file that was never opened with FTS5 has none."""
    if reader.dialect != "sqlite":
        return True
    return bool(reader.rows(_WORDS_ARE_KEPT))


def _build_statement(reader: Reader, terms: Sequence[Term], selection: Selection) -> Condition:
    sqlite = reader.dialect == "sqlite"
    one, spelled = (
        (_SQLITE_TERM, spelling.format_fts5)
        if sqlite
        else (_POSTGRES_TERM, spelling.format_tsquery)
    )
    key = "entry_id" if sqlite else "exchange_id"
    numbers = range(len(terms))
    steps = ", ".join(f"t{number} AS MATERIALIZED ({one})" for number in numbers)
    joined = " ".join(f"JOIN t{number} ON t{number}.entry = s.{key}" for number in numbers)
    score = " + ".join(f"t{number}.score" for number in numbers)
    narrowed = _build_filter(selection)
    statement = f"""
        WITH {steps}, best AS MATERIALIZED (
            SELECT s.exchange_id, s.started_at, {score} AS score, count(*) OVER () AS total
            FROM {{exchanges_search}} s {joined}
            WHERE s.tenant_id = ? {narrowed.sql}
            ORDER BY score DESC, s.started_at DESC, s.exchange_id LIMIT ?)
        SELECT best.score, best.total, {_SUMMARY}
        FROM best JOIN {{exchanges}} e ON e.exchange_id = best.exchange_id
        ORDER BY best.score DESC, best.started_at DESC, best.exchange_id"""
    spelt = (spelled(term) for term in terms)
    return Condition(statement, (*spelt, selection.tenant, *narrowed.values))


def _build_filter(selection: Selection) -> Condition:
    """Return the filters but the tenant's, which the index has itself."""
    others = msgspec.structs.replace(selection, tenant=None)
    if others == Selection():
        return Condition("", ())
    # Looked up for each hit, and not the other way round.
    sql, values = others.condition()
    among = f"SELECT 1 FROM {{exchanges}} x WHERE x.exchange_id = s.exchange_id AND ({sql})"
    return Condition(f"AND EXISTS ({among})", values)


def _build_hit(reader: Reader, terms: Sequence[Term], columns: Row) -> Hit:
    score, _, *summary = columns
    shown = build_summary((*summary, None))
    exchange = read_row(reader.rows, shown.exchange_id)
    texts = extract_texts(exchange).texts if exchange else ()
    return Hit(shown, float(score), build_snippet(texts, terms))
