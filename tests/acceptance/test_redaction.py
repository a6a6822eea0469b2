"""With `redact`, no secret is found in anything that the proxy writes, wherever it came."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.redacting import ARGUMENTS, CANARY, CLEAN, CONFIG, KEY, OUTPUT, send_all
from tests.conftest import BY_TENANT
from tests.harness.clients import fetch
from tests.harness.database import unpacked
from tests.harness.journals import journal_files, journals_in
from tests.harness.proxy import Proxy

if TYPE_CHECKING:
    from tests.conftest import MakeProxy
    from tests.fakes.model_server import ModelServer


def files(proxy: Proxy) -> dict[str, str]:
    """All that is in the proxy's folder: database, write-ahead log, output, journal."""
    return journal_files(proxy) | {
        path.name: path.read_bytes().decode("latin-1")
        for path in proxy.folder.iterdir()
        if path.is_file() and path.name != "config.yaml"
    }


@pytest.fixture(scope="module")
def redacting(
    model_server: ModelServer, authority: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    """A proxy that redacts and serves."""
    folder = tmp_path_factory.mktemp("redacting")
    with Proxy(
        folder,
        authority=authority,
        mode=f"reverse:{model_server.url}",
        config=BY_TENANT | CONFIG | journals_in(folder) | {"serve": "only"},
    ) as proxy:
        yield proxy


def test_no_byte_of_a_secret(redacting: Proxy, model_server: ModelServer, tenant: str) -> None:
    """HTTP, streams, chats and sockets: whole, in pieces, cut off and refused."""
    for sent in send_all(redacting, model_server, tenant):
        row = redacting.database.ended(sent.tenant)
        texts = files(redacting) | {"tables": redacting.database.dump()}
        assert [place for place, text in texts.items() if CANARY in text] == [], sent.name
        assert any(text for name, text in texts.items() if name.endswith(".seg")), sent.name
        assert row["request_body"] is not None, sent.name
        in_pieces = sent.name in ("streamed", "chat-streamed", "socket")
        assert (row["raw_response"] is None) == in_pieces, sent.name
    whole = redacting.database.exchange(f"{tenant}-whole")
    assert whole["path"] == "/v1/responses?api-version=1"
    assert whole["user_agent"] == "tool/[redacted:openai]"
    assert whole["output_text"] == CLEAN
    refused = redacting.database.exchange(f"{tenant}-refused")
    assert refused["error_message"] == "Incorrect API key provided: [redacted:openai]."
    for name in ("streamed", "chat-streamed", "socket"):
        row = redacting.database.exchange(f"{tenant}-{name}")
        assert row["output_text"] == CLEAN
    redacting.flush()
    told = redacting.command("response_store.status")
    assert "redacted.openai: " in told
    assert "redaction.raw_dropped: " in told
    assert "fault" not in told
    assert "redaction.failed" not in told


def test_what_is_kept_is_whole(redacting: Proxy, model_server: ModelServer, tenant: str) -> None:
    """Requests are JSON of the same shape, and what is served is as the API has it."""
    next(iter(send_all(redacting, model_server, tenant)))
    row = redacting.database.ended(f"{tenant}-whole")
    kept = json.loads(unpacked(row["request_body"]))
    assert kept["instructions"] == CLEAN
    assert kept["metadata"] == {"note": "[redacted:openai]", "[redacted:openai]": "name"}
    arguments = json.loads(kept["input"][1]["arguments"])["command"]
    assert arguments == json.loads(ARGUMENTS)["command"].replace(KEY, "[redacted:openai]")
    output = json.loads(kept["input"][2]["output"])
    assert output["env"] == json.loads(OUTPUT)["env"].replace(KEY, "[redacted:openai]")
    assert output["pem"] == "[redacted:private-key]\n"
    path = f"/v1/responses/{row['response_id']}"
    served = fetch(redacting.port, None, f"{tenant}-whole", path=path, method="GET").json
    assert served["output"][0]["content"][0]["text"] == CLEAN
    assert served["id"] == row["response_id"]


def test_off_by_default(proxy: Proxy, model_server: ModelServer, tenant: str) -> None:
    """Without `redact` what came is what is kept."""
    next(iter(send_all(proxy, model_server, tenant)))
    row = proxy.database.ended(f"{tenant}-whole")
    assert KEY in row["output_text"]
    assert KEY.encode() in unpacked(row["request_body"])


def test_own_patterns(make_proxy: MakeProxy, model_server: ModelServer, tenant: str) -> None:
    """A regular expression of the user's own, and nothing else."""
    own = {"patterns": [], "custom": [{"name": "mine", "regex": f"{CANARY}[A-Za-z0-9]*"}]}
    with make_proxy(config=BY_TENANT | {"redact": own}) as proxy:
        next(iter(send_all(proxy, model_server, tenant)))
        row = proxy.database.ended(f"{tenant}-whole")
        assert row["output_text"].startswith("Use sk-" + "proj-[redacted:mine] and")
        proxy.flush()
        assert "redacted.mine: " in proxy.command("response_store.status")
