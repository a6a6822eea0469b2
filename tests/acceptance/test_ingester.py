"""Whatever happens to the ingester, the traffic goes on and everything arrives, once."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import pty
import resource
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, chdir
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from response_store.cli import main
from tests.acceptance.test_commands import counters
from tests.conftest import BY_TENANT, MakeProxy
from tests.fakes import bodies
from tests.fakes.answers import Gate, Stream
from tests.harness.clients import RawClient, asking, fetch
from tests.harness.expected import assert_completed, assert_holds
from tests.harness.ingesters import frozen_ingester, kill_both
from tests.harness.proxy import Proxy, runs, wait_until
from tests.harness.streams import HALF_TEXT, LAST_DELTA, halfway

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fakes.model_server import ModelServer
    from tests.fakes.requests import Request

pytestmark = [
    pytest.mark.skipif(not Path("/proc/self").exists(), reason="processes are found in /proc"),
]

PATIENCE = 1.5  # seconds that no answer takes, on a machine that is busy
CREDENTIAL = [{"type": "mcp", "server_label": "docs", "authorization": "canary-of-a-tool"}]
TAKE_TERMINAL = """
import os, sys
os.setsid()
os.dup2(os.open(sys.argv[1], os.O_RDWR), 0)
os.execv(sys.argv[2], sys.argv[2:])
"""
ENDS_AT_ONCE = """
import os
if os.path.exists(os.environ["HARNESS_BROKEN"]):
    os._exit(3)
"""
SAYS_WHAT_IT_IMPORTED = """
import atexit, os, sys
def say():
    with open(os.environ["HARNESS_MODULES"], "w") as file:
        file.write("\\n".join(sys.modules))
