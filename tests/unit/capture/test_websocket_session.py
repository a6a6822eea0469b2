"""Every response on a socket is one exchange, and every message goes to the right one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from response_store.journal.frames import FrameKind
from response_store.model.records import EndedBy, ExchangeRow
from response_store.openai_api.websocket_messages import CONNECTION_LIMIT
from tests.fakes import bodies
from tests.harness.database import unpacked
from tests.unit.capture.sockets import Played, answering, creating, refusing

TEXT = bodies.TEXT
FAULT = {"code": "server_error", "message": "no"}


def told(row: ExchangeRow) -> tuple[str, str | None, str | None]:
    return row.state, row.output_text, row.ended_by


WELL = ("completed", TEXT, "terminal_event")


def test_turns_in_one_lane() -> None:
    """Requests of one lane get the responses in the order in which they asked."""
    played = Played().client(creating("gpt-a"), creating("gpt-b"))
    played.server(*answering(), *answering(text="two"))
    rows = played.end()
    assert [(row.requested_model, row.output_text) for row in rows] == [
        ("gpt-a", TEXT),
        ("gpt-b", "two"),
    ]
    assert len({row.exchange_id for row in rows}) == 2


def test_lanes_interleave() -> None:
    """Messages of lanes that run at a time go to their own turns."""
    played = Played().client(creating("gpt-a", stream_id="a"), creating("gpt-b", stream_id="b"))
    texts = answering("a", text="aaaaaaaaa"), answering("b", text="bbbbbbbbb")
    for left, right in zip(*texts, strict=True):
        played.server(right, left)
    assert [(row.requested_model, row.output_text) for row in played.end()] == [
        ("gpt-a", "aaaaaaaaa"),
        ("gpt-b", "bbbbbbbbb"),
    ]


def test_a_lane_that_the_server_does_not_name() -> None:
    """Where there is one lane only, messages that name none belong to it."""
    played = Played().client(creating(stream_id="a")).server(*answering())
    assert [told(row) for row in played.end()] == [WELL]


def test_two_responses_without_a_lane() -> None:
    """Messages that carry their response go to it, also where two run in one lane."""
    first, second = answering(text="one"), answering(text="two")
    played = Played().client(creating(), creating())
    played.server(first[0], second[0], *second[1:], first[-1])
    assert [row.output_text for row in played.end()] == ["one", "two"]


def test_a_response_that_is_not_announced() -> None:
    """A server that begins without `response.created` is understood."""
    played = Played().client(creating()).server(*answering()[2:])
    assert [told(row) for row in played.end()] == [WELL]


def test_a_response_that_nobody_asked_for() -> None:
    """A response without a request is a turn of its own, with what the response says."""
    played = Played().server(*answering(previous_response_id="resp_0"))
    (record,) = played.records
    assert told(record.exchange) == WELL
    assert record.exchange.previous_response_id == "resp_0"
    assert record.exchange.request_body is None
    assert record.response is not None


def test_a_terminal_message_alone() -> None:
    """The end of a response that began before we looked is kept whole."""
    played = Played().server(answering()[-1])
    assert [told(row) for row in played.end()] == [WELL]


def test_a_terminal_message_twice() -> None:
    """A terminal message that comes again changes nothing."""
    messages = answering()
    played = Played().client(creating()).server(*messages, messages[-1])
    assert len(played.end()) == 1
    assert played.counters.get("websocket.beside") == 1


def test_steering() -> None:
    """The response after a steered one has the steering message as its request."""
    first = answering(response_id="resp_1", status="incomplete")
    items = [{"type": "message", "role": "user", "content": "Shorter."}]
    steer = {"type": "response.steer", "previous_response_id": "resp_1", "input": items}
    again = {**steer, "input": "And in verse."}
    played = Played().client(creating()).server(*first[:5]).client(steer, again)
    played.server(*first[5:], *answering(previous_response_id="resp_1"))
    played.end()
    old, new = played.records
    assert (old.exchange.state, new.exchange.state) == ("incomplete", "completed")
    assert new.exchange.previous_response_id == "resp_1"
    assert new.response is not None
    asked = json.loads(new.response.input)
    assert asked[0] == items[0]
    assert "And in verse." in json.dumps(asked[1])


def test_steering_is_masked() -> None:
    """Credentials in a steering message are masked, and so is an answer that repeats them."""
    tools = [{"type": "mcp", "authorization": "Bearer canary-authorization"}]
    steer = {"type": "response.steer", "previous_response_id": "resp_1", "input": "x"}
    played = Played().client({**steer, "tools": tools})
    played.server(*answering(text="canary-authorization", previous_response_id="resp_1"))
    (row,) = played.end()
    assert row.request_body is not None
    assert json.loads(unpacked(row.request_body))["tools"][0]["authorization"] == "***"
    assert row.output_text == "***"


def test_turns_of_one_moment() -> None:
    """Turns that begin at the same moment are told apart."""
    played = Played()
    for _ in range(3):
        played.socket.client(json.dumps(creating()).encode(), played.now)
    assert len({row.exchange_id for row in played.end()}) == 3


def test_steering_beside_a_request() -> None:
    """A request that waits is not taken for what a steered response is followed by."""
    steer = {"type": "response.steer", "previous_response_id": "resp_1", "input": "No."}
    played = Played().client(creating()).server(*answering(response_id="resp_1"))
    played.client(steer, creating("gpt-later"))
    played.server(*answering(text="No!", previous_response_id="resp_1"), *answering(text="later"))
    assert [(row.requested_model, row.output_text) for row in played.end()] == [
        ("gpt-5", TEXT),
        ("gpt-later", "later"),
        (None, "No!"),
    ]


def test_the_answer_to_required_input_is_asked_for() -> None:
    """A request that continues a steered response by itself is bound to what follows."""
    steer = {"type": "response.steer", "previous_response_id": "resp_1", "input": "No."}
    played = Played().client(creating()).server(*answering(response_id="resp_1")[:5])
    played.client(steer).server(*answering(response_id="resp_1")[5:])
    played.client(creating("gpt-next", previous_response_id="resp_1"))
    played.server(*answering(text="next", previous_response_id="resp_1"))
    assert [row.requested_model for row in played.end()] == ["gpt-5", "gpt-next"]


SHAPES = [{"error": FAULT}, FAULT]


@pytest.mark.parametrize("shape", SHAPES, ids=["nested", "flat"])
def test_an_error_instead_of_a_response(shape: dict[str, Any]) -> None:
    """An error that stands for a status refuses the request, at once."""
    played = Played().client(creating()).server(refusing(status=429, **shape))
    (row,) = played.rows
    assert (row.state, row.status_code, row.error_code) == ("refused", 429, "server_error")
    assert played.end() == [row]


@pytest.mark.parametrize("shape", SHAPES, ids=["nested", "flat"])
def test_an_error_in_a_response(shape: dict[str, Any]) -> None:
    """An error ends the response that runs, with the text that had come."""
    played = Played().client(creating()).server(*answering()[:5], refusing(status=500, **shape))
    (row,) = played.rows
    assert (row.state, row.status_code, row.error_code) == ("failed", 101, "server_error")
    assert (row.output_text, row.ended_by) == (TEXT[:7], "body")
    assert row.raw_response is not None


def test_an_error_is_about_what_waits() -> None:
    """An error is about the request that waits, where another response runs in its lane."""
    messages = answering()
    played = Played().client(creating("gpt-a")).server(*messages[:5]).client(creating("gpt-b"))
    played.server(refusing(status=400, error=FAULT), *messages[5:])
    assert [(row.requested_model, row.state) for row in played.end()] == [
        ("gpt-a", "completed"),
        ("gpt-b", "refused"),
    ]


@pytest.mark.parametrize("announced", [True, False])
def test_a_failure_after_an_error(announced: bool) -> None:
    """`response.failed` after an error is about the same turn, and brings its response."""
    messages = [{**event} for event in bodies.failed_events(response_id="resp_1")]
    played = Played().client(creating())
    played.server(*messages[: 5 if announced else 0], refusing(error=FAULT), messages[-1])
    played.end()
    (record,) = played.records
    assert record.exchange.state == "failed"
    assert record.response is not None
    ends = [frame for frame in played.capturing.frames if frame.kind is FrameKind.END]
    assert len(ends) == 2


def test_an_error_that_names_no_lane() -> None:
    """An error that may be about any of several lanes ends none, and tells if nothing follows."""
    played = Played().client(creating(stream_id="a"), creating(stream_id="b"))
    first = answering("a")
    played.server(first[0], *answering("b")[:5], refusing(error=FAULT))
    assert played.rows == []
    played.server(*first[1:])
    rows = played.end()
    assert [row.state for row in rows] == ["completed", "failed"]
    assert rows[1].error_code == "server_error"


def test_the_end_of_the_hour() -> None:
    """At the connection's age limit what waits is refused; what runs may still end well."""
    limit = refusing(status=400, error=FAULT | {"code": CONNECTION_LIMIT})
    played = Played().client(*(creating(f"gpt-{name}", stream_id=name) for name in "abc"))
    played.server(*answering("a")[:5], *answering("b")[:5], limit, *answering("b")[5:-1])
    done = answering("b")[-1]
    played.server(done)
    rows = played.end(EndedBy.UPSTREAM)
    assert [row.state for row in rows][:1] == ["failed"]
    assert rows[2].state == "refused"
    assert rows[0].error_code == rows[2].error_code == CONNECTION_LIMIT


