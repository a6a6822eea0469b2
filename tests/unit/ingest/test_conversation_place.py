"""Where an exchange stands in its conversation is read of its texts, and of each input once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from response_store.diagnostics import Counters
from response_store.ingest import conversation_place
from response_store.ingest.background import build_deletion
from response_store.ingest.conversation_place import (
    NO_PLACE,
    ConversationTexts,
    PlaceFinder,
    select_texts,
)
from response_store.ingest.draft import Draft, ReadRequest
from response_store.ingest.result_state import ClassifiedResponse
from response_store.model.records import Api, Record, State
from response_store.openai_api.outcome import ParsedResponse
from response_store.redaction.patterns import Patterns
from response_store.redaction.redactor import Redactor
from tests.fakes import bodies
from tests.unit.ingest.drafts import STARTED, builder, request, whole

INPUT = b'[{"role": "user", "content": "Hi"}]'
ANSWER = (b'{"type": "message", "role": "assistant", "content": "Yes"}',)
REQUEST = ReadRequest(None, input=INPUT)


def select(state: State = State.COMPLETED, **how: Any) -> ConversationTexts | None:
    classified = ClassifiedResponse(ParsedResponse(items=ANSWER), state)
    body = {"api": Api.RESPONSES} | how
    named = {name: body.pop(name) for name in tuple(body) if name.endswith("_id")}
    facts = request(**body)
    return select_texts(facts, ReadRequest(None, input=INPUT, **named), classified)


@pytest.mark.parametrize(
    ("how", "digests", "pieces"),
    [
        ({}, True, None),
        ({"state": State.INTERRUPTED}, False, None),
        ({"previous_response_id": "r"}, False, 2),
        ({"conversation_id": "c"}, False, None),
        ({"api": Api.RESPONSES_COMPACT, "previous_response_id": "r"}, True, None),
    ],
)
def test_what_may_be_continued(how: Any, digests: bool, pieces: int | None) -> None:
    """Whole answers, by themselves or behind what the request names."""
    place = PlaceFinder().find("e1", select(**how))
    assert place.question == "Hi"
    assert (place.digest is not None) == digests
    assert (None if place.pieces is None else len(place.pieces)) == pieces


def test_what_has_no_place() -> None:
    """Other APIs have none, and nothing is remembered of them."""
    assert select(api=Api.EMBEDDINGS) is None
    finder = PlaceFinder()
    assert finder.find("e1", None) == finder.find_open("e1", None) == NO_PLACE


def test_an_input_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of an open exchange is not read again at its end, of so many as are remembered."""
    finder, texts = PlaceFinder(), ConversationTexts(INPUT, ANSWER)
    fresh = finder.find("other", texts)
    for number in range(conversation_place._MAX_OPEN + 1):
        finder.find_open(f"e{number}", ConversationTexts(INPUT))
    assert finder.find("e0", texts) == fresh
    monkeypatch.setattr(conversation_place, "read_input", None)
    assert finder.find("e1", texts) == fresh
    with pytest.raises(TypeError):
        finder.find("e1", texts)


def test_what_is_deleted_has_no_digest() -> None:
    """Where secrets are taken out: nobody looks for them in an answer that is in no column."""
    redactor = Redactor(Patterns(["github"], {}), bytes, Counters())
    for redact in (None, redactor):
        build = builder(redact=redact)
        ending = whole(json.dumps(bodies.whole_response(id="r1")).encode())
        build.build(build_deletion("t1", "r1", STARTED + 1))
        record = build.build(Draft(request(), ending))
        assert isinstance(record, Record)
        assert (record.exchange.context_digest is None) == (redact is not None)