atexit.register(say)
"""


def exchanges(proxy: Proxy, tenant: str, count: int) -> float:
    """So many exchanges, one after the other; the seconds that the slowest took."""
    slowest = 0.0
    for number in range(count):
        begun = monotonic()
        assert fetch(proxy.port, asking(stream=number % 2 == 0), tenant).whole
        slowest = max(slowest, monotonic() - begun)
    return slowest


def assert_arrived(proxy: Proxy, tenant: str, count: int) -> None:
    """So many are in the database, whole, and nothing was lost or failed."""
    proxy.flush(30)
    for number, row in enumerate(proxy.database.all_ended(tenant, count)):
        assert_completed(row, streamed=number % 2 == 0, model="gpt-5")
    assert len(proxy.database.responses(tenant)) == count
    assert not [name for name in counters(proxy) if name.startswith(("dropped", "fault"))]


def test_frozen(make_proxy: MakeProxy, tenant: str) -> None:
    """While it does nothing at all, nobody waits; what it has to clean is waited for in bounds."""
    with make_proxy(config=BY_TENANT | {"completion_wait_ms": 300}) as proxy:
        exchanges(proxy, f"{tenant}-before", 1)
        with frozen_ingester(proxy):
            assert exchanges(proxy, tenant, 8) < PATIENCE
            for _ in range(2):
                begun = monotonic()
                assert fetch(proxy.port, asking(tools=CREDENTIAL), f"{tenant}-private").whole
                assert monotonic() - begun < PATIENCE
            assert proxy.database.exchanges(tenant) == []
            assert counters(proxy)["waiting to be cleaned"].startswith("2 frames")
        assert_arrived(proxy, tenant, 8)
        assert len(proxy.database.all_ended(f"{tenant}-private", 2)) == 2
        assert "ingester.restarts" not in counters(proxy)


def test_killed_again_and_again(make_proxy: MakeProxy, tenant: str) -> None:
    """It is started again each time, and nothing is lost or written twice."""
    with make_proxy() as proxy, ThreadPoolExecutor(2) as pool:
        names = [f"{tenant}-{number}" for number in range(2)]
        loads = [pool.submit(exchanges, proxy, name, 40) for name in names]
        for number in range(4):
            killed = proxy.kill_ingester()
            wait_until(lambda: proxy.ingester() not in (None, killed), "there is another", 20)  # noqa: B023
            fetch(proxy.port, asking(tools=CREDENTIAL), f"{tenant}-private-{number}")
        assert max(load.result(60) for load in loads) < PATIENCE
        for name in names:
            assert_arrived(proxy, name, 40)
        for number in range(4):
            assert_holds(proxy.database.ended(f"{tenant}-private-{number}"), {"state": "completed"})
        assert int(counters(proxy)["ingester.restarts"]) == 4
        assert proxy.output().count("the ingester has ended (signal 9)") == 1


def test_it_can_not_be_started(make_proxy: MakeProxy, tmp_path: Path, tenant: str) -> None:
    """The proxy starts without it, says why, and what waits is applied when it can be started."""
    script, broken = tmp_path / "ends_at_once.py", tmp_path / "broken"
    script.write_text(ENDS_AT_ONCE, encoding="utf-8")
    broken.touch()
    environment = {"HARNESS_BROKEN": str(broken)}
    with make_proxy(in_ingester=[script], environment=environment) as proxy:
        assert exchanges(proxy, tenant, 6) < PATIENCE
        fetch(proxy.port, asking(tools=CREDENTIAL), f"{tenant}-private")
        assert proxy.database.exchanges(tenant) == []
        assert "it has ended (status 3)" in counters(proxy)["ingester"]
        assert proxy.output().count("the ingester has ended (status 3); it is started again") == 1
        broken.unlink()
        assert_arrived(proxy, tenant, 6)
        assert_holds(proxy.database.ended(f"{tenant}-private"), {"state": "completed"})


def test_out_of_memory(make_proxy: MakeProxy, tenant: str) -> None:
    """While it gets no memory what is too large for it waits; nobody else does, and all arrives."""
    with make_proxy() as proxy:
        exchanges(proxy, f"{tenant}-before", 2)
        proxy.flush()
        with frozen_ingester(proxy) as ingester:
            for number in range(4):
                body = asking(input="x" * 10_000_000, stream=number % 2 == 0)
                assert fetch(proxy.port, body, tenant).whole
            pages = int(Path(f"/proc/{ingester}/statm").read_text().split()[0])
            limit = pages * resource.getpagesize() + (1 << 20)
            before = resource.prlimit(ingester, resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
        wait_until(lambda: fails_for_memory(proxy, ingester), "it has no memory, or has ended")
        assert exchanges(proxy, f"{tenant}-while", 4) < PATIENCE
        if runs(ingester):
            resource.prlimit(ingester, resource.RLIMIT_AS, before)
        assert_arrived(proxy, tenant, 4)
        assert_arrived(proxy, f"{tenant}-while", 4)


def fails_for_memory(proxy: Proxy, ingester: int) -> bool:
    """Whether the status says that the ingester has not got enough memory, or has ended of it."""
    status = counters(proxy)
    return "memory" in status["last error"] or proxy.ingester() != ingester


def test_interrupted_at_the_terminal(
    make_proxy: MakeProxy, model_server: ModelServer, tenant: str
) -> None:
    """Ctrl-C in a terminal, which goes to all that runs there, ends the proxy; all is applied."""
    keyboard, terminal = pty.openpty()
    before = [sys.executable, "-c", TAKE_TERMINAL, os.ttyname(terminal)]
    with make_proxy(before=before) as proxy, ExitStack() as stack:
        stack.callback(os.close, keyboard)
        stack.callback(os.close, terminal)
        exchanges(proxy, tenant, 4)
        client = stack.enter_context(RawClient(proxy.port))
        body = asking(model_server.play(halfway(Gate(), go_on=True)), stream=True)
        client.read_until(client.ask(body, x_tenant=f"{tenant}-cut"), LAST_DELTA)
        wait_until(lambda: proxy.database.exchanges(f"{tenant}-cut"), "it has an open row")
        ingester = proxy.ingester()
        assert proxy.process is not None
        with frozen_ingester(proxy):  # it would end at once if it heard the signal
            os.write(keyboard, b"\x03")
        assert proxy.wait().returncode == 0
        wait_until(lambda: not runs(ingester), "the ingester has ended")
        # the open row of what was cut is counted as well
        assert "6 written, 0 lost, 1 open exchanges interrupted" in proxy.output()
        assert len(proxy.database.all_ended(tenant, 4, timeout=0)) == 4
        cut = {"state": "interrupted", "ended_by": "proxy_stopped", "output_text": HALF_TEXT}
        assert_holds(proxy.database.ended(f"{tenant}-cut", 0), cut)


def test_signals_to_it_alone(make_proxy: MakeProxy, tenant: str) -> None:
    """Signals that a group gets do not end it: its proxy does."""
    with make_proxy() as proxy:
        ingester = wait_until(proxy.ingester, "there is an ingester")
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(ingester, number)
        exchanges(proxy, tenant, 2)
        assert_arrived(proxy, tenant, 2)
        assert proxy.ingester() == ingester


PLANTED = ("response_store", "msgspec", "sqlite3", "json", "socket", "zstandard", "sitecustomize")


def test_planted_modules(make_proxy: MakeProxy, tenant: str) -> None:
    """Files in the working directory that are named like modules are imported by nobody."""
    proxy = make_proxy(executed=True)
    proxy.folder.mkdir()
    for name in PLANTED:
        text = f"open('/{proxy.folder}/imported-{name}', 'w')\nraise SystemExit\n"
        (proxy.folder / f"{name}.py").write_text(text, encoding="utf-8")
    with proxy:
        exchanges(proxy, tenant, 2)
        killed = proxy.kill_ingester()
        wait_until(lambda: proxy.ingester() not in (None, killed), "there is another", 20)
        assert_arrived(proxy, tenant, 2)
        assert list(proxy.folder.glob("imported-*")) == []


SECRETS = {
    "OPENAI_API_KEY": "canary-openai",
    "AZURE_OPENAI_API_KEY": "canary-azure",
    "MY_SERVICE_KEY": "canary-key",
    "GITHUB_TOKEN": "canary-token",
    "PGPASSWORD": "canary-password",
}


def test_secrets_of_the_environment(make_proxy: MakeProxy, tmp_path: Path, tenant: str) -> None:
    """No secret of the proxy's environment is in what can be seen of the ingester."""
    folder = tmp_path / "canary-database"
    folder.mkdir()
    url = f"sqlite:///{folder}/responses.db"
    environment = SECRETS | {"RESPONSE_STORE_DATABASE_URL": url}
    with make_proxy(environment=environment, executed=True) as proxy:
        exchanges(proxy, tenant, 2)
        proxy.flush()
        assert (folder / "responses.db").exists()
        for _ in range(2):
            ingester = wait_until(proxy.ingester, "there is an ingester")
            assert "canary" not in seen(ingester, "environ") + seen(ingester, "cmdline")
            assert f"PATH={os.environ['PATH']}" in seen(ingester, "environ")
            killed = proxy.kill_ingester()
            wait_until(lambda: proxy.ingester() not in (None, killed), "there is another", 20)  # noqa: B023
        assert proxy.process is not None
        assert "canary" not in seen(proxy.process.pid, "cmdline")
        given = [
            line for line in seen(proxy.process.pid, "environ").split("\0") if "canary" in line
        ]
        assert dict(line.split("=", 1) for line in given) == environment


