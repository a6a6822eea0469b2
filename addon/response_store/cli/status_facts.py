"""The status of a database, as an object for programs and as facts for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import msgspec

from response_store.store.reading import SqlitePlace
from response_store.telling.figures import local_time, size
from response_store.telling.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from response_store.store.reading import Place
    from response_store.store.status import StoreStatus

Facts: TypeAlias = list[tuple[str, str]]


def database_object(found: StoreStatus) -> dict[str, object]:
    """Return all that is known, under the names of the fields."""
    columns = msgspec.structs.asdict(found)
    return {**msgspec.structs.asdict(columns.pop("place")), **columns}


def database_facts(found: StoreStatus) -> Facts:
    """Name and value of each line."""
    return [
        *_place(found.place),
        ("schema", _counts(found.versions, "{name} version {count}")),
        ("exchanges", _with_parts(found.exchanges, found.by_state)),
        ("apis", _counts(found.by_api) or "none"),
        ("responses", str(found.responses)),
        ("tenants", str(found.tenants)),
        ("open", _open(found)),
        ("first", local_time(found.first_started_at)),
        ("last", local_time(found.last_started_at)),
    ]


def _place(place: Place) -> Facts:
    database = ("database", one_line(place.database))
    match place:
        case SqlitePlace():
            sizes = f"{size(place.database_bytes)}, write-ahead log {size(place.wal_bytes)}"
            return [database, ("size", sizes)]
    tables = ", ".join(f"{name} {size(count)}" for name, count in place.table_bytes.items())
    return [
        database,
        ("server", one_line(f"PostgreSQL {place.server_version}")),
        ("size", f"{size(sum(place.table_bytes.values()))}: {tables}"),
    ]


def _with_parts(total: int, parts: Mapping[str, int]) -> str:
    return f"{total}: {_counts(parts)}" if parts else str(total)


def _counts(parts: Mapping[str, int], form: str = "{count} {name}") -> str:
    return one_line(", ".join(form.format(name=name, count=count) for name, count in parts.items()))


def _open(found: StoreStatus) -> str:
    if not found.open:
        return "0"
    return f"{found.open}, the oldest since {local_time(found.oldest_open_started_at)}"
