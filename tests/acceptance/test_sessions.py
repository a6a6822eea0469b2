"""What is in flight outlives its session: it goes on to its true end and has one row."""

from __future__ import annotations

import os
import shutil
import signal
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
import yaml

from response_store.resources import find_script
from tests.acceptance.test_company import change_to
from tests.conftest import BY_TENANT, MakeProxy
from tests.fakes import bodies
from tests.fakes.websocket import WebSocketSwitch
from tests.fakes.websocket_plays import usual
from tests.harness.clients import asking, fetch
from tests.harness.database import Database
from tests.harness.expected import assert_completed, assert_holds
from tests.harness.in_flight import InFlight, other_traffic
from tests.harness.outages import frozen
from tests.harness.proxy import Proxy, runs, wait_until
from tests.harness.streams import HALF_TEXT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fakes.model_server import ModelServer


PATIENCE = 1.0  # seconds that nobody waits for, on a machine that is busy
STOPPED = {"state": "interrupted", "ended_by": "proxy_stopped", "output_text": HALF_TEXT}
OTHER = BY_TENANT | {"database_url": "sqlite://other.db"}
REFUSED = BY_TENANT | {"durability": "eventually"}
LINGERS = """
import asyncio
from pathlib import Path

async def done():
    while not Path("go").exists():
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.5)
"""


@pytest.fixture(scope="module")
def switch(model_server: ModelServer) -> WebSocketSwitch:
    """The WebSockets of the shared model server."""
    return WebSocketSwitch(model_server, usual)


@pytest.fixture
def changeable(make_proxy: MakeProxy, tmp_path: Path) -> Iterator[Proxy]:
    """A proxy with a script of its own, which may be touched, and configurations to choose from."""
    script = tmp_path / "capture.py"
    shutil.copy(find_script(), script)
    with make_proxy(first=[script], addon=False) as proxy:
        write(proxy, "equal", BY_TENANT)
        write(proxy, "other", OTHER)
        write(proxy, "refused", REFUSED)
        fetch(proxy.port, asking(), "-")
        proxy.flush()
        yield proxy


def write(proxy: Proxy, name: str, config: dict[str, object]) -> None:
    """Write a configuration into the proxy's folder."""
    (proxy.folder / f"{name}.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")


def load_anew(proxy: Proxy) -> None:
    """Touch the script, and wait until mitmproxy has loaded it once more."""
    script = proxy.folder.parent / "capture.py"
    said = f"Loading script {script}"
    before = proxy.output().count(said)
    status = script.stat()
    os.utime(script, (status.st_atime, status.st_mtime + 5))
    wait_until(lambda: proxy.output().count(said) > before, "the script is loaded anew")


def change(proxy: Proxy, how: str) -> None:
    """Change the configuration at run time, or load the script anew."""
    match how:
        case "reload":
            load_anew(proxy)
        case "reload with another":
            write(proxy, "config", OTHER)
            load_anew(proxy)
            wait_until(lambda: "writing to SQLite other.db" in proxy.output(), "it is in force")
        case "reload with refused":
            write(proxy, "config", REFUSED)
            load_anew(proxy)
            wait_until(lambda: "stays in force" in proxy.output(), "the log says what stays")
        case "equal":
            proxy.command("set", "response_store_config=equal.yaml")
        case "another":
            change_to(proxy, "other.yaml", "other.db")
        case "refused":
            with pytest.raises(AssertionError, match="durability"):
                proxy.command("set", "response_store_config=refused.yaml")


CHANGES = [
    "reload",
    "reload with another",
    "reload with refused",
    "equal",
    "another",
    "refused",
]


@pytest.mark.parametrize("how", CHANGES)
def test_change_under_traffic(
    changeable: Proxy, model_server: ModelServer, switch: WebSocketSwitch, tenant: str, how: str
) -> None:
    """Whatever is loaded or set, what is in flight ends where it began, and nobody waits for it.

    The database takes nothing meanwhile, so that whoever waits for it is found out.
    """
    proxy, before = changeable, changeable.database
    with ExitStack() as stack:
        flights = InFlight(stack, proxy, model_server, switch, tenant)
        wait_until(lambda: len(before.exchanges()) == 5, "all rows are open")
        ingester = proxy.ingester()
        with other_traffic(proxy) as waits, frozen(before.path):
            change(proxy, how)
            flights.finish()
            assert fetch(proxy.port, asking(stream=True), tenant).whole
        flights.assert_completed(before)
    after = Database(proxy.folder / "other.db") if "another" in how else before
    assert_completed(after.ended(tenant), streamed=True, model="gpt-5")
    assert waits.longest < PATIENCE
    assert len(before.exchanges()) == (5 if "another" in how else 6)
    recorders = {row["recorder_id"] for row in (*before.exchanges(), *after.exchanges())}
    assert len(recorders) == (2 if "another" in how else 1)
    if "another" in how:
        wait_until(lambda: not runs(ingester), "the ingester before has ended")
    else:
        assert proxy.ingester() == ingester
    assert "open exchanges: 0\n" in proxy.command("response_store.status")
    assert "Traceback" not in proxy.output()
    assert "0 lost" in proxy.terminate().stderr


