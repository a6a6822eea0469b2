"""Which sockets are followed, which of their messages count, and what they wait for."""

from __future__ import annotations

import json
from typing import Any

import pytest
from mitmproxy.http import HTTPFlow
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.test import tflow
from mitmproxy.websocket import WebSocketMessage
from wsproto.frame_protocol import Opcode

from response_store.capture.websockets import Sockets
from response_store.diagnostics import Counters
from tests.fakes import bodies
from tests.unit.capture.capturing import Capturing

CREATE = json.dumps({"type": "response.create", "model": "gpt-5", "input": "Hi"}).encode()
EVENTS = [json.dumps(event).encode() for event in bodies.stream_events()]


class Hooked:
    """A socket as mitmproxy's hooks show it."""

    def __init__(self, path: str = "/v1/responses", *, live: bool = True, **settings: Any) -> None:
        self.capturing = Capturing(**settings)
        self.counters = Counters()
        self.sockets = Sockets(self.capturing.config, self.capturing.recorder, self.counters)
        self.flow: HTTPFlow = tflow.twebsocketflow()
        self.flow.live = live
        self.flow.request.path = path
        self.flow.request.host = "api.openai.com"
        self.flow.client_conn.sni = None
        self.flow.client_conn.proxy_mode = ProxyMode.parse("regular")
        assert self.flow.websocket is not None
        self.data = self.flow.websocket
        self.data.messages = []
        self.data.closed_by_client = None
        self.answers: list[bytes] = []
        self.keep: int | None = None

    def message(self, content: bytes, *, client: bool = True, **how: Any) -> Any:
        """A message passes; returns what is awaited."""
        now = self.capturing.recorder._clock()
        kind = how.pop("kind", Opcode.TEXT)
        message = WebSocketMessage(kind, client, content, timestamp=now, **how)
        self.data.messages.append(message)
        return self.sockets.message(
            self.flow, self.keep, lambda _, answer: self.answers.append(answer)
        )

    def missed(self, content: bytes, *, client: bool = True) -> None:
        """A message passes whose hook never comes to us."""
        now = self.capturing.recorder._clock()
        self.data.messages.append(WebSocketMessage(Opcode.TEXT, client, content, timestamp=now))

    def server(self, *contents: bytes) -> list[Any]:
        """Messages of the server pass; returns what is awaited for each."""
        return [self.message(content, client=False) for content in contents]

    def end(self, *, by_client: bool | None = True) -> Any:
        """The socket ends."""
        self.data.closed_by_client = by_client
        self.data.timestamp_end = self.capturing.recorder._clock()
        return self.sockets.ended(self.flow)


def test_a_turn() -> None:
    """A request and its messages are one exchange; with `process` nothing is awaited."""
    hooked = Hooked()
    assert hooked.message(CREATE) is None
    assert hooked.server(*EVENTS) == [None] * len(EVENTS)
    assert hooked.end() is None
    row = hooked.capturing.row
    assert (row.state, row.transport, row.output_text) == ("completed", "websocket", bodies.TEXT)
    assert (row.requested_model, row.status_code, row.host) == ("gpt-5", 101, "api.openai.com")
    assert hooked.sockets.open_sockets == 0
    assert hooked.counters.snapshot() == {}


async def test_the_terminal_message_waits() -> None:
    """It goes on once its turn is acknowledged; the messages before it do not wait."""
    hooked = Hooked(durability="power", completion_wait_ms=5000)
    hooked.capturing.journal.settles = False
    hooked.message(CREATE)
    *others, last = hooked.server(*EVENTS)
    assert others == [None] * len(others)
    assert last is not None
    hooked.capturing.journal.settle()
    await last


@pytest.mark.parametrize(
    ("by_client", "ended_by"), [(True, "client"), (False, "upstream"), (None, "proxy_stopped")]
)
def test_the_socket_ends(by_client: bool | None, ended_by: str) -> None:
    """What runs is interrupted by whoever closed the socket."""
    hooked = Hooked()
    hooked.message(CREATE)
    hooked.server(*EVENTS[:4])
    assert hooked.sockets.open_sockets == 1
    assert hooked.end(by_client=by_client) is None
    assert hooked.capturing.row.ended_by == ended_by
    assert hooked.end() is None
    assert hooked.sockets.open_sockets == 0


def test_the_proxy_stops() -> None:
    """What the proxy's own end cuts was written when it stopped: nobody else has left."""
    hooked = Hooked()
    hooked.message(CREATE)
    hooked.capturing.recorder.stop()
    assert hooked.end(by_client=True) is None
    assert hooked.capturing.kinds == ["OPEN", "STOP"]


def test_from_the_middle_on() -> None:
    """A socket that was opened before this session is followed from its first message on."""
    hooked = Hooked()
    assert not hooked.sockets.follows(hooked.flow.id)
    hooked.server(EVENTS[-1])
    assert hooked.sockets.follows(hooked.flow.id)
    assert hooked.capturing.row.state == "completed"


@pytest.mark.parametrize(
    ("path", "settings", "reason"),
    [
        ("/v1/realtime", {}, "websocket"),
        ("/v1/responses/resp_1", {}, "websocket"),
        ("/v1/responses", {"capture": {"hosts": ["other.example"]}}, "host"),
        ("/v1/responses", {"capture": {"apis": ["chat_completions"]}}, "api"),
    ],
)
def test_sockets_that_are_none_of_ours(path: str, settings: Any, reason: str) -> None:
    """They are counted when they are asked for, and not followed."""
    hooked = Hooked(path, **settings)
    hooked.sockets.note_request(hooked.flow)
    assert hooked.counters.snapshot() == {f"skipped.{reason}": 1}
    hooked.message(CREATE)
    hooked.server(*EVENTS)
    assert hooked.sockets.open_sockets == 0
    hooked.end()
    assert not hooked.sockets.follows(hooked.flow.id)
    assert hooked.capturing.frames == []


