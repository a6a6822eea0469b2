"""Live exchanges: what of them is written when, in which order, and what is waited for."""

from __future__ import annotations

import gzip
import threading
import time
from collections import Counter
from typing import Any

import pytest

from response_store.capture.exchange import Exchange
from response_store.capture.outbox import LARGE
from response_store.capture.recorder import LARGE_WAIT, OPEN_AFTER, SSE_WAIT, TICK
from response_store.journal.frames import FrameKind
from response_store.model.records import EndedBy
from tests.harness.each import each
from tests.harness.work import at_most
from tests.unit.capture.borders import Sent, answer_head, json_head, request_head
from tests.unit.capture.capturing import STARTED, Capturing, end_of, finish

TERMINAL = b'data: {"type":"response.completed","response":{}}\n\n'
DONE = b"data: [DONE]\n\n"
EVENT = b'data: {"type":"response.output_text.delta","delta":"x"}\n\n'
CREDENTIAL = b'{"tools":[{"type":"mcp","authorization":"c4n4ry"}]}'
RAW = {"capture": {"raw_bodies": "always"}}
QUARTER = 0.25  # seconds: what a kill of both processes may take away
MEGABYTES = b"x" * (3 * LARGE)


def parts_of(capturing: Capturing) -> list[Sent]:
    """The parts and the end: together they have the answer."""
    return [frame for frame in capturing.frames if frame.kind in (FrameKind.PART, FrameKind.END)]


def answer_of(capturing: Capturing) -> bytes:
    """All that the frames have of the answer."""
    return b"".join(frame.answer_body for frame in parts_of(capturing))


# Ticks


@pytest.mark.parametrize("phase", [0.0, 0.001, 0.06, 0.124, 0.125, 0.2])
def test_an_exchange_that_lasts_is_opened(phase: float) -> None:
    """A quarter of a second after its request it is in the journal, wherever the clock stands."""
    capturing = Capturing()
    capturing.begin(flow_id="before")  # the ticker runs since then
    capturing.loop.pass_time(phase)
    capturing.begin(b'{"model":"m"}')
    capturing.loop.pass_time(OPEN_AFTER - 0.001)
    assert not [frame for frame in capturing.frames if frame.head.flow_id == "flow"]
    capturing.loop.pass_time(QUARTER - OPEN_AFTER + 0.001)
    (frame,) = [frame for frame in capturing.frames if frame.head.flow_id == "flow"]
    assert (frame.kind, frame.body) == (FrameKind.OPEN, b'{"model":"m"}')


def test_a_short_exchange_is_one_frame() -> None:
    """What ends before that is written once, with its request."""
    capturing = Capturing()
    exchange = capturing.stream(b"asked")
    capturing.feed(exchange, EVENT, apart=0.05)
    capturing.feed(exchange, TERMINAL)
    assert capturing.kinds == ["END"]
    (frame,) = capturing.frames
    assert (frame.request_body, frame.answer_body) == (b"asked", EVENT + TERMINAL)
    capturing.recorder.finish("flow", EndedBy.BODY)
    capturing.loop.pass_time(1.0)
    assert capturing.kinds == ["END"]


def test_parts_follow_as_they_come() -> None:
    """Whatever is whole of a stream is in the journal a quarter of a second later."""
    capturing = Capturing()
    exchange = capturing.stream()
    came = b""
    for number in range(40):
        event = b'data: {"n":%d}\n\n' % number
        capturing.feed(exchange, event[:7], event[7:])
        came += event
        capturing.loop.pass_time(QUARTER)
        assert answer_of(capturing) == came
    capturing.feed(exchange, TERMINAL)
    assert answer_of(capturing) == came + TERMINAL
    assert capturing.kinds[0] == "OPEN"
    assert capturing.kinds[-1] == "END"
    assert end_of(capturing).head.request is None


