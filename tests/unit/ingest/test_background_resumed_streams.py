"""The tail of a stream and what came before it make the stream, wherever it was cut."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from response_store.config import RawBodies
from response_store.diagnostics import Counters
from response_store.ingest import background
from response_store.ingest.background import ResumableStream, ResumableStreams, join_streams
from response_store.ingest.draft import Draft, Ending
from response_store.ingest.record_builder import RecordBuilder
from response_store.model.records import EndedBy, Record
from response_store.openai_api.responses_stream import accumulate
from response_store.openai_api.sse import parse_stream
from response_store.redaction.patterns import Patterns
from response_store.redaction.redactor import Redactor
from tests.fakes import bodies
from tests.fakes.dialects import DIALECTS, OPENAI
from tests.hypothesis_profiles import examples
from tests.unit.ingest import drafts

NUMBERED = sorted(set(DIALECTS) - {"done mark", "data only and done mark", "all at once"})
EVENTS = bodies.stream_events({"background": True}, id="r1", background=True)
LAST = len(EVENTS)


def frames(first: int, end: int, dialect: str = "openai") -> bytes:
    events = EVENTS[first:end]
    return b"".join(DIALECTS[dialect].frames(events)) if events else b""


@settings(max_examples=examples(100))
@given(st.sampled_from(NUMBERED), st.integers(1, LAST), st.integers(0, LAST), st.integers(0, LAST))
def test_any_cut(dialect: str, cut: int, first: int, end: int) -> None:
    """A tail that begins at or before the cut gives what one stream of both would."""
    first, end = min(first, cut), max(end, cut)
    whole = join_streams(frames(0, cut, dialect), frames(first, end, dialect))
    expected = end if end > first else 0
    assert accumulate(parse_stream(whole)) == accumulate(parse_stream(frames(0, expected, dialect)))


def test_cut_in_an_event() -> None:
    """Half an event at the end of the head is no event."""
    head = frames(0, 7)[:-60]
    assert list(parse_stream(join_streams(head, frames(6, 9)))) == list(parse_stream(frames(0, 9)))


@pytest.mark.parametrize("tail", [frames(8, 10), b"data: {}\n\n", b": ping\n\n", b"", b"\xff{"])
def test_no_join(tail: bytes) -> None:
    """Behind a gap, or without numbers, the tail stands alone."""
    assert join_streams(frames(0, 7), tail) == tail


def stream(size: int, *exchange_ids: str) -> ResumableStream:
    return ResumableStream(b"x", exchange_ids or ("e",), size)


def test_bounds() -> None:
    """The oldest go when there are too many or too large ones."""
    streams = ResumableStreams(max_streams=2, max_bytes=10)
    for name, size in (("a", 4), ("b", 4), ("a", 5), ("c", 5)):
        streams.keep(("t", name), stream(size, name))
        assert streams.bytes <= 10
    assert streams.bytes == 10
    assert streams.exchange_ids == {"a", "c"}
    streams.keep(("t", "d"), stream(11))
    assert streams.bytes == 0
    assert streams.exchange_ids == frozenset()


def test_size() -> None:
    """What a stream takes is the bodies of all exchanges that brought it, each once."""
    head, tail = b"".join(FRAMES[:7]), b"".join(FRAMES[7:8])
    streams = ResumableStreams()
    streams.keep(("t1", "r1"), ResumableStream(head, ("e1",), 999))
    draft = resumed(cut(7, 8))
    assert draft.ending is not None
    assert draft.ending.answer is not None
    for _ in range(2):
        found = streams.prepend(draft.request, draft.ending.answer, tail)
        assert found.exchange_ids == ("e1", "e2")
        assert found.size == 999 + len(tail)
        streams.keep(("t1", "r1"), found)
    asked = created(cut(0, 7)).request
    alone = streams.prepend(asked, draft.ending.answer, head)
    assert (alone.body, alone.exchange_ids) == (head, ("e1",))
    assert alone.size == len(asked.body or b"") + len(head)


def test_a_stream_of_too_many_exchanges(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is put together of too many is not kept any more."""
    monkeypatch.setattr(background, "_MAX_EXCHANGES", 2)
    streams = ResumableStreams()
    streams.keep(("t", "r"), stream(1, "a", "b"))
    assert streams.exchange_ids == {"a", "b"}
    streams.keep(("t", "r"), stream(1, "a", "b", "c"))
    assert streams.exchange_ids == frozenset()


ASKED = {"model": "m", "input": "Hi", "background": True}
FRAMES = OPENAI.frames(EVENTS)
PIECES = bodies.deltas(bodies.TEXT)


def cut(first: int, end: int) -> Ending:
    return drafts.streamed(FRAMES[first:end], by=EndedBy.UPSTREAM)


def created(ending: Ending, exchange_id: str = "e1") -> Draft:
    return Draft(replace(drafts.request(ASKED), exchange_id=exchange_id), ending)