def test_a_socket_that_is_refused() -> None:
    """A request for one that gets another answer is counted, once."""
    hooked = Hooked()
    hooked.sockets.note_request(hooked.flow)
    hooked.flow.websocket = None
    for _ in range(2):
        hooked.sockets.answered(hooked.flow)
    assert hooked.counters.snapshot() == {"skipped.websocket": 1}


def test_a_socket_that_opens() -> None:
    """One that gets what it asked for is not."""
    hooked = Hooked()
    hooked.sockets.note_request(hooked.flow)
    hooked.sockets.answered(hooked.flow)
    assert hooked.counters.snapshot() == {}


def test_messages_that_do_not_count() -> None:
    """Dropped ones, our own to the client, and binary ones that are no text, which are counted."""
    hooked = Hooked()
    hooked.message(CREATE)
    hooked.message(EVENTS[-1], client=False, dropped=True)
    hooked.message(EVENTS[-1], client=False, injected=True)
    hooked.message(b"\xff\xfe", client=False, kind=Opcode.BINARY)
    assert hooked.capturing.frames == []
    assert hooked.counters.snapshot() == {"websocket.binary": 1}
    hooked.message(CREATE, injected=True)  # by a script, and on its way to the server
    assert hooked.capturing.recorder.open_exchanges == 2


def test_a_message_that_was_taken_out() -> None:
    """Another script may empty the list."""
    hooked = Hooked()
    assert hooked.sockets.message(hooked.flow, None, lambda *_: None) is None


def test_messages_whose_hook_never_came() -> None:
    """What a script before ours has kept from us is read with the next message, or the end."""
    hooked = Hooked()
    hooked.missed(CREATE)
    for content in EVENTS[:3]:
        hooked.missed(content, client=False)
    hooked.server(EVENTS[3])
    for content in EVENTS[4:]:
        hooked.missed(content, client=False)
    hooked.missed(CREATE)
    hooked.end(by_client=False)
    first, second = hooked.capturing.records
    row = first.exchange
    assert (row.requested_model, row.output_text) == ("gpt-5", bodies.TEXT)
    assert (second.exchange.state, second.exchange.ended_by) == ("interrupted", "upstream")


def test_a_socket_of_which_no_hook_came() -> None:
    """All of its messages are read when it ends."""
    hooked = Hooked()
    hooked.missed(CREATE)
    for content in EVENTS:
        hooked.missed(content, client=False)
    hooked.end()
    assert hooked.capturing.row.state == "completed"


def test_messages_are_read_once() -> None:
    """Whatever of them stays with the flow."""
    for keep in (None, 1, 3):
        hooked = Hooked()
        hooked.keep = keep
        hooked.message(CREATE)
        hooked.server(*EVENTS)
        hooked.message(CREATE)
        hooked.end()
        assert len(hooked.capturing.records) == 2
        assert hooked.counters.snapshot() == {}


def test_messages_that_another_script_cleared() -> None:
    """What it has left is read."""
    hooked = Hooked()
    hooked.message(CREATE)
    for content in EVENTS:
        hooked.data.messages.clear()
        hooked.server(content)
    hooked.data.messages.clear()
    hooked.end()
    assert hooked.capturing.row.state == "completed"


def test_messages_are_let_go() -> None:
    """Of a live socket only as many messages stay as are wanted; of a file's all."""
    for live, left in ((True, 1), (False, 6)):
        hooked = Hooked(live=live)
        hooked.keep = 1
        for _ in range(6):
            hooked.message(CREATE)
        assert len(hooked.data.messages) == left


def test_refusing() -> None:
    """While records can't be kept a request gets an error, and the server never sees it."""
    hooked = Hooked(on_store_failure="reject")
    hooked.capturing.progress.pause = 1.0
    assert hooked.message(CREATE) is None
    (answer,) = hooked.answers
    assert json.loads(answer)["status"] == 503
    hooked.message(b'{"type":"response.steer"}')
    assert [message.dropped for message in hooked.data.messages] == [True, False]
    row = hooked.capturing.row
    assert (row.state, row.ended_by) == ("refused", "proxy")
    assert hooked.counters.snapshot() == {"rejected": 1}


async def test_a_socket_in_a_file() -> None:
    """Nothing in it is refused, its times are its own, and its reader waits for room."""
    hooked = Hooked(live=False, on_store_failure="reject")
    hooked.capturing.progress.pause = 1.0
    hooked.message(CREATE)
    hooked.capturing.progress.lag = (10**6, 0)
    *_, last = hooked.server(*EVENTS)
    assert last is not None
    hooked.capturing.progress.lag = (0, 0)
    await last
    hooked.message(CREATE)
    hooked.data.timestamp_end = None
    hooked.capturing.progress.lag = (10**6, 0)
    waits = hooked.sockets.ended(hooked.flow)
    assert waits is not None
    hooked.capturing.progress.lag = (0, 0)
    await waits
    assert [record.exchange.state for record in hooked.capturing.records] == [
        "completed",
        "interrupted",
    ]
