"""Answers in the dialects of other people's servers: each is right in its row, on both databases.

All of them pass one real mitmdump a database, a tenant each.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.wire_expect import Checker
from tests.acceptance.wire_play import answer_bytes, load_cases, play
from tests.fakes.websocket import WebSocketSwitch
from tests.fakes.websocket_plays import usual
from tests.harness.on_databases import BACKENDS, Stage, proxy_on

if TYPE_CHECKING:
    from tests.fakes.model_server import ModelServer


CASES = load_cases()


@pytest.fixture(scope="module")
def switch(model_server: ModelServer) -> WebSocketSwitch:
    """The sockets of the model server."""
    return WebSocketSwitch(model_server, usual)


@pytest.fixture(scope="module", params=BACKENDS)
def stage(
    request: pytest.FixtureRequest,
    model_server: ModelServer,
    authority: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stage]:
    """A reverse proxy before the model server, on SQLite and then on PostgreSQL."""
    folder = tmp_path_factory.mktemp(f"wire-{request.param}")
    mode = f"reverse:{model_server.url}"
    with proxy_on(request.param, request, folder, authority=authority, mode=mode) as stage:
        yield stage


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
