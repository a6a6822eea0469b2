"""Recorded exchanges in a real journal: what is acknowledged is in its files, and read back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from response_store.config import Durability
from response_store.diagnostics import Counters
from response_store.journal.directory import JournalDirectory
from response_store.journal.frames import FrameKind
from response_store.journal.reader import JournalReader
from response_store.journal.writer import JournalWriter
from response_store.model.records import EndedBy
from tests.fakes import bodies
from tests.fakes.dialects import OPENAI
from tests.unit.capture.borders import Sent, json_head
from tests.unit.capture.capturing import Capturing
from tests.unit.capture.interpreting import interpret
from tests.unit.journal.making import make_journal

ASKED = json.dumps({"model": "gpt-5", "input": "Hi"}).encode()
LARGE = json.dumps({"model": "gpt-5", "input": "x" * (3 << 20)}).encode()
CREDENTIAL = (
    b'{"model":"gpt-5","input":"Hi","tools":[{"type":"mcp","authorization":"c4n4ry-of-a-secret"}]}'
)
FRAMES = OPENAI.frames(bodies.stream_events())


class Journaled:
    """A recorder on a real journal; the ingester records."""

    def __init__(self, folder: Path, durability: Durability, **how: Any) -> None:
        self.directory: JournalDirectory = make_journal(folder)
        self.counters = Counters()
        self.writer: JournalWriter
        self.how = how
        self.durability = durability
        self.capturing = Capturing(
            writer=self._writer, durability=durability.value, completion_wait_ms=5000
        )

    def _writer(self, loop: Any) -> JournalWriter:
        self.writer = JournalWriter(
            self.directory,
            **{"max_bytes": 1 << 30} | self.how,
            durability=self.durability,
            counters=self.counters,
            call_soon=loop.call_soon_threadsafe,
            call_later=loop.call_later,
        )
        return self.writer

    def read(self) -> list[Sent]:
        """The frames of the journal, as another process reads them, and those in memory."""
        reader = JournalReader(self.directory)
        frames = [reader.frame(ref) for ref in reader.next(1000)]
        reader.close()
        stored = [Sent(f.seq, f.kind, f.key, f.head, f.body, private=False) for f in frames]
        return sorted([*stored, *self.capturing.ingester.frames])


@pytest.fixture(params=[Durability.PROCESS, Durability.POWER])
def journaled(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Journaled]:
    """A recorder on a journal."""
    made = Journaled(tmp_path, request.param)
    yield made
    made.capturing.outbox.close(5.0)
    made.writer.close()
    made.directory.close()


def test_a_stream(journaled: Journaled) -> None:
    """When its terminal event goes on it is in the files, whole."""
    capturing = journaled.capturing
    capturing.recorder._wait = 5.0  # whatever the disk of this machine takes
    exchange = capturing.stream(ASKED)
    for frame in FRAMES:
        if capturing.feed(exchange, frame)[-1]:
            assert "wait.ran_out" not in capturing.counters.snapshot()
            (record,) = interpret(journaled.read(), capturing.config)
            assert record.exchange.state == "completed"
            assert record.exchange.output_text == bodies.TEXT
        capturing.loop.pass_time(0.1)
    assert [frame.kind for frame in journaled.read()][:1] == [FrameKind.OPEN]


@pytest.mark.exhaustive
@pytest.mark.parametrize("body", [ASKED, CREDENTIAL, LARGE], ids=["plain", "private", "large"])
def test_killed_at_any_moment(journaled: Journaled, body: bytes) -> None:
    """At each moment the journal has all but the last quarter of a second."""
    capturing = journaled.capturing
    exchange = capturing.stream(body)
    capturing.loop.pass_time(0.25)
    capturing.settle()
    for number, event in enumerate(FRAMES[:-1], 1):
        capturing.feed(exchange, event)
        capturing.loop.pass_time(0.25)
        capturing.loop.run_until(lambda: not journaled.writer.outstanding)
        (record,) = interpret(journaled.read(), capturing.config)
        assert record.exchange.state == "open"
        if body is not CREDENTIAL:
            parts = [frame for frame in journaled.read() if frame.kind is FrameKind.PART]
            assert b"".join(part.body for part in parts) == b"".join(FRAMES[:number])


@pytest.mark.exhaustive
def test_large_bodies(journaled: Journaled) -> None:
    """A request and an answer of megabytes, and small ones beside them."""
    capturing = journaled.capturing
    for number in range(3):
        exchange = capturing.begin(LARGE, flow_id=f"large {number}")
        exchange.answer = json_head()
        answer = bodies.whole_response(text="y" * (2 << 20), response_id=f"resp_{number}")
        capturing.recorder.finish(f"large {number}", EndedBy.BODY, json.dumps(answer).encode())
        capturing.feed(capturing.stream(ASKED, flow_id=f"small {number}"), *FRAMES)
    capturing.settle()
    capturing.loop.run_until(lambda: not journaled.writer.outstanding)
    records = interpret(journaled.read(), capturing.config)
    assert [record.exchange.state for record in records] == ["completed"] * 6
    texts = sorted(len(record.exchange.output_text or "") for record in records)
    assert texts == [len(bodies.TEXT)] * 3 + [2 << 20] * 3


def test_the_end_of_a_large_stream_is_waited_for(journaled: Journaled) -> None:
    """What another thread writes counts as soon as it is written, though the loop is held."""
    capturing = journaled.capturing
    capturing.recorder._large_wait = 5.0
    exchange = capturing.stream(ASKED)
    filler = b'data: {"type":"response.in_progress","x":"' + b"y" * (2 << 20) + b'"}\n\n'
    ended = capturing.feed(exchange, *FRAMES[:1], filler, *FRAMES[1:])
    assert any(ended)
    assert "wait.ran_out" not in capturing.counters.snapshot()
    (record,) = interpret(journaled.read(), capturing.config)
    assert record.exchange.state == "completed"


async def test_acknowledged_by_power(tmp_path: Path) -> None:
    """The end of a whole body waits for its sync, and no longer."""
    journaled = Journaled(tmp_path, Durability.POWER)
    capturing = journaled.capturing
    exchange = capturing.begin(ASKED)
    exchange.answer = json_head()
    capturing.recorder.finish("flow", EndedBy.BODY, b"{}")
    assert capturing.outbox.wait(exchange.receipts, 5.0)
    assert capturing.recorder.acknowledged(exchange) is None
    journaled.writer.close()
    journaled.directory.close()


def test_a_full_journal(tmp_path: Path) -> None:
    """What it does not take waits in memory, in order, and is written when there is room."""
    journaled = Journaled(tmp_path, Durability.PROCESS, max_bytes=3000)
    capturing = journaled.capturing
    for number in range(8):
        capturing.begin(b'{"model":"m","input":"%d%s"}' % (number, b"x" * 600), flow_id=f"{number}")
        capturing.recorder.finish(f"{number}", EndedBy.CLIENT)
    assert journaled.writer.waiting == 5
    first = journaled.read()
    journaled.writer.rotate()
    journaled.directory.discard_segments()
    journaled.writer.released(0)
    frames = [*first, *journaled.read()]
    waiting = journaled.writer.waiting
    assert 2 <= waiting < 5
    assert len(frames) == 8 - waiting
    assert [frame.head.request.flow_id for frame in frames] == [f"{n}" for n in range(len(frames))]
    assert [frame.seq for frame in frames] == [*range(1, len(frames) + 1)]
    journaled.writer.close()
    journaled.directory.close()
    assert journaled.counters.get("dropped.stopped") == 2
