"""Nothing of one tenant is another's, in a SQLite file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.acceptance.trespassing import Trespasser
from tests.conftest import BY_TENANT
from tests.fakes.websocket import WebSocketSwitch
from tests.fakes.websocket_plays import usual

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import MakeProxy
    from tests.fakes.model_server import ModelServer


def test_every_endpoint_and_command(
    make_proxy: MakeProxy, model_server: ModelServer, tenant: str, tmp_path: Path
) -> None:
    """Whatever one asks for, what is another's is as if it had never been there, and stays."""
    WebSocketSwitch(model_server, usual)
    config = BY_TENANT | {"serve": "only", "capture": {"raw_bodies": "always"}}
    with make_proxy(config=config) as proxy:
        other = Trespasser(proxy, model_server, tenant)
        other.asks()
        other.runs_commands(tmp_path)
        other.left_them_alone()