@pytest.mark.parametrize("size", [1, 5, 17, 64])
def test_parts_are_whole_events(size: int) -> None:
    """However the chunks are cut, no frame but the last one ends within an event."""
    stream = b"".join((*[EVENT] * 20, TERMINAL))
    chunks = [stream[at : at + size] for at in range(0, len(stream), size)]
    capturing = Capturing()
    exchange = capturing.stream()
    capturing.feed(exchange, *chunks, apart=0.03)
    parts = parts_of(capturing)
    assert len(parts) > 3
    assert all(part.body.endswith(b"\n\n") for part in parts)
    assert answer_of(capturing) == stream


def test_only_the_first_part_has_the_head_of_the_answer() -> None:
    """It is the same for all of them; the end has what became of it."""
    capturing = Capturing()
    exchange = capturing.stream()
    capturing.loop.pass_time(QUARTER)
    for _ in range(3):
        capturing.feed(exchange, EVENT)
        capturing.loop.pass_time(QUARTER)
    capturing.feed(exchange, TERMINAL)
    first, *others, end = parts_of(capturing)
    assert first.head.answer == answer_head()
    assert [one.head.answer for one in others] == [None, None]
    assert end.head.answer == answer_head(is_terminated=True)


@pytest.mark.parametrize("how", [{"live": False}, {"target_response_id": "resp_1"}])
def test_what_is_written_at_its_end_alone(how: dict[str, Any]) -> None:
    """What a file holds has no time to last; whether a poll gets a response its end tells."""
    capturing = Capturing()
    exchange = capturing.stream(**how)
    capturing.feed(exchange, EVENT)
    capturing.loop.pass_time(1.0)
    assert capturing.kinds == []
    capturing.feed(exchange, TERMINAL)
    assert capturing.kinds == ["END"]
    assert answer_of(capturing) == EVENT + TERMINAL


def test_ticks_end_with_the_last_exchange() -> None:
    """A proxy without traffic has nothing to do, and begins again with the next request."""
    capturing = Capturing()
    capturing.begin()
    capturing.recorder.finish("flow", EndedBy.BODY)
    capturing.loop.pass_time(TICK)
    assert capturing.loop.timers == 0
    capturing.begin()
    assert capturing.loop.timers == 1
    capturing.loop.pass_time(QUARTER)
    assert capturing.kinds == ["END", "OPEN"]


