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


_AT_ONCE = 16


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
        """Where it matches: start and end of each secret, none of them empty."""
        for match in self.compiled.finditer(text):
            start, end = match.span(self.group)
            if start < 0:
                start, end = match.span()
            if self.accepts is not None and not self.accepts(text[start:end]):
                continue
            if start < end:
                yield start, end


def compiled(regex: str) -> Regex:
    """Compile an expression; `^` and `$` stand for the ends of a line. Raises RegexError."""
    made = _made(regex)  # alone first: the group below could close what it left open
    if any(mark in regex.replace("\\\\", "") for mark in _END_OF_TEXT):
        raise RegexError(
            "the expression names the end of the text, which is not known here",
            "Write ^ or $, the ends of a line, in the place of \\A and \\z.",
        )
    if any(made.fullmatch("") or _matches_nothing(made, sample) for sample in _SAMPLES):
        raise RegexError(
            "the expression matches an empty text",
            "Have it name at least one character, such as [0-9]+ in the place of [0-9]*.",
        )
    whole = _made(f"(?m:{regex})")
    return Regex(whole, whole.groupindex.get("secret", 0))


def joined(regexes: Sequence[str]) -> list[re2._Regexp]:
    """Expressions that match wherever one of these does, each for up to 16 of them.

    One search for many costs what one for one does, unless they are wide: then its states are
    the product of theirs, so that it must not be too many.
    """
    alone, together = [], []
    for regex in regexes:
        nameless = _nameless(regex)
        if nameless is None:
            alone.append(f"(?m:{regex})")
        else:
            together.append(f"(?m:{nameless})")
    groups = (together[at : at + _AT_ONCE] for at in range(0, len(together), _AT_ONCE))
    return [*chain.from_iterable(map(_alternation, groups)), *map(_made, alone)]


def _alternation(regexes: list[str]) -> list[re2._Regexp]:
    """One expression for all; where that is too large, one for each half."""
    if not regexes:
        return []
    try:
        return [_made("|".join(regexes))]
    except RegexError:
        if len(regexes) == 1:
            raise
        half = len(regexes) // 2
        return _alternation(regexes[:half]) + _alternation(regexes[half:])


def _nameless(regex: str) -> str | None:
    """An expression whose group has no name; None where it can't be told what is a group."""
    if "\\Q" in regex or _doubtful_group.search(regex):
        return None
    return regex.replace("(?P<secret>", "(?:")


def _matches_nothing(made: re2._Regexp, sample: str) -> bool:
    return any(start == end for start, end in (m.span() for m in made.finditer(sample)))


def _made(regex: str) -> re2._Regexp:
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
