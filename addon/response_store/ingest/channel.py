"""Carry messages between the proxy and its ingester (IPC), over a stream socket.

A message is `u32 head size, u64 body size` (little endian), a msgpack head and a raw body. Both
sides are of the same version (`Hello` says which), so the heads are arrays without names. This
module imports nothing heavy: the proxy has it too.
"""

from __future__ import annotations

import socket
import struct
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

import msgspec

from response_store.errors import ResponseStoreError
from response_store.journal.receipts import Receipt
from response_store.model.records import WrittenRow


@dataclass(frozen=True, slots=True)
class IngesterReply:
    """What the ingester replied to a question. `status` is "gone" where it went away."""

    status: str
    body: bytes = b""


GONE = "gone"


@dataclass(slots=True)
class HeldFrame:
    """A frame that is sent and not accepted yet."""

    message: Dirty
    parts: Sequence[Buffer]
    size: int
    receipt: Receipt


Buffer: TypeAlias = bytes | bytearray | memoryview

MAX_HEAD = 16 * 1024 * 1024
"""Bytes of a head. A message with a larger one is an error of the sender."""
MAX_BODY = 4 * 1024 * 1024 * 1024
"""Bytes of a body: a request, its answer and the answer as it came, of 512 MiB each, and more."""
_PREFIX = struct.Struct("<IQ")
_MAX_BUFFERS = 64  # of one call; Linux and macOS take 1024


class ChannelError(ResponseStoreError):
    """The channel has broken, or the bytes on it are no messages of this version."""


class Message(msgspec.Struct, array_like=True, tag=True):
    """What goes over the channel."""


# From the proxy


class Hello(Message):
    """The first message. `journal` is the directory, `settings` what `Config.to_message` returns.

    `outstanding` are the seqs up to `last_seq` that are assigned and not in a file yet. `announces`
    asks for `Written` messages. `marks_key` is that of the marks in the heads of requests.
    """

    version: str
    journal: str
    settings: bytes
    source: str
    announces: bool
    last_seq: int
    outstanding: tuple[int, ...] = ()
    marks_key: bytes = b""


class Wake(Message):
    """Frames were appended."""


class Dirty(Message):
    """A frame that may hold secrets, so that it may not touch the disk; the body is its body."""

    seq: int
    kind: int
    key: int
    head: bytes


class Void(Message):
    """Notice that no frame of this seq will come."""

    seq: int


class Question(Message):
    """A read. To be answered once the frame `after` is committed, at most `seconds` later."""

    id: int
    after: int
    seconds: float
    kind: str
    arguments: bytes = b""


class Announces(Message):
    """Whether `Written` messages are wanted from now on."""

    enabled: bool


class Rotated(Message):
    """An answer to `Rotate`: what comes next begins a main segment; those before end with `seq`."""

    seq: int


class Flush(Message):
    """A request for a `ReplyMessage` once the frame `after` is committed, and its rows with it."""

    id: int
    after: int


# From the ingester


class Verdict(Message):
    """How the first attempt to open the database ended. Comes once.

    `permanent`: somebody has to fix something before this can work.
    """

    error: str | None = None
    permanent: bool = False


class Report(Message):
    """The state of the ingester. Comes when it changes, at most every 50 ms, and while it is busy.

    `applied` is the last frame that was read, `committed` the last one whose rows are in the
    database. `phase` is one of `store.health.StorePhase`; `busy_for` are the seconds that a
    statement has been running, None where none does; `retry_in` seconds until the next attempt.
    `lag_seconds` is the age of the oldest frame that waits. `counters` are what has come to be
    since the last report.
    """

    applied: int
    committed: int
    phase: str
    error: str | None = None
    failures: int = 0
    retry_in: float = 0.0
    busy_for: float | None = None
    bytes_on_disk: int = 0
    dead_letters: int = 0
    dead_letter_bytes: int = 0
    lag_seconds: float = 0.0
    counters: dict[str, int] = {}


class Accepted(Message):
    """Frames that came as `Dirty` and are cleaned and in a file (synced, with `power`)."""

    seqs: tuple[int, ...]


class Written(Message):
    """Exchanges that have ended and are committed, in the order of their ends."""

    rows: tuple[WrittenRow, ...]


class ReplyMessage(Message):
    """The answer to a `Question` or a `Flush`: the body says more. `status` may be LATE."""

    id: int
    status: str


class Log(Message):
    """A line for the proxy's log. `level` is one of `logging`'s numbers; `text` has no secrets."""

    level: int
    text: str


class Rotate(Message):
    """A request to begin a new main segment, if no frame came after `seq`, and to say `Rotated`."""

    seq: int