def seen(process: int, name: str) -> str:
    """What anybody may read of a process."""
    return Path(f"/proc/{process}/{name}").read_bytes().decode("utf-8", "replace")


def test_it_is_small(make_proxy: MakeProxy, tmp_path: Path, tenant: str) -> None:
    """At work it takes less than 80 MB, and it never imports mitmproxy."""
    script, modules = tmp_path / "says.py", tmp_path / "modules.txt"
    script.write_text(SAYS_WHAT_IT_IMPORTED, encoding="utf-8")
    environment = {"HARNESS_MODULES": str(modules)}
    with make_proxy(in_ingester=[script], environment=environment) as proxy:
        exchanges(proxy, tenant, 30)
        fetch(proxy.port, asking(tools=CREDENTIAL), f"{tenant}-private")
        proxy.flush()
        ingester = proxy.ingester()
        assert ingester is not None
        (line,) = [line for line in seen(ingester, "status").splitlines() if "VmRSS" in line]
        assert int(line.split()[1]) < 80 * 1024
        proxy.terminate()
        names = modules.read_text().split()
    assert "response_store.ingest.loop" in names
    assert not [name for name in names if name.startswith("mitmproxy")]


PAUSE = 0.02  # seconds between two events of a stream
LATEST = 0.25  # seconds: how old the text is at most that a kill takes along
SLACK = 0.15  # seconds that a busy machine is late


