"""The addon gets along with what else mitmproxy does, and with many clients at once."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import harness
from tests.conftest import BY_TENANT, MakeProxy
from tests.fakes import bodies
from tests.fakes.answers import PLAIN, Answer, Framing, json_answer
from tests.harness.clients import QUESTION, asking, async_sdk, fetch, trusting
from tests.harness.database import Database
from tests.harness.expected import assert_completed, assert_holds
from tests.harness.proxy import Proxy, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fakes.model_server import ModelServer
    from tests.fakes.requests import Request


CHAINED = Path(harness.__file__).with_name("chained.py")
AT_ONCE = 16


@pytest.fixture(scope="module")
def streaming(
    model_server: ModelServer, authority: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    """A proxy in which mitmproxy and another addon stream as well."""
    with Proxy(
        tmp_path_factory.mktemp("streaming"),
        authority=authority,
        mode=f"reverse:{model_server.url}",
        config=BY_TENANT,
        options={"stream_large_bodies": "10k"},
        first=[CHAINED],
    ) as proxy:
        yield proxy


@pytest.mark.parametrize("framing", [Framing.LENGTH, Framing.CHUNKED])
def test_large_answer(
    streaming: Proxy, model_server: ModelServer, tenant: str, framing: Framing
) -> None:
    """An answer that mitmproxy's `stream_large_bodies` lets through has its row."""

    def play(request: Request) -> Answer:
        body = bodies.whole_response(request.fields, text="x" * 100_000)
        return json_answer(body, framing=framing)

    reply = fetch(streaming.port, asking(model_server.play(play)), tenant)
    assert bytes(reply.body) == model_server.recordings.only(tenant).body
    row = streaming.database.ended(tenant)
    assert_holds(row, {"transport": "http", "ended_by": "body", "status_code": 200})
    if framing is Framing.LENGTH:  # else mitmproxy tells nobody that it began to stream
        assert_holds(row, {"state": "completed", "output_text": "x" * 100_000})
        assert len(streaming.database.responses(tenant)) == 1


def test_large_stream(streaming: Proxy, model_server: ModelServer, tenant: str) -> None:
    """A stream that is large as well has its row, with all of its text."""

    def play(request: Request) -> Answer:
        return PLAIN.answer(bodies.stream_events(request.fields, text="x" * 50_000))

    reply = fetch(streaming.port, asking(model_server.play(play), stream=True), tenant)
    assert bytes(reply.body) == model_server.recordings.only(tenant).body
    assert_holds(streaming.database.ended(tenant), {"state": "completed"})


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_other_stream_callable(
    streaming: Proxy, model_server: ModelServer, tenant: str, *, streamed: bool
) -> None:
    """Another addon that changes the stream still does; what is kept is what the server sent."""
    body = asking(stream=streamed)
    reply = fetch(streaming.port, body, tenant, x_harness_shout="1")
    assert bytes(reply.body) == model_server.recordings.only(tenant).body.upper()
    row = streaming.database.ended(tenant)
    assert_holds(row, {"state": "completed", "output_text": bodies.TEXT})


def test_many_at_once(proxy: Proxy, model_server: ModelServer, tenant: str) -> None:
    """Sixteen clients at once get what is theirs, and so does the store."""

    def one(number: int) -> bool:
        mine = f"{tenant}-{number}"
        body = asking(stream=number % 2 == 0)
        replies = [fetch(proxy.port, body, mine) for _ in range(3)]
        served = model_server.recordings.of(mine)
        return [bytes(reply.body) for reply in replies] == [one.body for one in served]

    with ThreadPoolExecutor(AT_ONCE) as pool:
        assert all(pool.map(one, range(AT_ONCE)))
    for number in range(AT_ONCE):
        for row in proxy.database.all_ended(f"{tenant}-{number}", 3):
            assert_completed(row, streamed=number % 2 == 0, model="gpt-5")


async def test_streams_of_one_http2_connection(
    regular_proxy: Proxy, tls_server: ModelServer, tenant: str
) -> None:
    """Streams that share an HTTP/2 connection stay apart."""
    http = {"verify": trusting(regular_proxy.authority), "proxy": regular_proxy.url}
    async with async_sdk(tls_server.url, tenant, http2=True, **http) as client:

        async def one(number: int) -> str:
            stream = await client.responses.create(
                model=f"gpt-{number}", input=QUESTION, stream=True
            )
            return [event async for event in stream][-1].response.id

        ids = await asyncio.gather(*(one(number) for number in range(AT_ONCE)))
    rows = regular_proxy.database.all_ended(tenant, AT_ONCE)
    assert {row["response_id"] for row in rows} == set(ids)
    for row in rows:
        assert_completed(row, streamed=True, model=row["requested_model"])


def test_configuration_changes_at_work(make_proxy: MakeProxy, tenant: str) -> None:
    """A new configuration takes over while the proxy runs; one that is wrong changes nothing."""
    with make_proxy() as proxy:
        (proxy.folder / "wrong.yaml").write_text("durability: eventually\n", encoding="utf-8")
        (proxy.folder / "other.yaml").write_text(
            "tenant:\n  header: x-tenant\ndatabase_url: sqlite://other.db\n", encoding="utf-8"
        )
        fetch(proxy.port, asking(), tenant)
        with pytest.raises(AssertionError, match="durability"):
            proxy.command("set", "response_store_config=wrong.yaml")
        fetch(proxy.port, asking(), tenant)
        assert len(proxy.database.all_ended(tenant, 2)) == 2
        change_to(proxy, "other.yaml", "other.db")
        fetch(proxy.port, asking(), tenant)
        other = Database(proxy.folder / "other.db")
        assert_completed(other.ended(tenant), streamed=False, model="gpt-5")
        assert len(proxy.database.exchanges(tenant)) == 2


def change_to(proxy: Proxy, config: str, database: str) -> None:
    """Name another configuration, and wait until it is in force: nothing is held up by that."""
    proxy.command("set", f"response_store_config={config}")
    in_force = f"writing to SQLite {database}"
    wait_until(lambda: in_force in proxy.output(), "the new configuration is in force")


def test_a_new_configuration_that_cannot_work(make_proxy: MakeProxy, tenant: str) -> None:
    """Where the new database can't be opened, the old one goes on, and the log says why."""
    with make_proxy() as proxy:
        (proxy.folder / "notes.txt").write_text("no database " * 100, encoding="utf-8")
        (proxy.folder / "other.yaml").write_text(
            "tenant:\n  header: x-tenant\ndatabase_url: sqlite://notes.txt\n", encoding="utf-8"
        )
        fetch(proxy.port, asking(), tenant)
        proxy.command("set", "response_store_config=other.yaml")
        fetch(proxy.port, asking(), tenant)
        stays = "the configuration before stays in force"
        wait_until(lambda: stays in proxy.output(), "the log says what stays in force")
        fetch(proxy.port, asking(), tenant)
        assert len(proxy.database.all_ended(tenant, 3)) == 3
        assert "notes.txt" in proxy.output()
        assert "Traceback" not in proxy.output()
