"""When events came, from the chunks that passed to the row: whichever way their stream took."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

import msgspec
import pytest

from response_store.capture import stream_tee
from response_store.capture.draft import EndHead
from response_store.journal.frames import FrameKind
from response_store.model.event_times import MAX_TIMES, decode_event_times
from response_store.model.records import EndedBy, ExchangeRow
from response_store.openai_api.sse import find_frame_ends
from tests.harness.database import unpacked
from tests.unit.capture.borders import Sent, answer_head, json_head
from tests.unit.capture.capturing import Capturing
from tests.unit.capture.interpreting import interpret
from tests.unit.capture.sockets import Played, answering, creating

KEPT = {"capture": {"raw_bodies": "always"}}
CREATED = b'data: {"type":"response.created","response":{"id":"resp_1"}}\n\n'
DELTA = b'data: {"type":"response.output_text.delta","delta":"x"}\n\n'
TERMINAL = (
    b'data: {"type":"response.completed","response":{"id":"resp_1","status":"completed",'
    b'"output":[{"type":"message","content":[{"type":"output_text","text":"x"}]}]}}\n\n'
)
CREDENTIAL = b'{"model":"m","tools":[{"type":"mcp","authorization":"c4n4ry-c4n4ry"}]}'
ASKED = b'{"model":"m","input":"hi"}'


def times_of(row: ExchangeRow) -> list[int | None] | None:
    """What the row says of each event that it keeps."""
    assert row.raw_response is not None
    events = sum(1 for _ in find_frame_ends(unpacked(row.raw_response)))
    return decode_event_times(row.event_times, events)


def streamed(
    *chunks: bytes, body: bytes = ASKED, apart: float = 0.1, by: EndedBy | None = EndedBy.BODY,
    settings: dict[str, Any] = KEPT, **answer: Any,
) -> Capturing:  # fmt: skip
    """A stream whose chunks come a tenth of a second one after the other, from the start on."""
    capturing = Capturing(**settings)
    exchange = capturing.stream(body, answer=answer_head(**answer))
    for chunk in chunks:
        capturing.feed(exchange, chunk, apart=apart)
    if by is not None:
        capturing.recorder.finish("flow", by)
    capturing.settle()
    return capturing


def test_a_short_stream() -> None:
    """One frame tells all; a chunk that passes without a look has its time as well."""
    capturing = streamed(CREATED, DELTA, DELTA, TERMINAL, apart=0.02)
    assert capturing.kinds == ["END"]
    assert times_of(capturing.row) == [0, 20, 40, 60]


def test_a_stream_that_lasts() -> None:
    """What was written in parts has the times of all of them."""
    capturing = streamed(CREATED, *[DELTA] * 20, TERMINAL)
    assert capturing.kinds.count("PART") > 5
    assert times_of(capturing.row) == [100 * at for at in range(22)]


def test_chunks_that_end_in_the_middle() -> None:
    """An event has come when its last byte has, in whatever part that is."""
    stream = CREATED + DELTA + DELTA + TERMINAL
    pieces = [stream[:30], stream[30:70], stream[70:130], stream[130:-1], stream[-1:]]
    capturing = streamed(*pieces, apart=0.2)
    assert times_of(capturing.row) == [200, 400, 600, 800]


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_an_encoded_stream(encoding: str) -> None:
    """Times are those at which the decoded text was there."""
    coder = zlib.compressobj(wbits=31 if encoding == "gzip" else 15)
    chunks = [
        coder.compress(event) + coder.flush(zlib.Z_SYNC_FLUSH)
        for event in (CREATED, DELTA, TERMINAL)
    ]
    capturing = streamed(*chunks, coder.flush(), content_encoding=encoding)
    assert times_of(capturing.row) == [0, 100, 200]


def test_a_stream_that_is_cut() -> None:
    """What had come of the last event has the time of its last byte."""
    capturing = streamed(CREATED, DELTA, DELTA[:20], by=EndedBy.UPSTREAM, settings={})
    assert capturing.row.state == "interrupted"
    assert times_of(capturing.row) == [0, 100, 200]


def test_a_proxy_that_stops() -> None:
    """What its parts have is known."""
    capturing = streamed(CREATED, DELTA, DELTA, by=None, settings={})
    capturing.recorder.stop()
    assert capturing.row.ended_by == "proxy_stopped"
    assert times_of(capturing.row) == [0, 100, 200]


@pytest.mark.parametrize("apart", [0.01, 0.1])
def test_more_after_the_end(apart: float) -> None:
    """An exchange that is written once more has all its times again."""
    capturing = streamed(CREATED, DELTA, DELTA, DELTA, TERMINAL, b"data: [DONE]\n\n", apart=apart)
    assert capturing.kinds.count("END") == 2
    step = round(apart * 1000)
    assert times_of(capturing.row) == [step * at for at in range(6)]


def test_a_stream_that_is_held_whole() -> None:
    """What goes to the ingester in memory is bounded, however many chunks it has."""
    count = 3 * MAX_TIMES
    capturing = streamed(CREATED, *[DELTA] * count, TERMINAL, body=CREDENTIAL, apart=0.01)
    assert capturing.kinds == ["open", "end"]
    assert len(capturing.frames[1].head.arrivals.at) <= 2 * MAX_TIMES
    times = times_of(capturing.row)
    assert times is not None
    assert [ms for at, ms in enumerate(times) if ms not in (None, 10 * at)] == []
    assert sum(ms is not None for ms in times) > MAX_TIMES / 2
    assert times[-1] == 10 * (count + 1)


def test_credentials_that_are_masked_within_an_event() -> None:
    """A stream in which something is masked has as many events as before, and their times."""
    echo = DELTA.replace(b'"x"', b'"c4n4ry-c4n4ry"')
    capturing = streamed(CREATED, echo, DELTA, by=EndedBy.CLIENT, body=CREDENTIAL)
    assert b"c4n4ry" not in unpacked(capturing.row.raw_response or b"")
    assert times_of(capturing.row) == [0, 100, 200]


def test_a_part_that_is_masked() -> None:
    """Bytes of which another length is written leave the stream without times."""
    echo = b'data: {"type":"response.created","response":{"tools":[{"type":"mcp","authorization":"t0k3n"}]}}\n\n'  # noqa: E501
    for chunks in ((echo, DELTA, DELTA, DELTA, DELTA), (DELTA, DELTA, DELTA, DELTA, DELTA, echo)):
        capturing = streamed(*chunks, by=EndedBy.CLIENT)
        assert b"t0k3n" not in unpacked(capturing.row.raw_response or b"")
        assert {"part", "end"} & set(capturing.kinds)
        assert times_of(capturing.row) is None


@pytest.mark.parametrize("apart", [0.01, 0.1])
def test_own_credentials_in_a_stream(apart: float) -> None:
    """Where the client's own key is taken out of an answer, there are no times."""
    capturing = Capturing(**KEPT)
    key = b"own-key-of-the-client-4711"
    head = capturing.begin(flow_id="other").request
    capturing.recorder.close("other", EndedBy.CLIENT)
    exchange = capturing.recorder.begin(
        "flow", msgspec.structs.replace(head, flow_id="flow"), ASKED, live=True, credentials=(key,)
    )
    exchange.answer = answer_head()
    exchange.start_stream()
    capturing.feed(exchange, CREATED, DELTA.replace(b'"x"', b'"%s"' % key), TERMINAL, apart=apart)
    (row,) = [one.exchange for one in capturing.records if one.exchange.raw_response]
    assert b"***" in unpacked(row.raw_response or b"")
    assert times_of(row) is None


