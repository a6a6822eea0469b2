"""An upstream that is not running: stored responses are served, requests have answer and row.

mitmproxy is started as README says it, in reverse mode with its own defaults.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import openai
import pytest

from tests.acceptance.served import created, get
from tests.conftest import BY_TENANT
from tests.harness.clients import asking, fetch, sdk
from tests.harness.ports import free_port
from tests.harness.proxy import Proxy

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.model_server import ModelServer


@pytest.fixture(scope="module", params=["http", "https"])
def proxy(
    request: pytest.FixtureRequest,
    model_server: ModelServer,
    authority: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Proxy, str]]:
    """A proxy before an upstream that is not running, and a response that it has stored before."""
    folder = tmp_path_factory.mktemp("down")
    config = BY_TENANT | {"serve": "only"}
    there = f"reverse:{model_server.url}"
    upstream = f"{request.param}://127.0.0.1:{free_port()}"
    with Proxy(folder, authority=authority, mode=there, config=config) as up:
        response_id = created(up, "stored")
        up.flush()
    with Proxy(folder, authority=authority, mode=f"reverse:{upstream}", config=config) as down:
        yield down, response_id


def test_what_is_stored_is_served(proxy: tuple[Proxy, str]) -> None:
    """The SDK retrieves it and lists its input; what is not stored is not found."""
    down, response_id = proxy
    with sdk(down.url, "stored") as client:
        assert client.responses.retrieve(response_id).id == response_id
        assert client.responses.input_items.list(response_id).data
        with client.responses.retrieve(response_id, stream=True) as events:
            assert [event.type for event in events][-1] == "response.completed"
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve("resp_unknown")
    assert get(down, "stored", response_id, "DELETE").status == 200


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/chat/completions"])
def test_what_is_asked_has_an_answer_and_a_row(
    proxy: tuple[Proxy, str], tenant: str, path: str
) -> None:
    """The client is told that the upstream can't be reached, and the request is kept."""
    down, _ = proxy
    content = "input" if path == "/v1/responses" else "messages"
    reply = fetch(down.port, {"model": "m", content: [{"role": "user", "content": "Hi"}]}, tenant,
                  path=path)  # fmt: skip
    assert reply.status == 502
    down.flush()
    row = down.database.exchange(tenant)
    assert (row["state"], row["ended_by"]) == ("interrupted", "upstream")
    assert row["request_body"] is not None


def test_without_serving(authority: Path, tmp_path: Path) -> None:
    """A proxy with the defaults alone answers and keeps a row as well."""
    mode = f"reverse:http://127.0.0.1:{free_port()}"
    with Proxy(tmp_path, authority=authority, mode=mode) as down:
        assert fetch(down.port, asking(), "default").status == 502
        down.flush()
        assert len(down.database.exchanges()) == 1
