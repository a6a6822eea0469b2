"""What a database holds and what would go, in numbers; nothing is changed.

A SQLite file takes the room of its pages in use: those that are free are filled again before it
grows. In PostgreSQL the rows' own values are counted; indexes and the room of rows that are gone
are not, as they shrink only when the server tidies up.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from response_store.store.reading import Reader
from response_store.store.records import State
from response_store.store.selection import Condition, Selection

if TYPE_CHECKING:
    from collections.abc import Iterable

    from response_store.store.reading import Reader

# Walks the index from tenant to tenant: there are few of them, and many rows.
_TENANTS = """
WITH RECURSIVE tenant(id) AS (
    SELECT min(tenant_id) FROM {exchanges}
    UNION ALL
    SELECT (SELECT min(tenant_id) FROM {exchanges} WHERE tenant_id > tenant.id)
    FROM tenant WHERE tenant.id IS NOT NULL
)
SELECT id FROM tenant WHERE id IS NOT NULL"""
_COUNT = "SELECT count(*) FROM {exchanges}"
_NTH = "SELECT started_at FROM {exchanges} ORDER BY started_at LIMIT 1 OFFSET ?"
_PAGES = """
SELECT (page_count - freelist_count) * page_size
FROM pragma_page_count(), pragma_freelist_count(), pragma_page_size()"""
_BULKY = ("request_body", "result", "output_text", "raw_response")
_BULKY_OF_RESPONSE = ("response_object", "input", "messages")
_ROW_BYTES = 600  # of the other columns and the indexes, roughly


class Survey(msgspec.Struct, frozen=True):
    """What a selection covers: times are Unix seconds, `bytes` is an estimate of the space it
    takes.
    """

    exchanges: int
    oldest: float | None
    newest: float | None
    bytes: int


def list_tenants(reader: Reader) -> list[str]:
    """Return all tenants of the database."""
    return [tenant for (tenant,) in reader.rows(_TENANTS)]


def measure_used_bytes(reader: Reader) -> int:
    """Return how many bytes the stored rows take."""
    if reader.dialect == "sqlite":
        return int(reader.rows(_PAGES)[0][0])
    total = 0
    for table, columns in (("exchanges", _BULKY), ("responses", _BULKY_OF_RESPONSE)):
        sizes = _build_size_sql(reader, columns)
        statement = f"SELECT coalesce(sum({sizes} + {_ROW_BYTES}), 0) FROM {{{table}}}"
        total += int(reader.rows(statement)[0][0])
    return total


def survey_selection(reader: Reader, selection: Selection) -> Survey:
    """Count and measure what a selection would remove."""
    where = build_removable_condition(selection)
    row_bytes = f"{_build_size_sql(reader, _BULKY)} + {_ROW_BYTES}"
    count, oldest, newest, size = reader.rows(
        f"SELECT count(*), min(started_at), max(started_at), coalesce(sum({row_bytes}), 0)"
        f" FROM {{exchanges}} WHERE {where.sql}",
        where.values,
    )[0]
    of_responses = reader.rows(
        f"SELECT coalesce(sum({_build_size_sql(reader, _BULKY_OF_RESPONSE)}), 0)"
        " FROM {responses} WHERE (tenant_id, id) IN"
        f" (SELECT tenant_id, response_id FROM {{exchanges}} WHERE {where.sql})",
        where.values,
    )[0][0]
    return Survey(count, oldest, newest, int(size) + int(of_responses))


def build_removable_condition(selection: Selection) -> Condition:
    """Return the condition of a selection, without open exchanges: those are still written."""
    sql, values = selection.condition()
    return Condition(f"state <> '{State.OPEN.value}' AND ({sql})", tuple(values))


def select_excess(
    reader: Reader, max_bytes: int, share: float = 1.0
) -> tuple[Selection, int] | None:
    """Return a selection of the oldest exchanges that are too much, and how many; None if all fit.

    As many as make up the excess if all are alike, or that `share` of them.
    """
    used = measure_used_bytes(reader)
    if used <= max_bytes:
        return None
    count = int(reader.rows(_COUNT)[0][0])
    wanted = max(math.ceil(share * count * (used - max_bytes) / used), 1)
    return select_oldest(reader, wanted), wanted


def select_oldest(reader: Reader, wanted: int) -> Selection:
    """Return a selection of the `wanted` oldest exchanges; all of them where there are fewer."""
    found = reader.rows(_NTH, (wanted - 1,))
    return Selection(until=math.nextafter(found[0][0], math.inf)) if found else Selection()


def _build_size_sql(reader: Reader, columns: Iterable[str]) -> str:
    """Return the SQL for the stored bytes of some columns."""
    in_file = reader.dialect == "sqlite"
    size = "length(CAST({} AS BLOB))" if in_file else "pg_column_size({})"
    return " + ".join(f"coalesce({size.format(column)}, 0)" for column in columns)
