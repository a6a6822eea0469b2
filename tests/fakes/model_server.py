"""A model server on loopback that plays scenarios, over HTTP/1.1 or HTTP/2, plain or TLS.

The model that a request asks for names its scenario: a name of `answers.SCENARIOS`, or one that
`ModelServer.play` gave out; requests without a body name it in the header `x-scenario`. Any other
name is answered as usual. What came and what went out is in `recordings`.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from types import TracebackType
from typing import Self

from tests.fakes import bodies
from tests.fakes.answers import SCENARIOS, Answer, Headers, Scenario, usual
from tests.fakes.certificates import Certificates
from tests.fakes.http1 import Connection, Switch
from tests.fakes.http2 import Http2Connection
from tests.fakes.recordings import Recordings
from tests.fakes.requests import Request


class ModelServer:
    """The server, in a thread of its own. A context manager; `close` ends every connection."""

    def __init__(self, certificates: Certificates | None = None, *, http2: bool = False) -> None:
        self.recordings = Recordings()
        self.switches: dict[str, Switch] = {}
        self.port = 0
        self._tls = certificates.server_context(http2=http2) if certificates else None
        self._scenarios = dict(SCENARIOS)
        self._numbers = itertools.count(1)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="model server", daemon=True)
        self._started = threading.Event()
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Where the server listens, without a path."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def play(self, scenario: Scenario | Answer) -> str:
        """Add a scenario and return the name of the model that asks for it."""
        name = f"scenario-{next(self._numbers)}"
        fixed = scenario
        self._scenarios[name] = (lambda _: fixed) if isinstance(fixed, Answer) else fixed
        return name

    def open(self) -> Self:
        """Listen on a free port of loopback."""
        self._thread.start()
        assert self._started.wait(10), "the model server did not start"
        return self

    def close(self) -> None:
        """End every connection and the thread."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            server = self._loop.run_until_complete(
                asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls, limit=2**20)
            )
            self.port = server.sockets[0].getsockname()[1]
            self._started.set()
            self._loop.run_forever()
            server.close()
            self._loop.run_until_complete(self._hang_up())
        finally:
            self._loop.close()

    async def _hang_up(self) -> None:
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await asyncio.sleep(0)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._connection(reader, writer).serve()
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            self._connections.discard(task)

    def _connection(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> Connection | Http2Connection:
        tls = writer.get_extra_info("ssl_object")
        if tls is not None and tls.selected_alpn_protocol() == "h2":
            return Http2Connection(reader, writer, choose=self._choose, recordings=self.recordings)
        return Connection(
            reader,
            writer,
            choose=self._choose,
            recordings=self.recordings,
            switches=self.switches,
        )

    def _choose(self, request: Request) -> tuple[Answer, Headers]:
        name = request.header("x-scenario") or str(request.fields.get("model"))
        answer = self._scenarios.get(name, usual)(request)
        return answer, self._usual_headers()

    @staticmethod
    def _usual_headers() -> Headers:
        return (
            ("x-request-id", bodies.new_id("req")),
            ("openai-processing-ms", "12"),
            ("openai-version", "2020-10-01"),
            ("set-cookie", "__cf_bm=canary-set-cookie; path=/"),
        )
