"""What a mix of exchanges must leave behind: one row each, whoever cut it off.

Whoever asks for something notes it first, with the ends that it may come to. A play that was over
before a kill was prepared is *settled*: its rows have to be as it says. What the kill cut off may
also have been stopped. Whether a row may be missing then is not a matter of clocks:

- An answer whose end the client has *seen* was committed before, so it has its row and its end.
- Before a kill the requests are *noted* that have reached the model server, and then the kill waits
  until each of them has a row, open or not. So a row may be missing only of a request that came
  after that, in the last quarter of a second and the time that a commit takes.
"""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.harness.database import Database, Row

Columns = dict[str, Any]
"""Values that a row must have; a frozenset names those that it may have."""

STOPPED: Columns = {"state": "interrupted", "ended_by": "proxy_stopped"}


@dataclass(eq=False)
class Life:
    """One process of the proxy, from its start until it is killed or stopped.

    `doomed` is set when its kill is prepared, `over` when it has ended.
    """

    number: int
    port: int
    doomed: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)


@dataclass(eq=False)
class Asked:
    """One exchange, as who asks knows it.

    `ends` are the ends that it may come to where nobody kills the proxy; without any it makes no
    row. `passing` are others that its row may have had meanwhile. `opens` says whether it has a
    row before its end, `response` what the client has got completed.
    """

    life: Life
    tenant: str
    model: str
    ends: tuple[Columns, ...]
    is_row: Callable[[Row], bool]
    passing: tuple[Columns, ...] = ()
    opens: bool = True
    seen: bool = False
    noted: bool = False
    settled: bool = False
    response: dict[str, Any] | None = None

    @property
    def certain(self) -> bool:
        """Whether its end is certain."""
        return self.settled or self.seen

    def complaint(self, rows: Iterable[Row]) -> str | None:
        """What is wrong with the rows of its tenant, as far as they are its own."""
        found = [row for row in rows if self.is_row(row)]
        least = int(bool(self.ends) and (self.certain or self.noted))
        most = int(bool(self.ends))
        if not least <= len(found) <= most:
            return f"{self}: {len(found)} rows, not {most}: {[_told(row) for row in found]}"
        allowed = self.ends if self.certain else (*self.ends, *self.passing, STOPPED)
        for row in found:
            if not any(holds(row, end) for end in allowed):
                return f"{self}: {_told(row)}, where {allowed} was to be"
        return None

    def __str__(self) -> str:
        flags = [name for name in ("seen", "noted", "settled") if getattr(self, name)]
        return f"{self.tenant} {self.model} (life {self.life.number}, {', '.join(flags) or 'cut'})"


def holds(row: Row, end: Columns) -> bool:
    """Whether a row has these values."""
    return all(
        row[name] in value if isinstance(value, frozenset) else row[name] == value
        for name, value in end.items()
    )


def complaints(all_asked: Sequence[Asked], database: Database) -> list[str]:
    """What is wrong with all rows there are, where this is all that was asked for."""
    rows, stored = by_tenant(database.exchanges()), by_tenant(database.responses())
    asked_by_tenant = defaultdict(list)
    for asked in all_asked:
        asked_by_tenant[asked.tenant].append(asked)
    told = [f"{tenant}: rows of nobody" for tenant in {*rows, *stored} - {*asked_by_tenant}]
    for tenant, group in asked_by_tenant.items():
        told += _complaints_of(group, rows[tenant], stored[tenant])
    return told


def missing(settled: Sequence[Asked], noted: Sequence[Asked], database: Database) -> list[str]:
    """What has to be there, but isn't yet: the rows of the settled as they end, those of others."""
    rows = by_tenant(database.exchanges())
    told = [said for asked in settled if (said := asked.complaint(rows[asked.tenant]))]
    return told + [
        f"{asked}: no row" for asked in noted if not any(map(asked.is_row, rows[asked.tenant]))
    ]


def by_tenant(rows: Iterable[Row]) -> defaultdict[str, list[Row]]:
    """The rows, by whose they are."""
    found: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row["tenant_id"]].append(row)
    return found


def _complaints_of(group: list[Asked], rows: list[Row], stored: list[Row]) -> list[str]:
    told = [said for asked in group if (said := asked.complaint(rows))]
    for row in rows:
        owners = [asked for asked in group if asked.is_row(row)]
        if len(owners) != 1:
            told.append(f"{_told(row)} belongs to {len(owners)} exchanges")
    objects = {row["id"]: json.loads(row["response_object"]) for row in stored}
    known = {row["response_id"] for row in rows}
    told += [f"{group[0].tenant}: response {one} of no row" for one in objects.keys() - known]
    for asked in group:
        if (seen := asked.response) is not None and (one := objects.get(seen["id"])) != seen:
            told.append(
                f"{asked}: its response is stored as {one!r:.600}, the client saw {seen!r:.600}"
            )
    return told


def _told(row: Row) -> str:
    names = ("tenant_id", "method", "path", "requested_model", "state", "ended_by", "status_code")
    told = ", ".join(str(row[name]) for name in names)
    return f"row {told}, {row['error_code']}, {row['output_text']!r}"
