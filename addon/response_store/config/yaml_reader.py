"""Read a YAML file into plain values, and remember the line of each key.

YAML as JSON understands it: mappings, lists, texts, numbers, booleans and null. Anything else
(tags, keys that are no text, a key given twice) is a problem with its line. Nothing that PyYAML
says is passed on: its messages quote the file.

An alias is read again each time it is used, under a limit of nodes, so that neither a "billion
laughs" file nor one that contains itself can hold us up.

PyYAML's own messages quote the text around the error, which may be a database URL.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import yaml
from yaml import MappingNode, Node, ScalarNode, SequenceNode
from yaml.constructor import ConstructorError, SafeConstructor
from yaml.reader import ReaderError

from response_store.config.problems import Problem
from response_store.config.secret import is_url, mask_urls

# From the beginning of what PyYAML calls the problem to what it most often means.
_MEANINGS = {
    "found character '\\t'": Problem("a tab stands where YAML wants spaces", "Indent with spaces."),
    "found undefined alias": Problem(
        "a value starts with * and so names an anchor that does not exist",
        'Put a text that starts with * in quotes, such as "*.example.com".',
    ),
    "expected alphabetic or numeric character": Problem(
        "a value starts with * or & and so reads as an alias or anchor",
        'Put a text that starts with * or & in quotes, such as "*.example.com".',
    ),
    "second occurrence": Problem("an anchor is given twice", "Give each anchor one name."),
    "mapping values are not allowed": Problem(
        "a colon stands where no key can be",
        "Indent keys that belong together alike, and put texts with a colon in quotes.",
    ),
    "found unexpected end of stream": Problem("a quote is not closed", "Close the quote."),
    "found unknown escape character": Problem(
        "a text in double quotes has an unknown escape",
        "Write \\\\ for a backslash, or use single quotes.",
    ),
    "could not find expected ':'": Problem(
        "a key has no colon", "Write each key as name: value, with a blank after the colon."
    ),
    "but found another document": Problem(
        "the file holds more than one YAML document", "Keep one, without --- lines between."
    ),
    "special characters are not allowed": Problem(
        "a control character stands in the file", "Take it out."
    ),
}
_UNKNOWN = Problem(
    "this is not valid YAML", "Check indentation, quotes and brackets near this line."
)


def describe_yaml_error(error: yaml.YAMLError) -> Problem:
    """Return the fault that an error of PyYAML stands for."""
    description = _describe_problem(error)
    return next(
        (problem for start, problem in _MEANINGS.items() if description.startswith(start)), _UNKNOWN
    )


def find_line(error: yaml.YAMLError, text: str) -> int | None:
    """Return the line where an error of PyYAML is."""
    if isinstance(error, ReaderError):
        return text.count("\n", 0, error.position) + 1
    mark = getattr(error, "problem_mark", None)
    return None if mark is None else int(mark.line) + 1


def _describe_problem(error: yaml.YAMLError) -> str:
    if isinstance(error, ReaderError):
        return str(error.reason)
    return str(getattr(error, "problem", ""))


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


MAX_BYTES = 256 * 1024  # PyYAML reads some 100 KB a second

Located: TypeAlias = "tuple[KeyPath, int | None, Problem]"


@dataclass(frozen=True, slots=True)
class Document:
    """The values of a file, the line of each key path, and what is wrong with its YAML.

    `readable` is false where there is nothing that could be checked any further.
    """

    source: str
    values: dict[str, Any] = field(default_factory=dict)
    lines: dict[KeyPath, int] = field(default_factory=dict)
    problems: tuple[Located, ...] = ()
    readable: bool = True

    def line(self, path: KeyPath) -> int | None:
        """Return the line of a key, or of the nearest one around it."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.lines:
                return self.lines[path[:end]]
        return None


