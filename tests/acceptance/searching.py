"""What the tests of searching share, whichever database: a stream to find, and the command."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from click.testing import CliRunner

from response_store.cli import main
from tests.fakes import bodies
from tests.fakes.answers import PLAIN
from tests.harness.clients import sdk
from tests.harness.proxy import PACKAGE, wait_until

if TYPE_CHECKING:
    from tests.fakes.model_server import ModelServer
    from tests.harness.database import Database
    from tests.harness.proxy import Proxy

CLI = "from response_store.cli import main; main(prog_name='response-store')"
ANSWER = (
    "First of all, the weather. 今天北京的天气很好\uff0c我们去公园\u3002 Then call\n"
    "`client.getUserName(foo_bar=True)` with --no-verify, and that is a canary in the middle. End."
)
FOUND = ("canary", "京的天气", "foo_bar", "username*", "getUserName(foo_bar=True", "--no-verify")
SECONDS = 10.0  # in which the proxy has indexed what passed
_LACKING = """
SELECT e.exchange_id FROM openai_exchanges e WHERE state <> 'open' AND NOT EXISTS (
    SELECT 1 FROM openai_exchanges_search s WHERE s.exchange_id = e.exchange_id)"""


def stream(proxy: Proxy, server: ModelServer, tenant: str, text: str = ANSWER) -> str:
    """Have the SDK stream an answer with this text; the response's id."""
    model = server.play(PLAIN.answer(bodies.stream_events(text=text)))
    with (
        sdk(proxy.url, tenant) as client,
        client.responses.create(model=model, input="Tell me.", stream=True) as events,
    ):
        *_, last = events
    assert last.type == "response.completed"
    return str(last.response.id)


def wait_indexed(kept: Database, count: int) -> None:
    """Wait until the proxies have indexed so many exchanges; no command does so here."""
    wait_until(
        lambda: len(kept.exchanges()) >= count and not kept.rows(_LACKING), "indexed", SECONDS
    )
    assert len(kept.rows("SELECT exchange_id FROM openai_exchanges_search")) == count


def search(
    proxy: Proxy, tenant: str, *words: str, before: Sequence[str] = (), said: str = ""
) -> dict[str, Any]:
    """What `response-store search --json` finds, beside a proxy. `said` is on standard error."""
    config = proxy.folder / "config.yaml"
    kept = proxy.database.path
    where = ["--database", str(kept)] if kept.exists() else ["--config", str(config)]
    arguments = ["search", *where, "--tenant", tenant, "--json", "--", *words]
    status, stdout, stderr = _outside(before, arguments) if before else _inside(arguments)
    assert status == 0, stderr
    assert said in stderr if said else stderr == ""
    found: dict[str, Any] = json.loads(stdout)
    return found


def _inside(arguments: Sequence[str]) -> tuple[int, str, str]:
    done = CliRunner().invoke(main, arguments)
    return done.exit_code, done.stdout, done.stderr


def _outside(before: Sequence[str], arguments: Sequence[str]) -> tuple[int, str, str]:
    done = subprocess.run(
        [*before, sys.executable, "-c", CLI, *arguments],
        env={"PYTHONPATH": str(PACKAGE)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def ids(found: dict[str, Any]) -> list[str]:
    """The responses that were found."""
    return [hit["response_id"] for hit in found["hits"]]