def test_changes_one_upon_the_other(
    changeable: Proxy, model_server: ModelServer, switch: WebSocketSwitch, tenant: str
) -> None:
    """Many changes in a row leave one session, and what began in each of them ends there."""
    proxy = changeable
    with ExitStack() as stack:
        flights = []
        for number, name in enumerate(["other", "equal", "other", "equal"]):
            flights.append(InFlight(stack, proxy, model_server, switch, f"{tenant}-{number}"))
            comes_into_force(proxy, name)
        for number, one in enumerate(flights):
            one.finish()
            one.assert_completed(Database(proxy.folder / f"{databases(number)}.db"))
    assert len(proxy.database.exchanges()) == 1 + 2 * 4
    assert len({row["recorder_id"] for row in proxy.database.exchanges()}) == 2
    assert "0 lost" in proxy.terminate().stderr


def comes_into_force(proxy: Proxy, name: str) -> None:
    """Name a configuration, and wait until the log says that it is in force."""
    said = f"configuration: {name}.yaml"
    count = proxy.output().count(said)
    proxy.command("set", f"response_store_config={name}.yaml")
    wait_until(lambda: proxy.output().count(said) > count, f"{name} is in force")


def databases(number: int) -> str:
    """Where it goes what begins before such a change."""
    return "responses" if number % 2 == 0 else "other"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_stop(
    make_proxy: MakeProxy,
    model_server: ModelServer,
    switch: WebSocketSwitch,
    tenant: str,
    number: signal.Signals,
) -> None:
    """A signal ends the proxy; what still reaches a client after `done` is stored as it came."""
    with stoppable(make_proxy) as proxy, ExitStack() as stack:
        flights = InFlight(stack, proxy, model_server, switch, tenant)
        wait_until(lambda: len(proxy.database.exchanges()) == 4, "all rows are open")
        stop(proxy, number)
        flights.finish()
        late = fetch(proxy.port, asking(stream=True), tenant)
        (proxy.folder / "go").touch()
        ended(proxy)
        flights.assert_completed(proxy.database)
        assert late.whole
        assert_completed(proxy.database.ended(tenant, 0), streamed=True, model="gpt-5")


def test_stop_in_flight(
    make_proxy: MakeProxy, model_server: ModelServer, switch: WebSocketSwitch, tenant: str
) -> None:
    """SIGHUP interrupts what does not come to its end any more, as SIGTERM does."""
    with stoppable(make_proxy) as proxy, ExitStack() as stack:
        flights = InFlight(stack, proxy, model_server, switch, tenant)
        (proxy.folder / "go").touch()
        stop(proxy, signal.SIGHUP)
        ended(proxy)
        rows = flights.rows(proxy.database)
        for kind in ("stream", "socket"):
            assert_holds(rows[kind], STOPPED)
        assert_holds(rows["late stream"], STOPPED | {"output_text": bodies.TEXT})
        assert_holds(rows["json"], STOPPED | {"output_text": None})


def stoppable(make_proxy: MakeProxy) -> Proxy:
    """A proxy whose end takes as long as the test wants."""
    proxy = make_proxy(arguments=["-s", "lingers.py"])
    proxy.folder.mkdir()
    (proxy.folder / "lingers.py").write_text(LINGERS, encoding="utf-8")
    return proxy


def stop(proxy: Proxy, number: signal.Signals) -> None:
    """Send the signal, and wait until the addon has done its part."""
    assert proxy.process is not None
    proxy.process.send_signal(number)
    wait_until(lambda: "0 lost" in proxy.output(), "the addon has said how it went")


def ended(proxy: Proxy) -> None:
    """Wait until the proxy and its ingester have ended."""
    ingester = proxy.ingester()
    assert proxy.wait().returncode == 0
    wait_until(lambda: not runs(ingester), "the ingester has ended")
