"""Bound how much a peer may make of what it sends, as by a gzip bomb; each number has a reason.

What a peer can count up (codings, values, names, turns, frames) is bounded before it becomes depth,
objects, time, memory or a line. Above a bound bytes are kept as they came, or less is kept, and
a counter says so; nothing is refused to the client.
"""

from __future__ import annotations

import hashlib
import time

# Content codings

CODINGS = 3
"""Codings of one body. Servers use one; a proxy between may add one more."""
DECODED_PIECE = 1 << 16
"""Bytes that a decoder gives at once: they take about 0.1 ms, and time is looked at in between."""
ENCODED_SLICE = 1 << 14
"""Bytes that a decoder takes at once: 3,000 empty blocks, which give nothing, take 0.1 ms."""
CODED_RATIO, CODED_FREE = 20, 1 << 20
"""How often a body may grow that is still encoded, beyond so many bytes: packed twice it hardly
grows, but empty blocks, of which nothing comes, do 1,000 times."""
PLAIN_RATIO, PLAIN_FREE = 1_100, 1 << 24
"""The same of plain bytes: gzip can't do better, and 16 MiB may come of anything."""
CHUNK_SECONDS = 0.004
"""Processor time for one chunk on the event loop, of the 10 ms that a stall may last."""
BODY_SECONDS = 3.0
"""Processor time for decoding one body elsewhere: of gzip it is some gigabytes."""

# Events and messages

OUTLINED = 1 << 18
"""Bytes above which only the ends of an event or message are read on the event loop: to find out
its type in all of 64 MB takes 50 ms."""
OUTLINE_END = 1 << 13
"""Bytes at each end that are read: names and ids stand there, whoever writes it."""

# Values of JSON

VALUES = 500_000
"""Values in a JSON text that is read, and lines in an event: each takes 100 to 300 bytes."""
READ_SECONDS = 3.0
"""Processor time for reading or cleaning one body in the ingester; what comes after it waits."""
DEPTH = 200_000
"""Brackets that may be open at once where a text is walked for credentials: they take 30 MB."""
READ_BYTES = 42 << 20
"""Bytes of an answer, with its request, that are read: a row holds them up to three times, and to
write it takes twice as much. Of what is larger the bytes are kept, and the beginning is read."""
LARGE_TEXT = 1 << 22
"""Bytes above which a text stays UTF-8: as a `str` one emoji in it makes four of each byte."""
TEXT_PIECE = 1 << 18
"""Bytes of such a text that are decoded at once."""
CAREFUL_BYTES = 1 << 24
"""Bytes of a text that is read in the careful way (lone surrogates, bytes that are no text): it
takes ten times as many."""
QUOTES = 8 * VALUES
"""Quotes in a text with many marks, so that they can be counted outside of strings, and in one that
is walked for credentials, which takes half a second for a million."""
PLACES = 10_000
"""Output items, parts, choices and tool calls that a stream may number: it holds each."""
SECRETS = 1_000
"""Credentials of one request whose echoes are looked for; 1 million where the body is small."""
ECHO_BYTES = 1 << 32
"""Bytes that are searched for them, all in all: this takes about a second."""

# Names

NAME = 1_000
"""Characters of a name (id, model, code, tenant) in a row; PostgreSQL indexes 2,700 bytes."""
NAME_IN_LINE = 200
"""Characters of one in a line of a log or list; the id that a script takes from a list is whole."""
_HASH = 16

# Sockets

OPEN_TURNS = 256
"""Turns of a socket that wait or run at once; each holds a request."""
STREAM_ID = 256
"""Bytes of a `stream_id`; a hash stands for one that is longer."""

# Heads

HEADER_FIELDS = 1_000
"""Header fields that are looked at."""
QUERY_PARAMETERS = 100
"""Parameters of a query that are looked at."""

# Stored frames and imports

STORED_BYTES = 1 << 27
"""Bytes that a stored frame may come to where it is read: twice the default of
`capture.max_body_bytes`. A larger one is exported as it is stored."""
BASE_BYTES = 1 << 22
"""Bytes of a body against which others are packed, and of these: so much is unpacked once more to
read one, and beside it where a base is removed. What is larger stands alone."""
BASED = 31
"""Bodies that are packed against one: so many are packed anew where it is removed."""
RECENT_BODIES = 1 << 24
"""Bytes of the bodies that the ingester holds to pack later ones against them."""
IMPORTED_BYTES = 1 << 29
"""Bytes that a frame may come to, and a line have, that is imported: the most that
`capture.max_body_bytes` may be."""

# Redaction

COLUMN_SECONDS = 5.0
"""Time for the secrets of one column; beyond it the column is left out."""


def limit_name(name: str, limit: int = NAME) -> str:
    """Return a name of at most `limit` characters: of a longer one its start, and a hash of it."""
    if len(name) <= limit:
        return name
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:_HASH]
    return f"{name[: limit - _HASH - 1]}~{digest}"


def shorten_name(name: str, limit: int = NAME_IN_LINE) -> str:
    """Return as much of a name as fits a line; the beginning of an id is enough to find it."""
    return name[:limit]


class Deadline:
    """A time by which work ends, by the clock or by the processor's time of this thread."""

    __slots__ = ("_clock", "_end")

    def __init__(self, seconds: float, *, processor: bool = False) -> None:
        self._clock = time.thread_time if processor else time.monotonic
        self._end = self._clock() + seconds

    @property
    def has_passed(self) -> bool:
        """Return whether the time is over."""
        return self._clock() >= self._end


MESSAGE_CHARS = 2000