def test_an_error_in_a_tick_is_that_of_one_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is counted; the others, and the next tick, go on."""
    capturing = Capturing()
    broken = capturing.begin(flow_id="broken")
    capturing.begin()
    make = Exchange.open_frame

    def open_frame(exchange: Exchange) -> Any:
        if exchange is broken:
            raise ValueError("c4n4ry")
        return make(exchange)

    monkeypatch.setattr(Exchange, "open_frame", open_frame)
    capturing.loop.pass_time(QUARTER)
    assert [frame.head.flow_id for frame in capturing.frames] == ["flow"]
    assert capturing.counters.get("fault.progress") >= 1
    capturing.begin(flow_id="later")
    capturing.loop.pass_time(QUARTER)
    assert [frame.head.flow_id for frame in capturing.frames] == ["flow", "later"]


# Ends

ENDS = [EndedBy.BODY, EndedBy.CLIENT, EndedBy.UPSTREAM, EndedBy.PROXY]


@pytest.mark.parametrize("opened", [True, False])
@pytest.mark.parametrize("by", ENDS)
def test_every_end_is_one_frame(by: EndedBy, opened: bool) -> None:
    """It says who ended it and how long it took, and the request where nothing else does."""
    capturing = Capturing()
    exchange = capturing.stream(b"asked")
    capturing.loop.pass_time(0.5 if opened else 0.1)
    capturing.feed(exchange, EVENT, b"data: cut o")
    frame = finish(capturing, by)
    assert frame.head.ended_by == by.value
    assert frame.head.duration_ms == (500.0 if opened else 100.0)
    assert (frame.head.request is None) is opened
    assert frame.request_body == (b"" if opened else b"asked")
    assert answer_of(capturing) == EVENT + b"data: cut o"
    assert capturing.recorder.find("flow") is None
    assert capturing.recorder.open_exchanges == 0


@pytest.mark.parametrize("first", [*ENDS, EndedBy.TERMINAL_EVENT])
@each("second", ENDS)
def test_the_first_end_wins(first: EndedBy, second: EndedBy) -> None:
    """Of two ends the first one counts, and a terminal event after it changes nothing."""
    capturing = Capturing()
    exchange = capturing.stream()
    if first is EndedBy.TERMINAL_EVENT:
        assert capturing.feed(exchange, TERMINAL) == [True]
    else:
        assert capturing.recorder.end_early("flow", first, STARTED) is exchange
    assert exchange.ended
    assert capturing.recorder.end_early("flow", second, STARTED) is None
    capturing.feed(exchange, TERMINAL)
    assert capturing.recorder.finish("flow", second) is None
    assert capturing.recorder.finish("flow", second) is None
    capturing.recorder.close("flow", second)
    assert end_of(capturing).head.ended_by == first.value
    assert capturing.kinds == ["END"]


def test_a_whole_answer() -> None:
    """The body of an answer in one piece comes with the end."""
    capturing = Capturing()
    exchange = capturing.begin()
    exchange.answer = json_head(content_encoding="gzip")
    capturing.loop.pass_time(0.3)
    ended = capturing.recorder.finish("flow", EndedBy.BODY, gzip.compress(b'{"id":"r"}'))
    assert ended is exchange
    assert end_of(capturing).answer_body == b'{"id":"r"}'
    assert capturing.kinds == ["OPEN", "END"]


def test_turns_that_share_a_feed() -> None:
    """Where the caller ends the exchange itself a terminal event does not."""
    capturing = Capturing()
    exchange = capturing.stream()
    assert capturing.recorder.feed(exchange, TERMINAL, ends=False)
    assert not exchange.ended
    assert finish(capturing).answer_body == TERMINAL


def test_a_replayed_flow() -> None:
    """A flow that is sent again keeps its id: what went before ends, and a new one begins."""
    capturing = Capturing()
    capturing.begin(b"one")
    second = capturing.begin(b"two")
    assert capturing.recorder.find("flow") is second
    assert end_of(capturing).head.ended_by == "proxy"
    capturing.recorder.finish("flow", EndedBy.BODY)
    keys = [frame.key for frame in capturing.frames]
    assert len(set(keys)) == 2
    assert capturing.counters.get("seen") == 2


def test_closing_what_is_not_there() -> None:
    """A flow that nobody knows has nothing to end."""
    capturing = Capturing()
    capturing.recorder.close("flow", EndedBy.PROXY)
    assert capturing.recorder.finish("flow", EndedBy.BODY) is None
    assert capturing.recorder.end_early("flow", EndedBy.BODY, 0.0) is None
    assert capturing.kinds == []


# Times


def test_time_since_the_request_began() -> None:
    """A request that was read some time after it began has lasted since it began."""
    capturing = Capturing()
    capturing.begin(started_at=STARTED - 0.4)
    capturing.loop.pass_time(TICK)
    assert capturing.kinds == ["OPEN"]
    assert finish(capturing).head.duration_ms == 525.0


def test_a_clock_that_goes_back() -> None:
    """A wall clock that jumped after the request began makes no negative time."""
    capturing = Capturing()
    capturing.begin(started_at=STARTED + 3600)
    assert finish(capturing).head.duration_ms == 0


def test_the_times_of_a_file() -> None:
    """What is read from a file took as long as the file says, not as the reading of it."""
    capturing = Capturing()
    exchange = capturing.stream(live=False, started_at=100.0)
    capturing.loop.pass_time(5.0)
    capturing.recorder.feed(exchange, EVENT, at=100.5)
    capturing.recorder.feed(exchange, TERMINAL, at=101.25)
    head = end_of(capturing).head
    assert (head.first_event_ms, head.duration_ms) == (500.0, 1250.0)
    capturing.begin(live=False, flow_id="other", started_at=100.0)
    capturing.recorder.finish("other", EndedBy.BODY, None, 107.0)
    assert capturing.frames[-1].head.duration_ms == 7000.0


def test_live_traffic_has_its_own_clock() -> None:
    """The times that mitmproxy says of live flows jump with the wall clock; they don't count."""
    capturing = Capturing()
    capturing.begin()
    capturing.loop.pass_time(0.1)
    capturing.recorder.finish("flow", EndedBy.BODY, None, STARTED + 9999)
    assert end_of(capturing).head.duration_ms == 100.0


