"""JSON of bodies, for people."""

from __future__ import annotations

import pytest

from response_store.format.bodies import MAX_INDENTED, indent_json


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('{"a":1e400,"b":1.50}', '{"a": 1e400, "b": 1.50}'),
        ('{"text":"' + "x" * 60 + '"}', '{\n  "text": "' + "x" * 60 + '"\n}'),
        ('{"s":"\\ud83d"}', '{"s":"\\ud83d"}'),
        ("no JSON", "no JSON"),
        ("[" * 100_000 + "]" * 100_000, "[" * 100_000 + "]" * 100_000),
        ("[" + " " * MAX_INDENTED + "]", "[" + " " * MAX_INDENTED + "]"),
    ],
    ids=["one line", "lines", "escapes", "text", "deep", "long"],
)
def test_json_is_indented_as_it_is(text: str, shown: str) -> None:
    """Numbers and strings stay to the letter; a short text stays on one line."""
    assert indent_json(text) == shown
