"""Fills in `${NAME}` from the environment and a leading `~/`, in the URL and in paths.

What is filled in is judged afterwards like anything that stands in the file. `$${` stands for `${`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .problems import Problem
from .yaml_nodes import KeyPath

_PATHS = (("database_url",), ("ssl_root_cert",), ("journal", "path"))
_REFERENCE = re.compile(r"\$(\$\{|\{([A-Za-z_][A-Za-z0-9_]*)\}|\{)")
_SHOWN = re.compile(r"[A-Z_][A-Z0-9_]{0,63}")
_HOME = re.compile(r"(sqlite:(?://)?)(~[^/?]*)")
_ONLY_NAMES = Problem(
    "'${' begins a variable, and no plain name and '}' follow",
    "Write ${NAME}: nothing else, such as a default, is filled in. $${ stands for ${ itself.",
)
_NO_HOME = Problem(
    "the path begins with ~, and that user has no home folder", "Write the whole path of it."
)


def expand_settings(
    settings: dict[str, Any], environ: Mapping[str, str]
) -> Iterator[tuple[KeyPath, Problem]]:
    """Fill in the URL and the paths of settings in place, and yield what can't be."""
    for path in _PATHS:
        holder = settings if len(path) == 1 else settings[path[0]]
        text = holder[path[-1]]
        if not isinstance(text, str):
            continue
        expanded = _expand(text, environ)
        if isinstance(expanded, Problem):
            yield path, expanded
        else:
            holder[path[-1]] = expanded


def _expand(text: str, environ: Mapping[str, str]) -> str | Problem:
    for _, name in (match.group(1, 2) for match in _REFERENCE.finditer(text)):
        if name is not None and name not in environ:
            return _describe_undefined(name)
    if any(match[1] == "{" for match in _REFERENCE.finditer(text)):
        return _ONLY_NAMES
    filled = _REFERENCE.sub(lambda match: environ[match[2]] if match[2] is not None else "${", text)
    return _expand_home(filled)


def _describe_undefined(name: str) -> Problem:
    """Return the fault, with the name only where it is certainly one
    of a variable: a password is none.
    """
    shown = f"${{{name}}}" if _SHOWN.fullmatch(name) else "a variable in ${}"
    return Problem(
        f"{shown} is not defined in the environment",
        "Set it where the proxy and the commands are started. $${ stands for ${ itself.",
    )


def _expand_home(text: str) -> str | Problem:
    match = _HOME.match(text)
    try:
        if match is not None:
            home = quote(str(Path(match[2]).expanduser()))
            return f"sqlite://{home}{text[match.end() :]}"
        return str(Path(text).expanduser()) if text.startswith("~") else text
    except RuntimeError:
        return _NO_HOME