def read_document(path: str | os.PathLike[str]) -> Document:
    """Return the document in a file; whatever is wrong with it is among its faults."""
    source = mask_urls(_escape_path(os.fspath(path)))
    if is_url(os.fsdecode(path)):
        return _build_unreadable(source, _NO_PATH)
    content = _read_bytes(path)
    if isinstance(content, Problem):
        return _build_unreadable(source, content)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return _build_unreadable(
            source, Problem("the file is not UTF-8", "Save it as UTF-8."), line
        )
    if odd := _ODD_LINE_BREAK.search(text):
        return _build_unreadable(source, _NO_LINE_BREAK, text.count("\n", 0, odd.start()) + 1)
    if odd := _ODD_BLANK.search(text):
        return _build_unreadable(source, _NO_BLANK, text.count("\n", 0, odd.start()) + 1)
    return _parse(source, text)


# At the beginning of a line or after a colon or dash they look like spaces, and are none to YAML.
_ODD_BLANK = re.compile(
    "(?m)^[ -]*[\xa0\u2000-\u200b\u202f\u205f\u2060\u3000\ufeff]"
    "|:[ \t]*[\xa0\u2000-\u200b\u202f\u205f\u2060\u3000\ufeff]"
)
_NO_BLANK = Problem(
    "a no-break space, or another blank that only looks like one, stands where YAML wants spaces",
    "Replace it by plain spaces: it came along with a copy from a page or a chat.",
)
# YAML 1.1 starts a new line at these, and no editor shows it: what looks like one value is two.
_ODD_LINE_BREAK = re.compile("[\x85\u2028\u2029]")
_NO_LINE_BREAK = Problem(
    "a line separator that editors do not show (U+0085, U+2028 or U+2029) stands in the file",
    "Take it out, or write it as an escape in double quotes.",
)


_NO_PATH = Problem(
    "this is a URL, and the path of a YAML file is wanted here",
    "Name a file. The URL of a database goes into its database_url, or into"
    " RESPONSE_STORE_DATABASE_URL.",
)


def _parse(source: str, text: str) -> Document:
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        line = find_line(error, text)
        written = text.splitlines()[line - 1 : line] if line else []
        in_memory = any(":memory:" in one for one in written)
        return _build_unreadable(
            source, _IN_QUOTES if in_memory else describe_yaml_error(error), line
        )
    except RecursionError:
        return _build_unreadable(source, Problem("the file is nested too deeply", "Nest it less."))
    reader = NodeReader()
    values = reader.read(node, ())
    if values is None:
        values = {}
    if not isinstance(values, dict):
        return _build_unreadable(source, _NO_MAPPING, reader.lines.get(()))
    return Document(source, values, reader.lines, tuple(reader.problems), reader.complete)


_IN_QUOTES = Problem(
    "a colon at the end makes a key of it, for YAML",
    'Put it in quotes: database_url: "sqlite::memory:"',
)
_NO_MAPPING = Problem("the file is not a mapping of keys", "Write lines such as: durability: power")


def _read_bytes(path: str | os.PathLike[str]) -> bytes | Problem:
    try:
        if not stat.S_ISREG(Path(path).stat().st_mode):
            return Problem("this is not a regular file", "Name a YAML file.")
        with Path(path).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        return _explain_os_error(error)
    if len(content) > MAX_BYTES:
        return Problem(f"the file has more than {MAX_BYTES} bytes", "Name the configuration file.")
    return content


def _explain_os_error(error: OSError | ValueError) -> Problem:
    match error:
        case FileNotFoundError() | NotADirectoryError():
            return Problem("there is no such file", "Check the path.")
        case PermissionError():
            return Problem("the file may not be read", "Allow this user to read it.")
        case OSError():
            return Problem(f"the file can't be read ({error.strerror})", "Check the path.")
        case _:
            return Problem("the path can't name a file", "Check the path.")


def _build_unreadable(source: str, problem: Problem, line: int | None = None) -> Document:
    return Document(source, problems=(((), line, problem),), readable=False)


def _escape_path(path: str | bytes) -> str:
    text = os.fsdecode(path)
    return text if text.isprintable() else ascii(text)
