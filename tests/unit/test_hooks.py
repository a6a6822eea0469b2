"""mitmproxy's hooks: whatever comes or does not come, each exchange is one row."""

from __future__ import annotations

import asyncio
import gzip
from pathlib import Path
from typing import Any

import pytest
from mitmproxy import http
from mitmproxy.connection import ConnectionState
from mitmproxy.flow import Error
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.test import taddons, tflow

from response_store.addon import ResponseStore
from response_store.runtime import Runtime
from response_store.session import Session
from tests.unit.capture.borders import Sent
from tests.unit.sessions import ASKED, TERMINAL, Processes, config_of, session_of

EVENT = b'data: {"type":"response.output_text.delta","delta":"x"}\n\n'
LAST = TERMINAL % b"resp_1"


class Hooked:
    """The addon between flows and a session whose frames are recorded."""

    def __init__(self, folder: Path, text: str = "") -> None:
        self.runtime = Runtime()
        self.runtime._has_started = True  # nothing is to be collected here
        self.addon = ResponseStore(self.runtime)
        self.counters = self.runtime.counters
        config = config_of(folder, text)
        assert self.runtime.start(config, lambda config: session_of(config, self.counters))
        self.frames: list[Sent] = []
        self.session = self._session()

    def _session(self) -> Session:
        session = self.runtime.session
        assert session is not None
        writer, append = session.writer, session.writer.append

        def record(kind: Any, key: int, head: bytes, parts: Any = ()) -> Any:
            receipt = append(kind, key, head, parts)
            body = b"".join(parts)
            self.frames.append(Sent(len(self.frames) + 1, kind, key, head, body, private=False))
            return receipt

        writer.append = record  # type: ignore[method-assign]
        return session

    async def call(self, hook: str, flow: Any) -> None:
        """Call a hook, as mitmproxy does."""
        awaitable = getattr(self.addon, hook)(flow)
        if awaitable is not None:
            await awaitable
        await asyncio.sleep(0)

    async def exchange(self, flow: http.HTTPFlow, *chunks: bytes) -> bytes:
        """All hooks of an exchange whose answer streams; returns what reaches the client."""
        await self.call("request", flow)
        await self.call("responseheaders", flow)
        passed = self.pass_chunks(flow, *chunks, b"")
        await self.call("response", flow)
        return passed

    def pass_chunks(self, flow: http.HTTPFlow, *chunks: bytes) -> bytes:
        """Chunks pass."""
        assert flow.response is not None
        stream: Any = flow.response.stream
        return b"".join(stream(chunk) for chunk in chunks)

    @property
    def end(self) -> Sent:
        """The only END frame."""
        (frame,) = [frame for frame in self.frames if frame.kind.name == "END"]
        return frame


def flow_of(*, live: bool = True, streams: bool = True, path: str = "/v1/responses") -> Any:
    """A flow of ours."""
    flow = tflow.tflow(resp=True)
    flow.live = live
    flow.client_conn.proxy_mode = ProxyMode.parse("regular")
    flow.client_conn.state = ConnectionState.OPEN
    flow.client_conn.sni = None
    flow.request.method, flow.request.path, flow.request.host = "POST", path, "api.openai.com"
    flow.request.headers["content-type"] = "application/json"
    flow.request.content = ASKED
    assert flow.response is not None
    kind = "text/event-stream" if streams else "application/json"
    flow.response.headers["content-type"] = kind
    flow.response.timestamp_end = None if live else flow.response.timestamp_end
    flow.response.data.content = None if streams and live else b'{"id":"resp_1"}'
    return flow


