"""Each response on a WebSocket has its row, however lanes interleave and whoever leaves."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from mitmproxy.io import FlowReader

from tests.acceptance.test_own_errors import BREAKING, PACKAGE
from tests.conftest import BY_TENANT, MakeProxy
from tests.fakes import bodies, websocket_plays
from tests.fakes.answers import End, Gate
from tests.fakes.model_server import ModelServer
from tests.fakes.websocket import REFUSED, Scenario, WebSocketSwitch
from tests.fakes.websocket_client import WebSocketClient
from tests.fakes.websocket_plays import (
    CONNECTION_LIMIT,
    HALF_TEXT,
    answer,
    by_turns,
    closing,
    error,
    instead,
    leaving,
    usual,
    waiting,
)
from tests.fakes.websocket_wire import Json
from tests.harness.breaking import SHARED, Breaking
from tests.harness.clients import QUESTION, async_sdk, sdk, trusting
from tests.harness.database import unpacked
from tests.harness.expected import TOKENS, assert_holds, facts
from tests.harness.ingesters import frozen_ingester, kill_both
from tests.harness.outages import no_file_beyond, noise
from tests.harness.proxy import Proxy, wait_until

COMPLETED = "response.completed"
DELTA = "response.output_text.delta"
LIMIT = 40_000
Play = Callable[[WebSocketClient], None]


def creating(model: str = "gpt-5", **fields: Any) -> Json:
    """A message that asks for a response."""
    return {"type": "response.create", "model": model, "input": QUESTION} | fields


@pytest.fixture(scope="module")
def switch(model_server: ModelServer) -> WebSocketSwitch:
    """The WebSockets of the shared model server."""
    return WebSocketSwitch(model_server, usual)


# Clients


def is_end(message: Json) -> bool:
    """Whether a message ends a response."""
    return message.get("type") in ENDS


def asks(*messages: Json, ends: int = 1) -> Play:
    """Send requests, read so many ends of responses, and close."""

    def play(client: WebSocketClient) -> None:
        client.send(*(messages or (creating(),)))
        client.until_any(is_end, ends)
        client.close()

    return play


def one_by_one(*messages: Json) -> Play:
    """Send a request when the one before it has been answered, then close."""

    def play(client: WebSocketClient) -> None:
        for message in messages:
            client.send(message)
            client.until_any(is_end)
        client.close()

    return play


def stays(*messages: Json) -> Play:
    """Send requests and read until the server leaves."""

    def play(client: WebSocketClient) -> None:
        client.send(*(messages or (creating(),)))
        client.until_end()

    return play


def lets_go(gate: Gate, count: int = 3) -> Play:
    """Send a request, read so many pieces of its text, and let the server leave."""

    def play(client: WebSocketClient) -> None:
        client.send(creating())
        client.until(DELTA, count)
        gate.open()
        client.until_end()

    return play


def leaves(how: Callable[[WebSocketClient], None], after: str = DELTA, count: int = 3) -> Play:
    """Send a request, read so many messages of a type, and leave."""

    def play(client: WebSocketClient) -> None:
        client.send(creating())
        client.until(after, count)
        how(client)

    return play


def steers(client: WebSocketClient) -> None:
    """Steer the first response and read both ends."""
    client.send(creating())
    begun = client.until("response.created")["response"]["id"]
    client.until(DELTA, 3)
    item = {"type": "message", "role": "user", "content": "Shorter, please."}
    client.send({"type": "response.steer", "previous_response_id": begun, "input": [item]})
    client.until("response.incomplete")
    client.until(COMPLETED)
    client.close()


ENDS = {COMPLETED, "response.failed", "response.incomplete", "error"}
WELL = {"state": "completed", "ended_by": "terminal_event", "output_text": bodies.TEXT} | TOKENS
HALF = {"state": "interrupted", "output_text": HALF_TEXT, "status_code": 101}
WORDLESS = {"state": "interrupted", "output_text": None}
FAILED = {"state": "failed", "output_text": HALF_TEXT, "error_code": "rate_limit_exceeded"}


@dataclass(frozen=True)
class Case:
    """What the server does, what the client does, and the rows that must be there."""

    server: Scenario
    client: Play
    rows: list[Json]
    stored: int | None = None  # responses; as many as rows that completed, unless it says so
    counters: dict[str, int] = field(default_factory=dict)

    @property
    def responses(self) -> int:
        whole = sum(row["state"] == "completed" for row in self.rows)
        return whole if self.stored is None else self.stored


RESET = Gate()
LANES = [creating(f"gpt-{name}", stream_id=name) for name in "abc"]
INTERLEAVED = [WELL | {"requested_model": f"gpt-{name}"} for name in "abc"]


def failing(nested: bool, then_failed: bool = False) -> Scenario:
    """A server that breaks off with an error, perhaps followed by `response.failed`."""

    def make(asked: Json) -> list[Json]:
        messages = answer(asked)[: websocket_plays.HALF] + error(asked, nested=nested)
        last = bodies.failed_events(asked, response_id=messages[0]["response"]["id"])[-1]
        return [*messages, last] if then_failed else messages

    return instead(make)


def refusing(nested: bool, status: int | None) -> Scenario:
    """A server that answers requests with an error and nothing else."""
    return instead(lambda asked: error(asked, nested=nested, status=status))


def noisy(asked: Json) -> list[Json | str | bytes]:
    """An answer between messages that can't be read or belong to nobody."""
    odd: list[Json | str | bytes] = [b"\x00\xff", "no JSON", "[]", '{"type":"codex.rate_limits"}']
    return [*odd[:3], *answer(asked), odd[3]]


