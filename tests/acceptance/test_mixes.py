"""What real clients send gives the sessions that they had, also where they run at once."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from response_store.cli import main
from tests.acceptance.mix_play import NAMES, describe_rows, play, read_expected
from tests.fakes.websocket import WebSocketSwitch
from tests.fakes.websocket_plays import usual
from tests.harness.on_databases import BACKENDS, proxy_on

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.model_server import ModelServer


@pytest.mark.parametrize("backend", BACKENDS)
def test_sessions_of_real_clients(
    backend: str,
    request: pytest.FixtureRequest,
    model_server: ModelServer,
    authority: Path,
    tenant: str,
    tmp_path: Path,
) -> None:
    """Turns, forks, subagents, compacted conversations and two at once have their places.

    That is so for Codex over sockets and SSE, opencode, llm, openai-agents and aider beside one
    another, in either database; and `list --sessions` counts the turns of each.
    """
    switch = WebSocketSwitch(model_server, usual)
    mode = f"reverse:{model_server.url}"
    with proxy_on(backend, request, tmp_path, authority=authority, mode=mode) as stage:
        owners = play(stage.proxy, tenant, model_server, switch)
        rows = stage.database.all_ended(tenant, len(owners))
        for client in NAMES:
            assert describe_rows(rows, owners, client) == read_expected(client), client
        stage.proxy.flush()
        arguments = ["list", "--sessions", "--json", "--tenant", tenant, "-n", "100"]
        result = CliRunner().invoke(main, [*arguments, *stage.source])
    assert result.exit_code == 0, result.output
    listed = {one["session_id"]: one["turns"] for one in json.loads(result.stdout)["sessions"]}
    assert listed == Counter(row["session_id"] for row in rows)