def resumed(ending: Ending, exchange_id: str = "e2", tenant_id: str = "t1") -> Draft:
    asking = replace(
        drafts.request(b""),
        method="GET",
        target_response_id="r1",
        exchange_id=exchange_id,
        tenant_id=tenant_id,
    )
    return Draft(asking, ending)


def text(builder: RecordBuilder, draft: Draft) -> str | None:
    built = builder.build(draft)
    assert isinstance(built, Record), built
    return built.exchange.output_text


def test_tenants_are_apart() -> None:
    """A tail is joined to its own tenant's head alone."""
    builder = drafts.builder()
    builder.build(created(cut(0, 7)))
    texts = [text(builder, resumed(cut(7, 8), tenant_id=tenant)) for tenant in ("t2", "t1")]
    assert texts == [PIECES[3], "".join(PIECES[:4])]


@pytest.mark.parametrize("raw", RawBodies)
def test_held_exchanges(raw: RawBodies) -> None:
    """Those are named that it takes to build what is held: all that brought a part of it."""
    builder = drafts.builder(raw=raw)
    assert builder.held_exchanges == frozenset()
    builder.build(created(cut(0, 7)))
    assert builder.held_exchanges == {"e1"}
    builder.build(resumed(cut(7, 8)))
    assert builder.held_exchanges == {"e1", "e2"}
    builder.build(resumed(cut(0, 8), "e3"))  # from the start again, so that it needs no other
    assert builder.held_exchanges >= {"e3"}


ENDS = {
    "a resumed stream": resumed(drafts.streamed(FRAMES[8:]), "e3"),
    "a poll": resumed(drafts.whole(bodies.whole_response(ASKED, id="r1")), "e3"),
}


@pytest.mark.parametrize("name", ENDS)
def test_nothing_is_named_once_the_response_came(name: str) -> None:
    """A response that has come whole is not worth keeping frames for, whoever brought it."""
    builder = drafts.builder()
    for draft in (created(cut(0, 7)), resumed(cut(7, 8)), ENDS[name]):
        builder.build(draft)
    assert builder.held_exchanges == frozenset()
    assert text(builder, resumed(cut(8, 9), "e4")) == "".join(PIECES[:5])
    assert builder.held_exchanges == frozenset()


def test_a_running_response_is_held() -> None:
    """A snapshot of a response that goes on ends nothing."""
    builder = drafts.builder()
    builder.build(created(cut(0, 7)))
    builder.build(resumed(drafts.whole(bodies.response(ASKED, id="r1", status="in_progress"))))
    assert builder.held_exchanges == {"e1"}


def test_a_deleted_response_is_forgotten() -> None:
    """What came of a stream goes with its response."""
    builder = drafts.builder()
    builder.build(created(cut(0, 7)))
    deleting = replace(resumed(cut(0, 0)).request, method="DELETE")
    builder.build(Draft(deleting, drafts.whole({"deleted": True})))
    assert builder.held_exchanges == frozenset()
    assert text(builder, resumed(cut(7, 8))) == PIECES[3]


@pytest.mark.parametrize("raw", RawBodies)
@pytest.mark.parametrize("redacts", [False, True])
def test_replay(raw: RawBodies, redacts: bool) -> None:
    """A builder that has replayed what is held goes on as the one that has built it."""
    how = {"redact": Redactor(Patterns((), {}), bytes, Counters())} if redacts else {}
    past = [created(cut(0, 6)), resumed(cut(6, 7)), resumed(cut(7, 8), "e3")]
    first, second = drafts.builder(raw=raw, **how), drafts.builder(raw=raw, **how)
    for draft in past:
        first.build(draft)
        if draft.request.exchange_id in first.held_exchanges:
            second.replay(draft)
    assert second.held_exchanges == first.held_exchanges == {"e1", "e2", "e3"}
    for tail in (resumed(cut(8, 9), "e4"), resumed(drafts.streamed(FRAMES[9:]), "e5")):
        assert second.build(tail) == first.build(tail)


def test_building_twice_changes_nothing() -> None:
    """What one exchange gives, and what is held, is the same when it is built or replayed again."""
    past = [created(cut(0, 6)), resumed(cut(6, 7)), resumed(cut(6, 8), "e3")]
    once = drafts.builder()
    built = [once.build(draft) for draft in past]
    for again in (past, past[:1], past[1:], past[::-1]):
        for draft in again:
            once.replay(draft)
            assert once.build(draft) == built[past.index(draft)]
    assert once.held_exchanges == {"e1", "e2", "e3"}
    assert text(once, resumed(cut(8, 9), "e4")) == "".join(PIECES[:5])


def test_the_end_of_what_was_called_interrupted() -> None:
    """The true end of an exchange, read behind an earlier one of the same, ends what is held."""
    builder = drafts.builder()
    builder.build(created(cut(0, 7)))
    whole = builder.build(created(drafts.streamed(FRAMES)))
    assert isinstance(whole, Record)
    assert whole.exchange.state == "completed"
    assert builder.held_exchanges == frozenset()