CASES = {
    "one": Case(usual, asks(), [WELL]),
    "one after the other": Case(usual, one_by_one(creating(), creating()), [WELL, WELL]),
    "three lanes": Case(by_turns(3), asks(*LANES, ends=3), INTERLEAVED),
    "two asked at once in one lane": Case(usual, asks(creating(), creating(), ends=2), [WELL] * 2),
    "warm-up": Case(
        usual,
        one_by_one(creating(generate=False), creating()),
        [{"state": "completed", "output_text": None}, WELL],
    ),
    "steered": Case(
        websocket_plays.steered,
        steers,
        [
            {"state": "incomplete", "error_code": "steered", "output_text": bodies.TEXT},
            {"state": "completed", "output_text": "As you wish.", "requested_model": None},
        ],
        stored=2,
    ),
    "error in the middle, flat": Case(failing(nested=False), asks(), [FAILED]),
    "error in the middle, nested": Case(failing(nested=True), asks(), [FAILED]),
    "error, then failed": Case(
        failing(nested=True, then_failed=True),
        leaves(WebSocketClient.close, "response.failed", 1),
        [{"state": "failed", "error_code": "server_error", "output_text": bodies.TEXT}],
        stored=1,
    ),
    "error, then another request": Case(
        failing(nested=True), one_by_one(creating(), creating()), [FAILED, FAILED]
    ),
    "refused, nested": Case(
        refusing(nested=True, status=429),
        asks(),
        [{"state": "refused", "status_code": 429, "error_code": "rate_limit_exceeded"}],
    ),
    "refused, flat": Case(
        refusing(nested=False, status=None),
        asks(),
        [{"state": "failed", "status_code": 101, "error_code": "rate_limit_exceeded"}],
    ),
    "upstream closes": Case(closing(1011), stays(), [HALF | {"ended_by": "upstream"}]),
    "upstream gone": Case(leaving(End.FIN), stays(), [HALF | {"ended_by": "upstream"}]),
    # A reset that overtakes messages keeps mitmproxy from closing the client's side, now and then.
    "upstream reset": Case(
        leaving(End.RST, gate=RESET), lets_go(RESET), [HALF | {"ended_by": "upstream"}]
    ),
    "upstream gone without a word": Case(
        leaving(End.FIN, 0), stays(), [WORDLESS | {"ended_by": "upstream"}]
    ),
    "upstream gone after the end": Case(leaving(End.FIN, 99), stays(), [WELL]),
    "client closes": Case(
        waiting(Gate()), leaves(WebSocketClient.close), [HALF | {"ended_by": "client"}]
    ),
    "client gone": Case(
        waiting(Gate()), leaves(WebSocketClient.drop), [HALF | {"ended_by": "client"}]
    ),
    "client reset": Case(
        waiting(Gate()), leaves(WebSocketClient.reset), [HALF | {"ended_by": "client"}]
    ),
    "client gone after the end": Case(usual, leaves(WebSocketClient.drop, COMPLETED, 1), [WELL]),
    "the hour is over": Case(
        websocket_plays.hour_is_over,
        stays(creating("gpt-a", stream_id="a"), creating("gpt-b", stream_id="b")),
        [
            HALF | {"state": "failed", "error_code": CONNECTION_LIMIT, "ended_by": "upstream"},
            {"state": "refused", "error_code": CONNECTION_LIMIT, "status_code": 400},
        ],
    ),
    "messages that can't be read": Case(
        instead(noisy),
        asks(),
        [WELL],
        counters={"websocket.binary": 1, "websocket.unreadable": 2, "websocket.beside": 1},
    ),
    "requests that can't be read": Case(
        usual,
        lambda client: (client.send(b"\xff", "no JSON", "{}"), asks()(client))[1],
        [WELL],
        counters={"websocket.binary": 1, "websocket.unreadable": 1},
    ),
    "a request of nothing": Case(
        usual,
        one_by_one({"type": "response.create"}, creating()),
        [WELL | {"requested_model": None}, WELL],
        stored=2,
    ),
}


