"""The events of a stream beside their times: each gets its own, or none gets any."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from response_store.format import events
from response_store.format.events import (
    format_offset,
    list_timed_events,
    shorten_data,
)
from response_store.jsontext import TooManyValuesError
from response_store.model.event_times import encode_event_times
from response_store.openai_api.sse import Event, parse_stream
from tests.fakes import bodies
from tests.fakes.dialects import BOM, DIALECTS, OPENAI
from tests.harness.each import each

STREAM = b": hello\n\nevent: a\ndata: {}\n\ndata: 1\ndata: 2\n\n\n\ndata: [DONE]"
TIMES = '{"ms":[5,10,20,40]}'


def drop_comments(listed: Iterable[Event]) -> list[Event]:
    """The events that are no comments."""
    return [one for one in listed if not one.data.startswith(b":")]


def test_each_event_has_its_time() -> None:
    """Comments have one as well; an event of several JSON lines is several, which came at once."""
    listed = list_timed_events(STREAM, TIMES)
    assert [(one.ms, *one.event) for one in listed] == [
        (5, b"", b": hello"), (15, b"a", b"{}"), (35, b"", b"1\n2"), (75, b"", b"[DONE]"),
    ]  # fmt: skip


@pytest.mark.parametrize("column", [None, '{"ms":[5,10,20]}', "{}", '{"ms":[5,10,20,40,1]}'])
def test_times_that_do_not_fit(column: str | None) -> None:
    """Where the numbers differ no event has a time; all events are there."""
    listed = [*list_timed_events(STREAM, column)]
    assert [one.ms for one in listed] == [None] * 4


@each("dialect", DIALECTS)
def test_every_dialect(dialect: str) -> None:
    """The events are those that a whole stream is read as, whatever its line ends are."""
    stream = b"".join(DIALECTS[dialect].frames(bodies.stream_events()))
    assert drop_comments(one.event for one in list_timed_events(stream, None)) == drop_comments(
        parse_stream(stream)
    )


pieces = st.sampled_from(
    [b"data: x", b"event: e\n", b": c", b"\n", b"\r", b"\r\n", b"\n\n", b"\r\n\r\n", b"\r\r", BOM]
    + [b'data: {"type":"t"}\n\n', b"id: 1", b"data"]
)


@given(st.lists(pieces, max_size=12).map(b"".join))
@example(BOM + b"data: x")
def test_any_stream(tail: bytes) -> None:
    """However it is spelled, the events are those of the whole, and each finds its time."""
    stream = b"data: 0\n\n" + tail
    assert drop_comments(one.event for one in list_timed_events(stream, None)) == drop_comments(
        parse_stream(stream)
    )


def test_what_is_no_stream() -> None:
    """Lines stand for events, as of servers that stream JSON alone."""
    assert [one.event for one in list_timed_events(b'{"a":1}\n\n{"b":2}\n', TIMES)] == [
        Event(b"", b'{"a":1}'), Event(b"", b'{"b":2}'),
    ]  # fmt: skip


def test_names() -> None:
    """An event without a name is called what its data says that it is."""
    stream = b'event: a\ndata: {"type": "b"}\n\ndata: {"type": "b"}\n\ndata: 1\n\n: c\n\n'
    assert [one.name for one in list_timed_events(stream, None)] == ["a", "b", "", ""]


def test_a_stream_that_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading ends at its deadline."""
    monkeypatch.setattr(events, "READ_SECONDS", -1.0)
    with pytest.raises(TooManyValuesError):
        list(list_timed_events(b"data: 1\n\n" * 1000, None))


def test_late_events() -> None:
    """An event stands out that came a second or more after what came before it, or the request."""
    stream = b"data: 1\n\n" * 5
    for column, late in (
        ('{"ms":[1000,0,999,1000,1]}', [True, False, False, True, False]),
        ('{"ms":[999,[2,1000],[2,1]]}', [False, True, False, False, False]),
        ('{"ms":[5,[3,4000],700],"thinned":true}', [False] * 5),
    ):
        assert [one.is_late for one in list_timed_events(stream, column)] == late


def test_thinned_times() -> None:
    """An event of a long stream has its own time or none."""
    count = 5_000
    column = encode_event_times([(at + 1, 3 * at) for at in range(count)])
    listed = [*list_timed_events(b"data: 1\n\n" * count, column)]
    assert all(one.ms in (None, 3 * at) for at, one in enumerate(listed))
    assert listed[-1].ms == 3 * (count - 1)


@pytest.mark.parametrize(
    ("data", "short"),
    [
        (
            (
                '{"type":"response.output_text.delta","sequence_number":4,"item_id":"msg_1",'
                '"output_index":0,"content_index":0,"delta":"He\\"","logprobs":[],"obfuscation":"x"}'
            ),
            '{"delta": "He\\""}',
        ),
        ('{"logprobs":[{"token":"a"}]}', '{"logprobs": [{"token":"a"}]}'),
        (
            (
                '{"id":"c","object":"chat.completion.chunk","created":1,"model":"m",'
                '"choices":[{"index":0,"delta":{"content":"é"}}]}'
            ),
            '{"choices": [{"index":0,"delta":{"content":"é"}}]}',
        ),
        ("[DONE]", "[DONE]"),
        ('{"type":', '{"type":'),
        ("\ufffd", "\ufffd"),
        ('{"a":"\ud800"}', '{"a": "?"}'),
    ],
)
def test_what_an_event_brings(data: str, short: str) -> None:
    """What its name or the others say is left out; what is no object stays as it is."""
    assert shorten_data(data) == short


def test_what_is_large_is_not_read() -> None:
    """It is cut off long before its end anyway."""
    data = json.dumps({"type": "a", "delta": "x" * 20_000})
    assert shorten_data(data) == data


@pytest.mark.parametrize(
    ("ms", "text"), [(None, ""), (0, "+0.000 s"), (512, "+0.512 s"), (75_250, "+75.250 s")]
)
def test_times_as_they_are_shown(ms: int | None, text: str) -> None:
    """Seconds since the request."""
    assert format_offset(ms) == text


def test_times_of_a_recorded_stream() -> None:
    """As many times as frames fit, one more or less does not."""
    frames = OPENAI.frames(bodies.stream_events())
    for more in (-1, 0, 1):
        column = encode_event_times([(at + 1, at) for at in range(len(frames) + more)])
        times = [one.ms for one in list_timed_events(b"".join(frames), column)]
        assert times == ([*range(len(frames))] if more == 0 else [None] * len(frames))
