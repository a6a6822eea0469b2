"""Frames to changes: what is needed of which frame, and what came built already."""

from __future__ import annotations

import json

from msgspec.structs import replace

from response_store.capture.draft import DeletionHead, encode_head
from response_store.diagnostics import Counters, ErrorReporter
from response_store.ingest.cleaning import Cleaner
from response_store.ingest.delivery import Batch
from response_store.ingest.interpreter import Interpreter
from response_store.ingest.record_builder import RecordBuilder
from response_store.journal.errors import DamagedFrameError
from response_store.journal.frames import Frame, FrameKind, FrameRef
from response_store.model.records import Deletion, Record
from tests.unit.ingest.bench import Bench
from tests.unit.ingest.proxy_side import (
    STARTED,
    answer_head,
    end_frame,
    id_of,
    request_body,
    request_head,
    response_object,
)


class Frames:
    """Frames in memory, as an interpreter gets them one after the other."""

    def __init__(self, bench: Bench) -> None:
        counters = Counters()
        self.frames: dict[FrameRef, Frame] = {}
        self.builder = RecordBuilder(bench.config.capture, "journal")
        self.interpreter = Interpreter(self.builder, self.read)
        self.cleaner = Cleaner(
            bench.config, "journal", counters=counters, errors=ErrorReporter(counters)
        )

    def read(self, ref: FrameRef) -> Frame:
        if ref not in self.frames:
            raise DamagedFrameError("gone")
        return self.frames[ref]

    def apply(
        self, kind: FrameKind, key: int, head: bytes, body: bytes = b"", segment="m-1"
    ) -> Batch:
        """Apply one frame, as a batch of its own."""
        seq = len(self.frames) + 1
        ref = FrameRef(seq, kind, key, 0, segment, seq, len(head), len(body))
        self.frames[ref] = Frame(seq, kind, key, 0, head, body)
        batch = Batch(None)
        self.interpreter.apply(ref, batch)
        self.interpreter.close(batch)
        return batch

    def clean(self, kind: FrameKind, key: int, head: bytes, body: bytes) -> Batch:
        """Apply a frame that came in memory."""
        frame = self.cleaner.clean(kind, head, body)
        return self.apply(frame.kind, key, frame.head, b"".join(frame.parts), "c-1")

    def end(self, key: int, **what: object) -> Batch:
        head, parts = end_frame(key, **what)
        return self.apply(FrameKind.END, key, head, b"".join(parts))

    def needed(self) -> list[int]:
        return sorted(ref.seq for ref in self.interpreter.needed(["m-1", "m-2", "c-1"]))


def states(batch: Batch) -> list[str]:
    """Return the states of a batch's records."""
    return [item.change.exchange.state for item in batch.items if isinstance(item.change, Record)]


def test_a_built_record_is_taken_as_it_is(bench: Bench) -> None:
    """A change that was cleaned keeps flow and turn, and is written as it was built."""
    frames = Frames(bench)
    head, parts = end_frame(1, alone=True)
    batch = frames.clean(FrameKind.END, 1, head, b"".join(parts))
    [item] = batch.items
    assert (item.flow_id, item.turn) == ("flow-1", 0)
    assert isinstance(item.change, Record)
    assert item.change.exchange.exchange_id == id_of(1)
    assert frames.needed() == []


def test_an_open_row_that_was_built_is_interrupted(bench: Bench) -> None:
    """Of an exchange with secrets that is open when the proxy stops, the row says so."""
    frames = Frames(bench)
    opened = frames.clean(FrameKind.OPEN, 1, encode_head(request_head(1)), request_body(1))
    assert states(opened) == ["open"]
    assert frames.needed() == [1]
    stopped = frames.apply(FrameKind.STOP, 0, b"")
    assert states(stopped) == ["interrupted"]
    assert frames.apply(FrameKind.STOP, 0, b"").items == type(stopped.items)()
    head, parts = end_frame(1, whole=True)
    ended = frames.clean(FrameKind.END, 1, head, b"".join(parts))
    assert states(ended) == ["completed"]


def test_a_skipped_exchange_is_counted_once(bench: Bench) -> None:
    """What makes no row is counted at its end, however it came."""
    frames = Frames(bench)
    poll = {"method": "GET", "target_response_id": "resp_9"}
    frames.apply(FrameKind.OPEN, 1, encode_head(request_head(1, **poll)))
    assert frames.end(1, body=b"{}").counters == {"skipped.no_response": 1}
    head, parts = end_frame(2, alone=True, request=b"", body=b"{}", **poll)
    assert frames.clean(FrameKind.END, 2, head, b"".join(parts)).counters == {
        "skipped.no_response": 1
    }


def test_a_deletion_covers_a_record_that_was_built_before_it(bench: Bench) -> None:
    """A response that was deleted since it was asked for does not come with a cleaned record."""
    frames = Frames(bench)
    deletion = encode_head(DeletionHead("default", "resp_1", STARTED + 5))
    batch = frames.apply(FrameKind.DELETION, 0, deletion)
    assert [item.change for item in batch.items] == [Deletion("default", "resp_1")]
    assert batch.counters == {"deleted": 1}
    head, parts = end_frame(1, alone=True)
    [item] = frames.clean(FrameKind.END, 1, head, b"".join(parts)).items
    assert isinstance(item.change, Record)
    assert item.change.response is None
    later, parts = end_frame(1, alone=True, started_at=STARTED + 9)
    [item] = frames.clean(FrameKind.END, 1, later, b"".join(parts)).items
    assert isinstance(item.change, Record)
    assert item.change.response is not None
    assert frames.needed() == [1]


def test_a_deletion_that_was_cleaned_covers_too(bench: Bench) -> None:
    """A deletion over the channel is one like others for what was asked before it."""
    frames = Frames(bench)
    head, parts = end_frame(
        9, alone=True, request=b"", body=b"{}", method="DELETE", target_response_id="resp_1"
    )
    frames.clean(FrameKind.END, 9, head, b"".join(parts))
    body = json.dumps(response_object(1)).encode()
    [item] = frames.end(1, alone=True, body=body, answer=answer_head()).items
    assert isinstance(item.change, Record)
    assert item.change.response is None
    assert frames.needed() == [1]


def test_what_is_gone_is_no_error_in_a_replay(bench: Bench) -> None:
    """Frames whose beginning was dropped, as nobody needs it, are passed over."""
    frames = Frames(bench)
    head, parts = end_frame(1)
    ref = FrameRef(9, FrameKind.END, 1, 0, "m-1", 0, len(head), len(parts[0]))
    frames.frames[ref] = Frame(9, FrameKind.END, 1, 0, head, parts[0])
    frames.interpreter.replay(ref)
    frames.interpreter.replay(replace(ref, seq=10))
    assert frames.needed() == []


def test_ends_are_needed_as_long_as_their_beginning_lies_elsewhere(bench: Bench) -> None:
    """Once the segment with the beginning is gone, the end may go too."""
    frames = Frames(bench)
    frames.apply(FrameKind.OPEN, 1, encode_head(request_head(1)), request_body(1), "m-1")
    head, parts = end_frame(1)
    frames.apply(FrameKind.END, 1, head, b"".join(parts), "m-2")
    assert frames.needed() == [2]
    assert frames.interpreter.needed(["m-2"]) == []