@pytest.mark.parametrize("by", [EndedBy.CLIENT, EndedBy.UPSTREAM])
def test_the_socket_ends(by: EndedBy) -> None:
    """What runs or waits when the socket ends is interrupted by whoever ended it."""
    played = Played().client(creating(), creating(stream_id="b")).server(*answering()[:5])
    assert [told(row) for row in played.end(by)] == [
        ("interrupted", TEXT[:7], by.value),
        ("interrupted", None, by.value),
    ]


ODD = [b"", b"{", b"[]", b"null", b'"text"', b"\xff\xfe", b'{"type":', b"[" * 2000]


@pytest.mark.parametrize("message", ODD, ids=range(len(ODD)))
def test_what_can_not_be_read(message: bytes) -> None:
    """What is no JSON object is counted and changes nothing."""
    played = Played().client(message, creating()).server(message, *answering())
    assert [told(row) for row in played.end()] == [WELL]
    assert played.counters.get("websocket.unreadable") == 2


NOBODYS: list[Any] = [
    {},
    {"type": 5},
    {"type": "response.completed"},
    {"type": "response.created", "response": None},
    {"type": "response.output_text.delta", "delta": "x", "output_index": 0},
    {"type": "error"},
    {"type": "error", "error": "text", "status": "x"},
    {"type": "response.completed", "response": {"id": 5}},
    {"stream_id": {"deep": [1]}, "type": "response.output_text.delta"},
]


