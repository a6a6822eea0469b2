"""Find secrets by named patterns and the user's own, in time that is linear in the text.

Source: https://github.com/google/re2/wiki/Syntax

`grep --color` writes some before and behind each hit, which may be the half of a key.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, chain
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import re2

from response_store.limits import Deadline
from response_store.redaction.known import ACCEPTS, KNOWN, PrivateKeys

if TYPE_CHECKING:
    from response_store.config.model import RedactConfig

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


T = TypeVar("T")
MARK = b"[redacted:"


class Pattern(NamedTuple):
    """A pattern and its name."""

    name: str
    regex: Regex | PrivateKeys


class SecretMatch(NamedTuple):
    """A secret in a text: which pattern found it, and where it stands."""

    name: str
    start: int
    end: int


class Patterns:
    """Patterns in the order of their precedence.

    `builtin` are applied to ids as well: no id has the shape of a known key, while a pattern of the
    user's may be wide enough for one, and rows are found by ids.
    """

    def __init__(self, known: Iterable[str], own: Mapping[str, str]) -> None:
        names = [name for name in KNOWN if name in frozenset(known)]
        self.builtin = tuple(Pattern(name, _compile_known(name)) for name in names)
        self.all = self.builtin + tuple(
            Pattern(name, compile_regex(regex)) for name, regex in own.items()
        )
        # Nearly every text is free of secrets: a look for many at once tells that.
        self._looks = (
            *join_regexes([KNOWN[name] for name in names]),
            *join_regexes(list(own.values())),
        )

    def may_contain_secret(self, text: bytes) -> bool:
        """Return whether a secret may be in a text; False is certain."""
        return any(look.search(text) for look in self._looks)


def _compile_known(name: str) -> Regex | PrivateKeys:
    if name == "private-key":
        return PrivateKeys()
    return compile_regex(KNOWN[name])._replace(accepts=ACCEPTS.get(name))


def build_patterns(config: RedactConfig) -> Patterns:
    """Return the patterns that a configuration names."""
    return Patterns(config.patterns, dict(config.custom))


class RedactionTimeoutError(Exception):
    """The search for secrets took too long."""


def find_secrets(
    text: bytes,
    patterns: Iterable[Pattern],
    lead: bytes = b"",
    deadline: Deadline | None = None,
) -> list[SecretMatch]:
    """Return the secrets in a text, in order; matches that overlap are one, named by the first.

    Raises RedactionTimeoutError where the `deadline` passes meanwhile.

    With a `lead` the text is a string in JSON, and also looked at behind that by patterns that say
    which part of what they match is the secret.
    """
    spans = sorted(
        (start, -end, order, pattern.name)
        for order, pattern in enumerate(patterns)
        for start, end in stop_at_deadline(_find_spans(pattern.regex, text, lead), deadline)
        if not text.startswith(MARK, start)
    )
    return merge_matches(
        SecretMatch(name, start, -minus_end) for start, minus_end, _, name in spans
    )


def merge_matches(matches: Iterable[SecretMatch]) -> list[SecretMatch]:
    """Return matches in their order; those that overlap become one, with the name of the first."""
    result: list[SecretMatch] = []
    for secret in sorted(matches, key=lambda one: (one.start, -one.end)):
        if result and secret.start < result[-1].end:
            last = result.pop()
            result.append(last._replace(end=max(last.end, secret.end)))
        else:
            result.append(secret)
    return result


def stop_at_deadline(spans: Iterable[T], deadline: Deadline | None) -> Iterator[T]:
    """Yield as long as there is time. Raises RedactionTimeoutError."""
    for span in spans:
        if deadline is not None and deadline.has_passed:
            raise RedactionTimeoutError
        yield span


def _find_spans(regex: Regex | PrivateKeys, text: bytes, lead: bytes) -> Iterator[tuple[int, int]]:
    yield from regex.spans(text)
    if lead and regex.group:
        first, last = len(lead), len(lead) + len(text)
        for start, end in regex.spans(lead + text + b'"'):
            if first <= start and end <= last:
                yield start - first, end - first


def mask_matches(text: bytes, matches: Iterable[SecretMatch]) -> bytes:
    """Return a text with a mark in the place of each secret."""
    pieces, at = [], 0
    for name, start, end in matches:
        pieces += [text[at:start], MARK, name.encode(), b"]"]
        at = end
    return b"".join((*pieces, text[at:]))


ESCAPE = b"\x1b"
# Control sequences (the colours among them), strings up to their end, and shorter ones.
_escape = re.compile(
    rb"\x1b\[[0-?]*+[ -/]*+[@-~]?"
    rb"|\x1b[\]PX^_][^\x07\x1b]*+(?:\x07|\x1b\\)?"
    rb"|\x1b[ -/]*+[0-~]?"
)


def strip_escapes(text: bytes) -> tuple[bytes, list[tuple[int, int]]]:
    """Return a text without its escapes, and where these stand."""
    spans = [escape.span() for escape in _escape.finditer(text)]
    return _escape.sub(b"", text), spans


def find_behind_escapes(
    text: bytes,
    matches: list[SecretMatch],
    patterns: Iterable[Pattern],
    deadline: Deadline | None,
) -> list[SecretMatch]:
    """Return the secrets that were found in a text, and those that escapes hide."""
    plain, escapes = strip_escapes(text)
    # Where each piece of the plain text begins, and how far it stands from its place.
    shifts = [0, *accumulate(end - start for start, end in escapes)]
    starts = [start - shift for (start, _), shift in zip(escapes, shifts, strict=False)]
    hidden = [
        SecretMatch(
            name,
            start + shifts[bisect_right(starts, start)],
            end + shifts[bisect_right(starts, end - 1)],
        )
        for name, start, end in find_secrets(plain, patterns, deadline=deadline)
    ]
    return merge_matches([*matches, *hidden])
