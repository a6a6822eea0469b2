"""A store that can't write never holds up the traffic, and what can wait is not lost."""

from __future__ import annotations

import base64
import random
import resource
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import BY_TENANT, MakeProxy
from tests.fakes.answers import Gate
from tests.harness.clients import RawClient, asking, fetch
from tests.harness.expected import assert_completed
from tests.harness.proxy import wait_until
from tests.harness.streams import LAST_DELTA, before_the_last

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fakes.model_server import ModelServer
    from tests.harness.proxy import Proxy

pytestmark = pytest.mark.one_python

FROZEN = 5.0
STREAMS = 8


@contextmanager
def frozen(database: Path) -> Iterator[None]:
    """Hold the database's write lock, as another process that takes its time."""
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


@contextmanager
def no_file_beyond(size: int, proxy: Proxy) -> Iterator[None]:
    """Let no file of the proxy's process grow beyond that many bytes."""
    assert proxy.process is not None
    pid, limit = proxy.process.pid, resource.RLIMIT_FSIZE
    _, hard = resource.prlimit(pid, limit)
    resource.prlimit(pid, limit, (size, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, limit, (hard, hard))


def noise(size: int) -> str:
    """Text that does not compress."""
    return base64.b64encode(random.Random(size).randbytes(size)).decode()


def test_frozen_store(make_proxy: MakeProxy, model_server: ModelServer, tenant: str) -> None:
    """While the database is frozen, streams end at once; when it thaws, all of them are in it."""
    gate = Gate()
    model = model_server.play(before_the_last(gate))
    with make_proxy() as proxy, ExitStack() as stack:
        fetch(proxy.port, asking(), f"{tenant}-before")
        clients = [stack.enter_context(RawClient(proxy.port)) for _ in range(STREAMS)]
        replies = [client.ask(asking(model, stream=True), x_tenant=tenant) for client in clients]
        for client, reply in zip(clients, replies, strict=True):
            client.read_until(reply, LAST_DELTA)
        wait_until(lambda: len(proxy.database.exchanges(tenant)) == STREAMS, "rows are open")
        with frozen(proxy.database.path):
            begun = monotonic()
            gate.open()
            for client, reply in zip(clients, replies, strict=True):
                client.read_to_end(reply)
            took = monotonic() - begun
            assert all(reply.whole for reply in replies)
            assert took < 1.0
            still = fetch(proxy.port, asking(stream=True), f"{tenant}-while")
            assert still.whole
            wait_until(lambda: monotonic() - begun > FROZEN, "five seconds pass")
            assert {row["state"] for row in proxy.database.exchanges(tenant)} == {"open"}
        for row in proxy.database.all_ended(tenant, STREAMS):
            assert_completed(row, streamed=True, model=model)
        assert_completed(proxy.database.ended(f"{tenant}-while"), streamed=True, model="gpt-5")
        assert "Traceback" not in proxy.output()


def test_frozen_store_and_json(make_proxy: MakeProxy, tenant: str) -> None:
    """A JSON answer waits for its commit as long as the configuration says, and no longer."""
    with make_proxy(config={**BY_TENANT, "completion_wait_ms": 300}) as proxy:
        fetch(proxy.port, asking(), f"{tenant}-before")
        with frozen(proxy.database.path):
            begun = monotonic()
            reply = fetch(proxy.port, asking(), tenant)
            took = monotonic() - begun
            assert proxy.database.responses(tenant) == []
        assert reply.whole
        assert 0.2 < took < 1.5
        assert_completed(proxy.database.ended(tenant), streamed=False, model="gpt-5")


def test_full_disk(make_proxy: MakeProxy, tenant: str) -> None:
    """With no room left the traffic goes on; with room again, what was waiting is written."""
    with make_proxy() as proxy:
        fetch(proxy.port, asking(), f"{tenant}-before")
        with no_file_beyond(200_000, proxy), ThreadPoolExecutor(4) as pool:
            sent = [asking(input=noise(60_000), stream=at % 2 == 0) for at in range(8)]
            replies = list(pool.map(lambda body: fetch(proxy.port, body, tenant), sent))
            assert [(reply.status, reply.whole) for reply in replies] == [(200, True)] * 8
            assert len(proxy.database.responses(tenant)) < 8
        rows = proxy.database.all_ended(tenant, 8, timeout=20)
        assert {row["state"] for row in rows} == {"completed"}
        assert len(proxy.database.responses(tenant)) == 8
        assert "Traceback" not in proxy.output()


def test_reject(make_proxy: MakeProxy, model_server: ModelServer, tenant: str) -> None:
    """With `reject`, a store that fails turns requests away before they cost anything.

    One that works turns nothing away, and other requests always pass.
    """
    config = {**BY_TENANT, "on_store_failure": "reject", "completion_wait_ms": 100}
    with make_proxy(config=config) as proxy:
        assert fetch(proxy.port, asking(), f"{tenant}-before").status == 200
        assert_completed(proxy.database.ended(f"{tenant}-before"), streamed=False, model="gpt-5")
        with no_file_beyond(100_000, proxy):
            refused: Any = wait_until(
                lambda: turned_away(proxy, tenant), "a request is turned away", timeout=20
            )
            asked = len(model_server.recordings.of(tenant))
            again = fetch(proxy.port, asking(stream=True), tenant)
            assert again.status == 503
            assert len(model_server.recordings.of(tenant)) == asked
            for path in ("/v1/models", "/v1/responses/resp_1"):
                assert fetch(proxy.port, None, tenant, method="GET", path=path).status == 200
        assert int(refused.header("retry-after")) > 0
        assert refused.header("content-type").startswith("application/json")
        error = refused.json["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["message"]
        wait_until(
            lambda: fetch(proxy.port, asking(), f"{tenant}-after").status == 200,
            "requests pass again",
            timeout=20,
        )
        proxy.flush()
        turned = [row for row in proxy.database.exchanges(tenant) if row["status_code"] == 503]
    assert {(row["state"], row["ended_by"]) for row in turned} == {("refused", "proxy")}
    assert {row["error_code"] for row in turned} == {error["code"]}


def turned_away(proxy: Proxy, tenant: str) -> Any:
    """Ask once more; give the reply if it is a 503."""
    reply = fetch(proxy.port, asking(input=noise(60_000)), tenant)
    return reply if reply.status == 503 else None


def test_deleted_file(make_proxy: MakeProxy, tenant: str) -> None:
    """A database that is deleted under a running proxy does not stop the traffic."""
    with make_proxy() as proxy:
        fetch(proxy.port, asking(), tenant)
        for path in proxy.folder.glob("responses.db*"):
            path.unlink()
        for streamed in (False, True):
            assert fetch(proxy.port, asking(stream=streamed), tenant).whole
        assert "Traceback" not in proxy.output()
