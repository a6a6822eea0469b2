"""Turns YAML nodes into plain values, noting lines and faults on the way.

An alias is read again each time it is used, under a limit of nodes, so that neither a "billion
laughs" file nor one that contains itself can hold us up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from yaml import MappingNode, Node, ScalarNode, SequenceNode
from yaml.constructor import ConstructorError, SafeConstructor

from .problems import Problem

KeyPath: TypeAlias = tuple[str | int, ...]

_MAX_NODES = 5_000
_MAX_DEPTH = 20

_TAG = "tag:yaml.org,2002:"
_SCALARS = SafeConstructor()
_READERS: dict[str, Callable[[ScalarNode], Any]] = {
    "null": lambda _: None,
    "bool": _SCALARS.construct_yaml_bool,
    "int": _SCALARS.construct_yaml_int,
    "float": _SCALARS.construct_yaml_float,
    "str": lambda node: node.value,
    # YAML 1.1 sees a date in 2024-01-01, a merge in << and a default in =. For us they are texts.
    "timestamp": lambda node: node.value,
    "merge": lambda node: node.value,
    "value": lambda node: node.value,
}
_UNUSABLE = object()


class NodeReader:
    """Reads one tree of nodes; `lines` and `problems` are what it found.

    `complete` is false once a limit ended the reading.
    """

    def __init__(self) -> None:
        self.lines: dict[KeyPath, int] = {}
        self.problems: list[tuple[KeyPath, int | None, Problem]] = []
        self.complete = True
        self._nodes = 0

    def read(self, node: Node | None, path: KeyPath) -> Any:
        """Return the value of a node. `path` is the key it stands under."""
        if node is None:
            return None
        self._nodes += 1
        self.lines.setdefault(path, _get_line(node))
        if self._nodes > _MAX_NODES or len(path) > _MAX_DEPTH:
            self._stop(path[:1])
            return None
        match node:
            case MappingNode() if node.tag == f"{_TAG}map":
                return self._read_mapping(node, path)
            case SequenceNode() if node.tag == f"{_TAG}seq":
                return [self.read(item, (*path, at)) for at, item in enumerate(node.value)]
            case ScalarNode():
                return self._read_scalar(node, path)
            case _:
                return self._refuse_tag(node, path)

    def _read_mapping(self, node: MappingNode, path: KeyPath) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self._read_key(key_node, path)
            if key is None:
                continue
            here = (*path, key)
            if key in values:
                first = f"the key is given twice, first in line {self.lines[here]}"
                self._add(here, key_node, first, "Keep one of the two.")
                continue
            self.lines[here] = _get_line(key_node)
            values[key] = self.read(value_node, here)
            if not self.complete:
                break
        return values

    def _read_key(self, node: Node, path: KeyPath) -> str | None:
        if node.tag == f"{_TAG}merge":
            self._add(path, node, "merge keys (<<) are not supported", "Write the keys themselves.")
            return None
        key = self._read_scalar(node, path) if isinstance(node, ScalarNode) else _UNUSABLE
        if isinstance(key, str):
            return key
        self._add(path, node, "a key is not a text", "Put the key in quotes, or take it out.")
        return None

    def _read_scalar(self, node: ScalarNode, path: KeyPath) -> Any:
        reader = _READERS.get(node.tag.removeprefix(_TAG))
        if reader is None:
            return self._refuse_tag(node, path)
        try:
            return reader(node)
        except (ValueError, LookupError, ConstructorError):
            self._add(path, node, "the value does not fit its type", "Put a text in quotes.")
            return None

    def _refuse_tag(self, node: Node, path: KeyPath) -> None:
        self._add(path, node, "a YAML tag (!...) is not allowed", "Take the tag out.")

    def _stop(self, path: KeyPath) -> None:
        if self.complete:
            problem = Problem("the file holds too much", "Write it without aliases.")
            self.problems.append((path, self.lines.get(path), problem))
        self.complete = False

    def _add(self, path: KeyPath, node: Node, rule: str, hint: str) -> None:
        self.problems.append((path, _get_line(node), Problem(rule, hint)))


def _get_line(node: Node) -> int:
    return int(node.start_mark.line) + 1
