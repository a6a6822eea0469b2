"""Answers in the dialects of other people's servers: each is right in its row, on both databases.

All of them pass one real mitmdump a database, a tenant each.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.postgres.looking import rows_of
from tests.acceptance.wire_expect import Checker
from tests.acceptance.wire_play import answer_bytes, load_cases, play
from tests.conftest import BY_TENANT
from tests.fakes.websocket import WebSocketSwitch
from tests.fakes.websocket_plays import usual
from tests.harness.journals import journals_in
from tests.harness.proxy import Proxy

if TYPE_CHECKING:
    from tests.fakes.model_server import ModelServer
    from tests.harness.database import Database
    from tests.harness.postgres import Postgres

pytestmark = pytest.mark.one_python

CASES = load_cases()


@dataclass(frozen=True)
class Stage:
    """A running proxy, its database, and the options that name that to a command."""

    proxy: Proxy
    database: Database
    source: list[str]


@pytest.fixture(scope="module")
def switch(model_server: ModelServer) -> WebSocketSwitch:
    """The sockets of the model server."""
    return WebSocketSwitch(model_server, usual)


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def stage(
    request: pytest.FixtureRequest,
    model_server: ModelServer,
    authority: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stage]:
    """A reverse proxy before the model server, on SQLite and then on PostgreSQL."""
    folder = tmp_path_factory.mktemp(f"wire-{request.param}")
    mode = f"reverse:{model_server.url}"
    if request.param == "sqlite":
        with Proxy(folder, authority=authority, mode=mode, config=BY_TENANT) as proxy:
            yield Stage(proxy, proxy.database, ["--database", str(proxy.database.path)])
        return
    server: Postgres = request.getfixturevalue("plain_postgres")
    database = server.create_database()
    config = BY_TENANT | journals_in(folder)
    config |= {"database_url": database.url(), "allow_private_database_url": True}
    config |= {"ssl_mode": "disable"}
    with Proxy(folder, authority=authority, mode=mode, config=config) as proxy:
        yield Stage(proxy, rows_of(database), ["--config", str(folder / "config.yaml")])
    database.drop()


@pytest.mark.parametrize("case_id", CASES)
def test_case(
    stage: Stage, model_server: ModelServer, switch: WebSocketSwitch, case_id: str
) -> None:
    """The client gets the upstream's bytes, and the rows are what was said."""
    case = CASES[case_id]
    play(case, stage.proxy.port, case_id, model_server, switch)
    stage.proxy.flush()
    sent = b"" if "messages" in case else answer_bytes(case)
    Checker(stage.database, case_id, stage.source, sent).check(case["expect"])
