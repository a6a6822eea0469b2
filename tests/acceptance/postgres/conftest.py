"""Proxies that write to PostgreSQL, and a server that a test may kill."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import BY_TENANT, MakeProxy
from tests.harness.journals import journals_in
from tests.harness.postgres import Postgres, Template
from tests.harness.proxy import Proxy

OnPostgres = Callable[..., Proxy]


@pytest.fixture
def on_postgres(make_proxy: MakeProxy, tmp_path: Path) -> OnPostgres:
    """Makes a proxy, not yet started, that writes to the database of a URL.

    `settings` go into its YAML, `how` to `Proxy`. The name of a folder makes two of them share it,
    and with it the folder of journals.
    """

    def make(
        url: str, folder: str = "proxy", *, how: dict[str, Any] | None = None, **settings: Any
    ) -> Proxy:
        reached = {
            "database_url": url,
            "allow_private_database_url": True,
            "ssl_mode": "disable",
            **journals_in(tmp_path / folder),
        }
        return make_proxy(folder, config=BY_TENANT | reached | settings, **(how or {}))

    return make


@pytest.fixture(scope="module")
def mortal(postgres_template: Template) -> Iterator[Postgres]:
    """A server that the tests of a module may end; each leaves it running."""
    with Postgres(postgres_template) as server:
        yield server
