"""Bodies that were made to cost, in a real proxy: memory, the event loop's time, seconds.

The proxy and its ingester may take 256 MB over `max_body_bytes`, the event loop may be held up for
50 ms longer than without the addon, and neither process may work for more than 5 s. With `-m soak`
bodies have the full size; else a quarter of it, as have the limits and what a body may cost.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Hashable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import BY_TENANT
from tests.fakes.answers import Answer
from tests.fakes.websocket import WebSocketSwitch
from tests.fakes.websocket_client import WebSocketClient
from tests.fakes.websocket_plays import usual
from tests.harness.clients import CHAT, CREATE, RawClient, asking, fetch, request_bytes
from tests.harness.costs import Costs
from tests.harness.journals import journals_in
from tests.harness.proxy import Proxy, wait_until
from tests.harness.smaller_bodies import PART
from tests.harness.work import slowness

if TYPE_CHECKING:
    from tests.fakes.model_server import ModelServer
    from tests.fakes.websocket import ServerSocket

pytestmark = [
    pytest.mark.timeout(240),  # a bound that was missed once is measured twice more
    pytest.mark.skipif(not Path("/proc/self").exists(), reason="costs are looked up in /proc"),
]
HARNESS = Path(__file__).parents[1] / "harness"
SMALLER = HARNESS / "smaller_bodies.py"
QUIET = {"flow_detail": "0", "termlog_verbosity": "warn"}
LIMIT = 64 << 20  # max_body_bytes as it is by default
READ = (42 << 20) - 16_384  # what is read of an answer and its request
WHOLE = LIMIT - 16_384
BOUNDS = {"stall": 50.0, "MB": 256.0 + 64.0, "s": 5.0}
SLACK = {"stall": 10.0, "MB": 16.0, "s": 0.75}
"""What smaller bodies may cost beside their part: the collector, the allocator, a first time."""
PARTS = [4, pytest.param(1, marks=pytest.mark.soak)]
EMOJI = "\U0001f600".encode()
HEAD = b'{"id":"%s","object":"response","created_at":1,"model":"m","status":"completed","output":['
TEXT = HEAD + b'{"type":"message","content":[{"type":"output_text","text":"'
TEXT_END = b'"}]}]}'
DELTA = b'data: {"type":"response.output_text.delta","output_index":0,"delta":"%s"}\n\n'
CHUNK = b'data: {"choices":[{"index":0,"delta":{"content":"%s"}}]}\n\n'
IMAGE = b'"},{"type":"input_image","image_url":"data:image/png;base64,'


Body = Callable[[int], bytes]


def filled(size: int, unit: bytes, before: bytes = b"", after: bytes = b"") -> Body:
    """Return what makes a part of a body of a size of one unit."""

    def make(part: int) -> bytes:
        return before + unit * ((size // part - len(before) - len(after)) // len(unit)) + after

    return make


@dataclass(frozen=True)
class Case:
    """A body, whose it is, and the states that its row may have."""

    kind: str  # json, stream, chat, request, gzip
    make: Body
    states: tuple[str, ...]
    keeps_bytes: bool = True  # where it was not read whole


READ_WELL, KEPT = ("completed",), ("too_large",)
CASES = {
    "a text": Case("json", filled(READ, b"a ", TEXT, TEXT_END), READ_WELL),
    "an emoji": Case("json", filled(READ, b"a ", TEXT + EMOJI, TEXT_END), READ_WELL),
    "escapes": Case("json", filled(READ, b"\\n", TEXT + EMOJI, TEXT_END), READ_WELL),
    "larger": Case("json", filled(WHOLE, EMOJI, TEXT, TEXT_END), KEPT),
    "zeros": Case("json", filled(WHOLE, b"0,", HEAD, b"0]}"), KEPT),
    "nested": Case(
        "json", filled(WHOLE, b"[", b'{"headers":1,"output":'), ("unreadable", "too_large"), False
    ),
    "credentials": Case(
        "json",
        filled(WHOLE, b'{"headers":{"a":"bcdefghij"}},', HEAD + b'],"tools":[', b"0]}"),
        ("unreadable", "too_large"),
        False,  # what can't be cleaned keeps no bytes
    ),
    "a bomb": Case("gzip", filled(WHOLE, EMOJI, TEXT, TEXT_END), KEPT),
    "an error": Case("refusal", filled(WHOLE, EMOJI, b'{"error":{"message":"', b'"}}'), KEPT),
    "deltas": Case("stream", filled(READ, DELTA % EMOJI * 9), ("interrupted", "too_large")),
    "large deltas": Case("stream", filled(READ, DELTA % (EMOJI * 2000)), ("interrupted",)),
    "one event": Case(
        "stream",
        filled(
            READ,
            EMOJI,
            b'data: {"type":"response.completed","response":' + TEXT,
            TEXT_END + b"}\n\n",
        ),
        READ_WELL,
    ),
    "newlines": Case("stream", filled(WHOLE, b"\n"), ("interrupted", "unreadable", "too_large")),
    "chunks": Case(
        "chat", filled(READ, CHUNK % (EMOJI * 2000), b"", b"data: [DONE]\n\n"), READ_WELL
    ),
    "an image": Case(
        "request",
        filled(
            READ,
            b"iVBORw0K",
            b'{"model":"%s","input":[{"role":"user","content":[{"type":"input_text","text":"'
            + EMOJI
            + IMAGE,
            b'"}]}]}',
        ),
        READ_WELL,
    ),
    "input": Case("request", filled(WHOLE, EMOJI, b'{"model":"%s","input":"', b'"}'), READ_WELL),
    "values": Case("request", filled(WHOLE, b"0,", b'{"model":"%s","input":[', b"0]}"), READ_WELL),
}


class Stage:
    """A proxy that meets nobody friendly, one without the addon, and what both cost.

    Bodies are a part of those that the bounds are for, `part` times smaller.
    """

    def __init__(self, proxy: Proxy, bare: Proxy, part: int) -> None:
        self.proxy, self.bare, self.part = proxy, bare, part
        assert proxy.process is not None
        fetch(proxy.port, asking(), "warm")
        proxy.flush()
        ingester = wait_until(proxy.ingester, "there is an ingester")
        self.costs = {"proxy": Costs(proxy.process.pid), "ingester": Costs(ingester)}
        assert bare.process is not None
        self._bare_costs = Costs(bare.process.pid)
        self._without: dict[Hashable, dict[str, float]] = {}

    def begin(self) -> None:
        """Measure from here on."""
        for costs in self.costs.values():
            costs.begin()
        self.proxy.command("harness.longest")

    def costs_without(self, play: Callable[[Proxy], Any]) -> dict[str, float]:
        """Return what it costs a proxy without the addon."""
        self._bare_costs.begin()
        self.bare.command("harness.longest")
        play(self.bare)
        return {
            # Those of mitmproxy itself, up to 200 ms, differ by so much from time to time.
            "stall": 1.5 * float(self.bare.command("harness.longest")),
            "proxy MB": self._bare_costs.megabytes(),
            "proxy s": self._bare_costs.seconds(),
        }

    def costs_of(self, play: Callable[[Proxy], Any], transport: Hashable) -> dict[str, float]:
        """Return what exceeds its bound each time that something passes; it may pass three times.

        What the machine does beside it, or a pass of the collector, does not come each time.
        mitmproxy alone costs the same for whatever has that transport, so that is measured once.
        """
        for anew in (False, True, True):
            if anew or transport not in self._without:
                self._without[transport] = self.costs_without(play)
            if not (exceeding := self._costs_of(play, self._without[transport])):
                break
        return exceeding

    def _costs_of(
        self, play: Callable[[Proxy], Any], without: dict[str, float]
    ) -> dict[str, float]:
        self.begin()
        play(self.proxy)
        self.proxy.flush(60)
        found = {"stall": float(self.proxy.command("harness.longest"))}
        for name, costs in self.costs.items():
            found |= {f"{name} MB": costs.megabytes(), f"{name} s": costs.seconds()}
        bounds = BOUNDS
        if self.part > 1:
            bounds = {unit: bound / self.part + SLACK[unit] for unit, bound in BOUNDS.items()}
        added = {name: value - without.get(name, 0.0) for name, value in found.items()}
        if exceeding := find_exceeding(added, bounds):
            slow = slowness()
            times = {unit: bound * slow for unit, bound in bounds.items() if unit != "MB"}
            return find_exceeding(exceeding, {**bounds, **times})
        return {}


def find_exceeding(values: dict[str, float], bounds: dict[str, float]) -> dict[str, float]:
    """Return the values that are above the bounds of their units, which end their names."""
    return {name: value for name, value in values.items() if value > bounds[name.split()[-1]]}


@pytest.fixture(scope="module", params=PARTS)
def stage(
    request: pytest.FixtureRequest,
    model_server: ModelServer,
    authority: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stage]:
    """Return the two proxies."""
    folder, part = tmp_path_factory.mktemp("hostile"), request.param
    how: dict[str, Any] = {
        "authority": authority,
        "mode": f"reverse:{model_server.url}",
        "options": QUIET,
        "first": [HARNESS / "loop_time.py", SMALLER],
        "in_ingester": [SMALLER],
        "environment": {PART: str(part)},
    }
    with ExitStack() as stack:
        config = BY_TENANT | journals_in(folder) | {"capture": {"max_body_bytes": LIMIT // part}}
        proxy = stack.enter_context(Proxy(folder / "proxy", config=config, **how))
        bare = stack.enter_context(Proxy(folder / "bare", addon=False, **how))
        yield Stage(proxy, bare, part)


def send(port: int, request: bytes) -> None:
    """Send a request and read its answer to the end without keeping it."""
    with RawClient(port, timeout=60) as client:
        client.socket.sendall(request)
        reply = client.read_head()
        while not reply.whole:
            client.read_piece(reply)
            if reply.header("transfer-encoding") == "chunked":
                reply.body.clear()


def request_of(case: Case, body: bytes, server: ModelServer, tenant: str) -> bytes:
    """Return a request with that body, or one that is answered with it."""
    path = CHAT if case.kind == "chat" else CREATE
    name = tenant.encode()
    if case.kind == "request":
        answer = HEAD.replace(b"%s", b"resp_" + name) + b"]}"
        model = server.play(Answer(steps=(answer,)))
        return request_bytes(body.replace(b"%s", model.encode(), 1), x_tenant=tenant, path=path)
    is_stream = case.kind in ("stream", "chat")
    headers = (("content-type", "text/event-stream" if is_stream else "application/json"),)
    body = body.replace(b"%s", b"resp_" + name, 1)
    if case.kind == "gzip":
        body, headers = gzip.compress(body, 1), (*headers, ("content-encoding", "gzip"))
    status = 401 if case.kind == "refusal" else 200
    model = server.play(Answer(status=status, headers=headers, steps=(body,)))
    asked = asking(model, stream=is_stream, messages=[])
    return request_bytes(asked, x_tenant=tenant, path=path)


@pytest.mark.parametrize("name", CASES)
def test_bodies(stage: Stage, model_server: ModelServer, tenant: str, name: str) -> None:
    """Whatever a body holds, its row is made within the bounds."""
    case = CASES[name]
    body = case.make(stage.part)
    request = request_of(case, body, model_server, tenant)
    transport = (case.kind, len(body) >> 20)
    assert stage.costs_of(lambda proxy: send(proxy.port, request), transport) == {}
    row = stage.proxy.database.exchanges(tenant)[0]
    assert row["state"] in case.states
    if row["state"] == "too_large" and case.keeps_bytes:
        assert row["raw_response"] is not None
    assert row["request_body"] is not None


CREATED = '{"type":"response.created","response":{"id":"r%d"}}'
ANSWERED = '{"type":"response.completed","response":{"id":"r1","status":"completed","output":[%s]}}'
BEGUN = '{"type":"response.output_text.delta","output_index":0,"delta":"'


Messages = Callable[[int], list[str]]


def many(message: str, count: int) -> Messages:
    """Return what makes many messages, each with a number of its own."""
    return lambda part: [message.replace("%d", str(number)) for number in range(count // part)]


def one(before: str, unit: str, after: str) -> Messages:
    """Return what makes a part of a message of the full size, and the end of a response."""

    def make(part: int) -> list[str]:
        count = (READ // part - len(before) - len(after)) // len(unit.encode())
        return [before + unit * count + after]

    return make


MESSAGES: dict[str, tuple[Messages, bool]] = {
    "a large delta": (one(BEGUN, "a ", '"}'), False),
    "an emoji": (one(BEGUN + "\U0001f600", "a ", '"}'), False),
    "a bomb": (one(BEGUN, "a ", '"}'), True),
    "a bomb of values": (one(ANSWERED.partition("%s")[0], "0,", "0]}}"), True),
    "opened": (many(CREATED, 6_000), False),
    "unknown": (many('{"type":"x%d"}', 6_000), False),
    "no JSON": (one("", "[", ""), False),
    "lanes": (many('{"stream_id":"%d","type":"response.created","response":{}}', 6_000), False),
}


def on_socket(
    messages: list[str], deflate: bool, tenant: str, switch: WebSocketSwitch
) -> Callable[[Proxy], None]:
    """Return what has messages pass over a socket of a proxy."""

    async def play(socket: ServerSocket) -> None:
        await socket.receive()
        for message in messages:
            socket._connection.writer.write(socket._wire.message(message))
            await socket._connection.writer.drain()

    scenario = switch.play(play)

    def talk(proxy: Proxy) -> None:
        with WebSocketClient(proxy.port, tenant, scenario=scenario, deflate=deflate) as client:
            client.send({"type": "response.create", "model": "m", "input": "x"})
            client.until_raw('"id":"r1","status":"completed","output":[]')

    return talk


@pytest.mark.parametrize("name", MESSAGES)
def test_messages(stage: Stage, model_server: ModelServer, tenant: str, name: str) -> None:
    """Nor do messages of a socket, packed ones, or very many, and it goes on all the while."""
    make, deflate = MESSAGES[name]
    messages = [*make(stage.part), ANSWERED.replace("%s", "")]
    talk = on_socket(messages, deflate, tenant, WebSocketSwitch(model_server, usual))
    assert stage.costs_of(talk, ("socket", deflate, len(messages))) == {}
    rows = stage.proxy.database.exchanges(tenant)
    assert any(row["response_id"] == "r1" or row["state"] == "too_large" for row in rows)
