"""What requests ask for."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from response_store.openai_api.endpoints import Skip, classify, find_target_id
from response_store.serving.answers import build_answer
from response_store.serving.request import (
    BadRequest,
    DeleteResponse,
    GetInputItems,
    GetResponse,
    Order,
    parse_request,
)
from tests.harness.each import each
from tests.hypothesis_profiles import examples
from tests.unit.serving.responses import AT, ITEMS

PREFIXES = ["/v1", "", "/openai", "/openai/v1", "/backend-api/codex", "/api/v1", "/x/responses/y"]
VERSION = "?api-version=2025-04-01-preview"


@pytest.mark.parametrize("query", ["", VERSION])
@each("prefix", PREFIXES)
def test_every_shape_of_path(prefix: str, query: str) -> None:
    """What stands before the end of a path doesn't matter, and Azure's parameter neither."""
    at = f"{prefix}/responses/r{query}"
    assert parse_request("GET", at) == GetResponse("r")
    assert parse_request(
        "GET", at.replace("/r?", "/r/input_items?") if query else f"{at}/input_items"
    ) == (GetInputItems("r"))
    assert parse_request("DELETE", at) == DeleteResponse("r")
    assert find_target_id(at) == "r", "capture knows the path as well"


OTHERS = [
    ("POST", "/v1/responses"),
    ("POST", "/v1/responses/r"),
    ("HEAD", "/v1/responses/r"),
    ("get", "/v1/responses/r"),
    ("POST", "/v1/responses/r/cancel"),
    ("GET", "/v1/responses/r/cancel"),
    ("GET", "/v1/responses/r/bless"),
    ("GET", "/v1/responses//r"),
    ("GET", "/v1//responses/r"),
    ("GET", "/v1/responses/r/input_items//"),
    ("GET", "/v1/my_responses/r"),
    ("GET", "/v1/chat/completions/r"),
    ("GET", "/?x=/v1/responses/r"),
    ("GET", "/v1/responses/compact"),
    ("GET", "/v1/responses/%63ompact"),
    ("DELETE", "/v1/responses/compact"),
    ("GET", "/v1/responses/compact/input_items"),
    ("GET", "/v1/responses/input_tokens"),
    ("GET", "/v1/responses/input_tokens/"),
    ("", ""),
]


@each(("method", "path"), OTHERS)
def test_other_requests_are_not_ours(method: str, path: str) -> None:
    """Creating, cancelling, other paths and what is no id go on to the upstream."""
    assert parse_request(method, path) is None


@pytest.mark.parametrize("name", ["compact", "input_tokens"])
def test_what_capture_knows_as_no_id_is_none(name: str) -> None:
    """Both sides agree on what is no response."""
    assert classify("GET", f"/v1/responses/{name}", "", "") in (Skip.COMPACTION, Skip.INPUT_TOKENS)


IDS = [("a%2Fb", "a/b"), ("%00", "\ufffd"), ("%ff", "\ufffd"), ("\udcff", "\ufffd"), ("+", "+")]


@pytest.mark.parametrize(("written", "response_id"), IDS)
def test_an_id_is_decoded_as_a_store_would_have_it(written: str, response_id: str) -> None:
    """An id is percent-decoded; what no database takes is replaced, as it is at storing."""
    assert parse_request("GET", f"/v1/responses/{written}") == GetResponse(response_id)


QUERIES = [
    ("stream=true&starting_after=7", GetResponse("resp_x", stream=True, starting_after=7)),
    ("stream=false&stream=true", GetResponse("resp_x", stream=True)),
    (
        "stream=true&include_obfuscation=false",
        GetResponse("resp_x", stream=True, obfuscation=False),
    ),
    (
        "include=file_search_call.results",
        GetResponse("resp_x", include=("file_search_call.results",)),
    ),
    (
        "include%5B%5D=web_search_call.results&include[1]=file_search_call.results",
        GetResponse("resp_x", include=("web_search_call.results", "file_search_call.results")),
    ),
    ("stre%61m=tru%65", GetResponse("resp_x", stream=True)),
]


@pytest.mark.parametrize(("query", "wanted"), QUERIES)
def test_queries(query: str, wanted: GetResponse) -> None:
    """Parameters are decoded, lists come in three spellings, the last one of a name counts."""
    assert parse_request("GET", f"{AT}?{query}") == wanted


def test_a_page_is_asked_for() -> None:
    """A page has a place, a length and an order."""
    wanted = GetInputItems("resp_x", "an item", 7, Order.ASCENDING)
    assert parse_request("GET", f"{ITEMS}?after=an+item&limit=07&order=desc&order=asc") == wanted


REFUSED = [
    (f"{AT}?starting_after=3", "'stream' must be 'true'"),
    (f"{AT}?stream=true&starting_after=", "'' is not a valid integer"),
    (f"{AT}?stream=true&starting_after=-1", "'-1' is not a valid integer"),
    (f"{AT}?stream=true&starting_after=%D9%A3", "'%D9%A3' is not a valid integer"),
    (f"{AT}?stream=true&starting_after=1_0", "'1_0' is not a valid integer"),
    (f"{AT}?stream=true&starting_after={'9' * 5000}", "is not a valid integer"),
    (f"{AT}?stream=maybe&stream=true", "got 'maybe'"),
    (f"{AT}?include_obfuscation=1", "'include_obfuscation': must be 'true' or 'false', got '1'"),
    (f"{AT}?include=everything", "'include' parameter is not supported"),
    (f"{AT}?include[]", "Missing value for query parameter 'include'"),
    (f"{AT}?limit=3", "Unknown query parameter: 'limit'"),
    (f"{ITEMS}?before=x", "Unknown query parameter: 'before'"),
    (f"{ITEMS}?stream=true", "Unknown query parameter: 'stream'"),
    (f"{ITEMS}?limit=+5", "'+5' is not a valid integer"),
    (f"{ITEMS}?limit", "Missing value for query parameter 'limit'"),
]


@each(("path", "words"), REFUSED)
def test_refused_queries_say_why(path: str, words: str) -> None:
    """A query that breaks a rule is refused, with the rule."""
    refused = parse_request("GET", path)
    assert isinstance(refused, BadRequest), refused
    assert words in refused.reason


def test_a_deletion_has_no_parameters() -> None:
    """Whatever stands in its query, the response goes."""
    assert parse_request("DELETE", f"{AT}?stream=maybe") == DeleteResponse("resp_x")


@settings(max_examples=examples(400))
@given(
    st.sampled_from(["GET", "DELETE", "POST", "\ud800", ""]),
    st.binary(max_size=40),
    st.binary(max_size=60),
    st.booleans(),
)
@example("GET", b"/responses/%", b"%&=&%=%&\xff=\xff", False)
def test_no_bytes_raise(method: str, path: bytes, query: bytes, of_items: bool) -> None:
    """Whatever a request line holds, it is ours or not, and its answer is one."""
    line = b"/v1/responses/" + path + (b"/input_items" if of_items else b"") + b"?" + query
    wanted = parse_request(method, line.decode("utf-8", "surrogateescape"))
    if isinstance(wanted, (GetResponse, GetInputItems)):
        assert build_answer(wanted, None).status == 404
    assert parse_request(method, line.decode("latin-1")) is None or method in ("GET", "DELETE")


NAMES = st.sampled_from(["stream", "starting_after", "include", "limit", "after", "order", "x"])


@settings(max_examples=examples(300))
@given(st.lists(st.tuples(NAMES, st.text(max_size=8)), max_size=4), st.booleans())
def test_no_parameter_raises(given_: list[tuple[str, str]], of_items: bool) -> None:
    """Any text as a value is taken or refused."""
    query = "&".join(f"{name}={value}" for name, value in given_)
    wanted = parse_request("GET", f"{ITEMS if of_items else AT}?{query}")
    assert wanted is None or wanted.id == "resp_x"
