"""A stored response as a stream: the recorded one where it was kept, else one that is made.

Both are the same at each request, so a client that breaks off can go on after any event. One that
comes with a number of another stream, that of the model's server, gets the terminal event at least:
without it, it would wait for ever or ask again and again.
"""

from __future__ import annotations

from response_store.json_text import check_values
from response_store.serving.events import frame, numbered
from response_store.serving.made_stream import made_stream
from response_store.serving.recording import read_recording
from response_store.serving.request import Get


def replayed(asked: Get, text: bytes, recorded: bytes | None) -> bytes:
    """Return the body of a response's stream, made from its JSON text. Raises UnreadableError."""
    recording = read_recording(recorded, asked.id)
    if recording is not None:
        body = recording.replayed(asked.starting_after, obfuscation=asked.obfuscation)
        if body is not None:
            return body
    return _made(text, asked.starting_after)


def _made(text: bytes, starting_after: int | None) -> bytes:
    check_values(text)
    events = numbered(made_stream(text))
    if starting_after is None:
        return b"".join(frame(number, made) for number, made in events)
    last_number, last = events[-1]
    if starting_after > last_number:
        return frame(starting_after + 1, last)
    return b"".join(frame(number, made) for number, made in events if number > starting_after)
