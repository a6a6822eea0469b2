"""A line between clients and a server on loopback that can be cut, held, slowed and delayed.

    with Line(server.port) as line:
        psycopg.connect(server.url(port=line.port))
        line.cut()

What a method says holds when it returns. A line that is made slow keeps its buffers small, so that
those who send notice; what the kernel has taken from them already is on its way.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

from tests.harness.ports import LOOPBACK, free_port

PIECE = 65_536
BUFFER = 8_388_608
SLOW_BUFFER = 16_384
KERNEL_BUFFER = 131_072
PIECES_A_SECOND = 20
TAIL = 256
GOODBYE = 1.0

Result = TypeVar("Result")


class Way(Enum):
    """The two directions of a line."""

    TO_SERVER = "to the server"
    TO_CLIENT = "to the client"


class End(Enum):
    """How a connection ends: by an error, or as if the other side were done with it."""

    RESET = "RST"
    FINISH = "FIN"


@dataclass
class _Direction:
    """What holds for one direction of the whole line."""

    passed: int = 0
    free_at: float = 0.0
    cut_at: int | None = None
    cut_before: bytes | None = None


@dataclass(eq=False)
class _Stream:
    """One direction of one connection, with the bytes that were read and did not pass yet."""

    source: socket.socket
    sink: socket.socket
    direction: _Direction
    waiting: int = 0
    tail: bytes = b""
    queue: asyncio.Queue[tuple[float, bytes]] = field(default_factory=asyncio.Queue)
    taken: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(eq=False)
class _Connection:
    client: socket.socket
    server: socket.socket
    end: End = End.FINISH
    task: asyncio.Task[None] | None = None


class _CutError(Exception):
    """A connection reached the point where it is cut."""


class Line:
    """The line, in a thread of its own. `port` is where clients connect; it stays the same."""

    def __init__(self, server_port: int, *, server_host: str = LOOPBACK) -> None:
        self.port = free_port()
        self.accepted = 0
        """How many connections were accepted so far."""
        self._server = (server_host, server_port)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="line", daemon=True)
        self._listener: socket.socket | None = None
        self._accepting = False
        self._connections: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._directions = {way: _Direction() for way in Way}
        self._go = asyncio.Event()
        self._go.set()
        self._rate: float | None = None
        self._delay = 0.0

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    def passed(self, way: Way) -> int:
        """How many bytes have passed in a direction so far, on all connections."""
        return self._directions[way].passed

    def open(self) -> Self:
        """Accept connections."""
        self._thread.start()
        self._call(self._listen())
        return self

    def close(self) -> None:
        """End every connection and the thread."""
        if self._thread.is_alive():
            self._call(self._close())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)
        if not self._loop.is_running():
            self._loop.close()

    def cut(self, end: End = End.RESET) -> int:
        """End every connection on both sides, and return how many; new ones are accepted."""
        return self._call(self._cut(end))

    def cut_after(self, size: int, way: Way = Way.TO_SERVER) -> None:
        """Reset every connection, once, as soon as so many more bytes have passed."""
        direction = self._directions[way]
        self._do(lambda: setattr(direction, "cut_at", direction.passed + size))

    def cut_before(self, text: bytes, way: Way = Way.TO_CLIENT) -> None:
        r"""Reset every connection, once, in place of letting this text pass whole.

        `cut_before(b"COMMIT\0")` loses the server's word that it has committed, and
        `cut_before(b"COMMIT", Way.TO_SERVER)` the client's that it should. TLS hides both.
        """
        self._do(lambda: setattr(self._directions[way], "cut_before", text))

    def hold(self) -> None:
        """Let nothing pass in either direction; connections stay open, new ones are accepted."""
        self._do(self._go.clear)

    def release(self) -> None:
        """Let pass what was held, and all that follows."""
        self._do(self._go.set)

    def slow(self, bytes_a_second: float | None) -> None:
        """Let so many bytes pass in each direction, all connections together; None for no limit."""
        self._do(lambda: setattr(self, "_rate", bytes_a_second))

    def delay(self, milliseconds: float) -> None:
        """Let what comes from now on arrive so much later, in each direction.

        An answer takes twice as long. The line is longer then, not narrower: what is sent in one
        go arrives in one go.
        """
        self._do(lambda: setattr(self, "_delay", milliseconds / 1000))

    def refuse(self) -> None:
        """Refuse new connections, as a port that nobody listens on; open ones stay."""
        self._call(self._refuse())

    def accept(self) -> None:
        """Accept new connections again."""
        self._call(self._listen())

    def restore(self) -> None:
        """Make it a line that nothing is wrong with; connections that were cut stay cut."""
        self._call(self._restore())

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _call(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def _do(self, work: Callable[[], None]) -> None:
        async def once() -> None:
            work()

        self._call(once())

    # What follows runs in the thread of the line.

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _listen(self) -> None:
        if self._accepting:
            return
        if self._listener is None:
            self._listener = self._bound()
        self._listener.listen(128)
        self._loop.add_reader(self._listener, self._accept_waiting)
        self._accepting = True

    def _bound(self) -> socket.socket:
        made = _new_socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((LOOPBACK, self.port))
        return made

    async def _refuse(self) -> None:
        if not self._accepting or self._listener is None:
            return
        self._loop.remove_reader(self._listener)
        self._accepting = False
        self._listener.close()
        # While it is bound the port stays ours; without `listen` the kernel refuses whoever comes.
        self._listener = self._bound()

    async def _restore(self) -> None:
        self._rate, self._delay = None, 0.0
        for direction in self._directions.values():
            direction.cut_at = direction.cut_before = None
        self._go.set()
        await self._listen()

    async def _close(self) -> None:
        await self._refuse()
        await self._cut(End.RESET)
        await _cancel(self._tasks)
        if self._listener is not None:
            self._listener.close()

    async def _cut(self, end: End) -> int:
        # Those whom the kernel has let in already are connections too.
        self._accept_waiting()
        connections = list(self._connections)
        for connection in connections:
            connection.end = end
        await _cancel(connection.task for connection in connections if connection.task)
        return len(connections)

    def _accept_waiting(self) -> None:
        with suppress(BlockingIOError):
            while self._accepting and self._listener is not None:
                self._begin(self._listener.accept()[0])

    def _begin(self, client: socket.socket) -> None:
        self.accepted += 1
        client.setblocking(False)
        connection = _Connection(client, _new_socket())
        self._connections.add(connection)
        connection.task = self._start(self._serve(connection))
        # A task that is cancelled before its first step runs no `finally` of its own.
        connection.task.add_done_callback(partial(self._forget, connection))

    async def _serve(self, connection: _Connection) -> None:
        try:
            await self._loop.sock_connect(connection.server, self._server)
            async with asyncio.TaskGroup() as group:
                for stream in self._streams(connection):
                    group.create_task(self._read(stream))
                    group.create_task(self._write(stream))
        except* (OSError, _CutError):
            connection.end = End.RESET

    def _forget(self, connection: _Connection, _: asyncio.Task[None]) -> None:
        self._connections.discard(connection)
        for each in (connection.client, connection.server):
            self._hang_up(each, connection.end)

    def _streams(self, connection: _Connection) -> Iterable[_Stream]:
        client, server = connection.client, connection.server
        for each in (client, server):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield _Stream(client, server, self._directions[Way.TO_SERVER])
        yield _Stream(server, client, self._directions[Way.TO_CLIENT])

    async def _read(self, stream: _Stream) -> None:
        data = None
        while data != b"":
            await self._go.wait()
            data = await self._loop.sock_recv(stream.source, PIECE)
            stream.queue.put_nowait((self._loop.time() + self._delay, data))
            stream.waiting += len(data)
            while stream.waiting >= (SLOW_BUFFER if self._rate else BUFFER):
                stream.taken.clear()
                await stream.taken.wait()

    async def _write(self, stream: _Stream) -> None:
        while True:
            due, data = await stream.queue.get()
            await asyncio.sleep(due - self._loop.time())
            await self._go.wait()
            if not data:
                with suppress(OSError):
                    stream.sink.shutdown(socket.SHUT_WR)
                return
            self._look_at(stream, data)
            while data:
                data = await self._pass(stream, data)

    def _look_at(self, stream: _Stream, data: bytes) -> None:
        """Cut the line if the text that it is cut before ends in this data."""
        text = stream.direction.cut_before
        if text is not None and text in stream.tail[1 - len(text) or TAIL :] + data:
            stream.direction.cut_before = None
            self._cut_here()
        stream.tail = (stream.tail + data)[-TAIL:]

    async def _pass(self, stream: _Stream, data: bytes) -> bytes:
        """Let a first piece pass when it may, and return the rest."""
        direction, size = stream.direction, len(data)
        if self._rate is not None:
            size = min(size, max(1, int(self._rate / PIECES_A_SECOND)))
            direction.free_at = max(self._loop.time(), direction.free_at) + size / self._rate
            await asyncio.sleep(direction.free_at - self._loop.time())
        await self._go.wait()
        if direction.cut_at is not None:
            size = min(size, direction.cut_at - direction.passed)
        direction.passed += size
        is_last = direction.passed == direction.cut_at
        await self._loop.sock_sendall(stream.sink, data[:size])
        stream.waiting -= size
        stream.taken.set()
        if is_last:
            direction.cut_at = None
            self._cut_here()
        return data[size:]

    def _cut_here(self) -> None:
        """Reset every connection, and first of all the one whose task this is."""
        for connection in self._connections:
            connection.end = End.RESET
            if connection.task is not None:
                connection.task.cancel()
        raise _CutError

    def _hang_up(self, end: socket.socket, how: End) -> None:
        if how is End.RESET:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.close()
            return
        with suppress(OSError):
            end.shutdown(socket.SHUT_WR)
        self._start(self._say_goodbye(end)).add_done_callback(lambda _: end.close())

    async def _say_goodbye(self, end: socket.socket) -> None:
        """Read what still comes: closed with bytes unread, the socket would be reset."""
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(GOODBYE):
                while await self._loop.sock_recv(end, PIECE):
                    pass


def _new_socket() -> socket.socket:
    made = socket.socket()
    made.setblocking(False)
    for buffer in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        # The sockets that a listener accepts have its sizes.
        made.setsockopt(socket.SOL_SOCKET, buffer, KERNEL_BUFFER)
    return made


async def _cancel(tasks: Iterable[asyncio.Task[None]]) -> None:
    cancelled = list(tasks)
    for task in cancelled:
        task.cancel()
    await asyncio.gather(*cancelled, return_exceptions=True)
