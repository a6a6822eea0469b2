"""The messages between a proxy and its ingester."""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from response_store.ingest.channel import (
    MAX_HEAD,
    Accepted,
    ChannelError,
    Dirty,
    Flush,
    Hello,
    Log,
    MessageDecoder,
    Outgoing,
    Question,
    ReplyMessage,
    Report,
    Rotate,
    Rotated,
    Verdict,
    Void,
    Wake,
    Written,
    encode,
)
from response_store.model.records import WrittenRow

ROW = WrittenRow("flow", 1, "a line", "exchange", None, "completed", duration_ms=1.5)
MESSAGES = [
    (Hello("1.0", "/journal", b"{}", "defaults", True, 7, (3, 5)), b""),
    (Wake(), b""),
    (Dirty(8, 3, 1, b"head"), b"request" * 1000),
    (Void(9), b""),
    (Question(1, 9, 2.5, "serve", b"arguments"), b""),
    (Rotated(9), b""),
    (Flush(2, 9), b""),
    (Verdict("no", True), b""),
    (Report(8, 7, "ready", counters={"written": 3}), b""),
    (Accepted((8, 9)), b""),
    (Written((ROW, ROW)), b""),
    (ReplyMessage(1, "ok"), b"{}"),
    (Log(30, "a text"), b""),
    (Rotate(9), b""),
]
STREAM = b"".join(bytes(part) for each in MESSAGES for part in encode(*each))


@given(st.lists(st.integers(1, len(STREAM) - 1), max_size=30))
def test_messages_are_the_same_however_they_arrive(cuts: list[int]) -> None:
    """A stream of messages, cut anywhere, gives the messages that were sent."""
    decoder, found = MessageDecoder(), []
    places = [0, *sorted(cuts), len(STREAM)]
    for start, end in pairwise(places):
        found += list(decoder.feed(STREAM[start:end]))
    assert found == MESSAGES


def test_bodies_are_sent_as_they_are() -> None:
    """The buffers of a body are those that were given, and empty ones are left out."""
    body = bytearray(b"large")
    buffers = encode(Dirty(1, 3, 1, b""), [body, b"", memoryview(b"more")])
    assert buffers[1] is body
    assert [bytes(buffer) for buffer in buffers[1:]] == [b"large", b"more"]


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("<IQ", MAX_HEAD + 1, 0),
        struct.pack("<IQ", 1, 1 << 40),
        struct.pack("<IQ", 3, 0) + b"abc",
        struct.pack("<IQ", 9, 0) + b"\x92\xa6Nobody\x01",
    ],
)
def test_what_is_no_message_is_refused(data: bytes) -> None:
    """Sizes beyond the bounds, and heads of no known kind, raise an error."""
    with pytest.raises(ChannelError):
        list(MessageDecoder().feed(data))


def test_outgoing_messages_wait_for_room() -> None:
    """What the socket does not take stays, and goes out in order once there is room."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        outgoing = Outgoing()
        bodies = [bytes([number]) * 300_000 for number in range(5)]
        for body in bodies:
            outgoing.put(ReplyMessage(1, "ok"), body)
        decoder, found = MessageDecoder(), []
        outgoing.write(ours)
        assert outgoing
        while len(found) < 5:
            found += [body for _, body in decoder.feed(theirs.recv(1 << 16))]
            outgoing.write(ours)
        assert found == bodies
        assert not outgoing
        assert outgoing.size == 0


def test_a_broken_socket_ends_what_goes_out() -> None:
    """Where the other side is gone nothing is kept, and nothing is raised."""
    ours, theirs = socket.socketpair()
    theirs.close()
    with ours:
        outgoing = Outgoing()
        outgoing.put(Wake())
        outgoing.write(ours)
        assert not outgoing


def test_the_proxy_imports_nothing_heavy_for_it() -> None:
    """The module needs msgspec, our errors, rows and receipts, beside the standard library."""
    code = (
        "import sys; import response_store.ingest.channel as c; "
        "print([m for m in sys.modules if m.startswith('response_store.') or "
        "m in ('mitmproxy', 'psycopg', 'sqlite3', 'yaml')])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    needed = (
        "errors ingest ingest.channel journal journal.frames journal.receipts jsontext limits model"
        " model.records"
    )
    assert set(eval(found.stdout)) == {f"response_store.{name}" for name in needed.split()}