@pytest.mark.parametrize("message", NOBODYS, ids=range(len(NOBODYS)))
def test_what_belongs_to_nobody(message: Any) -> None:
    """Messages that belong to no turn are counted."""
    played = Played().server(message)
    assert played.end() == []
    assert played.counters.get("websocket.beside") == 1


def test_escapes_are_read() -> None:
    """A lone surrogate, which fast readers refuse, does not hide what a message is."""
    create = b'{"input":"\\ud83d","model":"gpt-5","type":"response.create","stream_id":"a"}'
    played = Played().client(create).server(*answering("a"))
    assert [told(row) for row in played.end()] == [WELL]


def test_indented_messages() -> None:
    """Messages over several lines are read as any others."""
    played = Played().client(json.dumps(creating(), indent=2).encode())
    played.server(*(json.dumps(event, indent=2).encode() for event in answering()))
    assert [told(row) for row in played.end()] == [WELL]


@pytest.mark.parametrize("ends", [True, False])
def test_an_answer_above_the_limit(ends: bool) -> None:
    """Of one that is too large the beginning is kept, and its end; the others don't suffer."""
    played = Played(limit=20_000).client(creating(), creating())
    messages = answering(text="x" * 10_000)
    played.server(*messages[: None if ends else -1], *answering())
    first, second = played.end()
    if ends:
        assert told(first) == ("completed", "x" * 10_000, "terminal_event")
    else:
        assert (first.state, first.ended_by) == ("too_large", "client")
        assert 0 < len(first.output_text or "") < 10_000
    assert told(second) == WELL