def counts_of(proxy: Proxy) -> dict[str, int]:
    """The counts that `status` shows."""
    lines = proxy.command("response_store.status").splitlines()
    pairs = (line.rsplit(": ", 1) for line in lines)
    return {name: int(number) for name, number in pairs if number.isdigit()}


@pytest.mark.parametrize("name", CASES)
def test_case(proxy: Proxy, switch: WebSocketSwitch, tenant: str, name: str) -> None:
    """Whatever passes on a socket, each response has one row that says what became of it."""
    case = CASES[name]
    before = counts_of(proxy)
    with WebSocketClient(proxy.port, tenant, scenario=switch.play(case.server)) as client:
        case.client(client)
    rows = proxy.database.all_ended(tenant, len(case.rows))
    for row, expected in zip(rows, case.rows, strict=True):
        common = {"transport": "websocket", "api": "responses", "method": "GET"}
        assert_holds(row, common | expected)
        assert row["upstream_request_id"] == "req_socket"
    assert len(proxy.database.responses(tenant)) == case.responses
    proxy.flush()
    after = counts_of(proxy)
    counted = {key: after.get(key, 0) - before.get(key, 0) for key in case.counters}
    assert counted == case.counters
    assert not [key for key in after if key.startswith("fault")]
    status = proxy.command("response_store.status")
    assert "open exchanges: 0\n" in status
    assert "held in memory: 0 bytes\n" in status


def test_row_of_a_turn(proxy: Proxy, switch: WebSocketSwitch, tenant: str) -> None:
    """A turn fills the columns that a streamed exchange fills, and its request is as sent."""
    asked = creating(previous_response_id="resp_before", stream_id="a", store=False)
    with WebSocketClient(proxy.port, tenant, user_agent="codex/1") as client:
        asks(asked)(client)
    row = proxy.database.ended(tenant)
    assert_holds(row, WELL | {"requested_model": "gpt-5", "user_agent": "codex/1"})
    assert_holds(row, {"previous_response_id": "resp_before", "path": "/v1/responses"})
    assert_holds(row, {"status_code": 101, "host": "127.0.0.1", "raw_response": None})
    assert json.loads(unpacked(row["request_body"])) == asked
    assert 0 < row["first_event_ms"] <= row["duration_ms"]
    stored = proxy.database.response(tenant)
    whole = client.received[-1]["response"]
    assert json.loads(stored["response_object"]) == whole
    assert row["response_id"] == stored["id"] == whole["id"]
    assert (stored["input"], stored["messages"]) == ("[]", "[]"), "the request has it"


