"""What is looked for: named patterns and the user's own, and what stands in a secret's place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from response_store.redaction.known import ACCEPTS, KNOWN
from response_store.redaction.private_keys import PrivateKeys
from response_store.redaction.regexes import Regex, compiled, joined

if TYPE_CHECKING:
    from response_store.config import RedactConfig
    from response_store.limits import Deadline

T = TypeVar("T")
MARK = b"[redacted:"


class Pattern(NamedTuple):
    """A pattern and its name."""

    name: str
    regex: Regex | PrivateKeys


class Secret(NamedTuple):
    """A secret in a text: which pattern found it, and where it stands."""

    name: str
    start: int
    end: int


class Patterns:
    """Patterns in the order of their precedence.

    `everywhere` are looked for in ids as well: no id has the shape of a known key, while a pattern
    of the user's may be wide enough for one, and rows are found by ids.
    """

    def __init__(self, known: Iterable[str], own: Mapping[str, str]) -> None:
        names = [name for name in KNOWN if name in frozenset(known)]
        self.everywhere = tuple(Pattern(name, _known(name)) for name in names)
        self.all = self.everywhere + tuple(
            Pattern(name, compiled(regex)) for name, regex in own.items()
        )
        # Nearly every text is free of secrets: a look for many at once tells that.
        self._looks = (*joined([KNOWN[name] for name in names]), *joined(list(own.values())))

    def suspect(self, text: bytes) -> bool:
        """Whether a secret may be in a text; False is certain."""
        return any(look.search(text) for look in self._looks)


def _known(name: str) -> Regex | PrivateKeys:
    if name == "private-key":
        return PrivateKeys()
    return compiled(KNOWN[name])._replace(accepts=ACCEPTS.get(name))


def patterns_of(config: RedactConfig) -> Patterns:
    """The patterns that a configuration names."""
    return Patterns(config.patterns, dict(config.custom))


class TooSlowError(Exception):
    """It takes too long to look for secrets."""


def secrets(
    text: bytes,
    patterns: Iterable[Pattern],
    lead: bytes = b"",
    deadline: Deadline | None = None,
) -> list[Secret]:
    """The secrets in a text, from its beginning; what overlaps is one, named by the first.

    Raises TooSlowError where the `deadline` passes meanwhile.

    With a `lead` the text is a string in JSON, and also looked at behind that by patterns that say
    which part of what they match is the secret.
    """
    found = sorted(
        (start, -end, order, pattern.name)
        for order, pattern in enumerate(patterns)
        for start, end in in_time(_spans(pattern.regex, text, lead), deadline)
        if not text.startswith(MARK, start)
    )
    return merged(Secret(name, start, -minus_end) for start, minus_end, _, name in found)


def merged(found: Iterable[Secret]) -> list[Secret]:
    """Secrets in their order; what overlaps is one, with the name of the first."""
    result: list[Secret] = []
    for secret in sorted(found, key=lambda one: (one.start, -one.end)):
        if result and secret.start < result[-1].end:
            last = result.pop()
            result.append(last._replace(end=max(last.end, secret.end)))
        else:
            result.append(secret)
    return result


def in_time(spans: Iterable[T], deadline: Deadline | None) -> Iterator[T]:
    """Yield as long as there is time. Raises TooSlowError."""
    for span in spans:
        if deadline is not None and deadline.has_passed:
            raise TooSlowError
        yield span


def _spans(regex: Regex | PrivateKeys, text: bytes, lead: bytes) -> Iterator[tuple[int, int]]:
    yield from regex.spans(text)
    if lead and regex.group:
        first, last = len(lead), len(lead) + len(text)
        for start, end in regex.spans(lead + text + b'"'):
            if first <= start and end <= last:
                yield start - first, end - first


def without(text: bytes, found: Iterable[Secret]) -> bytes:
    """A text with a mark in the place of each secret."""
    pieces, at = [], 0
    for name, start, end in found:
        pieces += [text[at:start], MARK, name.encode(), b"]"]
        at = end
    return b"".join((*pieces, text[at:]))
