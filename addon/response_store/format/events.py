"""Put the events of a stream beside the times at which they came, for people to read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from msgspec import Raw

from response_store import jsontext
from response_store.jsontext import TooManyValuesError
from response_store.limits import READ_SECONDS, Deadline
from response_store.model.event_times import decode_event_times
from response_store.openai_api.sse import (
    BOM,
    Event,
    begins_stream,
    find_frame_ends,
    parse_stream,
    read_type,
    split_stream,
)

# What each event of a stream repeats of the others, or its name says.
_REPEATED = frozenset(
    "type sequence_number item_id output_index content_index summary_index obfuscation stream_id"
    " id object created model system_fingerprint service_tier".split()
)
_MAX_SHORTENED = 1 << 14  # bytes: what is longer is cut off long before its end anyway
_CLOCK_INTERVAL = 256  # frames
_LATE = 1_000  # milliseconds


class TimedEvent(NamedTuple):
    """An event, or a comment, which has no name and its data as it stands.

    `ms` are the milliseconds since the start of the exchange, None where they are not known.
    `is_late`: it came a second or more after what came before it.
    """

    ms: int | None
    event: Event
    is_late: bool = False

    @property
    def name(self) -> str:
        """Return the event's name, else the type that its data says; a comment has none."""
        return self.event.name.decode(errors="replace") or read_type(self.event)

    @property
    def data(self) -> str:
        """Return the data as text."""
        return self.event.data.decode(errors="replace")


def list_timed_events(stream: bytes, event_times: str | None) -> Iterator[TimedEvent]:
    """Yield the events of an answer that was kept as it came, and its comments.

    `event_times` is the column beside it. What is no stream comes line by line, without times.
    Raises TooManyValuesError where reading takes too long.
    """
    if not begins_stream(stream.removeprefix(BOM)):
        for line in filter(None, stream.split(b"\n")):
            yield TimedEvent(None, Event(b"", line))
        return
    deadline = Deadline(READ_SECONDS, processor=True)
    times = None
    if event_times is not None:
        times = decode_event_times(event_times, sum(1 for _ in find_frame_ends(stream)))
    before: int | None = 0
    for number, frame in enumerate(split_stream(stream)):
        if number % _CLOCK_INTERVAL == _CLOCK_INTERVAL - 1 and deadline.has_passed:
            raise TooManyValuesError("a stream that takes too long to read")
        ms = times[number] if times is not None else None
        is_late = ms is not None and before is not None and ms - before >= _LATE
        before = ms
        # A mark of the byte order means nothing but before the first frame.
        events = [*parse_stream(b"\n" + frame if number else frame)]
        if not events and frame.startswith(b":"):
            events = [Event(b"", frame.strip())]
        for place, event in enumerate(events):
            yield TimedEvent(ms, event, is_late and not place)


def shorten_data(data: str) -> str:
    """Return the data of an event without what its name and the other events say as well."""
    if len(data) > _MAX_SHORTENED:
        return data
    try:
        members = jsontext.slice_all_members(data.encode(errors="replace"))
    except jsontext.UnreadableError:
        return data
    kept = {name: value for name, value in members.items() if not _is_repeated(name, value)}
    texts = (b"%b: %b" % (jsontext.encode_string(name), value) for name, value in kept.items())
    return f"{{{b', '.join(texts).decode(errors='replace')}}}"


def _is_repeated(name: str, value: Raw) -> bool:
    return name in _REPEATED or (name == "logprobs" and bytes(value) in (b"[]", b"null"))


def format_offset(ms: int | None) -> str:
    """Return milliseconds as `+0.512 s`; nothing where they are not known."""
    return "" if ms is None else f"+{ms / 1000:.3f} s"
