"""Exchanges of every kind that are halfway, until the test lets their server go on."""

from __future__ import annotations

import threading
from contextlib import ExitStack, contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any

from tests.fakes import bodies, websocket_plays
from tests.fakes.answers import Gate
from tests.fakes.websocket_client import WebSocketClient
from tests.harness.clients import QUESTION, RawClient, asking
from tests.harness.streams import LAST_DELTA, before_the_last, halfway, held_back

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fakes.model_server import ModelServer
    from tests.fakes.websocket import WebSocketSwitch
    from tests.harness.database import Database, Row
    from tests.harness.proxy import Proxy

STREAMS = ("stream", "late stream")
KINDS = (*STREAMS, "json", "socket")
COMPLETED = {"state": "completed", "status_code": 200, "output_text": bodies.TEXT}


class InFlight:
    """Two streams, a JSON answer and a WebSocket turn that pass through a proxy.

    All have begun and none has ended when it is made; each has a tenant of its own.
    """

    def __init__(
        self, stack: ExitStack, proxy: Proxy, server: ModelServer, switch: WebSocketSwitch, tag: str
    ) -> None:
        self._tag = tag
        self._gates = {kind: Gate() for kind in KINDS}
        scenarios = {
            "stream": halfway(self._gates["stream"], go_on=True),
            "late stream": before_the_last(self._gates["late stream"]),
            "json": held_back(self._gates["json"]),
        }
        self._clients = {kind: stack.enter_context(RawClient(proxy.port)) for kind in scenarios}
        for kind, scenario in scenarios.items():
            body = asking(server.play(scenario), stream=kind != "json")
            self._clients[kind].send(body, x_tenant=self.tenant(kind))
        self._replies = {
            kind: self._clients[kind].read_head() for kind in ("stream", "late stream")
        }
        for kind, reply in self._replies.items():
            self._clients[kind].read_until(reply, LAST_DELTA)
        play = switch.play(websocket_plays.waiting(self._gates["socket"]))
        self._socket = stack.enter_context(
            WebSocketClient(proxy.port, self.tenant("socket"), scenario=play)
        )
        self._socket.send({"type": "response.create", "model": "gpt-5", "input": QUESTION})
        for gate in self._gates.values():
            assert gate.reached.wait(10)
        self._socket.until("response.output_text.delta", websocket_plays.HALF_DELTAS)

    def tenant(self, kind: str) -> str:
        """The tenant of a kind."""
        return f"{self._tag}-{kind.replace(' ', '-')}"

    def let_go(self) -> None:
        """Let the server go on; the clients do not read yet."""
        for gate in self._gates.values():
            gate.open()

    def finish(self) -> None:
        """Let all of them come to their end, and see that each client has it whole."""
        self.let_go()
        for kind, client in self._clients.items():
            reply = client.read_to_end(self._replies.get(kind) or client.read_head())
            assert reply.whole, kind
        self._socket.until("response.completed")
        self._socket.close()

    def rows(self, database: Database) -> dict[str, Row]:
        """The one row of each, once it has ended."""
        return {kind: database.ended(self.tenant(kind)) for kind in KINDS}

    def assert_completed(self, database: Database) -> None:
        """Each has one row, which says that it came whole, and its response is there."""
        for kind, row in self.rows(database).items():
            expected = COMPLETED | ({"status_code": 101} if kind == "socket" else {})
            assert {name: row[name] for name in expected} == expected, kind
            assert len(database.responses(self.tenant(kind))) == 1


class Waits:
    """How long a proxy has let requests wait that have nothing to do with anything."""

    def __init__(self) -> None:
        self.longest = 0.0


@contextmanager
def other_traffic(proxy: Proxy) -> Iterator[Waits]:
    """Ask for something else all the time, and measure the longest wait for an answer."""
    waits, over = Waits(), threading.Event()

    def ask() -> None:
        with RawClient(proxy.port) as client:
            while not over.is_set():
                begun = monotonic()
                how: dict[str, Any] = {"method": "GET", "path": "/v1/models"}
                client.read_to_end(client.ask(None, x_tenant="-", **how))
                waits.longest = max(waits.longest, monotonic() - begun)
                over.wait(0.01)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield waits
    finally:
        over.set()
        thread.join(20)
