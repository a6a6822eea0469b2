"""The invariant of `tests/acceptance/test_invariant.py`, with the rows in PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.postgres.looking import journals_of, rows_of
from tests.harness.mixed_run import play_mix
from tests.harness.proxy import wait_until

if TYPE_CHECKING:
    from tests.acceptance.postgres.conftest import OnPostgres
    from tests.harness.postgres import PostgresDatabase
    from tests.harness.proxy import Proxy


@pytest.mark.timeout(600)
def test_mix(on_postgres: OnPostgres, plain_database: PostgresDatabase) -> None:
    """Each exchange of a mix comes to PostgreSQL once, and no journal stays."""

    def make(settings: dict[str, Any], **how: Any) -> Proxy:
        return on_postgres(plain_database.url(), how=how, **settings)

    proxy = play_mix(make, rows_of(plain_database), 60)
    wait_until(lambda: journals_of(proxy) == [], "all is applied, and the journals are gone", 20)
