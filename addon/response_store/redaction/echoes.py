"""The client's own key where a stream spells it in pieces: known again without being kept.

The frames of an exchange carry marks of its credentials: their length and a keyed digest. The key
is in memory only, in the proxy and in its ingester, so that a mark says nothing to anybody else. An
ingester that takes over the journal of a proxy that was killed has no key, and finds nothing.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable, Iterator, Sequence

from response_store.json_text import TooManyValuesError
from response_store.limits import READ_SECONDS, Deadline
from response_store.redaction.credentials import is_ordinary

Mark = tuple[int, bytes]
PROCESS_KEY = secrets.token_bytes(32)
"""The key of this process's marks."""
_MOST_MARKS = 32
_SLACK = 16  # bytes around a credential within one word that is looked at everywhere
_LOOK_EVERY = 256  # words


def marks_of(credentials: Iterable[bytes]) -> tuple[Mark, ...]:
    """Return the marks of a client's credentials; ordinary words have none."""
    telling = [one for one in credentials if not is_ordinary(one)]
    return tuple((len(one), _digest(one, PROCESS_KEY)) for one in telling[:_MOST_MARKS])


def find_echoes(texts: Iterable[bytes], marks: Sequence[Mark], key: bytes) -> tuple[bytes, ...]:
    """Return the credentials that stand in some texts, longest first.

    Raises TooManyValuesError where that takes too long.
    """
    if not (marks and key):
        return ()
    known = set(marks)
    lengths = sorted({length for length, _ in marks})
    found = {
        part
        for word in _words(texts, lengths[0])
        for part in _parts(word, lengths)
        if (len(part), _digest(part, key)) in known
    }
    return tuple(sorted(found, key=len, reverse=True))


def _words(texts: Iterable[bytes], least: int) -> Iterator[bytes]:
    """Yield the words that are long enough; neither quotes nor escapes belong to one."""
    deadline = Deadline(READ_SECONDS, processor=True)
    found = re.compile(rb"[!#-\[\]-~]{%d,}" % least).finditer
    for number, word in enumerate(each for text in texts for each in found(text)):
        if number % _LOOK_EVERY == 0 and deadline.has_passed:
            raise TooManyValuesError("it takes too long to look for credentials")
        yield word[0]


def _parts(word: bytes, lengths: Sequence[int]) -> Iterable[bytes]:
    """Yield what may be a credential in a word: all of some length; of a long one its ends."""
    for length in lengths:
        last = len(word) - length
        if 0 <= last <= _SLACK:
            yield from (word[at : at + length] for at in range(last + 1))
        elif last > 0:
            yield word[:length]
            yield word[last:]


def _digest(value: bytes, key: bytes) -> bytes:
    return hashlib.blake2b(value, key=key, digest_size=16).digest()
