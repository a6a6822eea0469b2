"""A proxy that writes to either database, for tests whose rows have to be the same in both."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.acceptance.postgres.looking import rows_of
from tests.conftest import BY_TENANT
from tests.harness.journals import journals_in
from tests.harness.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import pytest

    from tests.harness.database import Database
    from tests.harness.postgres import Postgres

BACKENDS = ["sqlite", "postgres"]


@dataclass(frozen=True)
class Stage:
    """A running proxy, its database, and the options that name that to a command."""

    proxy: Proxy
    database: Database
    source: list[str]


@contextmanager
def proxy_on(
    backend: str,
    request: pytest.FixtureRequest,
    folder: Path,
    config: Mapping[str, Any] | None = None,
    **how: Any,
) -> Iterator[Stage]:
    """Run a proxy in a folder, on a file there or on a PostgreSQL database of its own."""
    settings = BY_TENANT | dict(config or {})
    if backend == "sqlite":
        with Proxy(folder, config=settings, **how) as proxy:
            yield Stage(proxy, proxy.database, ["--database", str(proxy.database.path)])
        return
    server: Postgres = request.getfixturevalue("plain_postgres")
    database = server.create_database()
    settings |= journals_in(folder) | {"database_url": database.url(), "ssl_mode": "disable"}
    settings |= {"allow_private_database_url": True}
    with Proxy(folder, config=settings, **how) as proxy:
        yield Stage(proxy, rows_of(database), ["--config", str(folder / "config.yaml")])
    database.drop()
