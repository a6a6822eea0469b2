"""`response-store status`: what the database holds, in numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import msgspec

from response_store.cli import output
from response_store.cli.figures import local_time, size
from response_store.cli.printable import one_line
from response_store.cli.source import config_option, database_option, json_option, opened

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from response_store.store.status import StoreStatus


HELP = """Say what the database holds: exchanges by state and API, responses, times and sizes.

All tenants are counted. An exchange is open while its answer is on the way.

\b
Examples:
  response-store status
  response-store status --config proxy.yaml
  response-store status --json
"""


@click.command("status", help=HELP)
@config_option
@database_option
@json_option
def status_command(config: Path | None, database: Path | None, as_json: bool) -> None:
    """Say what the database holds: exchanges by state and API, responses, times and sizes."""
    with opened(config, database) as source:
        found = source.query.status()
    if as_json:
        output.write_json(msgspec.structs.asdict(found))
    elif output.to_terminal():
        _show(facts(found))
    else:
        output.write_text("".join(f"{name}\t{value}\n" for name, value in facts(found)))


def facts(found: StoreStatus) -> list[tuple[str, str]]:
    """Name and value of each line."""
    return [
        ("database", one_line(found.database)),
        ("size", f"{size(found.database_bytes)}, write-ahead log {size(found.wal_bytes)}"),
        ("schema", _counts(found.versions, "{name} version {count}")),
        ("exchanges", _with_parts(found.exchanges, found.by_state)),
        ("apis", _counts(found.by_api) or "none"),
        ("responses", str(found.responses)),
        ("tenants", str(found.tenants)),
        ("open", _open(found)),
        ("first", local_time(found.first_started_at)),
        ("last", local_time(found.last_started_at)),
    ]


def _with_parts(total: int, parts: Mapping[str, int]) -> str:
    return f"{total}: {_counts(parts)}" if parts else str(total)


def _counts(parts: Mapping[str, int], form: str = "{count} {name}") -> str:
    return one_line(", ".join(form.format(name=name, count=count) for name, count in parts.items()))


def _open(found: StoreStatus) -> str:
    if not found.open:
        return "0"
    return f"{found.open}, the oldest since {local_time(found.oldest_open_started_at)}"


def _show(lines: list[tuple[str, str]]) -> None:
    from response_store.cli.facts import print_facts  # noqa: PLC0415 (rich only here)

    print_facts(output.terminal(), lines)