# What came after the end


@pytest.mark.parametrize("opened", [True, False])
def test_amending(opened: bool) -> None:
    """With `raw_bodies: always` what came after the terminal event is written, with all before."""
    capturing = Capturing(**RAW)
    exchange = capturing.stream(b"asked")
    capturing.feed(exchange, EVENT)
    capturing.loop.pass_time(0.3 if opened else 0.0)
    capturing.feed(exchange, TERMINAL, DONE)
    assert capturing.recorder.finish("flow", EndedBy.BODY) is exchange
    *_, end, amended = capturing.frames
    assert (end.kind, amended.kind) == (FrameKind.END, FrameKind.END)
    assert amended.answer_body == EVENT + TERMINAL + DONE
    assert (amended.request_body, amended.head.ended_by) == (b"asked", "terminal_event")
    assert amended.head.is_whole is opened
    assert not capturing.recorder.amend(exchange, STARTED)


@pytest.mark.parametrize("raw", ["on_error", "never"])
def test_not_amended_where_nothing_keeps_it(raw: str) -> None:
    """Where no raw bodies are kept of what went well, what follows is of no use."""
    capturing = Capturing(capture={"raw_bodies": raw})
    exchange = capturing.stream()
    capturing.feed(exchange, TERMINAL, DONE)
    assert capturing.recorder.finish("flow", EndedBy.BODY) is None
    assert capturing.kinds == ["END"]


def test_not_amended_without_more() -> None:
    """Nothing followed, nothing ended it, or it is not to be had any more."""
    capturing = Capturing(**RAW)
    exchange = capturing.stream()
    capturing.feed(exchange, TERMINAL)
    assert capturing.recorder.finish("flow", EndedBy.BODY) is None
    cut = capturing.stream()
    capturing.recorder.end_early("flow", EndedBy.CLIENT, STARTED)
    capturing.feed(cut, EVENT)
    assert capturing.recorder.finish("flow", EndedBy.BODY) is None
    coded = capturing.stream(answer=answer_head(content_encoding="gzip"))
    capturing.feed(coded, gzip.compress(TERMINAL), gzip.compress(DONE))
    assert capturing.recorder.finish("flow", EndedBy.BODY) is None
    assert capturing.kinds == ["END", "END", "END"]


def test_a_large_amendment_leaves_the_loop() -> None:
    """Megabytes are put together by the worker here as well."""
    capturing = Capturing(**RAW)
    exchange = capturing.stream()
    capturing.loop.pass_time(QUARTER)
    for _ in range(4):
        capturing.feed(exchange, b"data: " + b"x" * LARGE + b"\n\n")
        capturing.loop.pass_time(QUARTER)
        capturing.settle()
    capturing.feed(exchange, TERMINAL, DONE)
    capturing.settle()
    before = len(capturing.frames)
    assert capturing.recorder.finish("flow", EndedBy.BODY) is exchange
    assert len(capturing.frames) == before
    assert capturing.outbox.at_work == 1
    capturing.settle()
    amended = capturing.frames[-1]
    assert amended.head.is_whole
    assert amended.answer_body.endswith(TERMINAL + DONE)
    assert len(amended.answer_body) > 4 * LARGE


# Stopping