@pytest.fixture
async def hooked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The addon, and a session."""
    processes = Processes(monkeypatch)
    with taddons.context() as context:
        for name in ("save_stream_file", "hardump"):  # of addons that are not loaded here
            context.options.add_option(name, str | None, None, "")
        made = Hooked(tmp_path)
        yield made
        made.runtime.close()
    processes.close()


# The usual way


async def test_a_stream(hooked: Hooked) -> None:
    """Bytes go on as they come, the row has them, and the flow gets them back."""
    flow = flow_of()
    assert await hooked.exchange(flow, EVENT, LAST) == EVENT + LAST
    assert (hooked.end.request_body, hooked.end.answer_body) == (ASKED, EVENT + LAST)
    assert hooked.end.head.ended_by == "terminal_event"
    assert flow.response.content == EVENT + LAST
    assert hooked.session.recorder.budget.held == 0


async def test_a_whole_answer(hooked: Hooked) -> None:
    """It is written with its end."""
    flow = flow_of(streams=False)
    for hook in ("request", "responseheaders", "response"):
        await hooked.call(hook, flow)
    assert flow.response.stream is False
    assert hooked.end.answer_body == b'{"id":"resp_1"}'
    assert (hooked.end.head.ended_by, hooked.counters.get("seen")) == ("body", 1)


@pytest.mark.parametrize("change", ["status", "header"])
async def test_a_script_that_changes_a_whole_answer(hooked: Hooked, change: str) -> None:
    """The row has what the flow has at its end."""
    flow = flow_of(streams=False)
    for hook in ("request", "responseheaders"):
        await hooked.call(hook, flow)
    if change == "status":
        flow.response.status_code = 404
    else:
        flow.response.headers["x-request-id"] = "req_other"
    await hooked.call("response", flow)
    answer = hooked.end.head.answer
    assert (answer.status_code, answer.upstream_request_id) == (
        (404, None) if change == "status" else (200, "req_other")
    )


async def test_a_request_is_read_later(hooked: Hooked) -> None:
    """It is on its way to the upstream by then."""
    flow = flow_of()
    assert hooked.addon.request(flow) is None
    assert hooked.counters.get("seen") == 0
    await asyncio.sleep(0)
    assert hooked.counters.get("seen") == 1


async def test_a_large_stream_is_put_together_elsewhere(hooked: Hooked) -> None:
    """Megabytes come back to the flow before the hook ends, but not on the loop."""
    flow = flow_of()
    event = b"data: " + b"x" * (2 << 20) + b"\n\n"
    await hooked.call("request", flow)
    await hooked.call("responseheaders", flow)
    hooked.pass_chunks(flow, event, event, b"")
    awaitable = hooked.addon.response(flow)
    assert awaitable is not None
    assert flow.response.data.content is None
    await awaitable
    assert flow.response.content == event + event


async def test_what_is_not_ours(hooked: Hooked) -> None:
    """It is counted once, whatever hooks follow, and left as it is."""
    for path, reason in (("/v1/models", "path"), ("/v1/responses/input_tokens", "input_tokens")):
        flow = flow_of(path=path)
        await hooked.call("request", flow)
        await hooked.call("responseheaders", flow)
        assert flow.response.stream is False
        await hooked.call("response", flow)
        await hooked.call("error", flow)
        assert hooked.counters.get(f"skipped.{reason}") == 1
    assert hooked.counters.get("seen") == 0


async def test_without_a_session(hooked: Hooked) -> None:
    """Everything passes."""
    hooked.runtime.close()
    flow = flow_of()
    for hook in ("request", "responseheaders", "response", "error", "websocket_message"):
        await hooked.call(hook, flow)
    await hooked.call("websocket_end", flow)
    await hooked.call("client_disconnected", flow.client_conn)
    assert flow.response.stream is False
    assert hooked.counters.snapshot() == {}


# Hooks that never come, or come with what others set


async def test_the_request_hook_never_came(hooked: Hooked) -> None:
    """A script before ours may have stopped it: the exchange begins with the next one."""
    flow = flow_of()
    await hooked.call("responseheaders", flow)
    hooked.pass_chunks(flow, LAST, b"")
    await hooked.call("response", flow)
    assert hooked.end.answer_body == LAST
    other = flow_of(streams=False)
    await hooked.call("response", other)
    third = flow_of(streams=False)
    third.response, third.error = None, Error("gone")
    await hooked.call("error", third)
    assert hooked.counters.get("seen") == 3
    assert hooked.frames[-1].head.answer is None


async def test_hooks_after_the_end(hooked: Hooked) -> None:
    """Nothing begins anew with what comes after an exchange has ended."""
    flow = flow_of()
    await hooked.exchange(flow, LAST)
    flow.error = Error("the client has gone")
    for hook in ("error", "response", "responseheaders"):
        await hooked.call(hook, flow)
    await hooked.call("client_disconnected", flow.client_conn)
    assert len(hooked.frames) == hooked.counters.get("seen") == 1


async def test_a_file_with_an_answer_and_an_error(hooked: Hooked) -> None:
    """A file tells the answer first, then how the flow broke off: that is one exchange."""
    flow = flow_of(live=False, streams=False)
    flow.error = Error("the client has gone")
    flow.client_conn.state = ConnectionState.CLOSED
    for hook in ("request", "responseheaders", "response", "error"):
        await hooked.call(hook, flow)
    assert hooked.counters.get("seen") == 1
    assert hooked.end.head.ended_by == "client"


@pytest.mark.parametrize("answered", [True, False])
@pytest.mark.parametrize(
    ("message", "by"),
    [
        ("Client disconnected.", "client"),
        ("client closed connection", "client"),
        ("peer closed connection without sending complete message body", "upstream"),
        ("server closed connection", "upstream"),
        ("stream reset by client (CANCEL)", "client"),
        (Error.KILLED_MESSAGE, "proxy"),
    ],
)
async def test_a_cut_flow_of_a_file(
    hooked: Hooked, message: str, by: str, *, answered: bool
) -> None:
    """Its connections are closed all, so its error says who ended it."""
    flow = flow_of(live=False)
    flow.client_conn.state = flow.server_conn.state = ConnectionState.CLOSED
    flow.client_conn.alpn, flow.server_conn.alpn = b"h2", b"http/1.1"
    flow.error = Error(message)
    flow.response = flow.response if answered else None
    for hook in ("request", "responseheaders", "response") if answered else ("request",):
        await hooked.call(hook, flow)
    await hooked.call("error", flow)
    assert hooked.end.head.ended_by == by


async def test_a_flow_that_is_sent_again(hooked: Hooked) -> None:
    """It is an exchange of its own each time."""
    flow = flow_of()
    for number in range(1, 4):
        flow.response.data.content = None
        flow.response.stream = False
        await hooked.exchange(flow, LAST)
        assert len(hooked.frames) == hooked.counters.get("seen") == number


async def test_an_answer_of_another_script(hooked: Hooked) -> None:
    """What is answered locally has no response headers of an upstream."""
    flow = flow_of(streams=False)
    await hooked.call("request", flow)
    await hooked.call("response", flow)
    assert hooked.end.head.answer.content_type == "application/json"
    assert hooked.end.answer_body == b'{"id":"resp_1"}'


async def test_an_answer_that_another_script_changes(hooked: Hooked) -> None:
    """The row has what the client gets: decoded, or another one altogether."""
    for change in (
        lambda flow: flow.response.decode(),
        lambda flow: setattr(flow, "response", http.Response.make(200, b'{"id":"resp_1"}')),
    ):
        flow = flow_of(streams=False)
        flow.response.headers["content-encoding"] = "gzip"
        flow.response.data.content = gzip.compress(b'{"id":"resp_1"}')
        await hooked.call("request", flow)
        await hooked.call("responseheaders", flow)
        change(flow)
        await hooked.call("response", flow)
        head = hooked.frames[-1].head.answer
        assert (head.content_encoding, head.decode_error) == ("", None)
        assert hooked.frames[-1].answer_body == b'{"id":"resp_1"}'


async def test_a_script_that_takes_the_stream(hooked: Hooked) -> None:
    """Where no chunk comes to us, the body of the flow counts; else the row says what it lacks."""
    flow = flow_of()
    await hooked.call("request", flow)
    await hooked.call("responseheaders", flow)
    flow.response.stream = True
    await hooked.call("response", flow)
    assert not hooked.frames[-1].head.answer.has_body
    flow = flow_of()
    await hooked.call("request", flow)
    await hooked.call("responseheaders", flow)
    flow.response.stream, flow.response.data.content = False, LAST
    await hooked.call("response", flow)
    assert hooked.frames[-1].answer_body == LAST
    assert hooked.frames[-1].head.answer.has_body


async def test_a_script_that_streams_as_well(hooked: Hooked) -> None:
    """Its callable gets what we have seen, and the client what it makes of it."""
    flow = flow_of(streams=False)
    flow.response.stream = lambda chunk: chunk.upper()
    assert await hooked.exchange(flow, b'{"id":', b'"x"}') == b'{"ID":"X"}'
    assert hooked.end.answer_body == b'{"id":"x"}'


async def test_an_error_of_ours_in_a_stream(hooked: Hooked) -> None:
    """It is counted; the bytes go on."""
    flow = flow_of()
    hooked.session.recorder.feed = lambda *_: 1 // 0  # type: ignore[method-assign,assignment]
    assert await hooked.exchange(flow, EVENT, LAST) == EVENT + LAST
    assert hooked.counters.get("fault.stream") == 3


async def test_a_body_that_does_not_fit(hooked: Hooked) -> None:
    """The flow stays without it; the row has it all the same."""
    budget = hooked.session.recorder.budget
    budget.take(budget._total)
    flow = flow_of()
    await hooked.exchange(flow, EVENT, LAST)
    assert flow.response.data.content is None
    assert hooked.end.answer_body == EVENT + LAST


# Connections that go


async def test_a_connection_that_goes(hooked: Hooked) -> None:
    """What its hooks did not end ends with it; what belongs to others does not."""
    flow, other = flow_of(), flow_of()
    for one in (flow, other):
        await hooked.call("request", one)
        await hooked.call("responseheaders", one)
    hooked.pass_chunks(flow, EVENT)
    flow.client_conn.state = ConnectionState.CLOSED
    await hooked.call("client_disconnected", flow.client_conn)
    assert hooked.end.head.ended_by == "client"
    assert hooked.end.answer_body == EVENT
    assert flow.response.content == EVENT
    assert hooked.session.recorder.open_exchanges == 1


async def test_an_answer_that_came_whole(hooked: Hooked) -> None:
    """Where only the last hook is missing the exchange has ended well."""
    flow = flow_of(streams=False)
    await hooked.call("request", flow)
    await hooked.call("responseheaders", flow)
    flow.response.timestamp_end = 5.0
    await hooked.call("client_disconnected", flow.client_conn)
    assert hooked.end.head.ended_by == "body"


async def test_a_socket_whose_end_never_comes(hooked: Hooked) -> None:
    """It ends with its connection as well, and nothing of it is left."""
    flow = flow_of()
    flow.request.method = "GET"
    flow.request.headers["upgrade"] = "websocket"
    await hooked.call("request", flow)
    socket = tflow.twebsocketflow()
    flow.websocket = socket.websocket
    await hooked.call("response", flow)
    message = socket.websocket.messages[-1]
    message.content, message.from_client = b'{"type":"response.create","model":"m"}', True
    await hooked.call("websocket_message", flow)
    assert hooked.session.sockets.open_sockets == 1
    await hooked.call("client_disconnected", flow.client_conn)
    assert hooked.session.sockets.open_sockets == 0
    assert hooked.session.recorder.open_exchanges == 0


async def test_a_socket_that_was_open_before(hooked: Hooked) -> None:
    """One that we see from the middle on ends with its connection, too."""
    flow: Any = tflow.twebsocketflow()
    flow.request.path, flow.client_conn.sni = "/v1/responses", None
    flow.live = True
    message = flow.websocket.messages[-1]
    message.content, message.from_client = b'{"type":"response.create","model":"m"}', True
    await hooked.call("websocket_message", flow)
    assert hooked.session.sockets.open_sockets == 1
    for hook, of in (("client_disconnected", flow.client_conn), ("websocket_end", flow)):
        await hooked.call(hook, of)
        assert hooked.session.sockets.open_sockets == 0
        assert len(hooked.frames) == 1


async def test_a_socket_that_never_opens(hooked: Hooked) -> None:
    """A request for one whose answer never comes is counted when its connection goes."""
    flow = flow_of()
    flow.request.method = "GET"
    flow.request.headers["upgrade"] = "websocket"
    await hooked.call("request", flow)
    for _ in range(2):
        await hooked.call("client_disconnected", flow.client_conn)
    assert hooked.counters.get("skipped.websocket") == 1
    assert not hooked.session.sockets._requested


async def test_the_proxy_stops(hooked: Hooked) -> None:
    """What its own end cuts is not said to be cut by anybody else."""
    flow = flow_of()
    await hooked.call("request", flow)
    await hooked.call("responseheaders", flow)
    hooked.pass_chunks(flow, EVENT)
    hooked.session.recorder.stop()
    flow.error = Error("server disconnected")
    await hooked.call("error", flow)
    await hooked.call("client_disconnected", flow.client_conn)
    assert [frame.kind.name for frame in hooked.frames] == ["OPEN", "PART", "STOP"]


# Refusing


async def test_refusing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While records can't be kept a request gets an answer of ours, which is a row."""
    processes = Processes(monkeypatch)
    with taddons.context():
        hooked = Hooked(tmp_path, "on_store_failure: reject\n")
        hooked.session.unavailable_for = lambda: 2.2  # type: ignore[method-assign]
        flow = flow_of()
        flow.response = None
        assert hooked.addon.request(flow) is None
        response: Any = flow.response
        assert (response.status_code, response.headers["retry-after"]) == (503, "3")
        await hooked.call("response", flow)
        assert hooked.end.head.ended_by == "proxy"
        hooked.runtime.close()
    processes.close()
