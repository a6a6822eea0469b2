"""What the client saw complete is on the disk, whatever happens to the proxy."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import BY_TENANT, MakeProxy
from tests.fakes.answers import Gate
from tests.harness.clients import RawClient, Reply, asking, fetch
from tests.harness.database import Database
from tests.harness.expected import assert_completed, assert_holds
from tests.harness.proxy import wait_until
from tests.harness.streams import (
    HALF_TEXT,
    LAST_DELTA,
    TERMINAL,
    before_the_last,
    halfway,
    held_back,
)

if TYPE_CHECKING:
    from tests.fakes.model_server import ModelServer
    from tests.harness.proxy import Proxy


STOPPED = {"state": "interrupted", "ended_by": "proxy_stopped"}


def on_file(path: Path) -> dict[str, Any]:
    """A configuration that writes to this file."""
    return {**BY_TENANT, "database_url": f"sqlite:///{path}"}


def in_flight(stack: ExitStack, proxy: Proxy, model: str, tenant: str) -> tuple[RawClient, Reply]:
    """Start a stream and read half of it."""
    client = stack.enter_context(RawClient(proxy.port))
    reply = client.ask(asking(model, stream=True), x_tenant=tenant)
    return client, client.read_until(reply, LAST_DELTA)


# No wait for the disk is longer than this, so an end that came sooner came after its commit.
LONGEST_WAIT = {False: 1.0, True: 0.012}


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_kill_after_completion(
    make_proxy: MakeProxy, model_server: ModelServer, tenant: str, *, streamed: bool
) -> None:
    """`kill -9` right after the client saw the end takes nothing away."""
    with make_proxy() as proxy, RawClient(proxy.port) as client:
        for asked in itertools.count(1):
            reply, took = end_of_an_exchange(client, model_server, tenant, streamed)
            if took < LONGEST_WAIT[streamed]:
                break
            client.read_to_end(reply)
            proxy.database.all_ended(tenant, asked)
        proxy.kill9()
        rows = proxy.database.all_ended(tenant, asked)
        assert [row["state"] for row in rows] == ["completed"] * asked
        assert_completed(rows[-1], streamed=streamed, model=rows[-1]["requested_model"])
        assert len(proxy.database.responses(tenant)) == asked


def end_of_an_exchange(
    client: RawClient, server: ModelServer, tenant: str, streamed: bool
) -> tuple[Reply, float]:
    """Ask, and give the seconds from the moment the server ends its answer to the client's."""
    gate = Gate()
    scenario = before_the_last(gate) if streamed else held_back(gate)
    client.send(asking(server.play(scenario), stream=streamed), x_tenant=tenant)
    assert gate.reached.wait(10)
    begun = monotonic()
    gate.open()
    reply = client.read_until(client.read_head(), TERMINAL if streamed else None)
    return reply, monotonic() - begun


def test_sigterm_in_flight(make_proxy: MakeProxy, model_server: ModelServer, tenant: str) -> None:
    """SIGTERM closes what is in flight, keeps its text, and says what was written."""
    model = model_server.play(halfway(Gate(), go_on=True))
    with make_proxy() as proxy, ExitStack() as stack:
        fetch(proxy.port, asking(), tenant)
        for _ in range(3):
            in_flight(stack, proxy, model, tenant)
        wait_until(lambda: len(proxy.database.exchanges(tenant)) == 4, "they have open rows")
        finished = proxy.terminate()
        done, *cut = proxy.database.all_ended(tenant, 4, timeout=0)
        assert_completed(done, streamed=False, model="gpt-5")
        for row in cut:
            assert_holds(row, STOPPED | {"output_text": HALF_TEXT, "status_code": 200})
    assert finished.returncode == 0
    assert "response_store/" not in finished.stderr  # no traceback goes through our files
    (summary,) = [line for line in finished.stderr.splitlines() if "written" in line]
    assert "7 written, 0 lost, 3 open exchanges interrupted" in summary  # and 3 as open rows


def test_two_proxies_on_one_file(make_proxy: MakeProxy, tmp_path: Path, tenant: str) -> None:
    """Two proxies that write to one file at the same time lose nothing."""
    config = on_file(tmp_path / "shared.db")
    with make_proxy("a", config=config) as a, make_proxy("b", config=config) as b:
        with ThreadPoolExecutor(4) as pool:
            ports = [a.port, b.port] * 20
            replies = [
                pool.submit(fetch, port, asking(stream=at % 3 == 0), tenant)
                for at, port in enumerate(ports)
            ]
            assert all(reply.result().whole for reply in replies)
        rows = Database(tmp_path / "shared.db").all_ended(tenant, 40)
        assert {row["state"] for row in rows} == {"completed"}
        assert len({row["recorder_id"] for row in rows}) == 2


def test_restart_closes_what_a_kill_left_open(
    make_proxy: MakeProxy, model_server: ModelServer, tmp_path: Path, tenant: str
) -> None:
    """A new start closes the rows of a proxy that was killed, and no row of one that lives."""
    config, database = on_file(tmp_path / "shared.db"), Database(tmp_path / "shared.db")
    gate = Gate()
    lives, killed = f"{tenant}-lives", f"{tenant}-killed"
    with ExitStack() as stack:
        a, b = (stack.enter_context(make_proxy(name, config=config)) for name in "ab")
        client, reply = in_flight(stack, a, model_server.play(halfway(gate, go_on=True)), lives)
        in_flight(stack, b, model_server.play(halfway(Gate(), go_on=True)), killed)
        wait_until(lambda: len(database.exchanges()) == 2, "both rows are there")
        b.kill9()
        with make_proxy("b", config=config):
            assert_holds(database.ended(killed), STOPPED)
            assert_holds(database.exchange(lives), {"state": "open", "ended_by": None})
            gate.open()
            client.read_to_end(reply)
            assert_holds(database.ended(lives), {"state": "completed"})


def test_file_is_private(proxy: Proxy) -> None:
    """The database and what SQLite puts beside it are readable by their owner only."""
    files = list(proxy.folder.glob("responses.db*"))
    assert len(files) >= 2
    assert {oct(path.stat().st_mode & 0o777) for path in files if path.suffix != ".lock"} == {
        "0o600"
    }
