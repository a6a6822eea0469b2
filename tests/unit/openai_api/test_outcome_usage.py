"""Tokens, from wherever a dialect puts them and whatever it calls them."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from msgspec import Raw

from response_store.openai_api.chat_stream import accumulate
from response_store.openai_api.outcome import Usage, read_usage
from response_store.openai_api.responses import read_response
from response_store.openai_api.sse import Event

NAMED: dict[str, tuple[dict[str, Any], Usage]] = {
    "Responses": (
        {"input_tokens": 21, "output_tokens": 5, "total_tokens": 26},
        Usage(21, None, 5, None, 26),
    ),
    "chat": (
        {
            "prompt_tokens": 21,
            "completion_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 16},
            "completion_tokens_details": {"reasoning_tokens": 3},
        },
        Usage(21, 16, 5, 3, None),
    ),
    "DeepSeek": (
        {"prompt_tokens": 21, "completion_tokens": 5, "prompt_cache_hit_tokens": 16},
        Usage(21, 16, 5, None, None),
    ),
    "Kimi": (
        {"prompt_tokens": 21, "completion_tokens": 5, "cached_tokens": 16},
        Usage(21, 16, 5, None, None),
    ),
    "both, one of them empty": (
        {"prompt_tokens": 0, "input_tokens": 21, "output_tokens": 5, "completion_tokens": 0},
        Usage(21, None, 5, None, None),
    ),
    "texts": ({"input_tokens": "21", "output_tokens": " 5 "}, Usage(21, None, 5, None, None)),
    "fractions": ({"input_tokens": 21.0, "output_tokens": 5e0}, Usage(21, None, 5, None, None)),
    "negative": ({"input_tokens": -1, "output_tokens": "-5"}, Usage()),
    "zeros": ({"input_tokens": 0, "output_tokens": 0}, Usage(0, None, 0, None, None)),
    "no numbers": ({"input_tokens": "many", "output_tokens": None, "total_tokens": []}, Usage()),
    "details that are none": (
        {"input_tokens": 21, "input_tokens_details": None, "output_tokens_details": []},
        Usage(input_tokens=21),
    ),
}


@pytest.mark.parametrize("name", NAMED)
def test_names(name: str) -> None:
    """Each name that is in use counts; what is negative or no number is not known."""
    usage, expected = NAMED[name]
    assert read_usage(Raw(json.dumps(usage).encode())) == expected
    response = {"object": "response", "id": "r", "created_at": 1, "output": [], "usage": usage}
    assert read_response(json.dumps(response).encode()).usage == expected


FIRST, LAST = {"prompt_tokens": 21, "completion_tokens": 1}, {"completion_tokens": 5}
WHOLE = {"prompt_tokens": 21, "completion_tokens": 5}
PLACES: dict[str, list[dict[str, Any]]] = {
    "beside the choices": [{"usage": WHOLE}],
    "in the choice (Moonshot)": [{"choices": [{"usage": WHOLE}]}],
    "x_groq": [{"x_groq": {"id": "q", "usage": WHOLE}}],
    "split": [{"usage": FIRST}, {"usage": LAST}],
    "then nothing": [{"usage": WHOLE}, {"usage": {}}, {"usage": None}],
    "then zeros": [{"usage": WHOLE}, {"usage": {"prompt_tokens": 0, "completion_tokens": 0}}],
    "zeros, then the truth": [{"usage": {"prompt_tokens": 0}}, {"usage": WHOLE}],
    "then a negative number": [{"usage": WHOLE}, {"usage": {"prompt_tokens": -1}}],
    "counted up (vLLM)": [{"usage": FIRST | {"completion_tokens": n}} for n in range(1, 6)],
    "the other API's names": [{"usage": {"input_tokens": 21, "output_tokens": 5}}],
    "llama.cpp": [{"timings": {"prompt_n": 20, "cache_n": 1, "predicted_n": 5}}],
}


@pytest.mark.parametrize("name", PLACES)
def test_places(name: str) -> None:
    """Usage counts wherever a chunk has it; what comes later replaces only what it has."""
    chunks = [{"id": "c", "choices": [{"delta": {"content": "hi"}}]}, *PLACES[name]]
    outcome = accumulate(Event(b"", json.dumps(chunk).encode()) for chunk in chunks)
    assert (outcome.usage.input_tokens, outcome.usage.output_tokens) == (21, 5)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_any_order(order: tuple[int, ...]) -> None:
    """Of numbers that do not contradict each other the order does not matter."""
    parts = [{"prompt_tokens": 21}, {"completion_tokens": 5, "prompt_tokens": 0}, {}]
    chunks = [{"usage": parts[at]} for at in order]
    outcome = accumulate(Event(b"", json.dumps(chunk).encode()) for chunk in chunks)
    assert (outcome.usage.input_tokens, outcome.usage.output_tokens) == (21, 5)
