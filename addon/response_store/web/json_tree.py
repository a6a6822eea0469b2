"""A JSON document as a tree of which a page gets one level at a time.

A node is named by the places of its ancestors, `0.3.12`: names of members are captured, and may be
long or alike. Whatever is large comes in parts: members by the hundred, texts by the page.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import islice
from typing import Any

from response_store.web.page import PageError

MAX_CHILDREN = 100
"""Children that are sent at once."""
MAX_TEXT = 2_000
"""Characters of a text that are sent with its node."""
MAX_DEPTH = 200
_MAX_PREVIEW = 60


@dataclass(frozen=True, slots=True)
class TreeNode:
    """A value in a tree. `count` is that of its children; `text` is what is shown of the value.

    `is_cut` says that a text goes on; its `count` are its characters.
    """

    path: str
    name: str
    kind: str
    text: str
    count: int = 0
    is_cut: bool = False

    @property
    def has_children(self) -> bool:
        """Return whether it can be opened."""
        return self.kind in ("object", "array") and self.count > 0


def find_value(document: object, path: str) -> object:
    """Return the value at a path. Raises PageError where there is none."""
    value = document
    places = path.split(".") if path else []
    if len(places) > MAX_DEPTH:
        raise PageError("path: this is too deep.")
    for place in places:
        if not (place.isascii() and place.isdecimal() and len(place) < 10):
            raise PageError(f"path: {place!r} is no place.")
        children = _list_children(value, int(place), 1)
        if not children:
            raise PageError("path: there is no such value.", 404)
        value = children[0][1]
    return value


def list_nodes(document: object, path: str, start: int = 0) -> tuple[list[TreeNode], int]:
    """Return some children of the value at a path, and the place of the next; 0 at the end."""
    value = find_value(document, path)
    nodes = [
        _build_node(f"{path}.{place}" if path else str(place), name, child)
        for place, (name, child) in enumerate(_list_children(value, start, MAX_CHILDREN), start)
    ]
    end = start + len(nodes)
    return nodes, end if end < _count(value) else 0


def _list_children(value: object, start: int, count: int) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return list(islice(value.items(), start, start + count))
    if isinstance(value, list):
        return [(str(at), child) for at, child in enumerate(value[start : start + count], start)]
    return []


def _count(value: object) -> int:
    return len(value) if isinstance(value, (dict, list, str)) else 0


def _build_node(path: str, name: str, value: object) -> TreeNode:
    match value:
        case dict():
            return TreeNode(path, name, "object", _preview_object(value), len(value))
        case list():
            return TreeNode(path, name, "array", "", len(value))
        case str():
            is_cut = len(value) > MAX_TEXT
            return TreeNode(path, name, "text", value[:MAX_TEXT], len(value), is_cut)
        case bool() | None:
            return TreeNode(path, name, "word", json.dumps(value))
        case _:
            return TreeNode(path, name, "number", str(value))


_TELLING = ("type", "role", "name", "id", "call_id", "code", "status")
"""Members that tell what an object is."""


def _preview_object(value: dict[str, Any]) -> str:
    telling = [text for name in _TELLING if isinstance(text := value.get(name), str) and text]
    return " \u00b7 ".join(text[:_MAX_PREVIEW] for text in telling[:3])