OK = "ok"
LATE = "late"
"""The status of a reply whose deadline passed before the frame was applied."""
UNKNOWN = "unknown"
"""The status of a reply to a question of a kind that is not known."""
FAILED = "failed"
"""The status of a reply to a question that raised; the body says why."""

AnyMessage: TypeAlias = (
    Hello | Wake | Dirty | Void | Question | Announces | Rotated | Flush
    | Verdict | Report | Accepted | Written | ReplyMessage | Log | Rotate
)  # fmt: skip

_encode = msgspec.msgpack.Encoder().encode
_decode: Callable[[Buffer], AnyMessage] = msgspec.msgpack.Decoder(AnyMessage).decode


def encode(message: Message, body: Buffer | Sequence[Buffer] = b"") -> list[Buffer]:
    """Return a message as buffers to be sent one after the other; bodies are not copied.

    `body` may be given in parts.
    """
    parts = [body] if isinstance(body, bytes | bytearray | memoryview) else body
    head = _encode(message)
    prefix = _PREFIX.pack(len(head), sum(map(len, parts)))
    return [prefix + head, *(part for part in parts if part)]


class Outgoing:
    """Messages on their way out, for a socket that does not block. For one thread."""

    def __init__(self) -> None:
        self.size = 0  # bytes
        self._buffers: deque[memoryview] = deque()

    def __bool__(self) -> bool:
        return bool(self._buffers)

    def put(self, message: Message, body: Buffer | Sequence[Buffer] = b"") -> None:
        """Put a message behind the others."""
        for buffer in encode(message, body):
            self._buffers.append(memoryview(buffer))
            self.size += len(buffer)

    def write(self, channel: socket.socket) -> None:
        """Write as much as the socket takes. Where it is broken nothing is left: reading tells."""
        while self._buffers:
            try:
                sent = channel.sendmsg(islice(self._buffers, _MAX_BUFFERS))
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                self.clear()
                return
            self.size -= sent
            while sent and sent >= len(self._buffers[0]):
                sent -= len(self._buffers.popleft())
            if sent:
                self._buffers[0] = self._buffers[0][sent:]

    def clear(self) -> None:
        """Forget all of it."""
        self._buffers.clear()
        self.size = 0


class MessageDecoder:
    """Decodes messages from received bytes. A body in pieces is copied once, when it is whole.

    For one thread.
    """

    def __init__(self) -> None:
        self._start = bytearray()  # of a message whose head is not whole yet
        self._message: AnyMessage | None = None  # the one whose body is coming
        self._parts: list[Buffer] = []
        self._missing_bytes = 0  # bytes of that body

    def feed(self, data: Buffer) -> Iterator[tuple[AnyMessage, bytes]]:
        """Yield what is whole by now, each message with its body.

        `data` must not change afterwards. Raises ChannelError where it is no message; nothing can
        be read then any more.
        """
        rest = memoryview(data)
        while rest:
            if self._message is None:
                rest = self._take_head(rest)
            if self._message is not None:
                rest = self._take_body(rest)
                if not self._missing_bytes:
                    yield self._whole()

    def _take_head(self, rest: memoryview) -> memoryview:
        """Take as much as the head lacks; return what is left."""
        if len(self._start) < _PREFIX.size:
            rest = self._take_start(rest, _PREFIX.size)
        if len(self._start) < _PREFIX.size:
            return rest
        head_size, body_size = _PREFIX.unpack_from(self._start)
        if head_size > MAX_HEAD or body_size > MAX_BODY:
            raise ChannelError("a message on the channel is larger than any may be")
        size = _PREFIX.size + head_size
        rest = self._take_start(rest, size)
        if len(self._start) == size:
            self._message = self._decoded()
            self._start = bytearray()
            self._missing_bytes = body_size
        return rest

    def _take_start(self, rest: memoryview, size: int) -> memoryview:
        missing = size - len(self._start)
        self._start += rest[:missing]
        return rest[missing:]

    def _take_body(self, rest: memoryview) -> memoryview:
        part = rest[: self._missing_bytes]
        if part:
            self._parts.append(part)
            self._missing_bytes -= len(part)
        return rest[len(part) :]

    def _decoded(self) -> AnyMessage:
        try:
            return _decode(memoryview(self._start)[_PREFIX.size :])
        except msgspec.MsgspecError as error:
            raise ChannelError(f"a message on the channel can't be read: {error}") from None

    def _whole(self) -> tuple[AnyMessage, bytes]:
        assert self._message is not None, "a body belongs to a message"
        whole = self._message, b"".join(self._parts)
        self._message, self._parts = None, []
        return whole
