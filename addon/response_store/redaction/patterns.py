"""The patterns that are searched for, built-in and the user's, and the mark that replaces a
secret.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from response_store.redaction.known import ACCEPTS, KNOWN
from response_store.redaction.private_keys import PrivateKeys
from response_store.redaction.regexes import Regex, compile_regex, join_regexes

if TYPE_CHECKING:
    from response_store.config import RedactConfig
    from response_store.limits import Deadline

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

    Raises TooSlowError where the `deadline` passes meanwhile.

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
    """Yield as long as there is time. Raises TooSlowError."""
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
