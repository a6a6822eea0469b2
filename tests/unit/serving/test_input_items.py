"""Pages of an input."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from response_store.serving.request import ServedResponse
from tests.harness.work import at_most
from tests.hypothesis_profiles import examples
from tests.unit.serving.responses import ITEMS, get, listed, message

UNSAID = object()


def ids(page: dict[str, Any]) -> list[str]:
    return [item["id"] for item in page["data"]]


def test_existing_ids_are_kept() -> None:
    """Items with an id keep it; the others get one that is theirs in every order and page."""
    items = [{"id": "a"}, {"role": "user"}, {"id": None}, {"id": 7}, {"id": ""}, {"id": "b"}]
    upwards = ids(listed(items, "order=asc"))
    assert upwards[0] == "a"
    assert upwards[5] == "b"
    assert len(set(upwards)) == len(items)
    assert all(name.startswith("item_") for name in upwards[1:5])
    assert ids(listed(items)) == upwards[::-1]
    assert ids(listed(items, "order=asc&limit=1&after=a")) == upwards[1:2]


def test_items_go_out_as_they_came() -> None:
    """Numbers, escapes, the order of members and unknown ones are kept to the letter."""
    item = '{ "content":"\\ud83d \\u00e9", "n": 1.50e400,"id":"a" , "type":"message"}'
    answer = get(ITEMS, ServedResponse(input=f"[{item}]"))
    assert item.encode() in answer.body


def test_an_added_id_changes_nothing_else() -> None:
    """Beside an item's new id its other members stay to the letter."""
    answer = get(ITEMS, ServedResponse(input='[{"n": 1.50e400, "id": null, "type": "x"}]'))
    (item,) = json.loads(answer.body, parse_float=str)["data"]
    assert (item["n"], item["type"]) == ("1.50e400", "x")
    assert item["id"]


SHORT = [
    ({"role": "user"}, {"type": "input_text", "text": "hi"}),
    ({"role": "assistant"}, {"type": "output_text", "annotations": [], "text": "hi"}),
    ({"role": "user", "type": "message"}, {"type": "input_text", "text": "hi"}),
]


@pytest.mark.parametrize(("members", "part"), SHORT)
def test_a_short_message_is_written_out(members: dict[str, Any], part: dict[str, Any]) -> None:
    """A message may come without its type and with a text for its parts, but is not listed so."""
    (item,) = listed([{"id": "a", "content": "hi"} | members])["data"]
    assert item == {"id": "a", "type": "message", "content": [part]} | members


def test_other_items_are_not_written_out() -> None:
    """What is no message keeps its content as it is."""
    item = {"id": "a", "type": "new", "role": "user", "content": "hi"}
    assert listed([item])["data"] == [item]


def test_a_repeated_id_is_kept_once() -> None:
    """The first item of an id keeps it, so that paging comes past the others."""
    items = [{"id": "a", "n": n} for n in range(3)]
    page = listed(items, "order=asc")
    assert ids(page)[0] == "a"
    assert len(set(ids(page))) == 3
    assert [item["n"] for item in listed(items, "order=asc&after=a")["data"]] == [1, 2]


def test_made_ids_are_of_one_response() -> None:
    """The same item of another response has another id."""
    other = ITEMS.replace("resp_x", "resp_y")
    pages = [get(path, ServedResponse(input="[{}]")).body for path in (ITEMS, other)]
    assert pages[0] != pages[1]


def test_an_id_that_looks_like_a_made_one() -> None:
    """Not even an id that was made here before is given twice."""
    made = ids(listed([{}, {}], "order=asc"))
    mixed = ids(listed([{}, {"id": made[0]}], "order=asc"))
    assert len(set(mixed)) == 2
    assert mixed[1] == made[0]


INPUTS = [
    ('"hello"', [{"type": "message", "role": "user"}]),
    ('{"id": "a"}', [{"id": "a"}]),
    ("7", [7]),
    ("null", []),
    (" [ ] ", []),
]