def test_steering_is_kept(proxy: Proxy, switch: WebSocketSwitch, tenant: str) -> None:
    """What steered a response is the request of the one that follows, which names the first."""
    scenario = switch.play(websocket_plays.steered)
    with WebSocketClient(proxy.port, tenant, scenario=scenario) as client:
        steers(client)
    first, second = proxy.database.all_ended(tenant, 2)
    assert second["previous_response_id"] == first["response_id"]
    assert json.loads(unpacked(second["request_body"]))["type"] == "response.steer"
    stored = {row["id"]: row for row in proxy.database.responses(tenant)}
    assert "Shorter, please." in stored[second["response_id"]]["input"]


def test_warm_up_is_chained(proxy: Proxy, switch: WebSocketSwitch, tenant: str) -> None:
    """The request after a warm-up names it, and both are there to be followed."""
    with WebSocketClient(proxy.port, tenant) as client:
        client.send(creating(generate=False))
        warm = client.until(COMPLETED)["response"]["id"]
        client.send(creating(previous_response_id=warm))
        client.until(COMPLETED)
        client.close()
    first, second = proxy.database.all_ended(tenant, 2)
    assert (first["response_id"], second["previous_response_id"]) == (warm, warm)
    assert len(proxy.database.responses(tenant)) == 2


def test_committed_before_the_terminal_message(
    make_proxy: MakeProxy, switch: WebSocketSwitch, tenant: str
) -> None:
    """With `acknowledge: database` the row is there when the client has the terminal message."""
    config = BY_TENANT | {"acknowledge": "database", "completion_wait_ms": 20_000}
    with make_proxy(config=config) as proxy, WebSocketClient(proxy.port, tenant) as client:
        for number in range(1, 31):
            client.send(creating())
            client.until(COMPLETED)
            states = [row["state"] for row in proxy.database.exchanges(tenant)]
            assert states == ["completed"] * number


def test_kept_before_the_terminal_message(
    make_proxy: MakeProxy, switch: WebSocketSwitch, tenant: str
) -> None:
    """What the client has the terminal message of is in the journal: no `kill -9` takes it away."""
    with make_proxy() as proxy:
        with (
            frozen_ingester(proxy),
            WebSocketClient(proxy.port, tenant) as client,
        ):
            for _ in range(10):
                client.send(creating())
                client.until(COMPLETED)
            assert proxy.database.exchanges(tenant) == []
            kill_both(proxy)
        with proxy.open():
            for row in proxy.database.all_ended(tenant, 10):
                assert_holds(row, WELL)
    assert len(proxy.database.responses(tenant)) == 10


def test_order_is_kept(proxy: Proxy, switch: WebSocketSwitch, tenant: str) -> None:
    """The client gets every message, in the order in which the server sent them."""
    scenario = switch.play(by_turns(3))
    with WebSocketClient(proxy.port, tenant, scenario=scenario) as client:
        asks(*LANES, ends=3)(client)
    sent = [json.loads(message) for message in switch.only(tenant).sent]
    assert client.received == sent


def test_open_row(proxy: Proxy, switch: WebSocketSwitch, tenant: str) -> None:
    """A quarter of a second into a turn its row is there, open, and it is closed in place."""
    gate = Gate()
    with WebSocketClient(proxy.port, tenant, scenario=switch.play(waiting(gate))) as client:
        client.send(creating())
        (row,) = wait_until(lambda: proxy.database.exchanges(tenant), "an open row is there")
        assert_holds(row, {"state": "open", "transport": "websocket", "ended_by": None})
        gate.open()
        client.until(COMPLETED)
        ended = proxy.database.ended(tenant)
    assert_holds(ended, {"exchange_id": row["exchange_id"], "state": "completed"})


