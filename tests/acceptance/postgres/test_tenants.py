"""Nothing of one tenant is another's, in PostgreSQL and in the journal before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.acceptance.trespassing import Trespasser
from tests.fakes.websocket import WebSocketSwitch
from tests.fakes.websocket_plays import usual

if TYPE_CHECKING:
    from pathlib import Path

    from tests.acceptance.postgres.conftest import OnPostgres
    from tests.fakes.model_server import ModelServer
    from tests.harness.postgres import PostgresDatabase


def test_every_endpoint_and_command(
    on_postgres: OnPostgres,
    plain_database: PostgresDatabase,
    model_server: ModelServer,
    tenant: str,
    tmp_path: Path,
) -> None:
    """Whatever one asks for, what is another's is as if it had never been there, and stays."""
    WebSocketSwitch(model_server, usual)
    how = {"serve": "only", "capture": {"raw_bodies": "always"}}
    with on_postgres(plain_database.url(), **how) as proxy:
        other = Trespasser(proxy, model_server, tenant)
        other.asks()
        other.runs_commands(tmp_path)
        other.left_them_alone()