def test_stopping() -> None:
    """What has come of every live exchange is written, and then that the proxy stops."""
    capturing = Capturing()
    young = capturing.stream(flow_id="young")
    capturing.feed(young, EVENT, b"data: half")
    ended = capturing.stream(flow_id="ended")
    capturing.feed(ended, TERMINAL)
    capturing.begin(flow_id="file", live=False)
    assert capturing.recorder.stop() == 1
    assert capturing.recorder.has_stopped
    assert capturing.kinds == ["END", "OPEN", "PART", "STOP"]
    assert capturing.frames[2].body == EVENT
    assert capturing.frames[3].key not in {frame.key for frame in capturing.frames[:3]}


def test_stopping_without_traffic() -> None:
    """Where nothing is open nothing is said."""
    capturing = Capturing()
    assert capturing.recorder.stop() == 0
    assert capturing.kinds == []


def test_traffic_goes_on_after_stopping() -> None:
    """What reaches a client until the process ends is written, and its true end."""
    capturing = Capturing()
    exchange = capturing.stream()
    capturing.recorder.stop()
    capturing.feed(exchange, EVENT)
    capturing.loop.pass_time(TICK)
    later = capturing.stream(flow_id="later")
    capturing.loop.pass_time(TICK)
    capturing.feed(exchange, TERMINAL)
    capturing.feed(later, TERMINAL)
    assert capturing.kinds == ["OPEN", "STOP", "PART", "OPEN", "END", "END"]


def test_what_is_private_is_private_when_it_stops() -> None:
    """Nothing of it gets into the journal then either."""
    capturing = Capturing()
    exchange = capturing.stream(CREDENTIAL)
    capturing.feed(exchange, EVENT)
    capturing.recorder.stop()
    assert capturing.kinds == ["open", "STOP"]


# Deletions and refusals


def test_deleting() -> None:
    """A response that was deleted here is a frame of its own."""
    capturing = Capturing()
    receipt = capturing.recorder.delete("t1", "resp_1")
    (frame,) = capturing.frames
    assert (frame.kind, receipt.seq) == (FrameKind.DELETION, 1)
    head = frame.head
    assert (head.tenant_id, head.response_id, head.at) == ("t1", "resp_1", STARTED)
    exchange = capturing.begin()
    assert exchange.key != frame.key
    private = Capturing(redact="common")
    private.recorder.delete("t1", "resp_1")
    assert private.kinds == ["deletion"]


@pytest.mark.parametrize(
    ("mode", "pause", "rejects"),
    [("continue", None, False), ("continue", 2.0, False)]
    + [("reject", None, False), ("reject", 2.0, True)],
)
def test_refusing(mode: str, pause: float | None, rejects: bool) -> None:
    """Requests are refused only where that is asked for, and only while records can't be kept."""
    capturing = Capturing(on_store_failure=mode)
    capturing.progress.pause = pause
    assert capturing.recorder.rejects is rejects
    assert capturing.recorder.may_reject is (mode == "reject")
    assert capturing.recorder.retry_after == (pause or 0.0)


# What is waited for


def test_nothing_is_awaited_with_process() -> None:
    """An append that has returned is the acknowledgement, for streams and whole bodies."""
    capturing = Capturing()
    stream = capturing.stream()
    capturing.feed(stream, TERMINAL)
    other = capturing.begin(flow_id="other")
    other.answer = json_head()
    capturing.recorder.finish("other", EndedBy.BODY, b"{}")
    assert capturing.recorder.acknowledged(stream) is None
    assert capturing.recorder.acknowledged(other) is None
    assert (capturing.journal.waits, capturing.ingester.pumps) == ([], 0)
    assert capturing.counters.snapshot() == {"seen": 2}


def settle_once_waited_for(capturing: Capturing) -> None:
    deadline = time.monotonic() + 10
    while not capturing.journal.waits and time.monotonic() < deadline:
        time.sleep(0.001)
    capturing.journal.settle()


