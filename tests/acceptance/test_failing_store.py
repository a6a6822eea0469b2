"""A store that can't write never holds up the traffic, and what can wait is not lost."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.test_commands import counters
from tests.conftest import BY_TENANT, MakeProxy
from tests.fakes.answers import Gate
from tests.harness.clients import RawClient, asking, fetch
from tests.harness.expected import assert_completed
from tests.harness.outages import frozen, no_file_beyond, noise
from tests.harness.proxy import wait_until
from tests.harness.streams import LAST_DELTA, before_the_last

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fakes.model_server import ModelServer
    from tests.harness.proxy import Proxy


FROZEN = 5.0
STREAMS = 8
QUIET = {"flow_detail": "0", "termlog_verbosity": "warn"}  # its log is a file as well
NO_FRAME = 50_000  # bytes of a file in which none of the requests here has room
NO_BATCH = 150_000  # of one in which all that was written so far has


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
            assert took < FROZEN - 1.0
            still = fetch(proxy.port, asking(stream=True), f"{tenant}-while")
            assert still.whole
            wait_until(lambda: monotonic() - begun > FROZEN, "five seconds pass")
            assert {row["state"] for row in proxy.database.exchanges(tenant)} == {"open"}
        for row in proxy.database.all_ended(tenant, STREAMS):
            assert_completed(row, streamed=True, model=model)
        assert_completed(proxy.database.ended(f"{tenant}-while"), streamed=True, model="gpt-5")
        assert "Traceback" not in proxy.output()


def test_frozen_store_and_json(make_proxy: MakeProxy, tenant: str) -> None:
    """While the database is frozen a JSON answer goes on at once, and its row comes later."""
    with make_proxy() as proxy:
        fetch(proxy.port, asking(), f"{tenant}-before")
        proxy.database.ended(f"{tenant}-before")
        with frozen(proxy.database.path):
            assert fetch(proxy.port, asking(), tenant).whole
            assert proxy.database.responses(tenant) == []
        assert_completed(proxy.database.ended(tenant), streamed=False, model="gpt-5")
        assert "wait.ran_out" not in proxy.command("response_store.status")


def test_waiting_for_the_database(make_proxy: MakeProxy, tenant: str) -> None:
    """With `acknowledge: database` an answer waits for its commit as configured, and once."""
    config = {**BY_TENANT, "acknowledge": "database", "completion_wait_ms": 600}
    with make_proxy(config=config) as proxy:
        fetch(proxy.port, asking(), f"{tenant}-first")
        proxy.flush()  # whose database is open from here on
        with frozen(proxy.database.path):
            waited = []
            for _ in range(3):
                begun = monotonic()
                assert fetch(proxy.port, asking(), tenant).whole
                waited.append(monotonic() - begun)
            assert proxy.database.responses(tenant) == []
        assert waited[0] > 0.5
        for row in proxy.database.all_ended(tenant, 3):
            assert_completed(row, streamed=False, model="gpt-5")
        told = proxy.command("response_store.status")
        assert "wait.ran_out: 1\n" in f"{told}\n"
        assert "wait.skipped: 2\n" in f"{told}\n"


@pytest.mark.parametrize("whose", ["journal", "database", "both"])
def test_full_disk(make_proxy: MakeProxy, tenant: str, whose: str) -> None:
    """With no room left the traffic goes on; with room again, what was waiting is written."""
    with make_proxy(options=QUIET) as proxy:
        fetch(proxy.port, asking(), f"{tenant}-before")
        proxy.database.ended(f"{tenant}-before")
        with no_room(proxy, whose), ThreadPoolExecutor(4) as pool:
            sent = [asking(input=noise(60_000), stream=at % 2 == 0) for at in range(8)]
            replies = list(pool.map(lambda body: fetch(proxy.port, body, tenant), sent))
            assert [(reply.status, reply.whole) for reply in replies] == [(200, True)] * 8
            first = "database" if whose == "database" else "journal"  # which comes before it
            wait_until(lambda: fails(proxy) == {first}, "the status says why")
            assert len(proxy.database.responses(tenant)) < 8
        rows = proxy.database.all_ended(tenant, 8, timeout=20)
        assert {row["state"] for row in rows} == {"completed"}
        assert len(proxy.database.responses(tenant)) == 8
        proxy.flush()
        told = proxy.command("response_store.status")
        assert "dropped." not in told
        assert "fault" not in told
        assert "Traceback" not in proxy.output()


@contextmanager
def no_room(proxy: Proxy, whose: str) -> Iterator[None]:
    """Let the journal's disk, the database's or both be full."""
    assert proxy.process is not None
    with ExitStack() as stack:
        if whose != "database":
            stack.enter_context(no_file_beyond(NO_FRAME, proxy.process.pid))
        if whose != "journal":
            stack.enter_context(no_file_beyond(NO_BATCH, proxy.ingester()))
        yield


def fails(proxy: Proxy) -> set[str]:
    """What is failing, as the status says."""
    told = counters(proxy)
    waits = told["waiting for the journal"] != "0 frames"
    journal = {"journal"} if waits and "file too large" in told["journal"] else set()
    return journal | ({"database"} if told["last error"] != "none" else set())


@pytest.mark.parametrize("whose", ["journal", "database"])
def test_reject(make_proxy: MakeProxy, model_server: ModelServer, tenant: str, whose: str) -> None:
    """With `reject`, a disk that is full turns requests away before they cost anything.

    One that is not turns nothing away, and other requests always pass.
    """
    with make_proxy(config={**BY_TENANT, "on_store_failure": "reject"}, options=QUIET) as proxy:
        assert fetch(proxy.port, asking(), f"{tenant}-before").status == 200
        assert_completed(proxy.database.ended(f"{tenant}-before"), streamed=False, model="gpt-5")
        with no_room(proxy, whose):
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
        rows = proxy.database.exchanges(tenant)
        turned = [row for row in rows if row["status_code"] == 503]
        passed = [row for row in rows if row["status_code"] == 200 and row["method"] == "POST"]
    assert {(row["state"], row["ended_by"]) for row in turned} == {("refused", "proxy")}
    assert {row["error_code"] for row in turned} == {error["code"]}
    assert [row["state"] for row in passed] == ["completed"] * asked


def turned_away(proxy: Proxy, tenant: str) -> Any:
    """Ask once more; give the reply if it is a 503."""
    reply = fetch(proxy.port, asking(input=noise(60_000)), tenant)
    return reply if reply.status == 503 else None


@pytest.mark.parametrize("rests", [False, True], ids=["at work", "at rest"])
@pytest.mark.parametrize("gone", ["responses.db*", "responses.db-wal"])
def test_deleted_file(make_proxy: MakeProxy, tenant: str, gone: str, *, rests: bool) -> None:
    """Files that are deleted under a proxy stop no traffic; all comes into those that are made.

    What the journal no longer has by then is counted, and there is a warning.
    """
    with make_proxy() as proxy:
        fetch(proxy.port, asking(), tenant)
        proxy.database.ended(tenant)
        if rests:  # then all is in the file itself, and the journal empty
            holds = "journal holds"
            wait_until(lambda: counters(proxy)[holds].startswith("0 bytes"), "it empties")
        for path in proxy.folder.glob(gone):
            path.unlink()
        for streamed in (False, True):
            assert fetch(proxy.port, asking(stream=streamed), tenant).whole
        proxy.flush()
        rows = proxy.database.exchanges(tenant)
        lost = int(counters(proxy).get("frames_gone", "0"))
        assert lost == int(rests and gone == "responses.db*")
        assert [row["state"] for row in rows] == ["completed"] * (3 - lost)
        assert len(proxy.database.responses(tenant)) == 3 - lost
        assert ("is an older copy or a new database" in proxy.output()) == bool(lost)
        assert "Traceback" not in proxy.output()
