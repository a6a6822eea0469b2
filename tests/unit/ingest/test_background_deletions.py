"""What a request to delete a response comes to, and what it keeps from coming back."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from response_store.config import RawBodies
from response_store.ingest import background
from response_store.ingest.draft import Draft, Ending
from response_store.ingest.record_builder import RecordBuilder
from response_store.model.records import Change, Deletion, EndedBy, Record
from response_store.openai_api.endpoints import Skip
from tests.fakes import bodies
from tests.fakes.dialects import OPENAI
from tests.unit.ingest import drafts
from tests.unit.ingest.drafts import STARTED

DELETED = {"id": "r1", "object": "response", "deleted": True}
ANSWERED = drafts.whole(DELETED)
GONE = Deletion("t1", "r1")


@pytest.fixture
def builder() -> RecordBuilder:
    return drafts.builder()


def delete(builder: RecordBuilder, ending: Ending = ANSWERED, **request: Any) -> Change | Skip:
    """What asking to delete `r1` brings; 12.5 ms after `started_at` it is answered."""
    asking = replace(drafts.request(b""), method="DELETE", target_response_id="r1", **request)
    return builder.build(Draft(asking, ending))


def brought(builder: RecordBuilder, ending: Ending, **request: Any) -> Record:
    """What an exchange brings that began when it says."""
    built = builder.build(Draft(replace(drafts.request(), **request), ending))
    assert isinstance(built, Record)
    return built


@pytest.mark.parametrize(
    "ending",
    [
        ANSWERED,
        drafts.whole(b"", status=204),
        drafts.whole(b"<html>", status=202),
        drafts.whole(None),
        drafts.whole(DELETED, by=EndedBy.CLIENT),
    ],
)
def test_any_success_deletes(builder: RecordBuilder, ending: Ending) -> None:
    """What is answered with a 2xx is deleted, whatever came of the body."""
    assert delete(builder, ending) == GONE


@pytest.mark.parametrize(
    "ending",
    [
        drafts.whole(bodies.error_body("no", kind="x"), status=404),
        drafts.whole(DELETED, status=500),
        drafts.whole(b"", status=304),
        drafts.whole(b"", status=199),
        Ending(EndedBy.UPSTREAM, 1.0),
    ],
)
def test_nothing_else_does(builder: RecordBuilder, ending: Ending) -> None:
    """A refusal deletes nothing, and neither does a request that was not answered."""
    assert delete(builder, ending) is Skip.DELETION
    whole = drafts.whole(bodies.whole_response(id="r1"))
    assert brought(builder, whole).response is not None


def test_the_tenant_is_who_asked(builder: RecordBuilder) -> None:
    """A deletion is that tenant's."""
    assert delete(builder, tenant_id="t2") == Deletion("t2", "r1")


STREAM = OPENAI.frames(bodies.stream_events(id="r1"))
SOONER, LATER = STARTED - 60, STARTED + 60
ENDS = {
    "poll": (
        drafts.whole(bodies.whole_response(id="r1")),
        {"method": "GET", "target_response_id": "r1"},
    ),
    "late poll": (
        drafts.whole(bodies.whole_response(id="r1", status="queued")),
        {"method": "GET", "target_response_id": "r1"},
    ),
    "whole": (drafts.whole(bodies.whole_response(id="r1")), {}),
    "stream": (drafts.streamed(STREAM), {}),
}


@pytest.mark.parametrize("name", ENDS)
def test_what_was_asked_before_does_not_bring_it_back(builder: RecordBuilder, name: str) -> None:
    """An exchange that began before the deletion and ends behind it stores no response.

    Its row is as ever. One that began later stores the response again.
    """
    ending, request = ENDS[name]
    before = brought(builder, ending, started_at=SOONER, **request)
    delete(builder)
    after = brought(builder, ending, started_at=SOONER, **request)
    assert before.response is not None
    assert after == Record(before.exchange)
    anew = brought(builder, ending, started_at=LATER, **request)
    assert anew.response is not None