def test_the_end_of_a_stream_waits_for_the_disk() -> None:
    """With `power` the terminal event goes on once it is synced."""
    capturing = Capturing(durability="power")
    capturing.journal.settles = False
    capturing.recorder._wait = 5.0  # a timer of a busy machine may be late
    exchange = capturing.stream()
    threading.Thread(target=settle_once_waited_for, args=(capturing,)).start()
    capturing.feed(exchange, TERMINAL)
    assert capturing.journal.pending == []
    assert len(capturing.journal.waits) == 1
    assert "wait.ran_out" not in capturing.counters.snapshot()


def test_the_end_of_a_stream_waits_a_moment_at_most() -> None:
    """Where the disk takes longer the bytes go on; that is counted, and not tried again."""
    capturing = Capturing(durability="power")
    capturing.journal.settles = False
    began = time.monotonic()
    capturing.feed(capturing.stream(), TERMINAL)
    assert SSE_WAIT <= time.monotonic() - began < 5.0
    assert capturing.counters.get("wait.ran_out") == 1
    capturing.recorder.finish("flow", EndedBy.BODY)
    capturing.feed(capturing.stream(), TERMINAL)
    assert capturing.counters.get("wait.skipped") == 1
    capturing.journal.settle()
    capturing.loop.run_soon()
    capturing.recorder.finish("flow", EndedBy.BODY)
    capturing.feed(capturing.stream(), TERMINAL)
    assert capturing.counters.get("wait.ran_out") == 2


@pytest.mark.parametrize(("configured", "waits"), [(0, 0), (5, 0.005), (10_000, SSE_WAIT)])
def test_how_long_a_stream_waits(configured: int, waits: float) -> None:
    """As long as is configured, and never longer than a loop may be held."""
    capturing = Capturing(completion_wait_ms=configured)
    capturing.journal.settles = False
    began = time.monotonic()
    capturing.feed(capturing.stream(), TERMINAL)
    assert waits <= time.monotonic() - began < 5.0  # of the 10 that are configured
    assert all(wait <= waits for wait in capturing.journal.waits)


def test_the_end_of_a_private_stream_waits_for_the_ingester() -> None:
    """What has to be cleaned first is waited for as a sync is."""
    capturing = Capturing()
    capturing.feed(capturing.stream(CREDENTIAL), TERMINAL)
    assert capturing.ingester.pumps == 1
    assert capturing.ingester.held == {}


def test_earlier_frames_are_waited_for() -> None:
    """The end is acknowledged once all before it is."""
    capturing = Capturing()
    capturing.journal.settles = False
    exchange = capturing.begin()
    capturing.loop.pass_time(QUARTER)
    opened = list(capturing.journal.pending)
    exchange.answer = json_head()
    capturing.recorder.finish("flow", EndedBy.BODY, b"{}")
    capturing.journal.settle([one for one in capturing.journal.pending if one not in opened])
    waits: Any = capturing.recorder.acknowledged(exchange)
    assert waits is not None
    waits.close()
    capturing.journal.settle()
    assert capturing.recorder.acknowledged(exchange) is None


def test_receipts_are_let_go() -> None:
    """A stream of hours holds no receipts of what was acknowledged long ago."""
    capturing = Capturing()
    capturing.journal.settles = False
    exchange = capturing.stream()
    for _ in range(50):
        capturing.feed(exchange, EVENT)
        capturing.loop.pass_time(QUARTER)
        capturing.journal.settle()
    assert len(exchange.receipts) <= 1


async def test_readers_of_files_wait_for_room() -> None:
    """What is read from a file waits for the database to come closer, and for no receipt."""
    capturing = Capturing()
    capturing.journal.settles = False
    exchange = capturing.begin(live=False)
    capturing.recorder.finish("flow", EndedBy.BODY)
    assert capturing.recorder.acknowledged(exchange) is None
    capturing.progress.lag = (10**6, 0)
    waits: Any = capturing.recorder.acknowledged(exchange)
    assert waits is not None
    capturing.progress.lag = (0, 0)
    await waits


