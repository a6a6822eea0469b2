"""What a database holds, in numbers."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from response_store.store.reading import DatabaseLocation
from response_store.store.records import State

if TYPE_CHECKING:
    from response_store.store.reading import Reader

COUNTS = "SELECT state, api, count(*) FROM {exchanges} GROUP BY state, api"
RESPONSES = "SELECT count(*) FROM {responses}"
# Open rows are few, whatever statistics say of other states: the planner must not scan for them.
OLDEST_OPEN = """
SELECT started_at FROM {exchanges} {by_state}
WHERE state = ? ORDER BY started_at LIMIT 1"""

# Walks the index from tenant to tenant: the first and the last time of all rows would need a scan.
SPAN = """
WITH RECURSIVE tenant(id) AS (
    SELECT min(tenant_id) FROM {exchanges}
    UNION ALL
    SELECT (SELECT min(tenant_id) FROM {exchanges} WHERE tenant_id > tenant.id)
    FROM tenant WHERE tenant.id IS NOT NULL
)
SELECT count(id),
       min((SELECT min(started_at) FROM {exchanges} WHERE tenant_id = tenant.id)),
       max((SELECT max(started_at) FROM {exchanges} WHERE tenant_id = tenant.id))
FROM tenant"""


class StoreStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Counts over all tenants; times are Unix seconds, sizes bytes."""

    place: DatabaseLocation
    versions: dict[str, int]
    exchanges: int
    responses: int
    tenants: int
    by_state: dict[str, int]
    by_api: dict[str, int]
    open: int
    oldest_open_started_at: float | None
    first_started_at: float | None
    last_started_at: float | None


def read_status(reader: Reader) -> StoreStatus:
    """Count everything."""
    states, apis = Counter[str](), Counter[str]()
    for state, api, count in sorted(reader.rows(COUNTS)):
        states[state] += count
        apis[api] += count
    tenants, first, last = reader.rows(SPAN)[0]
    oldest_open = reader.row(OLDEST_OPEN, (State.OPEN.value,))
    return StoreStatus(
        place=reader.place(),
        versions=dict(reader.versions),
        exchanges=states.total(),
        responses=reader.rows(RESPONSES)[0][0],
        tenants=tenants,
        by_state=dict(states.most_common()),
        by_api=dict(apis.most_common()),
        open=states[State.OPEN],
        oldest_open_started_at=oldest_open[0] if oldest_open else None,
        first_started_at=first,
        last_started_at=last,
    )