def test_only_its_own(builder: RecordBuilder) -> None:
    """Other responses, and the same id of another tenant, are stored as ever."""
    delete(builder)
    other = drafts.whole(bodies.whole_response(id="r2"))
    same = drafts.whole(bodies.whole_response(id="r1"))
    assert brought(builder, other, started_at=SOONER).response is not None
    assert brought(builder, same, started_at=SOONER, tenant_id="t2").response is not None


def test_bytes_that_come_late() -> None:
    """A stream whose last bytes come after the deletion is told once more without its response."""
    keeps_all = drafts.builder(raw=RawBodies.ALWAYS)
    first = brought(keeps_all, drafts.streamed(STREAM))
    assert delete(keeps_all) == GONE
    again = brought(keeps_all, drafts.streamed([*STREAM, b"data: [DONE]\n\n"]))
    assert (first.response is None, again.response is None) == (False, True)
    assert again.exchange.result is None
    assert len(again.exchange.raw_response or b"") > len(first.exchange.raw_response or b"")


def test_the_oldest_is_forgotten(builder: RecordBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the last deletions are remembered; one that comes again counts as new."""
    monkeypatch.setattr(background, "_MAX_TOMBSTONES", 2)
    for name in ("r1", "r2", "r1", "r3"):
        asking = replace(drafts.request(b""), method="DELETE", target_response_id=name)
        builder.build(Draft(asking, ANSWERED))
    stored = {
        name: brought(
            builder, drafts.whole(bodies.whole_response(id=name)), started_at=SOONER
        ).response
        for name in ("r1", "r2", "r3")
    }
    assert [name for name, row in stored.items() if row is not None] == ["r2"]
    assert builder.tombstones == {("t1", "r1"), ("t1", "r3")}


def test_replay(builder: RecordBuilder) -> None:
    """A builder that has replayed deletions, in their order, keeps back what the other does."""
    again = drafts.builder()
    for name in ("r1", "r2"):
        asking = replace(drafts.request(b""), method="DELETE", target_response_id=name)
        for ending in (ANSWERED, drafts.whole(b"", status=404)):
            builder.build(Draft(asking, ending))
            for _ in range(2):
                again.replay(Draft(asking, ending))
        again.replay(Draft(asking))
    assert again.tombstones == builder.tombstones == {("t1", "r1"), ("t1", "r2")}
    late = drafts.whole(bodies.whole_response(id="r2"))
    for one in (builder, again):
        assert brought(one, late, started_at=SOONER).response is None
        assert brought(one, late, started_at=LATER).response is not None


def test_an_earlier_deletion_that_is_read_again(builder: RecordBuilder) -> None:
    """Of two deletions of one response the later one counts, in whichever order they are read."""
    for started_at in (LATER, STARTED):
        delete(builder, started_at=started_at)
    whole = drafts.whole(bodies.whole_response(id="r1"))
    assert brought(builder, whole, started_at=STARTED + 30).response is None


def test_own_deletion(builder: RecordBuilder) -> None:
    """What this proxy deletes itself counts from when it was asked for."""
    assert builder.build(background.build_deletion("t1", "r1", STARTED)) == GONE
    whole = drafts.whole(bodies.whole_response(id="r1"))
    assert brought(builder, whole, started_at=SOONER).response is None
    assert brought(builder, whole, started_at=STARTED).response is not None


def test_no_duration(builder: RecordBuilder) -> None:
    """A deletion of which nobody knows when it was answered counts from when it was asked for."""
    assert delete(builder, replace(ANSWERED, duration_ms=None)) == GONE
    whole = drafts.whole(bodies.whole_response(id="r1"))
    assert brought(builder, whole, started_at=SOONER).response is None


def test_covers(builder: RecordBuilder) -> None:
    """A record that was built elsewhere is asked after by its key and its time."""
    delete(builder)
    assert builder.covers(("t1", "r1"), SOONER)
    assert not builder.covers(("t1", "r1"), LATER)
    assert not builder.covers(("t2", "r1"), SOONER)
