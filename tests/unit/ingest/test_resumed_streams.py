"""The tail of a stream and what came before it make the stream, wherever it was cut."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from response_store.capture.draft import Draft
from response_store.ingest.resumed_streams import Heads, joined
from response_store.openai_api.response_events import fold
from response_store.openai_api.sse import all_events
from response_store.store.records import EndedBy, Record
from tests.fakes import bodies
from tests.fakes.dialects import DIALECTS, OPENAI
from tests.sampling import examples
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
    whole = joined(frames(0, cut, dialect), frames(first, end, dialect))
    expected = end if end > first else 0
    assert fold(all_events(whole)) == fold(all_events(frames(0, expected, dialect)))


def test_cut_in_an_event() -> None:
    """Half an event at the end of the head is no event."""
    head = frames(0, 7)[:-60]
    assert list(all_events(joined(head, frames(6, 9)))) == list(all_events(frames(0, 9)))


@pytest.mark.parametrize("tail", [frames(8, 10), b"data: {}\n\n", b": ping\n\n", b"", b"\xff{"])
def test_no_join(tail: bytes) -> None:
    """Behind a gap, or without numbers, the tail stands alone."""
    assert joined(frames(0, 7), tail) == tail


def test_bounds() -> None:
    """The oldest go when there are too many or too large ones."""
    heads = Heads(most_streams=2, most_bytes=10)
    for name, size in (("a", 4), ("b", 4), ("a", 5), ("c", 5)):
        heads.keep(("t", name), b"x" * size)
        assert heads.bytes <= 10
    assert heads.bytes == 10
    heads.keep(("t", "d"), b"x" * 11)
    assert heads.bytes == 0


def test_tenants_are_apart() -> None:
    """A tail is joined to its own tenant's head alone."""
    builder = drafts.builder()
    asked = {"model": "m", "input": "Hi", "background": True}
    frames_of = OPENAI.frames(EVENTS)
    head = drafts.streamed(frames_of[:7], by=EndedBy.UPSTREAM)
    builder.build(Draft(drafts.request(asked), head))
    tail = drafts.streamed(frames_of[7:8], by=EndedBy.UPSTREAM)
    texts = []
    for tenant in ("t2", "t1"):
        request = dataclasses.replace(
            drafts.request(b""), method="GET", follows="r1", tenant_id=tenant
        )
        made = builder.build(Draft(request, tail))
        assert isinstance(made, Record)
        texts.append(made.exchange.output_text)
    pieces = bodies.deltas(bodies.TEXT)
    assert texts == [pieces[3], "".join(pieces[:4])]
