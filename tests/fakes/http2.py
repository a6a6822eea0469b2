"""The model server's HTTP/2: the same answers, one stream a request."""

from __future__ import annotations

import asyncio
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import ProtocolError

from tests.fakes.answers import Answer, End, Gate, Headers, Pause
from tests.fakes.http1 import Choose
from tests.fakes.recordings import Recordings, Served
from tests.fakes.requests import Request

NOT_IN_HTTP2 = {"connection", "transfer-encoding", "keep-alive"}


class Http2Connection:
    """One client's connection with all its streams."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        choose: Choose,
        recordings: Recordings,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._choose = choose
        self._recordings = recordings
        self._h2 = H2Connection(H2Configuration(client_side=False, header_encoding="latin-1"))
        self._heads: dict[int, list[tuple[str, str]]] = {}
        self._bodies: dict[int, bytearray] = {}
        self._streams: dict[int, asyncio.Task[None]] = {}
        self._window = asyncio.Condition()

    async def serve(self) -> None:
        """Answer requests until either side closes."""
        self._h2.initiate_connection()
        self._flush()
        try:
            while data := await self._reader.read(65_536):
                for event in self._h2.receive_data(data):
                    await self._receive(event)
                self._flush()
        except (ConnectionError, ProtocolError):
            pass
        finally:
            await self._stop()

    async def _stop(self) -> None:
        for task in self._streams.values():
            task.cancel()
        await asyncio.gather(*self._streams.values(), return_exceptions=True)
        self._writer.close()

    async def _receive(self, event: Any) -> None:
        match event:
            case RequestReceived():
                self._heads[event.stream_id] = [(str(k), str(v)) for k, v in event.headers]
                self._bodies[event.stream_id] = bytearray()
            case DataReceived():
                self._bodies[event.stream_id] += event.data
                length = event.flow_controlled_length
                self._h2.acknowledge_received_data(length, event.stream_id)
            case StreamEnded():
                self._start(event.stream_id)
            case StreamReset() if event.stream_id in self._streams:
                self._streams[event.stream_id].cancel()
            case WindowUpdated():
                async with self._window:
                    self._window.notify_all()
            case ConnectionTerminated():
                raise ConnectionResetError

    def _start(self, stream: int) -> None:
        head = dict(self._heads.pop(stream))
        headers = tuple((k, v) for k, v in head.items() if not k.startswith(":"))
        body = bytes(self._bodies.pop(stream))
        request = Request(head[":method"], head[":path"], headers, body, "HTTP/2")
        self._streams[stream] = asyncio.create_task(self._answer(stream, request))

    async def _answer(self, stream: int, request: Request) -> None:
        answer, headers = self._choose(request)
        served = self._recordings.begin(request)
        try:
            await self._play(stream, answer, headers, served)
        except (ConnectionError, ProtocolError):
            pass
        finally:
            served.over.set()

    async def _play(self, stream: int, answer: Answer, headers: Headers, served: Served) -> None:
        fields = [(k.lower(), v) for k, v in (*answer.headers, *headers)]
        fields = [field for field in fields if field[0] not in NOT_IN_HTTP2]
        self._h2.send_headers(stream, [(":status", str(answer.status)), *fields])
        self._flush()
        for step in answer.steps:
            match step:
                case bytes():
                    await self._send(stream, step, served)
                case Pause():
                    await asyncio.sleep(step.seconds)
                case Gate():
                    await step.wait()
                case End():
                    self._end(stream, step)
                    return
        self._h2.end_stream(stream)
        self._flush()

    async def _send(self, stream: int, body: bytes, served: Served) -> None:
        while body:
            async with self._window:
                await self._window.wait_for(lambda: self._h2.local_flow_control_window(stream) > 0)
            window = self._h2.local_flow_control_window(stream)
            size = min(window, self._h2.max_outbound_frame_size, len(body))
            self._h2.send_data(stream, body[:size])
            served.sent += body[:size]
            body = body[size:]
            self._flush()
            await self._writer.drain()

    def _end(self, stream: int, end: End) -> None:
        if end is End.FIN:
            self._writer.close()
        else:
            self._h2.reset_stream(stream, ErrorCodes.INTERNAL_ERROR)
            self._flush()

    def _flush(self) -> None:
        self._writer.write(self._h2.data_to_send())
