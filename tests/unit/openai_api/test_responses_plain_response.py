"""The quick way to read a response gives what the careful one does, or gives way to it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from response_store.openai_api.responses import read_carefully, read_plain
from tests.hypothesis_profiles import examples

USUAL: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1_700_000_000,
    "status": "completed",
    "model": "gpt-5-2025-08-07",
    "output": [
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {
            "type": "message",
            "content": [{"type": "output_text", "text": "Hé\u0000llo", "annotations": []}],
        },
    ],
    "usage": {
        "input_tokens": 3,
        "input_tokens_details": {"cached_tokens": 1},
        "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 5,
    },
    "error": None,
    "incomplete_details": None,
    "previous_response_id": "resp_0",
    "conversation": None,
}

odd = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=[]), max_size=5),
    st.lists(st.dictionaries(st.sampled_from(["type", "content", "text"]), st.text(max_size=3))),
    st.dictionaries(st.sampled_from(["id", "input_tokens", "cached_tokens"]), st.integers()),
)


def test_the_usual_shape_is_read() -> None:
    """An object as the API sends it takes the quick way, to the same result."""
    text = json.dumps(USUAL).encode()
    quick = read_plain(text)
    assert quick is not None
    assert quick == read_carefully(text)
    assert quick.output_text == "Hé\ufffdllo"


@settings(max_examples=examples(300))
@given(st.dictionaries(st.sampled_from(sorted(USUAL)), odd, max_size=3))
def test_both_ways_agree(changes: dict[str, Any]) -> None:
    """Whatever type a member has, the quick way says the same or nothing."""
    text = json.dumps(USUAL | changes).encode()
    quick = read_plain(text)
    assert quick is None or quick == read_carefully(text)


@pytest.mark.parametrize(
    "changes",
    [
        {"error": {"code": "x", "message": "y"}},
        {"incomplete_details": {"reason": "max_output_tokens"}},
        {"conversation": {"id": "conv_1"}},
        {"id": 5},
        {"created_at": 1.5},
        {"object": "chat.completion"},
        {"usage": {"input_tokens": 2**63}},
        {"model": "\ud83d"},
    ],
)
def test_the_unusual_is_left_to_the_careful_way(changes: dict[str, Any]) -> None:
    """Errors, odd numbers and lone surrogates are not read quickly."""
    assert read_plain(json.dumps(USUAL | changes).encode()) is None
