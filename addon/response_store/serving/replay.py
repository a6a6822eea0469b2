"""A stored response as a stream: the recorded one if it was stored, else a synthetic one.

Both are the same at each request, so a client that breaks off can go on after any event. One that
comes with a number of another stream, that of the model's server, gets the terminal event at least:
without it, it would wait for ever or ask again and again.
"""

from __future__ import annotations

from response_store.json_text import check_values
from response_store.serving.events import encode_synthetic_event, number_events
from response_store.serving.made_stream import synthesize_events
from response_store.serving.recording import read_recording
from response_store.serving.request import GetResponse


def replay_body(request: GetResponse, text: bytes, recorded: bytes | None) -> bytes:
    """Return the body of a response's stream, made from its JSON text. Raises UnreadableError."""
    recording = read_recording(recorded, request.id)
    if recording is not None:
        body = recording.replay(request.starting_after, obfuscation=request.obfuscation)
        if body is not None:
            return body
    return _synthesize_body(text, request.starting_after)


def _synthesize_body(text: bytes, starting_after: int | None) -> bytes:
    check_values(text)
    events = number_events(synthesize_events(text))
    if starting_after is None:
        return b"".join(encode_synthetic_event(number, event) for number, event in events)
    last_number, last = events[-1]
    if starting_after > last_number:
        return encode_synthetic_event(starting_after + 1, last)
    return b"".join(
        encode_synthetic_event(number, event) for number, event in events if number > starting_after
    )
