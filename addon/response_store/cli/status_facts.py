"""The status of a database, as an object for programs and as facts for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import msgspec

from response_store.store.reading import SqliteLocation
from response_store.telling.figures import format_size, format_time
from response_store.telling.printable import put_on_one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from response_store.store.reading import DatabaseLocation
    from response_store.store.status import StoreStatus

Facts: TypeAlias = list[tuple[str, str]]


def build_database_object(status: StoreStatus) -> dict[str, object]:
    """Return all that is known, under the names of the fields."""
    columns = msgspec.structs.asdict(status)
    return {**msgspec.structs.asdict(columns.pop("place")), **columns}


def list_database_facts(status: StoreStatus) -> Facts:
    """Name and value of each line."""
    return [
        *_describe_place(status.place),
        ("schema", _format_counts(status.versions, "{name} version {count}")),
        ("exchanges", _format_total(status.exchanges, status.by_state)),
        ("apis", _format_counts(status.by_api) or "none"),
        ("responses", str(status.responses)),
        ("tenants", str(status.tenants)),
        ("open", _describe_open(status)),
        ("first", format_time(status.first_started_at)),
        ("last", format_time(status.last_started_at)),
    ]


def _describe_place(place: DatabaseLocation) -> Facts:
    database = ("database", put_on_one_line(place.database))
    match place:
        case SqliteLocation():
            log = f"write-ahead log {format_size(place.wal_bytes)}"
            return [database, ("size", f"{format_size(place.database_bytes)}, {log}")]
    tables = ", ".join(f"{name} {format_size(count)}" for name, count in place.table_bytes.items())
    return [
        database,
        ("server", put_on_one_line(f"PostgreSQL {place.server_version}")),
        ("size", f"{format_size(sum(place.table_bytes.values()))}: {tables}"),
    ]


def _format_total(total: int, parts: Mapping[str, int]) -> str:
    return f"{total}: {_format_counts(parts)}" if parts else str(total)


def _format_counts(parts: Mapping[str, int], form: str = "{count} {name}") -> str:
    return put_on_one_line(
        ", ".join(form.format(name=name, count=count) for name, count in parts.items())
    )


def _describe_open(status: StoreStatus) -> str:
    if not status.open:
        return "0"
    return f"{status.open}, the oldest since {format_time(status.oldest_open_started_at)}"