def test_a_request_above_the_limit() -> None:
    """A request that is too large is not held; its turn is kept all the same."""
    played = Played(limit=15_000).client(creating(input="x" * 15_000)).server(*answering())
    (row,) = played.end()
    assert told(row) == WELL
    assert (row.request_body, row.error_code) == (None, "unreadable_request")


def test_requests_above_the_budget() -> None:
    """All that turns hold together is bounded, and given back turn by turn."""
    played = Played(total=30_000)
    for _ in range(20):
        played.client(creating(input="x" * 9_000))
    assert 18_000 < played.budget.held <= 30_000
    assert len(played.end()) == 20


def test_steering_is_bounded() -> None:
    """Steering messages whose responses never come are let go."""
    steer = {"type": "response.steer", "previous_response_id": "resp_1", "input": "x" * 1_000}
    played = Played()
    for _ in range(500):
        played.client(steer)
    assert played.budget.held < 100_000
    played.end()


def test_refusing() -> None:
    """A request that this proxy refuses has a row, and the client an error in its lane."""
    played = Played()
    refused = played.socket.refuse(json.dumps(creating(stream_id="a")).encode(), played.now)
    assert refused is not None
    exchange, answer = refused
    assert exchange is not None
    assert exchange.ended
    assert (json.loads(answer)["stream_id"], json.loads(answer)["status"]) == ("a", 503)
    (row,) = played.end()
    assert (row.state, row.ended_by, row.status_code) == ("refused", "proxy", 503)
    assert row.error_code == "response_store_unavailable"
    assert played.socket.refuse(b'{"type":"response.steer"}', 0.0) is None
    assert played.socket.refuse(b"{", 0.0) is None


# Frames


def test_a_turn_that_lasts() -> None:
    """It is in the journal a quarter of a second after its request, and its messages follow."""
    played = Played().client(creating())
    messages = answering()
    for message in messages[:-1]:
        played.server(message)
        played.capturing.loop.pass_time(0.25)
    came = b"".join(frame.body for frame in played.capturing.frames[1:])
    assert played.capturing.kinds == ["OPEN", *["PART"] * len(messages[:-1])]
    assert came.count(b"data: ") == len(messages) - 1
    played.server(messages[-1])
    assert played.capturing.kinds[-1] == "END"
    assert [told(row) for row in played.end()] == [WELL]


@pytest.mark.parametrize("lasts", [True, False])
def test_a_failure_that_comes_late(lasts: bool) -> None:
    """What follows an error is written once more, with all that came before."""
    messages = bodies.failed_events(response_id="resp_1")
    played = Played().client(creating())
    if lasts:
        played.capturing.loop.pass_time(0.3)
    played.server(messages[0], refusing(error=FAULT))
    played.capturing.loop.pass_time(0.3)
    played.server(messages[-1])
    ends = [frame for frame in played.capturing.frames if frame.kind is FrameKind.END]
    assert [end.head.ended_by for end in ends] == ["body", "terminal_event"]
    assert [end.head.is_whole for end in ends] == [False, lasts]
    assert ends[-1].answer_body.count(b"data: ") == 3
    assert ends[-1].request_body != b""
    assert len(played.ended) == 2


def test_a_turn_with_credentials() -> None:
    """Nothing of it is given to the journal, of other turns everything is."""
    tools = [{"type": "mcp", "authorization": "c4n4ry"}]
    played = Played().client(creating("gpt-a", tools=tools), creating("gpt-b"))
    played.server(*answering(text="c4n4ry"), *answering())
    rows = played.end()
    assert [row.output_text for row in rows] == ["c4n4ry", TEXT]  # too short to be looked for
    journal = b"".join(frame.packed + frame.body for frame in played.capturing.journal.frames)
    assert b"c4n4ry" not in journal
    assert b"gpt-b" in journal
    assert rows[0].request_body is not None
    assert b"c4n4ry" not in unpacked(rows[0].request_body)


def test_names_are_bounded() -> None:
    """Whatever a server names fits into the head of a frame."""
    played = Played(limit=1 << 23, total=1 << 24)
    played.server(*answering(text="x", previous_response_id="resp_" + "y" * (1 << 21)))
    (row,) = played.end()
    assert row.state == "completed"
    assert played.capturing.kinds[-1] == "END"