@pytest.mark.parametrize(("text", "expected"), INPUTS)
def test_inputs_that_other_programs_store(text: str, expected: list[Any]) -> None:
    """An input is an array, or the one item that the request gave; a text is a message."""
    data = json.loads(get(ITEMS, ServedResponse(input=text)).body)["data"]
    assert len(data) == len(expected)
    for item, members in zip(data, expected, strict=True):
        assert item == members or item.items() >= members.items()


@pytest.mark.parametrize("text", ["", "[", "[1,]", "1,2", "[] []", '"', "nul", "\ud800"])
def test_an_input_that_is_no_json(text: str) -> None:
    """A corrupt input is an error of the server's, in the usual shape."""
    answer = get(ITEMS, ServedResponse(input=text))
    assert (answer.status, message(answer)) == (500, "Internal server error.")


def test_texts_are_paged_by_number() -> None:
    """What can have no id is passed over by its number, also where that is somebody's id."""
    items = ["a", {"id": "1"}, {"id": "01"}, "b"]
    page = listed(items, "limit=1&order=asc")
    assert (page["data"], page["first_id"], page["last_id"]) == (["a"], None, "001")
    assert ids(listed(items, f"limit=1&order=asc&after={page['last_id']}")) == ["1"]


OVERFLOWS = [str(2**64 - 20), str(2**64), "1" + "0" * 6000]


@pytest.mark.parametrize("number", OVERFLOWS, ids=["just", "one more", "long"])
def test_numbers_beyond_all_lists(number: str) -> None:
    """A number that no list has is refused, however long."""
    answer = get(f"{ITEMS}?after={number}", ServedResponse(input="[]"))
    assert answer.status == 400
    assert "overflow" in message(answer)


VALUES = st.sampled_from(["a", "b", "1", "01", "item_1", "x y", "x+y", "%41", "é", "\ud83d", "\0"])
ITEM = st.one_of(
    st.builds(lambda name: {} if name is UNSAID else {"id": name}, st.just(UNSAID)),
    st.builds(lambda name: {"id": name}, st.one_of(VALUES, st.text(max_size=3))),
    st.builds(lambda name: {"id": name}, st.sampled_from([None, 1, "", [], True])),
    st.sampled_from(["text", 3, None, [], True]),
)


@settings(max_examples=examples(300))
@given(st.lists(ITEM, max_size=12), st.integers(1, 5), st.sampled_from(["asc", "desc"]))
@example([{"id": "\ud83d"}, {"id": "\ufffd"}, {"id": "\0"}], 1, "asc")
@example(["a", "b", {"id": "1"}, {"id": "2"}], 1, "desc")
def test_paging_visits_each_item_once(items: list[Any], limit: int, order: str) -> None:
    """Each item is seen once, in order, whatever the ids are.

    Clients go on with the last item's id, where it is an object, and else with `last_id`.
    """
    marked = [
        item | {"at": at} if isinstance(item, dict) else item for at, item in enumerate(items)
    ]
    seen: list[Any] = []
    query: dict[str, Any] = {"limit": limit, "order": order}
    for _ in range(len(items) + 1):
        page = listed(marked, urlencode(query))
        seen += page["data"]
        assert len(page["data"]) == min(limit, len(items) - len(seen) + len(page["data"]))
        if not page["has_more"]:
            break
        last = page["data"][-1]
        query["after"] = last["id"] if isinstance(last, dict) else page["last_id"]
        assert page["last_id"] == query["after"]
    expected = marked if order == "asc" else marked[::-1]
    assert [comparable(item) for item in seen] == [comparable(item) for item in expected]
    assert not page["has_more"], "paging comes to its end"


def comparable(item: Any) -> Any:
    """An item but for its id."""
    return ("object", item["at"]) if isinstance(item, dict) else item


def test_a_long_input_is_paged_quickly() -> None:
    """A page of 10,000 items takes a moment."""
    item = {"type": "message", "role": "user", "content": "x" * 200}
    text = json.dumps([item] * 10_000)
    with at_most(2.0):
        answer = get(f"{ITEMS}?after=9000&limit=100", ServedResponse(input=text))
        assert len(json.loads(answer.body)["data"]) == 100
