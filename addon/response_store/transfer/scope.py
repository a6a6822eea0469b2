"""The rows to transfer: those of a tenant, or the exchanges of a selection and what they name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from response_store.store.selection import Condition, Selection
from response_store.transfer.tables import EXCHANGES, Table

if TYPE_CHECKING:
    from response_store.store.reading import Reader

_FENCE = 1_000_000_000  # rows; keeps planners from looking for the filters' own indexes


def build_condition(table: Table, selection: Selection) -> Condition:
    """Return what stands after WHERE for the rows of a table.

    A tenant alone selects all of its rows. Further filters select exchanges, and of the other
    tables the rows that such an exchange names.
    """
    if table is EXCHANGES:
        return selection.condition()
    tenant_condition = Selection(tenant=selection.tenant).condition()
    filters = msgspec.structs.replace(selection, tenant=None)
    if filters == Selection():
        return tenant_condition
    exchange_condition = filters.condition()
    (other,) = (name for name in table.key if name != "tenant_id")
    return Condition(
        f"{tenant_condition.sql} AND EXISTS (SELECT 1 FROM (SELECT * FROM {{exchanges}} AS turn"
        f" WHERE turn.{table.of_exchange} = {{{table.word}}}.{other}"
        f" AND turn.tenant_id || '' = {{{table.word}}}.tenant_id LIMIT {_FENCE}) AS named"
        f" WHERE {exchange_condition.sql})",
        tenant_condition.values + exchange_condition.values,
    )


def count_selected(reader: Reader, table: Table, selection: Selection) -> int:
    """Return how many rows are selected."""
    where, values = build_condition(table, selection)
    row = reader.row(f"SELECT count(*) FROM {{{table.word}}} WHERE {where}", values)
    return int(row[0]) if row else 0
