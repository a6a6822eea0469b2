"""Which rows are meant: those of a tenant, or the exchanges of a selection and what they name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from response_store.store.selection import Condition, Selection
from response_store.transfer.tables import EXCHANGES, Table

if TYPE_CHECKING:
    from response_store.store.reading import Reading

_FENCE = 1_000_000_000  # rows; keeps planners from looking for the filters' own indexes


def build_condition(table: Table, selection: Selection) -> Condition:
    """Return what stands after WHERE for the rows of a table.

    A tenant alone selects all of its rows. Further filters select exchanges, and of the other
    tables the rows that such an exchange names.
    """
    if table is EXCHANGES:
        return selection.condition()
    whose = Selection(tenant=selection.tenant).condition()
    filters = msgspec.structs.replace(selection, tenant=None)
    if filters == Selection():
        return whose
    named = filters.condition()
    (other,) = (name for name in table.key if name != "tenant_id")
    return Condition(
        f"{whose.sql} AND EXISTS (SELECT 1 FROM (SELECT * FROM {{exchanges}} AS turn"
        f" WHERE turn.{table.of_exchange} = {{{table.word}}}.{other}"
        f" AND turn.tenant_id || '' = {{{table.word}}}.tenant_id LIMIT {_FENCE}) AS named"
        f" WHERE {named.sql})",
        whose.values + named.values,
    )


def count_selected(reading: Reading, table: Table, selection: Selection) -> int:
    """Return how many rows are selected."""
    where, values = build_condition(table, selection)
    row = reading.row(f"SELECT count(*) FROM {{{table.word}}} WHERE {where}", values)
    return int(row[0]) if row else 0
