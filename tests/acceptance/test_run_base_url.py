"""`response-store run --base-url` before servers that speak https, as the API does."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.run_stage import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fakes.certificates import Certificates
    from tests.fakes.model_server import ModelServer


@pytest.fixture
def stage(tmp_path: Path, authority: Path) -> Iterator[Stage]:
    """A place to run in, empty again afterwards."""
    stage = Stage.made(tmp_path, authority)
    yield stage
    stage.close()


CLIENTS = """
set -e
url="$OPENAI_BASE_URL/responses"
body='{"model":"gpt-5","input":"x"}'
count=0
if command -v curl >/dev/null; then
  curl -sSf -o /dev/null -H 'content-type: application/json' -d "$body" "$url"
  count=$((count + 1))
fi
if command -v node >/dev/null; then
  node -e 'fetch(process.argv[1], {method: "POST", body: process.argv[2],
    headers: {"content-type": "application/json"}}).then((r) => process.exit(r.ok ? 0 : 9))' \
    "$url" "$body"
  count=$((count + 1))
fi
echo "$count"
"""


@pytest.mark.skipif(not shutil.which("curl"), reason="no curl")
def test_clients_of_an_https_server(
    stage: Stage, tls_server: ModelServer, certificates: Certificates
) -> None:
    """curl and node, which ignore proxies here, are captured before a server that speaks https."""
    finished = stage.run(
        *("--base-url", f"{tls_server.url}/v1", "--", "sh", "-c", CLIENTS),
        environment={"SSL_CERT_FILE": str(certificates.authority)},
    )
    stage.assert_nothing_left()
    assert finished.returncode == 0, finished.stderr
    rows = stage.database.exchanges()
    assert len(rows) == int(finished.stdout) >= 1
    assert {(row["scheme"], row["state"]) for row in rows} == {("https", "completed")}


@pytest.mark.parametrize("arguments", [["--base-url"], ["--base-url", "https://[::1]:9/v1"]])
def test_https_servers_start(stage: Stage, arguments: list[str]) -> None:
    """The API's own URL, which is what --base-url means alone, and any other https URL start."""
    finished = stage.run(*arguments, "--", "sh", "-c", 'echo "$OPENAI_BASE_URL"')
    stage.assert_nothing_left()
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.startswith("http://127.0.0.1:")