def test_both_killed_in_a_stream(
    make_proxy: MakeProxy, model_server: ModelServer, tenant: str
) -> None:
    """After `kill -9` of both, `response-store list` has all, but for the last 250 ms of text."""
    text = "".join(f"{number:06} " for number in range(1000))

    def play(request: Request) -> Any:
        return Stream(pause=PAUSE).answer(bodies.stream_events(request.fields, text=text))

    with make_proxy() as proxy, ExitStack() as stack:
        exchanges(proxy, tenant, 6)
        clients = [stack.enter_context(RawClient(proxy.port)) for _ in range(3)]
        body = asking(model_server.play(play), stream=True)
        replies = [client.ask(body, x_tenant=f"{tenant}-cut") for client in clients]
        came = [deltas_with_times(*pair) for pair in zip(clients, replies, strict=True)]
        with ThreadPoolExecutor(3) as pool:
            reader = [pool.submit(list, itertools.islice(one, 500)) for one in came]
            wait_until(lambda: len(proxy.database.exchanges(f"{tenant}-cut")) == 3, "rows are open")
            proxy.flush()  # which does not wait until the streams are at rest
            ends = monotonic() + 1.0
            wait_until(lambda: monotonic() > ends, "a second passes")
            killed_at = monotonic()
            kill_both(proxy)
            seen_by_clients = [one.result(20) for one in reader]
        # A command waits for a journal for a second, and says so where a busy machine takes longer.
        cut = f"{tenant}-cut"
        wait_until(lambda: listed(proxy, cut) == ["interrupted"] * 3, "the journal is taken over")
        assert listed(proxy, tenant) == ["completed"] * 6
        rows = proxy.database.all_ended(f"{tenant}-cut", 3, timeout=0)
        for row, deltas in zip(rows, seen_by_clients, strict=True):
            assert_holds(row, {"state": "interrupted", "ended_by": "proxy_stopped"})
            old = [one for at, one in deltas if at < killed_at - LATEST - SLACK]
            assert len(old) > 10
            assert text.startswith(row["output_text"])
            assert row["output_text"].startswith("".join(old))


def listed(proxy: Proxy, tenant: str) -> list[str]:
    """The states of what `response-store list` lists of a tenant."""
    options = ["--json", "--config", "config.yaml", "--tenant", tenant]
    with chdir(proxy.folder):
        result = CliRunner().invoke(main, ["list", *options])
    return [one["state"] for one in json.loads(result.stdout)["exchanges"]]


def deltas_with_times(client: RawClient, reply: Any) -> Iterator[tuple[float, str]]:
    """The deltas of a stream's text, with the time at which each came."""
    read = 0
    with contextlib.suppress(OSError):
        while not reply.whole:
            client.read_piece(reply)
            *whole, _ = bytes(reply.body[read:]).split(b"\n\n")
            read += sum(len(frame) + 2 for frame in whole)
            for frame in whole:
                event = json.loads(frame.partition(b"data: ")[2])
                if event["type"] == "response.output_text.delta":
                    yield monotonic(), event["delta"]
