"""Frames put together again: requests, answers, what came of them."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from response_store.capture.draft import AnswerHead, EndHead, PartHead, encode_head
from response_store.ingest.exchanges import OpenExchanges, build_request
from response_store.journal.errors import DamagedFrameError
from response_store.journal.frames import Frame, FrameKind, FrameRef
from response_store.model.records import EndedBy, Transport
from tests.unit.ingest.proxy_side import answer_head, end_frame, id_of, request_head


class Journal:
    """Frames by seq, in memory; some of them are damaged."""

    def __init__(self) -> None:
        self.frames: dict[int, Frame] = {}
        self.damaged: set[int] = set()
        self.exchanges = OpenExchanges(self.read)

    def add(self, kind: FrameKind, head: Any, body: bytes = b"", key: int = 1) -> FrameRef:
        seq = len(self.frames) + 1
        encoded = head if isinstance(head, bytes) else encode_head(head)
        self.frames[seq] = Frame(seq, kind, key, 0, encoded, body)
        return FrameRef(seq, kind, key, 0, "m-1", seq, len(encoded), len(body))

    def read(self, ref: FrameRef) -> Frame:
        if ref.seq in self.damaged:
            raise DamagedFrameError("damaged")
        return self.frames[ref.seq]

    def open(self, body: bytes = b"asked", **head: Any) -> None:
        self.exchanges.begin(self.add(FrameKind.OPEN, request_head(1, **head), body))

    def part(self, body: bytes, head: AnswerHead | None = None, elapsed: float = 50.0) -> None:
        self.exchanges.add_part(self.add(FrameKind.PART, PartHead(head, elapsed, 9.0), body))

    def end(self, **head: Any) -> Any:
        values: dict[str, Any] = {"request": None, "ended_by": "body", "duration_ms": 99.0} | head
        body = values.pop("body", b"")
        ref = self.add(FrameKind.END, EndHead(**values), body)
        return self.exchanges.end(self.read(ref))


@pytest.fixture
def journal() -> Journal:
    """An empty journal."""
    return Journal()


def test_an_exchange_in_one_frame(journal: Journal) -> None:
    """A frame that says all gives request, answer and end."""
    head, parts = end_frame(1, alone=True, request=b"asked", body=b"answered")
    ref = journal.add(FrameKind.END, head, b"".join(parts))
    found = journal.exchanges.end(journal.read(ref))
    request, ending = found.draft.request, found.draft.ending
    assert (found.flow_id, found.turn) == ("flow-1", 0)
    assert request.exchange_id == id_of(1)
    assert request.body == b"asked"
    assert ending is not None
    assert ending.answer is not None
    assert (ending.ended_by, ending.answer.body) == (EndedBy.BODY, b"answered")


def test_an_exchange_in_many_frames(journal: Journal) -> None:
    """Request, parts and the rest of an answer are joined; the first event is not forgotten."""
    journal.open()
    journal.part(b"one ", answer_head("sse"))
    journal.part(b"two ")
    ending = journal.end(body=b"three", answer=answer_head("sse", is_terminated=True)).draft.ending
    assert ending.answer.body == b"one two three"
    assert ending.answer.transport is Transport.SSE
    assert ending.answer.is_terminated
    assert (ending.duration_ms, ending.first_event_ms) == (99.0, 9.0)
    assert 1 not in journal.exchanges


def test_an_end_without_an_answer_keeps_what_came(journal: Journal) -> None:
    """Where the end says nothing of an answer, what its parts say counts."""
    journal.open()
    journal.part(b"one", answer_head("sse"))
    answer = journal.end(ended_by="client").draft.ending.answer
    assert answer.body == b"one"


def test_an_end_that_stands_alone_replaces_all(journal: Journal) -> None:
    """Nothing of earlier frames is read where the end is whole."""
    journal.open(b"before")
    journal.part(b"before", answer_head("sse"))
    journal.damaged = {1, 2}
    head, parts = end_frame(1, whole=True, request=b"asked", body=b"after")
    ref = journal.add(FrameKind.END, head, b"".join(parts))
    draft = journal.exchanges.end(journal.read(ref)).draft
    assert draft.request.body == b"asked"
    assert draft.ending is not None
    assert draft.ending.answer is not None
    assert draft.ending.answer.body == b"after"


def test_the_bytes_as_they_came(journal: Journal) -> None:
    """An answer that could not be decoded has its raw bytes behind what could."""
    answer = answer_head(decode_error="broken gzip")
    journal.open()
    ending = journal.end(answer=answer, body=b"decodedRAW", raw_size=3).draft.ending
    assert (ending.answer.body, ending.answer.raw) == (b"decoded", b"RAW")
    assert ending.answer.decode_error == "broken gzip"


def test_a_body_that_was_not_kept_is_none(journal: Journal) -> None:
    """An answer without a body says so; an empty one is empty."""
    journal.open()
    assert journal.end(answer=answer_head(has_body=False)).draft.ending.answer.body is None
    journal.open()
    assert journal.end(answer=answer_head()).draft.ending.answer.body == b""


def test_a_damaged_part_cuts_the_answer(journal: Journal) -> None:
    """Text is kept up to the first damage, and the answer says that it lacks something."""
    journal.open()
    journal.part(b"one ", answer_head("sse"))
    journal.part(b"two ")
    journal.damaged = {3}
    answer = journal.end(answer=answer_head("sse", is_terminated=True)).draft.ending.answer
    assert answer.body == b"one "
    assert "damaged" in answer.decode_error
    assert not answer.is_terminated


def test_an_end_without_its_request_is_damage(journal: Journal) -> None:
    """Without a request there is no row to make."""
    with pytest.raises(DamagedFrameError):
        journal.end()


def test_interrupting_gives_the_text_so_far_once(journal: Journal) -> None:
    """What is open is interrupted once; a later end has all of it again."""
    journal.open()
    journal.part(b"one ", answer_head("sse"), elapsed=70.0)
    [(key, exchange)] = journal.exchanges.interrupt()
    ending = journal.exchanges.interrupted(exchange).draft.ending
    assert key == 1
    assert ending is not None
    assert ending.answer is not None
    assert (ending.ended_by, ending.duration_ms) == (EndedBy.PROXY_STOPPED, 70.0)
    assert ending.answer.body == b"one "
    assert journal.exchanges.interrupt() == []
    assert not journal.exchanges.has_uninterrupted
    late = journal.end(answer=answer_head("sse"), body=b"two").draft.ending
    assert late.answer.body == b"one two"


def test_frames_of_open_exchanges_are_named_and_may_move(journal: Journal) -> None:
    """The frames that are needed are those of what is open, wherever they lie by now."""
    journal.open()
    journal.part(b"one", answer_head("sse"))
    refs = list(journal.exchanges.refs())
    assert [ref.seq for ref in refs] == [1, 2]
    moved = {ref: replace(ref, segment="c-1") for ref in refs}
    journal.exchanges.relocate(moved)
    assert [ref.segment for ref in journal.exchanges.refs_of(1)] == ["c-1", "c-1"]
    journal.end()
    assert list(journal.exchanges.refs()) == []


def test_a_steered_response_has_the_messages_as_its_request() -> None:
    """A response that steering led to has the steering messages as its input."""
    messages = [
        b'{"type":"response.steer","input":"left"}',
        b'{"type":"response.steer","input":[{"role":"user","content":"right"}]}',
    ]
    head = request_head(
        1, turn=2, transport="websocket", steered=tuple(map(len, messages)),
        previous_response_id="resp_0", stored=False,
    )  # fmt: skip
    request = build_request(head, b"".join(messages))
    assert request.preset is not None
    assert request.preset.body == b"\n".join(messages)
    assert b"left" in request.preset.input
    assert b"right" in request.preset.input
    assert request.preset.previous_response_id == "resp_0"
    assert not request.preset.store
    assert request.transport is Transport.WEBSOCKET


def test_a_request_without_a_body_says_why() -> None:
    """A body that is missing is None, with the reason; an empty one is empty."""
    assert build_request(request_head(1, missing="too large"), b"").missing == "too large"
    assert build_request(request_head(1, missing="too large"), b"").body is None
    assert build_request(request_head(1), b"").body == b""


@pytest.mark.parametrize("values", [{"api": "of_tomorrow"}, {"transport": "smoke"}])
def test_a_head_of_another_version_is_damage(values: dict[str, str]) -> None:
    """Values that this version does not know are refused as damage."""
    with pytest.raises(DamagedFrameError):
        build_request(request_head(1, **values), b"")