# Large bodies


def test_a_large_request() -> None:
    """It is decoded and looked at by the worker; what follows waits behind it."""
    capturing = Capturing()
    exchange = capturing.stream(gzip.compress(MEGABYTES), content_encoding="gzip")
    capturing.feed(exchange, EVENT)
    capturing.loop.pass_time(QUARTER)
    capturing.feed(exchange, EVENT, TERMINAL)
    capturing.recorder.finish("flow", EndedBy.BODY)
    capturing.settle()
    assert capturing.kinds == ["OPEN", "END"]
    opened, end = capturing.frames
    assert (opened.body, end.head.request) == (MEGABYTES, None)
    assert end.answer_body == EVENT + EVENT + TERMINAL


def test_a_large_request_of_a_short_exchange() -> None:
    """It is part of the end then, which the worker makes."""
    capturing = Capturing()
    exchange = capturing.begin(MEGABYTES)
    exchange.answer = json_head()
    capturing.recorder.finish("flow", EndedBy.BODY, b"{}")
    assert capturing.kinds == []
    capturing.settle()
    (frame,) = capturing.frames
    assert (frame.request_body, frame.answer_body) == (MEGABYTES, b"{}")


@pytest.mark.parametrize("coding", ["", "gzip"])
def test_a_large_answer(coding: str) -> None:
    """A whole body of megabytes is decoded and looked at by the worker, however small it comes."""
    capturing = Capturing()
    exchange = capturing.begin()
    exchange.answer = json_head(content_encoding=coding)
    capturing.loop.pass_time(QUARTER)
    assert capturing.kinds == ["OPEN"]
    body = gzip.compress(MEGABYTES) if coding else MEGABYTES
    capturing.recorder.finish("flow", EndedBy.BODY, body)
    assert capturing.kinds == ["OPEN"]
    capturing.settle()
    assert end_of(capturing).answer_body == MEGABYTES


def test_a_stream_that_comes_fast() -> None:
    """Parts of megabytes are put together by the worker, in order, and nothing is left out."""
    capturing = Capturing()
    exchange = capturing.stream()
    capturing.loop.pass_time(QUARTER)
    events = [b"data: %d " % number + b"x" * LARGE + b"\n\n" for number in range(6)]
    for event in events:
        capturing.feed(exchange, event, event)
        capturing.loop.pass_time(TICK)
    capturing.feed(exchange, TERMINAL)
    capturing.settle()
    assert answer_of(capturing) == b"".join(event + event for event in events) + TERMINAL
    seqs = [frame.seq for frame in capturing.frames]
    assert capturing.kinds[0] == "OPEN"
    assert capturing.kinds[-1] == "END"
    assert seqs == sorted(seqs)


def test_others_do_not_wait_for_a_large_body() -> None:
    """Their frames go on at once."""
    capturing = Capturing()
    capturing.begin(MEGABYTES, flow_id="large")
    capturing.recorder.finish("large", EndedBy.CLIENT)
    capturing.begin()
    capturing.recorder.finish("flow", EndedBy.CLIENT)
    assert [frame.head.request.flow_id for frame in capturing.frames] == ["flow"]
    capturing.settle()
    assert [frame.head.request.flow_id for frame in capturing.frames] == ["flow", "large"]


def test_a_large_private_body() -> None:
    """A credential deep in a large request is found by the worker; the stream stays whole."""
    capturing = Capturing()
    body = b'{"a":"' + MEGABYTES + b'",' + CREDENTIAL[1:]
    exchange = capturing.stream(body)
    capturing.loop.pass_time(QUARTER)
    capturing.settle()
    assert capturing.kinds == ["open"]
    for _ in range(3):
        capturing.feed(exchange, EVENT)
        capturing.loop.pass_time(QUARTER)
    capturing.feed(exchange, TERMINAL)
    assert capturing.kinds == ["open", "end"]
    end = end_of(capturing)
    assert (end.request_body, end.answer_body) == (body, EVENT * 3 + TERMINAL)


