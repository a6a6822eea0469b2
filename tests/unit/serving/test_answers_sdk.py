"""The official SDK reads what is served, over a real connection, out of a real store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import openai
import pytest

from tests.fakes import bodies
from tests.fakes.frames import endless
from tests.harness.clients import sdk
from tests.harness.records import record, response
from tests.unit.serving.outputs import OUTPUTS
from tests.unit.serving.responses import ID, recorded
from tests.unit.serving.responses import response as whole_response
from tests.unit.serving.shelf import SqliteShelf, serving

TENANT = "t1"
EVERYTHING = whole_response(*OUTPUTS.values())
ENDS = [
    EVERYTHING,
    whole_response(OUTPUTS["refusal"], status="incomplete"),
    whole_response(status="failed", error={"code": "server_error", "message": "no"}),
    whole_response(status="cancelled"),
]


@pytest.fixture
def client(shelf: SqliteShelf) -> Iterator[openai.OpenAI]:
    """The SDK, connected to the store's server."""
    with serving(shelf) as url, sdk(url, TENANT) as client:
        yield client


def keep(
    shelf: SqliteShelf, whole: dict[str, Any], asked: Any = None, packed: bytes | None = None
) -> None:
    """Store a response, and the exchange that brought it."""
    row = response(ID, tenant_id=TENANT, asked=asked or [{"role": "user", "content": "hi"}])
    row = msgspec.structs.replace(row, response_object=json.dumps(whole, indent=2))
    how = {"transport": "sse", "ended_by": "terminal_event", "raw_response": packed}
    shelf.write(record("e1", row, **how))


@pytest.mark.parametrize("whole", ENDS, ids=lambda whole: whole["status"])
def test_retrieve(shelf: SqliteShelf, client: openai.OpenAI, whole: dict[str, Any]) -> None:
    """The object comes as it was."""
    keep(shelf, whole)
    assert client.responses.retrieve(ID).to_dict() == whole


@pytest.mark.parametrize("whole", ENDS, ids=lambda whole: whole["status"])
def test_retrieve_as_a_stream(
    shelf: SqliteShelf, client: openai.OpenAI, whole: dict[str, Any]
) -> None:
    """Every event is one that the SDK knows, and the last one holds the object."""
    keep(shelf, whole)
    with client.responses.retrieve(ID, stream=True) as stream:
        events = list(stream)
    assert [event.sequence_number for event in events] == list(range(len(events)))
    for event in events:
        assert type(event).__name__.endswith("Event")
        declared = type(event).model_fields["type"].annotation
        assert event.type in declared.__args__, f"{event.type} was read as another event"
        missing = [n for n, f in type(event).model_fields.items() if f.is_required()]
        assert set(missing) <= event.model_fields_set, event.type
    assert events[-1].response.to_dict() == whole


def test_what_the_sdk_puts_together(shelf: SqliteShelf, client: openai.OpenAI) -> None:
    """The SDK's own accumulation follows the stream to the end, and comes to the same object."""
    keep(shelf, EVERYTHING)
    texts = ""
    with client.responses.stream(response_id=ID) as stream:
        for event in stream:
            if event.type == "response.output_text.delta":
                texts += event.delta
                assert event.snapshot.endswith(event.delta)
        final = stream.get_final_response()
    assert texts == final.output_text == client.responses.retrieve(ID).output_text
    assert [item.id for item in final.output] == [item["id"] for item in EVERYTHING["output"]]
    assert final.usage == client.responses.retrieve(ID).usage


def test_a_recorded_stream(shelf: SqliteShelf, client: openai.OpenAI) -> None:
    """What was recorded is what the SDK gets, from wherever it goes on."""
    events = bodies.stream_events(response_id=ID, obfuscated=True)
    keep(shelf, events[-1]["response"], packed=recorded(events))
    with client.responses.retrieve(ID, stream=True) as stream:
        assert [event.to_dict() for event in stream] == events
    rest = client.responses.retrieve(ID, stream=True, starting_after=5, include_obfuscation=False)
    with rest as stream:
        got = [event.to_dict() for event in stream]
    plain = [{k: v for k, v in event.items() if k != "obfuscation"} for event in events[6:]]
    assert got == plain


def test_a_recording_of_gigabytes(shelf: SqliteShelf, client: openai.OpenAI) -> None:
    """A frame that others have written is passed over: the stream is made of the object."""
    keep(shelf, EVERYTHING, packed=endless(1 << 32))
    with client.responses.retrieve(ID, stream=True) as stream:
        assert list(stream)[-1].response.to_dict() == EVERYTHING


def test_going_on(shelf: SqliteShelf, client: openai.OpenAI) -> None:
    """A stream that broke off goes on where it was."""
    keep(shelf, EVERYTHING)
    with client.responses.retrieve(ID, stream=True) as stream:
        events = list(stream)
    with client.responses.retrieve(ID, stream=True, starting_after=9) as stream:
        assert list(stream) == events[10:]


REPEATED = [{"type": "message", "role": "user", "content": f"{n}", "id": "same"} for n in range(9)]
NAMELESS = [{"role": "user", "content": f"{n}"} for n in range(45)]


@pytest.mark.parametrize("asked", [REPEATED, NAMELESS], ids=["repeated ids", "no ids"])
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_paging(shelf: SqliteShelf, client: openai.OpenAI, asked: Any, order: Any) -> None:
    """The SDK's own paging sees each item once, in order."""
    keep(shelf, EVERYTHING, asked)
    items = client.responses.input_items.list(ID, order=order, limit=4)
    seen = [item.content[0].text for item in items]
    expected = [item["content"] for item in asked]
    assert seen == (expected if order == "asc" else expected[::-1])


def test_include(shelf: SqliteShelf, client: openai.OpenAI) -> None:
    """The SDK's way of writing a list is understood."""
    keep(shelf, EVERYTHING)
    met = client.responses.retrieve(
        ID, include=["reasoning.encrypted_content", "file_search_call.results"]
    )
    assert met.id == ID
    with pytest.raises(openai.BadRequestError):
        client.responses.retrieve(ID, include=["web_search_call.action.sources"])


def test_delete(shelf: SqliteShelf, client: openai.OpenAI) -> None:
    """A response that is deleted is gone, on every way."""
    keep(shelf, EVERYTHING)
    client.responses.delete(ID)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(ID)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(ID, stream=True)
    with pytest.raises(openai.NotFoundError):
        list(client.responses.input_items.list(ID))
    with pytest.raises(openai.NotFoundError):
        client.responses.delete(ID)
