"""Differences as lines and as objects."""

from __future__ import annotations

import json
from typing import Any

import pytest

from response_store.cli.output import encode_object
from response_store.format.bodies import Tokens
from response_store.format.difference import compare
from response_store.format.difference_lines import LineKind, build_object, list_lines
from tests.unit.format.test_difference import exchanged, user

BEFORE = {
    "model": "gpt-5.1", "instructions": "Be brief.\nIt is 12:01.", "temperature": 0.2,
    "tools": [{"name": "dig"}, {"name": "plant", "description": "a"}],
    "input": [user("Hi"), user("old\n\x1b[2J")],
}  # fmt: skip
AFTER = {
    "model": "gpt-5.1", "instructions": "Be brief.\nIt is 12:05.", "temperature": 0.7,
    "tools": [{"name": "plant", "description": "b"}, {"name": "sow"}],
    "input": [user("Hi"), user("new" + "w" * 300)],
}  # fmt: skip
SHOWN = f"""\
settings
- temperature=0.2
+ temperature=0.7
tools
- dig
+ sow
~ plant
instructions
@@ -1,2 +1,2 @@
 Be brief.
-It is 12:01.
+It is 12:05.
items
  1 item the same
- 2 user: old ␛[2J
+ 2 user: new{"w" * 197}…
cache
  before  900 of 1,000 input tokens (90 %)
  after   0 of 2,000 input tokens (0 %)
  differs first in tools: plant was changed
request            before          after
  system       25 B  14 %     25 B   5 %
  tools        51 B  29 %     51 B  11 %
  messages     72 B  41 %    361 B  78 %
  settings     28 B  16 %     28 B   6 %
  total       176 B 100 %    465 B 100 %
"""


def write(before: dict[str, Any], after: dict[str, Any], *tokens: Tokens) -> str:
    difference = compare(exchanged(before), exchanged(after))
    return "".join(f"{line.text}\n" for line in list_lines(difference, *tokens))


def test_the_lines() -> None:
    """What has changed, what became of the cache, what the requests are made of."""
    assert write(BEFORE, AFTER, Tokens(1000, 900), Tokens(2000, 0)) == SHOWN


def test_long_lines_are_cut_to_what_differs() -> None:
    """Of a line as long as some instructions the piece is shown in which the two differ."""
    long = "x" * 5000
    before, after = ({"instructions": f"{long}{word}{long}"} for word in ("12:01", "12:05"))
    shown = write(before, after, Tokens(), Tokens()).splitlines()
    removed, added = (line for line in shown if line[:2] in ("-\u2026", "+\u2026"))
    assert removed == f"-\u2026{'x' * 96}12:01{'x' * 299}\u2026"
    assert added == f"+\u2026{'x' * 96}12:05{'x' * 299}\u2026"
    (alone,) = (
        line for line in write({}, after, Tokens(), Tokens()).splitlines() if line[:2] == "+x"
    )
    assert alone == f"+{'x' * 400}\u2026"


@pytest.mark.parametrize(
    ("after", "tokens", "line"),
    [
        (BEFORE, Tokens(900, 0), "  below 1,024 tokens nothing is cached"),
        (BEFORE, Tokens(2000, 0), "  nothing differs up to the end of the earlier one"),
    ],
)
def test_why_nothing_was_cached(after: dict[str, Any], tokens: Tokens, line: str) -> None:
    """Where nothing differs, a request may have been too short."""
    assert line in write(BEFORE, after, Tokens(), tokens).splitlines()


def test_what_is_carried() -> None:
    """Of a request that names an earlier response, it says why there are so few items."""
    after = {"input": [user("b")], "previous_response_id": "resp_1"}
    assert "carried by the response or conversation" in write(BEFORE, after, Tokens(), Tokens())


def test_each_line_has_its_kind() -> None:
    """What was added and what was removed can have colours."""
    difference = compare(exchanged(BEFORE), exchanged(AFTER))
    kinds = {line.text[:1]: line.kind for line in list_lines(difference, Tokens(), Tokens())}
    assert (kinds["+"], kinds["-"], kinds["@"]) == (
        LineKind.ADDED, LineKind.REMOVED, LineKind.SAME,
    )  # fmt: skip


def test_the_object() -> None:
    """Programs get the same, with texts as long as they are."""
    difference = compare(exchanged(BEFORE), exchanged(AFTER))
    given = json.loads(encode_object(build_object(difference, Tokens(1), Tokens(2000, 500))))
    assert given["cached_share"] == 0.25
    assert given["first_difference"] == "tools: plant was changed"
    assert given["tools"] == {
        "added": ["sow"], "removed": ["dig"], "changed": ["plant"], "is_reordered": False,
    }  # fmt: skip
    assert given["items"][0] == {"sign": " ", "items": 1, "number": 0, "label": "", "text": ""}
    assert len(given["items"][2]["text"]) == 303
    assert given["request_bytes"]["before"]["system"] == 25
    assert given["settings"] == [{"name": "temperature", "before": "0.2", "after": "0.7"}]