def test_compressed(proxy: Proxy, switch: WebSocketSwitch, tenant: str) -> None:
    """Compressed messages are read as any others, and reach both sides."""
    with WebSocketClient(proxy.port, tenant, deflate=True) as client:
        assert "permessage-deflate" in client.head
        one_by_one(creating(), creating())(client)
    assert [message["type"] for message in client.received].count(COMPLETED) == 2
    assert len(switch.only(tenant).received) == 2
    for row in proxy.database.all_ended(tenant, 2):
        assert_holds(row, WELL)


def test_through_a_regular_proxy(
    regular_proxy: Proxy, tls_server: ModelServer, tenant: str
) -> None:
    """A socket inside TLS through a regular proxy is captured as well."""
    WebSocketSwitch(tls_server, usual)
    via = f"127.0.0.1:{tls_server.port}"
    tls = trusting(regular_proxy.authority)
    with WebSocketClient(regular_proxy.port, tenant, via=via, tls=tls) as client:
        asks()(client)
    assert_holds(regular_proxy.database.ended(tenant), WELL | {"scheme": "https"})


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_sdk(proxy: Proxy, switch: WebSocketSwitch, tenant: str, compression: str | None) -> None:
    """The SDK's socket: a warm-up, and responses that name the one before."""
    options: Any = {"compression": compression, "proxy": None}
    previous: list[str | None] = [None]
    with (
        sdk(proxy.url, tenant) as client,
        client.responses.connect(
            websocket_connection_options=options, extra_headers={"x-tenant": tenant}
        ) as connection,
    ):
        for generate in (False, True, True):
            connection.send(
                creating(generate=generate, previous_response_id=previous[-1])  # type: ignore[arg-type]
            )
            event = next(event for event in connection if event.type == COMPLETED)
            previous.append(event.response.id)
    rows = proxy.database.all_ended(tenant, 3)
    assert [row["response_id"] for row in rows] == previous[1:]
    assert [row["previous_response_id"] for row in rows] == previous[:-1]
    assert_holds(rows[2], WELL)
    assert rows[0]["user_agent"].startswith("OpenAI/Python")


async def test_async_sdk(regular_proxy: Proxy, tls_server: ModelServer, tenant: str) -> None:
    """The asynchronous SDK through a regular proxy and TLS, with lanes that interleave."""
    scenario = WebSocketSwitch(tls_server, usual).play(by_turns(3))
    tls = trusting(regular_proxy.authority)
    options: Any = {"proxy": regular_proxy.url, "ssl": tls}
    # openai 2 does not send the client's own headers along with the handshake.
    headers = {"x-scenario": scenario, "x-tenant": tenant}
    async with (
        async_sdk(tls_server.url, tenant) as client,
        client.responses.connect(
            websocket_connection_options=options, extra_headers=headers
        ) as connection,
    ):
        for message in LANES:
            await connection.send(message)  # type: ignore[arg-type]
        ids = {}
        async for event in connection:
            if event.type == COMPLETED:
                ids[event.stream_id] = event.response.id  # type: ignore[union-attr]
            if len(ids) == 3:
                break
    rows = regular_proxy.database.all_ended(tenant, 3)
    assert {row["requested_model"][-1]: row["response_id"] for row in rows} == ids
    for row in rows:
        assert_holds(row, WELL | {"scheme": "https"})


def test_secrets_are_masked(proxy: Proxy, switch: WebSocketSwitch, tenant: str) -> None:
    """Credentials in requests and in steering are masked, and headers are not kept."""
    tool = {"type": "mcp", "server_label": "d", "authorization": "canary-mcp-authorization"}
    headers = {"cookie": "canary-cookie", "chatgpt_account_id": "canary-account"}
    with WebSocketClient(proxy.port, tenant, **headers) as client:
        asks(creating(tools=[tool]))(client)
    row = proxy.database.ended(tenant)
    assert_holds(row, WELL)
    assert json.loads(unpacked(row["request_body"]))["tools"][0]["authorization"] == "***"
    dump = proxy.database.dump(tenant)
    secrets = (tool["authorization"], *headers.values())
    assert tenant in dump
    assert [secret for secret in secrets if secret in dump] == []


