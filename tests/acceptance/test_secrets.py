"""No secret that passes through the proxy is found in anything it writes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import BY_TENANT
from tests.fakes.answers import Gate
from tests.harness.clients import CHAT, RawClient, asking, chatting, fetch
from tests.harness.database import unpacked
from tests.harness.journals import journal_files, journals_in
from tests.harness.proxy import Proxy, wait_until
from tests.harness.streams import LAST_DELTA, TERMINAL, halfway

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fakes.model_server import ModelServer

CANARY = "canary"
HEADERS = {
    "authorization": "Bearer canary-authorization",
    "api-key": "canary-api-key",
    "x-api-key": "canary-x-api-key",
    "cookie": "session=canary-cookie",
    "chatgpt-account-id": "canary-account",
    "x-codex-turn-metadata": "canary-turn",
    "proxy-authorization": "Basic canary-proxy",
    "x-custom": "canary-custom",
}
MCP = {
    "type": "mcp",
    "server_label": "docs",
    "server_url": "https://docs.example/mcp",
    "authorization": "canary-mcp-authorization",
    "headers": {"X-Token": "canary-mcp-header", "Authorization": "Bearer canary-mcp-bearer"},
    "require_approval": "never",
}
CONTAINER = {
    "type": "code_interpreter",
    "container": {
        "type": "auto",
        "network_policy": {
            "type": "allowlist",
            "domain_secrets": [
                {"domain": "a.example", "name": "KEY", "value": "canary-domain-secret"}
            ],
        },
    },
}
QUERY = "?api-version=2025-04-01&api-key=canary-query&key=canary-key&sig=canary-sig"


@pytest.fixture(scope="module")
def watched(
    model_server: ModelServer, authority: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    """A proxy whose every written byte is looked at."""
    folder = tmp_path_factory.mktemp("watched")
    with Proxy(
        folder,
        authority=authority,
        mode=f"reverse:{model_server.url}",
        config=BY_TENANT | journals_in(folder),
    ) as proxy:
        yield proxy


def secretive(model: str, **fields: Any) -> dict[str, Any]:
    """A request with a secret in each place that the API has for one."""
    return asking(model, tools=[MCP, CONTAINER], **fields)


def written(proxy: Proxy) -> dict[str, str]:
    """All that the proxy has written or said, by where it stands."""
    texts = journal_files(proxy)  # first of all: what is written is gone a moment later
    assert any(text for name, text in texts.items() if name.endswith(".seg"))
    texts |= {"tables": proxy.database.dump(), "status": proxy.command("response_store.status")}
    for path in proxy.folder.iterdir():
        if path.is_file() and path.name != "config.yaml":
            texts[path.name] = path.read_bytes().decode("latin-1")
    return texts


ENDS = ["usual", "failed", "error-nested", "failed-500", "refused-401", "lingering"]


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("model", ENDS)
def test_no_secret_is_kept(watched: Proxy, tenant: str, model: str, *, streamed: bool) -> None:
    """Headers, query parameters and credentials in bodies leave no trace, however it ends."""
    headers = {name.replace("-", "_"): value for name, value in HEADERS.items()}
    with RawClient(watched.port) as client:
        body = secretive(model, stream=streamed)
        reply = client.ask(body, path=f"/v1/responses{QUERY}", x_tenant=tenant, **headers)
        client.read_until(reply, TERMINAL if model == "lingering" else None)
    row = watched.database.ended(tenant)
    assert row["path"] == "/v1/responses?api-version=2025-04-01"
    assert row["request_body"] is not None
    assert [place for place, text in written(watched).items() if CANARY in text] == []


def test_no_secret_is_kept_of_a_cut_stream(
    watched: Proxy, model_server: ModelServer, tenant: str
) -> None:
    """The raw bytes of a stream that was cut off repeat no credential of the request."""
    model = model_server.play(halfway(Gate(), go_on=True))
    with RawClient(watched.port) as client:
        reply = client.ask(secretive(model, stream=True), x_tenant=tenant)
        client.read_until(reply, LAST_DELTA)
    row = watched.database.ended(tenant)
    assert b"response.created" in unpacked(row["raw_response"])
    assert [place for place, text in written(watched).items() if CANARY in text] == []


def test_no_secret_is_kept_of_an_open_row(
    watched: Proxy, model_server: ModelServer, tenant: str
) -> None:
    """A row that is still open holds no credential either."""
    gate = Gate()
    with RawClient(watched.port) as client:
        model = model_server.play(halfway(gate, go_on=True))
        reply = client.ask(secretive(model, stream=True), x_tenant=tenant)
        wait_until(lambda: watched.database.exchanges(tenant), "an open row is there")
        assert [place for place, text in written(watched).items() if CANARY in text] == []
        gate.open()
        client.read_to_end(reply)


def test_no_secret_is_kept_of_a_chat(watched: Proxy, tenant: str) -> None:
    """Chat completions keep no credential either."""
    headers = {name.replace("-", "_"): value for name, value in HEADERS.items()}
    fetch(watched.port, chatting(tools=[MCP]), tenant, path=CHAT, **headers)
    assert watched.database.ended(tenant)["state"] == "completed"
    assert [place for place, text in written(watched).items() if CANARY in text] == []


def test_all_else_is_kept(watched: Proxy, model_server: ModelServer, tenant: str) -> None:
    """Only the credentials are masked; the server gets them, and the rest is kept."""
    sent = secretive("usual")
    fetch(watched.port, sent, tenant)
    assert model_server.recordings.only(tenant).request.fields == sent
    kept = json.loads(unpacked(watched.database.ended(tenant)["request_body"]))
    mcp, container = kept["tools"]
    assert mcp["authorization"] not in ("", MCP["authorization"])
    assert set(mcp["headers"]) == {"X-Token", "Authorization"}
    secret = container["container"]["network_policy"]["domain_secrets"][0]
    assert (secret["domain"], secret["name"]) == ("a.example", "KEY")
    for tool in (mcp, container):
        assert CANARY not in json.dumps(tool)
    assert {**kept, "tools": []} == {**sent, "tools": []}
    assert mcp["server_url"] == MCP["server_url"]
