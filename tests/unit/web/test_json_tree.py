"""A document as a tree: a level, a hundred children and a page of text at a time."""

from __future__ import annotations

import pytest

from response_store.web.json_tree import (
    MAX_CHILDREN,
    MAX_DEPTH,
    MAX_TEXT,
    TreeNode,
    find_value,
    list_nodes,
)
from response_store.web.page import PageError

DOCUMENT = {
    "input": [{"type": "message", "role": "user", "content": ["hi"]}, 7],
    "input ": None,
    "": True,
}


def test_a_level() -> None:
    """Each child has its path, its kind, and a line that tells what it is."""
    assert list_nodes(DOCUMENT, "") == (
        [
            TreeNode("0", "input", "array", "", 2),
            TreeNode("1", "input ", "word", "null"),
            TreeNode("2", "", "word", "true"),
        ],
        0,
    )
    nodes, end = list_nodes(DOCUMENT, "0")
    assert nodes == [
        TreeNode("0.0", "0", "object", "message \u00b7 user", 3),
        TreeNode("0.1", "1", "number", "7"),
    ]
    assert (end, [node.has_children for node in nodes]) == (0, [True, False])


def test_what_is_large_comes_in_parts() -> None:
    """The place of the next children comes with those before, as often as there are more."""
    many = list(range(2 * MAX_CHILDREN + 5))
    names, start, parts = [], 0, 0
    while parts == 0 or start:
        nodes, start = list_nodes({"many": many}, "0", start)
        names += [node.name for node in nodes]
        parts += 1
    assert (names, parts) == ([str(number) for number in many], 3)
    (text,), _ = list_nodes(["x" * (MAX_TEXT + 1)], "")
    assert (len(text.text), text.count, text.is_cut) == (MAX_TEXT, MAX_TEXT + 1, True)


def test_a_path() -> None:
    """It leads by places, whatever the names are; a scalar has no children."""
    assert find_value(DOCUMENT, "") is DOCUMENT
    assert find_value(DOCUMENT, "0.0.2.0") == "hi"
    assert list_nodes(DOCUMENT, "1") == ([], 0)


@pytest.mark.parametrize("path", ["9", "0.9", "1.0", "0.1.0"])
def test_no_such_value(path: str) -> None:
    """That is a page that is not there."""
    with pytest.raises(PageError, match="no such value") as caught:
        find_value(DOCUMENT, path)
    assert caught.value.status == 404


@pytest.mark.parametrize(
    "path", ["input", "-1", "0.", "\u0661", "1" * 10, ".".join(["0"] * (MAX_DEPTH + 1))]
)
def test_no_path(path: str) -> None:
    """Only short numbers are places, and not without end."""
    with pytest.raises(PageError, match=r"is no place|too deep"):
        find_value(DOCUMENT, path)
