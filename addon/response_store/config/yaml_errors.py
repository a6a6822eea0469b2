"""What is wrong with a text that is not YAML, in our words.

PyYAML's own messages quote the text around the error, which may be a database URL.
"""

from __future__ import annotations

import yaml
from yaml.reader import ReaderError

from .problems import Problem

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
    said = _describe_problem(error)
    return next(
        (problem for start, problem in _MEANINGS.items() if said.startswith(start)), _UNKNOWN
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
