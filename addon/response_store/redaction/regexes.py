"""Regular expressions that can't run away: RE2's, whose time is linear in the text.

Source: https://github.com/google/re2/wiki/Syntax
"""

from __future__ import annotations

import re
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import re2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_LOOKAROUNDS = ("(?=", "(?!", "(?<=", "(?<!", "(?>")
# A pattern that matches nothing at all does so somewhere in here.
_SAMPLES = ("", "a", " a 1-b\n_\tZ. ", '"é,\\{}[]')
# A name behind a backslash or in brackets may be none; another name stands once in an expression.
_doubtful_group = re.compile(r"\\\(\?P|\[[^\]]*\(\?P|\(\?P?<(?!secret>)")
_END_OF_TEXT = ("\\A", "\\z", "\\Z")


_GROUP_SIZE = 16


class RegexError(ValueError):
    """A regular expression can't be used. The message is the rule that it breaks."""

    def __init__(self, rule: str, hint: str) -> None:
        super().__init__(rule)
        self.hint = hint


class Regex(NamedTuple):
    """A compiled expression, and the group of it that is the secret (0: all of it)."""

    compiled: re2._Regexp
    group: int
    accepts: Callable[[bytes], bool] | None = None

    def spans(self, text: bytes) -> Iterator[tuple[int, int]]:
        """Yield start and end of each secret that it matches, none of them empty."""
        for match in self.compiled.finditer(text):
            start, end = match.span(self.group)
            if start < 0:
                start, end = match.span()
            if self.accepts is not None and not self.accepts(text[start:end]):
                continue
            if start < end:
                yield start, end


def compile_regex(regex: str) -> Regex:
    """Compile an expression; `^` and `$` stand for the ends of a line. Raises RegexError."""
    pattern = _compile(regex)  # alone first: the group below could close what it left open
    if any(mark in regex.replace("\\\\", "") for mark in _END_OF_TEXT):
        raise RegexError(
            "the expression names the end of the text, which is not known here",
            "Write ^ or $, the ends of a line, in the place of \\A and \\z.",
        )
    if any(pattern.fullmatch("") or _matches_nothing(pattern, sample) for sample in _SAMPLES):
        raise RegexError(
            "the expression matches an empty text",
            "Have it name at least one character, such as [0-9]+ in the place of [0-9]*.",
        )
    whole = _compile(f"(?m:{regex})")
    return Regex(whole, whole.groupindex.get("secret", 0))


def join_regexes(regexes: Sequence[str]) -> list[re2._Regexp]:
    """Return expressions that match wherever one of these does, each for up to 16 of them.

    A search with a joined one costs what one expression costs, unless they are wide: then the
    states are the product of theirs, so there must not be too many.
    """
    alone, together = [], []
    for regex in regexes:
        nameless = _drop_group_name(regex)
        if nameless is None:
            alone.append(f"(?m:{regex})")
        else:
            together.append(f"(?m:{nameless})")
    groups = (together[at : at + _GROUP_SIZE] for at in range(0, len(together), _GROUP_SIZE))
    return [*chain.from_iterable(map(_join_alternatives, groups)), *map(_compile, alone)]


def _join_alternatives(regexes: list[str]) -> list[re2._Regexp]:
    """Return one expression for all; where that is too large, one for each half."""
    if not regexes:
        return []
    try:
        return [_compile("|".join(regexes))]
    except RegexError:
        if len(regexes) == 1:
            raise
        half = len(regexes) // 2
        return _join_alternatives(regexes[:half]) + _join_alternatives(regexes[half:])


def _drop_group_name(regex: str) -> str | None:
    """Return an expression without the name of its group; None where it is unclear what is a
    group.
    """
    if "\\Q" in regex or _doubtful_group.search(regex):
        return None
    return regex.replace("(?P<secret>", "(?:")


def _matches_nothing(pattern: re2._Regexp, sample: str) -> bool:
    return any(start == end for start, end in (m.span() for m in pattern.finditer(sample)))


def _compile(regex: str) -> re2._Regexp:
    options = re2.Options()
    options.log_errors = False  # they repeat the expression
    try:
        return re2.compile(regex, options)
    except (re2.error, UnicodeEncodeError):
        pass
    if any(mark in regex for mark in _LOOKAROUNDS):
        raise RegexError(
            "the expression looks around ((?=, (?!, (?<=, (?<!), which RE2 can't do in linear time",
            "Match what stands around as well, and put the secret in a group: (?P<secret>...).",
        ) from None
    raise RegexError(
        "RE2 does not take this regular expression",
        "See https://github.com/google/re2/wiki/Syntax: no backreferences, and a repetition counts"
        " to 1000 at most.",
    ) from None