@pytest.mark.parametrize("end", [EndedBy.CLIENT, EndedBy.UPSTREAM])
def test_nothing_is_held_in_the_end(end: EndedBy) -> None:
    """However turns, errors and steering mix, the memory is free when the socket ends."""
    steer = {"type": "response.steer", "previous_response_id": "resp_1", "input": "x"}
    played = Played(redact="common").client(creating(), steer, creating(stream_id="a"), steer)
    played.server(*answering()[:4], refusing("a", error=FAULT), *answering("b")[:3])
    assert played.budget.held > 0
    assert len(played.end(end)) == 3


def test_open_turns_are_bounded() -> None:
    """What is asked while too many turns are open passes, is not followed, and is counted."""
    played = Played(total=1 << 24)
    lanes = [{"type": "response.create", "stream_id": n, "model": "m"} for n in range(300)]
    played.client(*lanes)
    assert played.recorder.open_exchanges == 256
    assert played.counters.snapshot()["websocket.too_many_turns"] == 44
    unasked = [
        {"type": "response.created", "stream_id": n, "response": {"id": f"r{n}"}}
        for n in range(250, 300)
    ]
    played.server(*unasked)
    assert played.recorder.open_exchanges == 256
    assert played.counters.snapshot()["websocket.too_many_turns"] == 88


def test_a_large_message_is_kept_whole() -> None:
    """A message of hundreds of kilobytes is read at its ends, and kept as it came."""
    text = "x" * 300_000
    output = [{"type": "message", "content": [{"type": "output_text", "text": text}]}]
    response = {"id": "r", "object": "response", "status": "completed", "output": output}
    played = Played(limit=1 << 20, total=1 << 24)
    played.client({"type": "response.create", "model": "m", "input": text})
    played.server({"type": "response.completed", "response": response})
    assert played.recorder.open_exchanges == 0
    assert [len(played.ended), played.ended[0].stream is not None] == [1, True]


def renamed(response_id: str, message: dict[str, Any]) -> dict[str, Any]:
    """A message whose response has another id."""
    return message | {"response": message["response"] | {"id": response_id}}


def test_an_id_that_changes() -> None:
    """A turn is one row though its response is called otherwise at the end, or in between."""
    first, second, *middle, last = answering()
    for messages in (
        [first, second, *middle, renamed("resp_z", last)],
        [first, renamed("resp_y", second), *middle, renamed("resp_z", last)],
    ):
        played = Played().client(creating()).server(*messages)
        (row,) = played.end()
        assert told(row) == WELL
        assert (row.requested_model, row.response_id) == ("gpt-5", "resp_z")


def test_an_id_that_changes_while_another_turn_waits() -> None:
    """The turn that runs is meant, not the one that waits behind it."""
    first, *rest, last = answering(text="one")
    played = Played().client(creating("gpt-a"), creating("gpt-b"))
    played.server(first, *rest, renamed("resp_z", last), *answering(text="two"))
    rows = played.end()
    assert [(row.requested_model, row.output_text) for row in rows] == [
        ("gpt-a", "one"),
        ("gpt-b", "two"),
    ]


def test_several_messages_in_one() -> None:
    """What one message holds of several is read as if they had come apart."""
    texts = [json.dumps(message).encode() for message in answering()]
    frames = b"".join(b"data: " + text + b"\n\n" for text in texts)
    for content in (b"\n".join(texts), b"".join(texts), frames):
        played = Played().client(creating()).server(content)
        assert [told(row) for row in played.end()] == [WELL]
        assert played.counters.snapshot() == {}


def test_the_reason_of_a_close() -> None:
    """It is the error of the turns that it cuts, and of no other."""
    played = Played().client(creating(), creating()).server(*answering())
    played.ended += played.socket.end(
        EndedBy.UPSTREAM, played.now, ("websocket_close_1011", "out of room")
    )
    well, cut = played.end()
    assert (well.error_code, well.error_message) == (None, None)
    assert (cut.state, cut.error_code) == ("interrupted", "websocket_close_1011")
    assert cut.error_message == "out of room"