def test_a_loop_is_not_held_by_large_bodies() -> None:
    """Forty megabytes in a request and an answer cost the loop next to nothing."""
    body = bytes(40 * LARGE)
    capturing = Capturing()
    with at_most(0.005):
        exchange = capturing.begin(body)
        exchange.answer = json_head()
        capturing.loop.pass_time(QUARTER)
        capturing.recorder.finish("flow", EndedBy.BODY, body)
    capturing.settle()


def test_bytes_that_can_not_be_decoded_leave_the_loop() -> None:
    """They are kept as they came, and put together by the worker."""
    capturing = Capturing()
    exchange = capturing.stream(answer=answer_head(content_encoding="xz"))
    capturing.feed(exchange, MEGABYTES)
    capturing.recorder.finish("flow", EndedBy.BODY)
    assert capturing.kinds == []
    capturing.settle()
    assert end_of(capturing).raw == MEGABYTES


def test_a_body_above_the_limit() -> None:
    """Of an answer the beginning is kept, of a request the reason."""
    capturing = Capturing(capture={"max_body_bytes": LARGE})
    exchange = capturing.begin(MEGABYTES)
    exchange.answer = json_head()
    frame = finish(capturing, EndedBy.BODY, b"y" * (2 * LARGE))
    assert frame.head.request == request_head(
        started_at=STARTED, missing="request body: above max_body_bytes"
    )
    assert (frame.answer_body, frame.head.answer.too_large) == (b"y" * LARGE, True)


def test_memory_is_bounded() -> None:
    """Eight large streams at once hold what one body may have."""
    capturing = Capturing(capture={"max_body_bytes": 4 * LARGE})
    streams = [capturing.stream(flow_id=f"{number}") for number in range(8)]
    for _ in range(40):
        for stream in streams:
            capturing.feed(stream, b"data: " + b"x" * 100_000 + b"\n\n")
            assert capturing.recorder.budget.held <= 4 * LARGE
    for number, stream in enumerate(streams):
        capturing.recorder.finish(f"{number}", EndedBy.CLIENT)
        assert stream.stream is not None
        stream.stream.release()
    capturing.settle()
    assert capturing.recorder.budget.held == 0
    kept: Counter[int] = Counter()
    for frame in capturing.frames:
        if frame.kind is not FrameKind.OPEN:
            kept[frame.key] += len(frame.answer_body)
    assert [*kept.values()] == [4 * LARGE] * 8


def test_a_fast_stream_leaves_little_for_its_end() -> None:
    """What has come of it is written before it is time, in parts that the event loop can write."""
    capturing = Capturing()
    exchange = capturing.stream()
    event = b"data: " + b"x" * 60_000 + b"\n\n"
    for _ in range(30):
        capturing.feed(exchange, event)
    assert capturing.kinds[:2] == ["OPEN", "PART"]
    capturing.feed(exchange, TERMINAL)
    assert capturing.outbox.at_work == 0
    assert capturing.kinds[-1] == "END"
    assert all(len(frame.body) <= LARGE for frame in capturing.frames)
    parts = [frame.answer_body for frame in capturing.frames if frame.kind is not FrameKind.OPEN]
    assert b"".join(parts) == event * 30 + TERMINAL


def test_an_event_of_megabytes_is_waited_for_shortly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread writes it, and meanwhile all others would stand still."""
    waits: list[float] = []
    capturing = Capturing()
    exchange = capturing.stream()
    monkeypatch.setattr(capturing.outbox, "wait", lambda _, seconds: waits.append(seconds) or False)
    large = TERMINAL.replace(b"}}", b'},"text":"' + MEGABYTES + b'"}')
    assert capturing.feed(exchange, large) == [True]
    assert waits == [LARGE_WAIT]
