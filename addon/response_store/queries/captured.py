"""Count what a run of a proxy has captured, whoever else writes to the same database.

A run's rows are those of its recorder, whose id is in each of them. The time only leads the search
to the newest rows, whoever's they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from response_store.model.selection import Condition
from response_store.pricing.cost import CostSum
from response_store.queries.costs import compute_turn_costs
from response_store.queries.reader import EACH_TENANT

if TYPE_CHECKING:
    from response_store.pricing.prices import Prices
    from response_store.queries.reader import Reader

# Of each tenant only what is new is looked through.
_OURS = """
FROM {exchanges}
WHERE tenant_id IN (SELECT id FROM tenant) AND started_at >= ? AND recorder_id = ?"""
_MODEL = "coalesce(model, requested_model)"
_ERROR = "coalesce(error_code, substr(error_message, 1, 60))"
GROUPS = f"""{EACH_TENANT}
SELECT state, {_MODEL}, {_ERROR},
       min(substr(error_message, 1, 200)), count(*),
       CAST(sum(input_tokens) AS BIGINT), CAST(sum(cached_tokens) AS BIGINT),
       CAST(sum(output_tokens) AS BIGINT)
{_OURS}
GROUP BY 1, 2, 3"""
TENANTS = f"""{EACH_TENANT}
SELECT tenant_id, count(*) {_OURS}
GROUP BY 1"""

_CAPTURED = f"""
tenant_id IN ({EACH_TENANT} SELECT id FROM tenant) AND started_at >= ? AND recorder_id = ?"""
_KEYS = ("state", _MODEL, _ERROR)
UNSEEN = f"""{EACH_TENANT}
SELECT count(DISTINCT previous_response_id)
{_OURS} AND previous_response_id IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM {{exchanges}} AS earlier
    WHERE earlier.tenant_id = {{exchanges}}.tenant_id
      AND earlier.response_id = {{exchanges}}.previous_response_id)"""


CapturedKey: TypeAlias = tuple[str, str | None, str | None]
"""State, model and error code of a group."""
Costs: TypeAlias = Mapping[CapturedKey, CostSum]
NO_COSTS: Costs = MappingProxyType({})


class CapturedGroup(msgspec.Struct, frozen=True):
    """Exchanges of one model that ended alike; an error without a code is its message.

    `error_message` is that of one of them, at most 200 characters of it. Tokens are sums of what is
    known, or None.
    """

    state: str
    model: str | None
    error_code: str | None
    error_message: str | None
    exchanges: int
    input_tokens: int | None
    cached_tokens: int | None
    output_tokens: int | None

    @property
    def key(self) -> CapturedKey:
        """Return what tells it from other groups."""
        return self.state, self.model, self.error_code

    @property
    def error(self) -> str | None:
        """Code and message of an error; None where there was none."""
        if self.error_code is None or not self.error_message:
            return self.error_code
        is_message = self.error_message.startswith(self.error_code)
        return self.error_message if is_message else f"{self.error_code}: {self.error_message}"


def list_captured(reader: Reader, recorder_id: str, since: float) -> list[CapturedGroup]:
    """Return what a recorder has stored since a time in Unix seconds, the largest group first."""
    groups = [CapturedGroup(*row) for row in reader.rows(GROUPS, (since, recorder_id))]
    return sorted(groups, key=lambda one: (-one.exchanges, one.state, one.model or ""))


def compute_captured_costs(reader: Reader, recorder_id: str, since: float, prices: Prices) -> Costs:
    """Return what groups cost; nothing without prices."""
    if not prices:
        return {}
    condition = Condition(_CAPTURED, (since, recorder_id))
    keys = [Condition(key, ()) for key in _KEYS]
    costs = compute_turn_costs(reader, condition, keys, prices)
    return {(state, model, error): cost for (state, model, error), cost in costs.items()}


def list_captured_tenants(reader: Reader, recorder_id: str, since: float) -> list[str]:
    """Return the tenants of what a recorder has stored since
    then, the one with most of it first.
    """
    rows = reader.rows(TENANTS, (since, recorder_id))
    return [tenant for tenant, _ in sorted(rows, key=lambda row: (-row[1], row[0]))]


def count_unseen_turns(reader: Reader, recorder_id: str, since: float) -> int:
    """Return how many responses were gone on from since then that are in no exchange."""
    return int(reader.rows(UNSEEN, (since, recorder_id))[0][0])
