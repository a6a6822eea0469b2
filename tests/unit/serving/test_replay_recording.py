"""Streams that were recorded, replayed."""

from __future__ import annotations

import json
from typing import Any

import pytest
import zstandard

from response_store.model.zstd import build_raw_frame
from response_store.openai_api.sse import parse_stream
from response_store.serving.request import ServedResponse
from tests.fakes import bodies
from tests.fakes.dialects import OPENAI, Dialect
from tests.unit.serving.responses import AT, found, get, recorded

STREAM = f"{AT}?stream=true"
EVENTS = bodies.stream_events(response_id="resp_x", obfuscated=True)
WHOLE = EVENTS[-1]["response"]
DIALECTS = {
    "OpenAI's": OPENAI,
    "data only, with a mark at the end": Dialect(event_lines=False, done=True),
    "comments and pings": Dialect(comments=True, pings=True),
    "CRLF, several lines, a BOM": Dialect(newline="\r\n", multiline=True, bom=True),
    "without the last blank line": Dialect(last_blank=False),
}


def data_of(body: bytes) -> list[Any]:
    """The events of a body, without pings and marks."""
    return [json.loads(e.data) for e in parse_stream(body) if e.data.lstrip().startswith(b"{")]


@pytest.mark.parametrize("name", DIALECTS)
def test_a_recording_comes_byte_for_byte(name: str) -> None:
    """The whole stream is what once came, whatever the server's habits."""
    packed = recorded(EVENTS, DIALECTS[name])
    assert get(STREAM, found(WHOLE, packed)).body == b"".join(DIALECTS[name].frames(EVENTS))


def test_a_small_recording() -> None:
    """The frames that small bodies are kept in are read as well."""
    body = b"".join(OPENAI.frames(EVENTS))
    assert get(STREAM, found(WHOLE, build_raw_frame(body))).body == body


@pytest.mark.parametrize("name", DIALECTS)
def test_going_on_after_an_event(name: str) -> None:
    """What comes behind an event comes as it is, the mark at the end included."""
    stored = found(WHOLE, recorded(EVENTS, DIALECTS[name]))
    for after in (0, 4, len(EVENTS) - 2):
        body = get(f"{STREAM}&starting_after={after}", stored).body
        assert data_of(body) == EVENTS[after + 1 :]
        assert (b"[DONE]" in body) is DIALECTS[name].done
    assert data_of(get(f"{STREAM}&starting_after={len(EVENTS) - 1}", stored).body) == []


@pytest.mark.parametrize("name", DIALECTS)
def test_padding_is_left_out(name: str) -> None:
    """Without obfuscation everything else is there."""
    stored = found(WHOLE, recorded(EVENTS, DIALECTS[name]))
    body = get(f"{STREAM}&include_obfuscation=false", stored).body
    assert data_of(body) == [
        {name: value for name, value in event.items() if name != "obfuscation"} for event in EVENTS
    ]


def test_padding_is_left_out_behind_an_event_too() -> None:
    """Both wishes at once."""
    stored = found(WHOLE, recorded(EVENTS))
    body = get(f"{STREAM}&starting_after=3&include_obfuscation=false", stored).body
    assert b"obfuscation" not in body
    assert data_of(body)[0]["sequence_number"] == 4


OTHER = bodies.stream_events(response_id="resp_y")


def unfinished(body: bytes) -> bytes:
    """A frame that holds all of a body, but not its own end."""
    compressing = zstandard.ZstdCompressor().compressobj()
    return compressing.compress(body) + compressing.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)


UNFIT = {
    "none": None,
    "the tail of a resumed stream": recorded(EVENTS[3:]),
    "one that broke off": recorded(EVENTS[:-1]),
    "another response's": recorded(OTHER),
    "no stream": zstandard.compress(b'{"id":"resp_x"}'),
    "nothing": zstandard.compress(b""),
    "no frame": b"not zstd",
    "half a frame": recorded(EVENTS)[:-20],
    "a frame without its end": unfinished(b"".join(OPENAI.frames(EVENTS))),
}


@pytest.mark.parametrize("name", UNFIT)
def test_what_is_not_the_whole_stream_is_passed_over(name: str) -> None:
    """Anything less than the whole recording gives way to a stream that is made."""
    packed = UNFIT[name]
    assert get(STREAM, found(WHOLE, packed)).body == get(STREAM, found(WHOLE)).body


def test_events_without_numbers() -> None:
    """Where no number tells what comes behind one, the stream is made."""
    bare = [{k: v for k, v in event.items() if k != "sequence_number"} for event in EVENTS]
    stored = found(WHOLE, recorded(bare))
    assert get(STREAM, stored).body == b"".join(OPENAI.frames(bare))
    after = f"{STREAM}&starting_after=3"
    assert get(after, stored).body == get(after, found(WHOLE)).body


def test_numbers_beyond_the_recording() -> None:
    """Who counts by another stream gets the end."""
    stored = found(WHOLE, recorded(EVENTS))
    (last,) = data_of(get(f"{STREAM}&starting_after=999", stored).body)
    assert (last["type"], last["sequence_number"]) == ("response.completed", 1000)


def test_json_needs_no_recording() -> None:
    """Without `stream` the object comes."""
    packed = recorded(EVENTS)
    assert json.loads(get(AT, ServedResponse(json.dumps(WHOLE), "", packed)).body) == WHOLE


def test_the_events_are_padded() -> None:
    """Nothing would be left out otherwise."""
    assert any("obfuscation" in event for event in EVENTS)
