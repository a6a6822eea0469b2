"""What a store has to say about a request."""

from __future__ import annotations

import json

import msgspec
import pytest

from response_store.serving.answers import build_answer, needs_upstream, serve
from response_store.serving.request import (
    BadRequest,
    DeleteResponse,
    GetInputItems,
    GetResponse,
    ServedResponse,
    parse_request,
)
from tests.harness.records import record, response
from tests.unit.serving import responses
from tests.unit.serving.responses import AT, ITEMS, ask, found, get, message
from tests.unit.serving.shelf import ShelfAway, SqliteShelf, serve_from

WAYS = [("GET", AT), ("GET", f"{AT}?stream=true"), ("GET", ITEMS), ("DELETE", AT)]
SHAPE = {"message", "type", "param", "code"}


@pytest.mark.parametrize(("method", "path"), WAYS)
def test_another_tenants_response_is_not_there(method: str, path: str, shelf: SqliteShelf) -> None:
    """On no way can it be told from a response that was never there, and it stays."""
    row = response("resp_x", tenant_id="theirs", asked=[{"id": "a"}])
    shelf.write(record("e1", row))
    wanted = parse_request(method, path)
    assert wanted is not None
    theirs, nobodys = serve_from(shelf, "mine", wanted), serve_from(shelf, "nobody", wanted)
    assert theirs == nobodys
    assert (theirs.status, message(theirs)) == (404, "No response found with id 'resp_x'.")
    assert serve_from(shelf, "theirs", wanted).status == 200


@pytest.mark.parametrize(("method", "path"), WAYS)
def test_a_store_that_is_away(method: str, path: str) -> None:
    """A store out of reach is said to be, with a time to come again."""
    wanted = parse_request(method, path)
    assert wanted is not None
    answer = serve(ShelfAway(), "default", wanted)
    assert answer is not None
    assert answer.status == 503
    assert dict(answer.headers)["retry-after"] == "1"
    assert json.loads(answer.body)["error"]["type"] == "server_error"


CORRUPT = ["", "{", "[]", "null", '{"id": "x"} {}', '{"output": [}', "\ud800"]


@pytest.mark.parametrize("text", CORRUPT)
@pytest.mark.parametrize("path", [AT, f"{AT}?stream=true"])
def test_a_row_that_is_no_response(text: str, path: str) -> None:
    """A corrupt row is an error of the server's, and nothing of it is shown."""
    answer = get(path, ServedResponse(response_object=text))
    assert (answer.status, message(answer)) == (500, "Internal server error.")
    assert needs_upstream(ask(path), ServedResponse(response_object=text))


def test_a_response_comes_to_the_letter() -> None:
    """Blanks, numbers, escapes and the order of members are those that came."""
    text = '{ "id" : "\\u0072",\n "n":1.50e400,"x":"\\ud83d", "output":{}, "é":"é" }'
    assert get(AT, ServedResponse(response_object=text)).body == text.encode()


def test_every_error_has_one_shape() -> None:
    """All errors are JSON of the same four members, with `param` null."""
    for answer in (
        get(AT, None),
        get(AT, ServedResponse(response_object="{")),
        get(f"{ITEMS}?after=x", ServedResponse(input="[]")),
        serve(ShelfAway(), "default", GetResponse("r")),
        serve(ShelfAway(), "default", BadRequest("r", "why")),
    ):
        assert answer is not None
        error = json.loads(answer.body)
        assert set(error) == {"error"}
        assert set(error["error"]) == SHAPE
        assert error["error"]["param"] is None
        assert dict(answer.headers)["content-type"] == "application/json"


def test_an_id_that_needs_escapes() -> None:
    """Whatever an id holds, the answer is JSON."""
    name = 'a"\\\n\u2028'
    assert message(build_answer(GetResponse(name), None)) == f"No response found with id '{name}'."


def test_a_refused_request_looks_nothing_up() -> None:
    """The query is judged before the store is asked."""
    answer = serve(ShelfAway(), "default", BadRequest("r", "why"))
    assert answer is not None
    assert answer.status == 400


def test_what_is_to_be_deleted(shelf: SqliteShelf) -> None:
    """What is there is for the proxy to delete, once; what is not is answered at once."""
    shelf.write(record("e1", response("resp_x", tenant_id="mine")))
    assert serve(shelf, "mine", DeleteResponse("resp_x")) is None
    assert serve(shelf, "mine", DeleteResponse("resp_x")) is None
    answer = serve(shelf, "other", DeleteResponse("resp_x"))
    assert answer is not None
    assert answer.status == 404


RUNNING = responses.response(status="in_progress")
ENDED = responses.response({"type": "reasoning", "id": "rs_1"})
INPUT = ServedResponse(input='[{"type": "message"}]')
PREFERENCES = [
    (AT, None, True),
    (ITEMS, None, True),
    (AT, found(ENDED), False),
    (f"{AT}?stream=true", found(ENDED), False),
    (AT, found(RUNNING), True),
    (AT, found(RUNNING | {"status": "queued"}), True),
    (f"{AT}?include=reasoning.encrypted_content", found(ENDED), True),
    (f"{AT}?include=file_search_call.results", found(ENDED), False),
    (ITEMS, INPUT, False),
    (ITEMS, ServedResponse(input="[]"), True),
    (ITEMS, ServedResponse(input="{"), True),
    (f"{ITEMS}?include=message.input_image.image_url", INPUT, False),
]


@pytest.mark.parametrize(("path", "stored", "upstream"), PREFERENCES)
def test_who_knows_better(path: str, stored: ServedResponse | None, upstream: bool) -> None:
    """The upstream is worth asking about what is unknown, unfinished or more than was stored."""
    assert needs_upstream(ask(path), stored) is upstream


def test_what_runs_is_answered_where_nobody_else_can() -> None:
    """A response that still runs is shown as it is known."""
    assert json.loads(get(AT, found(RUNNING)).body) == RUNNING


def test_requests_say_what_they_need() -> None:
    """An object, an input and a recording are large: each is read only where it is shown."""
    wanted = [ask(path).fields.value for path in (AT, f"{AT}?stream=true", ITEMS)]
    assert wanted == ["object", "stream", "input"]
    assert isinstance(parse_request("DELETE", AT), DeleteResponse)
    assert isinstance(ask(ITEMS), GetInputItems)


def test_nothing_of_a_value_changes() -> None:
    """What is found is not touched."""
    stored = found(ENDED)
    before = msgspec.structs.asdict(stored)
    get(f"{AT}?stream=true", stored)
    assert msgspec.structs.asdict(stored) == before