def test_a_stream_that_is_decoded_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a stream that is decoded at its end nothing is known."""
    monkeypatch.setattr(stream_tee, "CHUNK_SECONDS", -1.0)
    packed = gzip.compress(CREATED + DELTA * 5000 + TERMINAL)
    capturing = streamed(packed[:100], packed[100:], content_encoding="gzip")
    assert unpacked(capturing.row.raw_response or b"") == CREATED + DELTA * 5000 + TERMINAL
    assert times_of(capturing.row) is None


def test_a_stream_that_is_too_large() -> None:
    """Where only the beginning is read, and no stream kept, there are no times."""
    settings = {"capture": {"raw_bodies": "always", "max_body_bytes": 1024}}
    capturing = streamed(*[DELTA] * 40, TERMINAL, settings=settings)
    assert (capturing.row.state, capturing.row.event_times) == ("too_large", None)


@pytest.mark.parametrize("raw_bodies", ["on_error", "never"])
def test_a_stream_that_is_not_kept(raw_bodies: str) -> None:
    """Without the stream there are no times; the journal of `never` has none either."""
    capturing = streamed(CREATED, TERMINAL, settings={"capture": {"raw_bodies": raw_bodies}})
    assert (capturing.row.raw_response, capturing.row.event_times) == (None, None)
    assert (capturing.frames[-1].head.arrivals is None) == (raw_bodies == "never")


def test_an_answer_that_is_no_stream() -> None:
    """JSON has no events, whether another script streams it or not."""
    capturing = Capturing(**KEPT)
    exchange = capturing.begin(ASKED)
    exchange.answer = json_head()
    exchange.start_stream()
    capturing.feed(exchange, b'{"id":"resp_1","object":"response",', b'"status":"completed"}')
    capturing.recorder.finish("flow", EndedBy.BODY)
    capturing.settle()
    assert capturing.row.state == "completed"
    assert capturing.row.event_times is None


def test_a_secret_that_takes_the_stream_takes_its_times() -> None:
    """Where `redact` leaves the stream out, nothing of its rhythm stays."""
    key = "sk-proj-" + "aB3dE6" * 8
    deltas = [DELTA.replace(b'"x"', b'"%s"' % part.encode()) for part in (key[:20], key[20:])]
    settings = {**KEPT, "redact": "common"}
    capturing = streamed(CREATED, *deltas, by=EndedBy.CLIENT, settings=settings)
    assert (capturing.row.raw_response, capturing.row.event_times) == (None, None)
    whole = DELTA.replace(b'"x"', b'"%s"' % f"a {key} b".encode())
    capturing = streamed(CREATED, whole, DELTA, by=EndedBy.CLIENT, settings=settings)
    assert key.encode() not in unpacked(capturing.row.raw_response or b"")
    assert times_of(capturing.row) == [0, 100, 200]


def without_arrivals(sent: Sent) -> Sent:
    """The frame as versions wrote it that knew of no arrivals."""
    head = msgspec.msgpack.decode(sent.packed) if sent.packed else None
    if sent.kind in (FrameKind.PART, FrameKind.END):
        return sent._replace(packed=msgspec.msgpack.encode(head[:-1]))
    return sent


def test_a_journal_of_an_earlier_version() -> None:
    """Its frames are read, in parts as well, and their row has no times."""
    capturing = streamed(CREATED, *[DELTA] * 5, TERMINAL)
    older = [without_arrivals(frame) for frame in capturing.frames]
    (record,) = interpret(older, capturing.config)
    assert record.exchange == msgspec.structs.replace(capturing.row, event_times=None)
    mixed = [*older[:-1], capturing.frames[-1]]
    assert interpret(mixed, capturing.config)[0].exchange.event_times is None


def test_an_earlier_version_reads_a_journal_of_this_one() -> None:
    """It takes the fields that it knows."""

    class Earlier(msgspec.Struct, array_like=True):
        request: Any
        ended_by: str

    head = streamed(CREATED, TERMINAL).frames[-1].packed
    assert msgspec.msgpack.decode(head, type=Earlier).ended_by == "terminal_event"
    assert msgspec.msgpack.decode(head, type=EndHead).arrivals is not None


def test_turns_of_a_socket() -> None:
    """Each message of a turn has its time, which counts from the turn's own request."""
    played = Played(capture={"raw_bodies": "always", "max_body_bytes": 1 << 16})
    turns = [answering(), answering()]
    for messages in turns:
        played.client(creating("gpt-a")).server(*messages)
    for row, messages in zip(played.end(), turns, strict=True):
        assert times_of(row) == [10 * (at + 1) for at in range(len(messages))]


def test_a_socket_that_is_read_from_a_file() -> None:
    """Times are those that the file has of the messages, however fast it is read."""
    played = Played(capture={"raw_bodies": "always", "max_body_bytes": 1 << 16})
    played.socket.live = False
    at, messages = played.now, answering()
    played.socket.client(msgspec.json.encode(creating("gpt-a")), at)
    for number, message in enumerate(messages):
        played.socket.server(msgspec.json.encode(message), at + 1 + number)
    (row,) = played.end()
    assert times_of(row) == [1000 * (number + 1) for number in range(len(messages))]


def test_a_large_message_of_a_socket() -> None:
    """A message of megabytes, which is taken in pieces, is one event."""
    played = Played(
        limit=1 << 22, total=1 << 24, capture={"raw_bodies": "always", "max_body_bytes": 1 << 22}
    )
    messages = answering()
    messages[5]["delta"] = "y" * 300_000
    (row,) = played.client(creating("gpt-a")).server(*messages).end()
    assert times_of(row) == [10 * (at + 1) for at in range(len(messages))]