def test_socket_outlives_a_configuration(
    make_proxy: MakeProxy, switch: WebSocketSwitch, tenant: str
) -> None:
    """A socket that is open while the configuration changes goes on being captured."""
    with make_proxy() as proxy, WebSocketClient(proxy.port, tenant) as client:
        client.send(creating())
        client.until(COMPLETED)
        (proxy.folder / "other.yaml").write_bytes((proxy.folder / "config.yaml").read_bytes())
        proxy.command("set", "response_store_config=other.yaml")
        client.send(creating())
        client.until(COMPLETED)
        for row in proxy.database.all_ended(tenant, 2):
            assert_holds(row, WELL)


def test_stopped_proxy(make_proxy: MakeProxy, switch: WebSocketSwitch, tenant: str) -> None:
    """A proxy that is stopped closes the turns that run."""
    with make_proxy() as proxy:
        scenario = switch.play(waiting(Gate()))
        with WebSocketClient(proxy.port, tenant, scenario=scenario) as client:
            client.send(creating())
            client.until(DELTA, 3)
            finished = proxy.terminate()
        row = proxy.database.exchange(tenant)
    assert "1 open exchanges interrupted" in finished.output
    assert_holds(row, HALF | {"ended_by": "proxy_stopped", "transport": "websocket"})


def test_killed_proxy(make_proxy: MakeProxy, switch: WebSocketSwitch, tenant: str) -> None:
    """The open turn of a proxy that was killed is closed by the next one."""
    with make_proxy() as proxy:
        scenario = switch.play(waiting(Gate()))
        with WebSocketClient(proxy.port, tenant, scenario=scenario) as client:
            client.send(creating())
            wait_until(lambda: proxy.database.exchanges(tenant), "an open row is there")
            proxy.kill9()
    with make_proxy() as proxy:
        row = proxy.database.ended(tenant)
    assert_holds(row, {"state": "interrupted", "ended_by": "proxy_stopped"})
    assert row["transport"] == "websocket"


