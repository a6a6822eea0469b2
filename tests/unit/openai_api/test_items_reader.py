"""Inputs that are read one after the other, each of which goes on from the one before."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from response_store.openai_api.items import ItemReader, TurnItem, read_request_items

ITEMS = st.one_of(
    st.builds(lambda text: {"role": "user", "content": text}, st.text(max_size=3)),
    st.builds(
        lambda name: {"type": "function_call", "call_id": "c", "name": name, "arguments": "{}"},
        st.sampled_from(["read", "write"]),
    ),
    st.just({"type": "function_call_output", "call_id": "c", "output": "done"}),
    st.just({"type": "reasoning", "summary": []}),
    st.text(max_size=3),
    st.none(),
)
INPUTS = st.lists(ITEMS, max_size=6)
REQUESTS = st.one_of(
    st.builds(lambda items: {"input": items}, INPUTS),
    st.builds(lambda items, more: {"messages": items, "input": more}, INPUTS, INPUTS),
    st.builds(lambda text: {"input": text}, st.text(max_size=3)),
    st.just({"prompt": {"id": "p1"}}),
)


def spell(items: list[TurnItem]) -> list[Any]:
    """Return all that items hold, what is not compared as well."""
    return [(one.turns, one.call, one.identifier, one.refers, one.fields) for one in items]


@given(st.lists(REQUESTS, max_size=5), INPUTS)
def test_what_was_read_before_changes_nothing(requests: list[Any], start: list[Any]) -> None:
    """Whatever a reader has read, a request has the items that it has by itself."""
    reader = ItemReader()
    longer = [{"input": start[:at]} for at in range(len(start) + 1)]
    for request in (*requests, *longer, *reversed(longer), *requests):
        assert spell(read_request_items(request, reader)) == spell(read_request_items(request))


def test_what_is_sent_again_is_not_read_again() -> None:
    """The items that two inputs begin with are the very same ones."""
    reader = ItemReader()
    asked: list[Any] = [{"role": "user", "content": "Why?"}, {"role": "user", "content": "So?"}]
    first = read_request_items({"input": asked}, reader)
    again = [{**one} for one in asked]
    second = read_request_items({"input": [*again, {"role": "user", "content": "Oh"}]}, reader)
    assert all(one is other for one, other in zip(first, second, strict=False))
    assert len(second) == 3
