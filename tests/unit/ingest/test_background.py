"""What a request that asks after a response makes: one row, and the response as it is now."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from response_store.ingest.draft import Draft, Ending
from response_store.ingest.record_builder import RecordBuilder
from response_store.model.records import EndedBy, Record
from response_store.openai_api.endpoints import Skip
from tests.fakes import bodies
from tests.fakes.dialects import OPENAI
from tests.unit.ingest import drafts

ASKED = {"model": "gpt-5", "input": "Hi", "background": True}


def follow(
    ending: Ending, response_id: str = "r1", by: RecordBuilder | None = None, **request: Any
) -> Record | Skip:
    """What somebody who asks after a response brings."""
    asking = replace(
        drafts.request(b""),
        method="GET",
        target_response_id=response_id,
        **({"exchange_id": "e2"} | request),
    )
    return (by or drafts.builder()).build(Draft(asking, ending))


def record(ending: Ending, **request: Any) -> Record:
    made = follow(ending, **request)
    assert isinstance(made, Record), made
    return made


def polled(status: str = "completed", **fields: Any) -> Ending:
    return drafts.whole(bodies.whole_response(ASKED, id="r1", status=status, **fields))


def test_snapshots_share_a_row() -> None:
    """However often a response is polled, its snapshots are one row; tenants are apart."""
    ids = [record(polled(s), exchange_id=s).exchange.exchange_id for s in ("queued", "completed")]
    assert len(set(ids)) == 1
    assert ids[0] not in ("queued", "completed")
    other = record(drafts.whole(bodies.whole_response(id="r2")))
    assert record(polled(), tenant_id="t2").exchange.exchange_id not in ids
    assert other.exchange.exchange_id not in ids


def test_snapshot() -> None:
    """A snapshot does not repeat the input, so it does not claim to know it."""
    made = record(polled())
    assert made.response is not None
    assert (made.response.input, made.response.has_input, made.response.final) == (
        "[]",
        False,
        True,
    )
    assert made.exchange.request_body is None
    assert record(polled("in_progress")).response.final is False  # type: ignore[union-attr]


@pytest.mark.parametrize(("background", "tokens"), [(True, 48), (False, None), (None, None)])
def test_tokens(background: bool | None, tokens: int | None) -> None:
    """Tokens are told where the answer to the creating request could not tell them yet."""
    made = record(polled(background=background))
    assert made.exchange.total_tokens == tokens


def test_the_objects_own_id_counts() -> None:
    """Where path and object differ, the object has the name that it was stored under."""
    made = record(polled(), response_id="alias")
    assert made.exchange.response_id == made.response.id == "r1"  # type: ignore[union-attr]


NOTHING = {
    "refused": drafts.whole(bodies.error_body("no", kind="x"), status=404),
    "refused with an object": drafts.whole(bodies.whole_response(), status=500),
    "another object": drafts.whole({"id": 5, "answers": []}),
    "an error": drafts.whole(bodies.error_body("no", kind="x")),
    "a page": drafts.whole(b"<html>"),
    "no answer": Ending(EndedBy.UPSTREAM, 1.0),
    "a body that was not kept": drafts.whole(None),
    "another stream": drafts.streamed([b'data: {"hello":1}\n\n', b"data: bye\n\n"]),
    "an empty stream": drafts.streamed([], by=EndedBy.UPSTREAM),
}


@pytest.mark.parametrize("name", NOTHING)
def test_nothing(name: str) -> None:
    """Where no response comes, nothing is stored, whatever the path looked like."""
    assert follow(NOTHING[name]) is Skip.NO_RESPONSE


def test_stream_has_its_own_row() -> None:
    """A stream that is resumed is an exchange like any other."""
    events = OPENAI.frames(bodies.stream_events(ASKED, id="r1", background=True))
    made = record(drafts.streamed(events[4:]))
    assert made.exchange.exchange_id == "e2"
    assert (made.exchange.state, made.exchange.total_tokens) == ("completed", 48)


def test_cut_background_stream_keeps_its_input() -> None:
    """A background response whose stream broke off runs on: its input is stored by then."""
    events = OPENAI.frames(bodies.stream_events(ASKED, id="r1", background=True))
    cut = drafts.streamed(events[:7], by=EndedBy.UPSTREAM)
    made = drafts.build(cut, ASKED)
    assert made.response is not None
    assert (made.response.has_input, made.response.final) == (True, False)
    assert made.exchange.result == made.response.response_object
    other = OPENAI.frames(bodies.stream_events({**ASKED, "background": False}))
    assert drafts.build(drafts.streamed(other[:7], by=EndedBy.UPSTREAM), ASKED).response is None
