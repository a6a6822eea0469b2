"""What has changed between two exchanges."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from response_store.format.difference import (
    MAX_ALIGNED,
    Difference,
    ItemChange,
    SettingChange,
    compare,
)
from response_store.format.exchange import Exchanged
from response_store.openai_api.items import (
    find_instructions,
    read_request_items,
    read_response_items,
)
from tests.fakes.item_kinds import IMAGE_URL, message


def exchanged(request: dict[str, Any], output: Any = (), **answer: Any) -> Exchanged:
    """What was asked and answered."""
    answered = read_response_items({"output": [*output]})
    return Exchanged(
        find_instructions(request), read_request_items(request), answered, False, request, answer
    )


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def differ(before: dict[str, Any], after: dict[str, Any], output: Any = ()) -> Difference:
    return compare(exchanged(before, output), exchanged(after))


def test_a_turn_that_goes_on() -> None:
    """What is repeated, the answer with it, is the same; what is new is added."""
    before = {"input": [user("Hi")], "instructions": "Be brief."}
    sent_back = {"role": "assistant", "content": "Hello."}
    after = before | {"input": [user("Hi"), sent_back, user("More")]}
    got = differ(before, after, [message("Hello.")])
    assert got.items == (ItemChange(" ", 2), ItemChange("+", 1, 3, "user", "More"))
    assert (got.same_items, got.from_answer, got.first) == (2, 1, "")
    assert not got.settings
    assert not got.tools
    assert not got.instructions


def test_an_answer_that_is_sent_back_in_part() -> None:
    """Thoughts that a client leaves out are no change of the request."""
    thinking = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]}
    before = {"input": [user("Hi")]}
    after = {"input": [user("Hi"), message("Hello."), user("More")]}
    got = differ(before, after, [thinking, message("Hello.")])
    assert got.items == (ItemChange(" ", 2), ItemChange("+", 1, 3, "user", "More"))
    assert (got.from_answer, got.first) == (1, "")


def test_items_in_the_middle() -> None:
    """What was changed or left out stands in its place; the first of it is where a cache ends."""
    before = {"input": [user("a"), user("It is 12:01 now."), user("c"), user("d")]}
    after = {"input": [user("a"), user("It is 12:05 now."), user("c")]}
    got = differ(before, after)
    assert got.items == (
        ItemChange(" ", 1),
        ItemChange("-", 1, 2, "user", "It is 12:01 now."),
        ItemChange("+", 1, 2, "user", "It is 12:05 now."),
        ItemChange(" ", 1),
        ItemChange("-", 1, 4, "user", "d"),
    )
    assert got.first == "item 2 (user), character 11: 'It is 12:01 now.' → 'It is 12:05 now.'"


@pytest.mark.parametrize(
    ("before", "after", "first"),
    [
        ({"model": "a"}, {"model": "b"}, "model: a → b"),
        ({"tools": [{"type": "x"}]}, {"tools": []}, "tools: x was removed"),
        ({}, {"tools": [{"type": "x"}]}, "tools: x was added"),
        (
            {"tools": [{"name": "x", "description": "1"}]},
            {"tools": [{"name": "x", "description": "2"}]},
            "tools: x was changed",
        ),
        (
            {"tools": [{"name": "x"}, {"name": "y"}]},
            {"tools": [{"name": "y"}, {"name": "x"}]},
            "tools: their order",
        ),
        (
            {"instructions": "Be"},
            {"instructions": "Bee"},
            "instructions, character 3: 'Be' → 'Bee'",
        ),
        ({"input": [user("a")]}, {"input": []}, "item 1 (user) was left out"),
        (
            {"input": [user("a")]},
            {"input": [{"role": "developer", "content": "a"}]},
            "item 1 (developer) was user",
        ),
        ({"service_tier": "flex"}, {}, "service_tier: flex → -"),
        ({"temperature": 1}, {"temperature": 0}, ""),
        ({"model": "a", "instructions": "x"}, {"model": "b", "instructions": "y"}, "model: a → b"),
    ],
)
def test_where_they_differ_first(before: Any, after: Any, first: str) -> None:
    """Model, tools, instructions, items: in this order they make what a cache goes by."""
    assert differ(before, after).first == first


def test_a_picture_is_another_one() -> None:
    """Pictures of one size are not the same for that."""
    other = IMAGE_URL[:-40] + "A" + IMAGE_URL[-39:]
    sides = [
        {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": url}]}]}
        for url in (IMAGE_URL, other)
    ]
    got = differ(sides[0], sides[1])
    assert [change.sign for change in got.items] == ["-", "+"]
    assert got.first == "item 1 (user): what is not text in it"


def test_what_a_named_response_carries() -> None:
    """A request that names an earlier response has left nothing out."""
    got = differ({"input": [user("a")]}, {"input": [user("b")], "previous_response_id": "resp_1"})
    assert (got.is_carried, got.first) == (True, "")


def test_settings_and_instructions() -> None:
    """Settings that were set, changed or dropped; instructions as a diff."""
    before = {"model": "m", "instructions": "a\nb\nc", "reasoning": {"effort": "low"}, "n": 1}
    after = {"model": "m", "instructions": "a\nB\nc", "reasoning": {"effort": "high"}, "top_p": 1}
    got = differ(before, after)
    assert got.settings == (
        SettingChange("reasoning.effort", "low", "high"),
        SettingChange("n", "1", ""),
        SettingChange("top_p", "", "1"),
    )
    assert got.instructions == ("@@ -1,3 +1,3 @@", " a", "-b", "+B", " c")


def test_what_the_api_says_of_its_cache() -> None:
    """Diagnostics of the answer stand there as they came."""
    answer = {"prompt_cache_diagnostics": {"cache_miss": {"reason": "tools_changed"}}}
    got = compare(exchanged({}), exchanged({}, **answer))
    assert got.diagnostics == (("prompt_cache_diagnostics.cache_miss.reason", "tools_changed"),)
    assert compare(exchanged({}), exchanged({}, prompt_cache_diagnostics=None)).diagnostics == ()


def test_very_many_items() -> None:
    """Of more items than can be aligned, all behind the same beginning are exchanged."""
    many = MAX_ALIGNED + 5
    before = {"input": [user("same"), *(user(f"a{n}") for n in range(many)), user("end")]}
    after = {"input": [user("same"), *(user(f"b{n}") for n in range(many)), user("end")]}
    got = differ(before, after)
    assert [change.items for change in got.items if change.sign == " "] == [1]
    assert len(got.items) == 1 + 2 * (many + 1)


TEXTS = st.lists(st.sampled_from("abc"), max_size=8)


@given(TEXTS, TEXTS, TEXTS)
def test_the_later_request_is_what_is_the_same_and_what_was_added(
    before: list[str], output: list[str], after: list[str]
) -> None:
    """Each item of the later request is counted once, and nothing is removed that was not asked."""
    got = differ(
        {"input": [*map(user, before)]}, {"input": [*map(user, after)]}, [*map(message, output)]
    )
    added = [change for change in got.items if change.sign == "+"]
    removed = [change for change in got.items if change.sign == "-"]
    assert got.same_items + len(added) == len(after)
    assert len(removed) + got.same_items - got.from_answer == len(before)
    assert (got.first == "") == (after[: len(before)] == before)