@pytest.fixture(scope="module")
def strict(
    model_server: ModelServer, authority: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    """A proxy with small limits that leaves out what asks not to be stored."""
    capture = {"max_body_bytes": LIMIT, "store_false": "skip", "raw_bodies": "always"}
    with Proxy(
        tmp_path_factory.mktemp("strict"),
        authority=authority,
        mode=f"reverse:{model_server.url}",
        config={**BY_TENANT, "capture": capture},
    ) as proxy:
        yield proxy


def test_large_answer(strict: Proxy, switch: WebSocketSwitch, tenant: str) -> None:
    """An answer above the limit passes, its row says so, and the next turn is whole."""
    sizes = iter([LIMIT, 10])
    scenario = switch.play(instead(lambda asked: answer(asked, text="x" * next(sizes))))
    with WebSocketClient(strict.port, tenant, scenario=scenario) as client:
        one_by_one(creating(), creating())(client)
    first, second = strict.database.all_ended(tenant, 2)
    assert_holds(first, {"state": "too_large", "ended_by": "terminal_event"})
    assert_holds(second, {"state": "completed", "output_text": "x" * 10})


def test_large_request(strict: Proxy, switch: WebSocketSwitch, tenant: str) -> None:
    """A request above the limit passes, and its answer is kept."""
    with WebSocketClient(strict.port, tenant) as client:
        asks(creating(input="x" * LIMIT))(client)
    row = strict.database.ended(tenant)
    assert_holds(row, {"state": "completed", "request_body": None})
    assert row["error_code"] == "unreadable_request"


def test_raw_answer(strict: Proxy, switch: WebSocketSwitch, tenant: str) -> None:
    """What is kept raw of a turn are its messages, and no other turn's."""
    with WebSocketClient(strict.port, tenant, scenario=switch.play(by_turns(3))) as client:
        asks(*LANES, ends=3)(client)
    for row, name in zip(strict.database.all_ended(tenant, 3), "abc", strict=True):
        frames = unpacked(row["raw_response"]).split(b"\n\n")[:-1]
        messages = [json.loads(frame.removeprefix(b"data: ")) for frame in frames]
        assert messages == [m for m in client.received if m["stream_id"] == name]


def test_unstored_is_left_out(strict: Proxy, switch: WebSocketSwitch, tenant: str) -> None:
    """Requests that ask not to be stored make no row where they are to be skipped."""
    with WebSocketClient(strict.port, tenant) as client:
        one_by_one(creating(store=False), creating())(client)
    assert len(strict.database.all_ended(tenant, 1)) == 1
    with WebSocketClient(
        strict.port, tenant, scenario=switch.play(websocket_plays.steered)
    ) as client:
        client.send(creating(store=False))
        begun = client.until("response.created")["response"]["id"]
        client.until(DELTA, 3)
        client.send({"type": "response.steer", "previous_response_id": begun, "input": "No."})
        client.until(COMPLETED)
        client.close()
    strict.flush()
    assert len(strict.database.exchanges(tenant)) == 1


def test_upgrades_that_are_none_of_ours(proxy: Proxy, switch: WebSocketSwitch, tenant: str) -> None:
    """Sockets of other paths, and upgrades that are refused, pass and are counted."""
    before = counts_of(proxy).get("skipped.websocket", 0)
    with WebSocketClient(proxy.port, tenant, path="/v1/chat/completions") as client:
        client.send(creating())
        client.until(COMPLETED)
    with WebSocketClient(proxy.port, tenant, scenario=REFUSED) as refused:
        assert refused.head.startswith("HTTP/1.1 426")
    proxy.flush()
    assert proxy.database.exchanges(tenant) == []
    assert counts_of(proxy)["skipped.websocket"] == before + 2


# What mitmproxy holds


COUNTING = """
from pathlib import Path

def websocket_message(flow):
    most = max(len(flow.websocket.messages), flow.metadata.get("most", 0))
    flow.metadata["most"] = most
    assert flow.websocket.messages[-1].timestamp
    Path("most").write_text(str(most))
"""


@pytest.fixture
def counting(tmp_path: Path) -> Path:
    """A script that notes how many messages a flow has held at most."""
    script = tmp_path / "counting.py"
    script.write_text(COUNTING)
    return script


def test_handled_messages_are_let_go(
    make_proxy: MakeProxy, switch: WebSocketSwitch, tenant: str, counting: Path
) -> None:
    """A socket with many turns never holds more messages than the last, and the one before."""
    with make_proxy(first=[counting]) as proxy, WebSocketClient(proxy.port, tenant) as client:
        one_by_one(*[creating() for _ in range(20)])(client)
        proxy.database.all_ended(tenant, 20)
        assert int((proxy.folder / "most").read_text()) <= 2


SAME = (
    "exchange_id response_id previous_response_id transport state ended_by status_code error_code "
    "started_at requested_model output_text request_body"
).split()


def moments_of(flow: Any) -> list[float]:
    """When each message of a flow came, and when it ended, in seconds."""
    return [*(each.timestamp for each in flow.websocket.messages), flow.websocket.timestamp_end]


def test_flow_file_is_whole_and_fills_a_store(
    make_proxy: MakeProxy, switch: WebSocketSwitch, tenant: str
) -> None:
    """A flow file keeps every message, and reading it gives the same rows."""
    with make_proxy("recorded", arguments=["-w", "flows"]) as proxy:
        for client_does, server in (
            (asks(*LANES, ends=3), by_turns(3)),
            (steers, websocket_plays.steered),
            (leaves(WebSocketClient.drop), waiting(Gate())),
            (one_by_one(creating(), creating()), failing(nested=True)),
        ):
            with WebSocketClient(proxy.port, tenant, scenario=switch.play(server)) as client:
                client_does(client)
        rows = proxy.database.all_ended(tenant, 8)
        proxy.terminate()
        flows = proxy.folder / "flows"
    with flows.open("rb") as file:
        read: list[Any] = list(FlowReader(file).stream())
    messages = sum(len(flow.websocket.messages) for flow in read)
    assert messages > 80
    importing = make_proxy("imported", arguments=["-n", "-r", str(flows)], control=False)
    assert importing.run().returncode == 0
    imported = importing.database.exchanges(tenant)
    assert [facts(row, *SAME) for row in imported] == [facts(row, *SAME) for row in rows]
    # While it passes time is that of a monotonic clock, in a file that of its messages.
    moments = [moment for flow in read for moment in moments_of(flow)]
    for column in ("first_event_ms", "duration_ms"):
        times = [row[column] for row in rows]
        assert [row[column] for row in imported] == pytest.approx(times, abs=300, rel=0), column
        for row in imported:
            if row[column] is not None:
                came = row["started_at"] + row[column] / 1000
                assert any(abs(came - moment) < 1e-5 for moment in moments), (column, row[column])
    assert len(importing.database.responses(tenant)) == len(proxy.database.responses(tenant))


def asked_until(client: WebSocketClient, *, refused: bool) -> Json:
    """Ask again and again, until a request is refused by the proxy, or is not."""

    def ask() -> Json | None:
        client.send(creating(input=noise(60_000)))
        end = client.until_any(is_end)
        return end if (end["type"] == "error") == refused else None

    end: Json = wait_until(ask, "the store is away" if refused else "it is back", timeout=20)
    return end


def test_reject(make_proxy: MakeProxy, switch: WebSocketSwitch, tenant: str) -> None:
    """With `reject` and a store that fails, a request gets an error and goes no further.

    The socket stays, and once the store is back requests pass on it again.
    """
    config = {**BY_TENANT, "on_store_failure": "reject", "completion_wait_ms": 100}
    with make_proxy(config=config) as proxy, WebSocketClient(proxy.port, tenant) as client:
        client.send(creating())
        client.until(COMPLETED)
        with no_file_beyond(100_000, proxy.ingester()):
            asked_until(client, refused=True)
            reached = len(switch.only(tenant).received)
            client.send(creating(stream_id="a"))
            error = client.until("error")
            assert len(switch.only(tenant).received) == reached
        assert (error["status"], error["stream_id"]) == (503, "a")
        assert set(error["error"]) == {"message", "type", "param", "code"}
        asked_until(client, refused=False)
        proxy.flush()
        turned = [row for row in proxy.database.exchanges(tenant) if row["status_code"] == 503]
        assert counts_of(proxy)["rejected"] == len(turned)
    assert {(row["state"], row["ended_by"]) for row in turned} == {("refused", "proxy")}
    assert {row["error_code"] for row in turned} == {error["error"]["code"]}


PARTS = ("traffic.", "runtime.", "session.", "capture.")


@pytest.mark.timeout(180)
def test_any_function_may_raise(
    make_proxy: MakeProxy, switch: WebSocketSwitch, tenant: str, tmp_path: Path
) -> None:
    """No error of our own keeps a message from a client, or the next socket from the store."""
    config = BY_TENANT | {"completion_wait_ms": 100}
    scenario = switch.play(failing(nested=True, then_failed=True))
    breaking = Breaking(tmp_path / "broken.now")
    how = {"first": [BREAKING], "environment": {SHARED: str(breaking.path)}}
    with make_proxy(config=config, **how) as proxy:

        def play(whose: str, broken: str = "") -> list[Json]:
            breaking.break_(broken)
            with WebSocketClient(proxy.port, whose, scenario=scenario) as client:
                client.send("no JSON", creating(), creating(stream_id="a"))
                client.until("response.failed", 2)
                client.close()
            return client.received

        breaking.forget()
        usual_count = len(play(tenant))
        proxy.flush()
        called = [name.removeprefix(PACKAGE) for name in breaking.called()]
        names = sorted(name for name in called if name.startswith(PARTS))
        assert len(names) > 60
        for number, name in enumerate(names):
            assert len(play(f"{tenant}-{number}", PACKAGE + name)) == usual_count, name
        play(f"{tenant}-after")
        rows = proxy.database.all_ended(f"{tenant}-after", 2)
    assert {row["state"] for row in rows} == {"failed"}
