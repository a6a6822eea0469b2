"""An exchange: what its frames say, which of them may touch the disk, and what is large."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

import brotli
import pytest
import zstandard

from response_store.capture.budget import Budget
from response_store.capture.draft import AnswerHead, RequestHead
from response_store.capture.exchange import Exchange
from response_store.capture.outbox import LARGE, LARGE_ENCODED, OutgoingFrame
from response_store.journal.frames import FrameKind
from response_store.model.records import EndedBy
from tests.unit.capture.borders import Sent, answer_head, json_head, request_head

NOW = 500.0
TERMINAL = b'data: {"type":"response.completed","response":{}}\n\n'
CREDENTIAL = b'{"tools":[{"type":"mcp","authorization":"c4n4ry"}]}'
ENCODE = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}


def exchange(
    body: bytes | None = b"{}",
    *,
    limit: int = 1000,
    budget: Budget | None = None,
    redacts: bool = False,
    credentials: tuple[bytes, ...] = (),
    **head: Any,
) -> Exchange:
    """An exchange that begins now."""
    return Exchange(
        7,
        request_head(**head),
        body,
        live=True,
        limit=limit,
        budget=budget or Budget(100 * LARGE),
        redacts=redacts,
        elapsed=0.0,
        now=NOW,
        credentials=credentials,
    )


def streamed(
    *chunks: bytes, answer: AnswerHead | None = None, at: float = 0.0, **how: Any
) -> Exchange:
    """An exchange whose answer streams, and what has come of it."""
    made = exchange(**how)
    made.answer = answer or answer_head()
    made.start_stream()
    for chunk in chunks:
        made.feed(chunk, NOW + at)
    return made


def sent(frame: OutgoingFrame) -> Sent:
    """The frame as it reaches a border."""
    return Sent(1, frame.kind, frame.key, frame.head, b"".join(frame.parts), frame.private)


def end_of(
    one: Exchange, by: EndedBy = EndedBy.BODY, body: bytes | None = None, **how: Any
) -> Sent:
    """The frame of the end."""
    return sent(one.end_frame(by, 12.5, one.gather(body), **how))


# What the frames say


def test_opening() -> None:
    """The frame that opens has the request, and nothing else."""
    frame = sent(exchange(b"asked").open_frame())
    assert (frame.kind, frame.key, frame.body, frame.private) == (
        FrameKind.OPEN,
        7,
        b"asked",
        False,
    )
    assert frame.head == request_head()


def test_a_request_without_a_body() -> None:
    """A request whose body is not there, or empty, opens without one."""
    for body in (None, b""):
        assert sent(exchange(body).open_frame()).body == b""


def test_parts() -> None:
    """The first part has the head of the answer, all have their time and when events began."""
    live = streamed(b": hello\n\n")
    live.is_open = True
    first = sent(live.part_frame([b": hello\n\n"], 130.0))
    assert (first.kind, first.body) == (FrameKind.PART, b": hello\n\n")
    assert first.head.answer == answer_head()
    assert (first.head.elapsed_ms, first.head.first_event_ms) == (130.0, None)
    live.feed(b"data: {}\n\n", NOW + 0.2)
    second = sent(live.part_frame([b"data: ", b"{}\n\n"], 260.0))
    assert (second.body, second.head.answer) == (b"data: {}\n\n", None)
    assert (second.head.elapsed_ms, second.head.first_event_ms) == (260.0, 200.0)


def test_an_end_that_says_all() -> None:
    """Without an open frame the end has the request, the answer and how both went."""
    live = streamed(b"data: {}\n\n", TERMINAL, at=0.25)
    frame = end_of(live, EndedBy.TERMINAL_EVENT)
    head = frame.head
    assert frame.kind is FrameKind.END
    assert (head.request, frame.request_body) == (request_head(), b"{}")
    assert frame.answer_body == b"data: {}\n\n" + TERMINAL
    assert (head.ended_by, head.duration_ms, head.first_event_ms) == ("terminal_event", 12.5, 250)
    assert head.answer == answer_head(is_terminated=True)
    assert (head.raw_size, head.is_whole) == (0, False)


def test_an_end_that_says_the_rest() -> None:
    """Behind an open frame and parts the end has neither the request nor what they have."""
    live = streamed(b"data: 1\n\n")
    live.open_frame()
    live.is_open = True
    stream = live.stream
    assert stream is not None
    live.part_frame(stream.take(all_of_it=False), 130.0)
    live.feed(TERMINAL, NOW + 1)
    frame = end_of(live)
    assert (frame.head.request, frame.head.request_size) == (None, 0)
    assert frame.answer_body == frame.body == TERMINAL
    assert frame.head.answer is not None
    assert not frame.head.is_whole


def test_an_end_that_stands_alone() -> None:
    """An end may be written once more, with all that came: it replaces earlier frames."""
    live = streamed(b"data: 1\n\n" + TERMINAL)
    live.open_frame()
    live.is_open = True
    end_of(live, EndedBy.TERMINAL_EVENT)
    live.feed(b"data: [DONE]\n\n", NOW + 1)
    answered = live.gather(None, alone=True)
    frame = sent(live.end_frame(EndedBy.TERMINAL_EVENT, 20.0, answered, alone=True))
    assert (frame.head.request, frame.request_body) == (request_head(), b"{}")
    assert frame.answer_body == b"data: 1\n\n" + TERMINAL + b"data: [DONE]\n\n"
    assert frame.head.is_whole


@pytest.mark.parametrize("coding", ["", *ENCODE])
def test_a_whole_answer(coding: str) -> None:
    """A body that comes in one piece is decoded; the head says what it came in."""
    live = exchange()
    live.answer = json_head(content_encoding=coding)
    frame = end_of(live, body=ENCODE.get(coding, bytes)(b'{"id":"r"}'))
    assert (frame.answer_body, frame.head.raw_size) == (b'{"id":"r"}', 0)
    assert frame.head.answer == json_head(content_encoding=coding)


def test_without_an_answer() -> None:
    """An exchange may end before its answer begins, or before its body does."""
    frame = end_of(exchange(), EndedBy.UPSTREAM)
    assert (frame.head.answer, frame.answer_body) == (None, b"")
    live = exchange()
    live.answer = json_head()
    frame = end_of(live, EndedBy.CLIENT)
    assert frame.head.answer == json_head(has_body=False)
    live = exchange()
    live.answer = json_head()
    assert end_of(live, body=b"").head.answer == json_head(has_body=True)


def test_a_stream_that_somebody_took() -> None:
    """Where no chunk came to us the body of the flow counts, and else it is said to be missing."""
    assert end_of(streamed(), body=TERMINAL).answer_body == TERMINAL
    frame = end_of(streamed())
    assert frame.head.answer == answer_head(has_body=False)
    assert end_of(streamed(b"")).head.answer == answer_head(has_body=True)


def test_too_large() -> None:
    """Of a body beyond the limit the beginning is kept."""
    for coding in ("", *ENCODE):
        live = exchange(limit=30)
        live.answer = json_head(content_encoding=coding)
        frame = end_of(live, body=ENCODE.get(coding, bytes)(b"0123456789" * 4))
        assert frame.head.answer.too_large
        assert frame.answer_body == b"0123456789" * 3 or coding
        assert (b"0123456789" * 4).startswith(frame.answer_body)


def test_an_answer_that_can_not_be_decoded() -> None:
    """What could be decoded is kept with the reason, and the bytes as they came behind it."""
    coded = gzip.compress(b'{"id":"r"}' * 50)[:-12] + b"\xff" * 20
    live = exchange()
    live.answer = json_head(content_encoding="gzip")
    frame = end_of(live, body=coded)
    assert (frame.raw, frame.head.raw_size) == (coded, len(coded))
    assert frame.head.answer.decode_error.startswith("bad content encoding")
    assert (b'{"id":"r"}' * 50).startswith(frame.answer_body)
    odd = streamed(b"what is this", answer=answer_head(content_encoding="xz"))
    frame = end_of(odd)
    assert (frame.answer_body, frame.raw) == (b"", b"what is this")
    assert frame.head.answer.decode_error == "unknown content encoding"


@pytest.mark.parametrize("streams", [True, False])
def test_it_keeps_no_bytes_where_it_redacts(streams: bool) -> None:
    """With redaction, or behind a private request, what can't be decoded can't be cleaned."""
    for how in ({"redacts": True}, {"body": CREDENTIAL}):
        head = answer_head(content_encoding="gzip") if streams else json_head(content_encoding="br")
        live = streamed(b"\xff" * 9, answer=head, **how) if streams else exchange(**how)
        live.answer = head
        frame = end_of(live, body=None if streams else b"\xff" * 9)
        assert (frame.raw, frame.head.raw_size, frame.private) == (b"", 0, True)
        assert frame.head.answer.decode_error is not None


# The request


@pytest.mark.parametrize("coding", ENCODE)
def test_an_encoded_request(coding: str) -> None:
    """A request is decoded once; the head says what it came in."""
    live = exchange(ENCODE[coding](b'{"model":"m"}'), content_encoding=coding)
    assert sent(live.open_frame()).body == b'{"model":"m"}'
    assert sent(live.open_frame()).body == b'{"model":"m"}'
    assert sent(live.open_frame()).head.content_encoding == coding


@pytest.mark.parametrize(
    ("body", "coding", "why"),
    [
        (b"\xff" * 9, "gzip", "request body: bad content encoding (error)"),
        (b"text", "xz", "request body: unknown content encoding"),
        (b"x" * 1001, "", "request body: above max_body_bytes"),
        (gzip.compress(b"x" * 5000), "gzip", "request body: above max_body_bytes"),
    ],
    ids=["broken", "unknown", "large", "expands"],
)
def test_a_request_that_can_not_be_cleaned(body: bytes, coding: str, why: str) -> None:
    """It keeps no bytes, on either way, and says why."""
    for frame in (
        sent(exchange(body, content_encoding=coding).open_frame()),
        end_of(exchange(body, content_encoding=coding)),
    ):
        head = frame.head if isinstance(frame.head, RequestHead) else frame.head.request
        assert (frame.body, head.missing, frame.private) == (b"", why, False)


# What may touch the disk


@pytest.mark.parametrize("coding", ["", *ENCODE])
def test_a_request_with_credentials(coding: str) -> None:
    """All frames of its exchange go to the ingester, the last one whole; there are no parts."""
    body = ENCODE.get(coding, bytes)(CREDENTIAL)
    live = streamed(b"data: 1\n\n", body=body, content_encoding=coding)
    assert live.is_private()
    assert sent(live.open_frame()).private
    live.is_open = True
    assert not live.has_parts()
    frame = end_of(live)
    assert (frame.private, frame.head.is_whole) == (True, True)
    assert (frame.request_body, frame.answer_body) == (CREDENTIAL, b"data: 1\n\n")


def test_an_answer_with_credentials() -> None:
    """A part, or the rest, that may hold some goes to the ingester; other frames do not."""
    live = streamed(b"data: 1\n\n")
    assert not sent(live.open_frame()).private
    live.is_open = True
    assert live.has_parts()
    assert not sent(live.part_frame([b"data: 1\n\n"], 1.0)).private
    echo = b"data: " + CREDENTIAL + b"\n\n"
    assert sent(live.part_frame([echo], 2.0)).private
    live.feed(echo, NOW)
    assert end_of(live).private
    live = streamed(b"data: 1\n\n")
    assert not end_of(live).private
    live = exchange()
    live.answer = json_head()
    assert end_of(live, body=CREDENTIAL).private
    live.answer = json_head(content_encoding="gzip")
    assert end_of(live, body=gzip.compress(CREDENTIAL)).private


def test_with_redaction_all_goes_to_the_ingester() -> None:
    """Nothing is known to be clean then, so everything goes over, at the end."""
    live = streamed(b"data: 1\n\n", redacts=True)
    assert live.is_private()
    live.is_open = True
    assert not live.has_parts()
    assert sent(live.open_frame()).private
    assert end_of(live).private


def test_a_request_that_is_looked_at_late() -> None:
    """A large request is looked at by a worker; when it is private, what waits stays."""
    budget = Budget(100 * LARGE)
    body = b'{"a":"' + b"x" * LARGE + b'","authorization":"Bearer c4n4ry"}'
    live = streamed(b"data: 1\n\n", body=body, limit=2 * LARGE, budget=budget)
    stream = live.stream
    assert stream is not None
    assert stream.pending_size  # which accounts for what has passed
    held, held_whole = budget.held, stream.holds_whole
    assert sent(live.open_frame()).private
    live.is_open = True
    assert not live.has_parts()
    assert (held_whole, stream.holds_whole) == (False, True)
    assert budget.held == held + len(b"data: 1\n\n")
    assert end_of(live).head.is_whole


@pytest.mark.parametrize(
    ("answer", "head", "holds"),
    [
        (answer_head(), {}, False),
        (json_head(), {}, True),
        (answer_head(), {"target_response_id": "r"}, True),
        (answer_head(), {"redacts": True}, True),
        (answer_head(), {"body": CREDENTIAL}, True),
        (answer_head(), {"body": b"x" * (LARGE + 1), "redacts": True}, True),
    ],
)
def test_what_stays_until_the_end(answer: AnswerHead, head: dict[str, Any], holds: bool) -> None:
    """JSON in chunks can't be cut, and what can't be told or cleaned before its end is not."""
    live = streamed(answer=answer, limit=2 * LARGE, **head)
    assert live.stream is not None
    assert live.stream.holds_whole is holds


# What is large


def test_what_is_large() -> None:
    """A frame of more than a megabyte, or of what nobody knows how large it becomes."""
    assert not exchange(b"x" * LARGE, limit=2 * LARGE).is_large()
    assert exchange(b"x" * (LARGE + 1), limit=2 * LARGE).is_large()
    assert not exchange(b"x" * LARGE_ENCODED, content_encoding="gzip").is_large()
    assert exchange(b"x" * (LARGE_ENCODED + 1), content_encoding="gzip").is_large()
    assert not exchange(gzip.compress(b"x" * 1000), content_encoding="gzip").is_large()
    assert exchange(gzip.compress(b"x" * 1001), content_encoding="gzip").is_large()
    live = exchange(b"{}")
    live.answer = json_head()
    assert not live.is_large(b"x" * LARGE)
    assert live.is_large(b"x" * (LARGE + 1))
    live.answer = json_head(content_encoding="br")
    assert not live.is_large(b"x" * LARGE_ENCODED)
    assert live.is_large(b"x" * (LARGE_ENCODED + 1))


def test_what_expands_is_large() -> None:
    """A few bytes may stand for megabytes; what does not is decoded once."""
    small, large = gzip.compress(b"x" * LARGE), gzip.compress(b"x" * (LARGE + 1))
    for body, is_large in ((small, False), (large, True)):
        live = exchange(body, limit=2 * LARGE, content_encoding="gzip")
        assert live.is_large() is is_large
        assert live.is_large() is is_large
        assert len(sent(live.open_frame()).body) == LARGE + is_large
        live = exchange(limit=2 * LARGE)
        live.answer = json_head(content_encoding="gzip")
        assert live.is_large(body) is is_large
        assert len(end_of(live, body=body).answer_body) == LARGE + is_large


def test_what_is_large_of_a_stream() -> None:
    """What waits counts, and the bytes as they came where they can't be decoded."""
    live = streamed(b"x" * LARGE, limit=3 * LARGE)
    assert not live.is_large()
    live.feed(b"x", NOW)
    assert live.is_large()
    odd = streamed(b"x" * (LARGE + 1), answer=answer_head(content_encoding="xz"), limit=3 * LARGE)
    assert odd.is_large()


def test_a_stream_that_is_decoded_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes the event loop too long is decoded by a worker thread, whole, and stands alone."""
    monkeypatch.setattr("response_store.capture.stream_tee.CHUNK_SECONDS", 0)
    packed = gzip.compress(b"data: 1\n\n" + TERMINAL)
    live = streamed(packed[:20], packed[20:], answer=answer_head(content_encoding="gzip"))
    live.is_open = True
    assert live.is_large()
    frame = end_of(live)
    assert frame.head.is_whole
    assert frame.answer_body == b"data: 1\n\n" + TERMINAL
    assert frame.head.request is not None


def test_a_large_request_counts_once() -> None:
    """A request that an open frame has is no part of the end."""
    live = exchange(b"x" * (LARGE + 1), limit=2 * LARGE)
    live.open_frame()
    live.is_open = True
    assert not live.is_large()


# Times and ends


def test_times() -> None:
    """Times count from the start, and never go back."""
    live = exchange(started_at=1000.0)
    assert live.elapsed_ms(NOW + 1.2345678) == 1234.568
    assert live.elapsed_ms(NOW - 5) == 0
    assert live.age(NOW + 2) == 2
    assert live.moment(1001.5) == NOW + 1.5


def test_regular_end() -> None:
    """An answer of this proxy ends by the proxy."""
    for rejected, by in ((False, EndedBy.BODY), (True, EndedBy.PROXY)):
        live = exchange()
        live.rejected = rejected
        assert live.regular_end is by


def test_what_creates() -> None:
    """Polls, cancels and deletes ask after a response that is there."""
    assert exchange().creates
    assert not exchange(target_response_id="r").creates


def test_feed() -> None:
    """The chunk that completes the terminal event says so, once; without a stream none does."""
    live = streamed()
    assert not live.feed(b"data: {}\n\n", NOW)
    assert live.feed(TERMINAL, NOW)
    assert not live.feed(TERMINAL, NOW)
    assert not exchange().feed(TERMINAL, NOW)


def test_memory() -> None:
    """The memory of a stream is free once it is released."""
    budget = Budget(10_000)
    live = streamed(b"data: x", budget=budget)
    assert budget.held == 7
    assert live.stream is not None
    live.stream.release()
    assert budget.held == 0


KEY = b"c4n4ry-0123456789"


def keyed(*chunks: bytes, status: int = 200, **how: Any) -> Exchange:
    """An exchange whose client has sent a key, and what has come of its answer's stream."""
    return streamed(
        *chunks, answer=answer_head(status_code=status), credentials=(KEY, b"not-needed"), **how
    )


def test_an_answer_that_repeats_the_clients_key() -> None:
    """The key is masked in what is written of an answer: parts, the end, and undecodable bytes."""
    live = keyed(b'data: {"key":"' + KEY + b'"}\n\n')
    assert live.stream is not None
    part = sent(live.part_frame(live.stream.take(all_of_it=False), 1.0))
    assert (KEY in part.body, b"***" in part.body) == (False, True)
    live.feed(b"data: " + KEY[:5], NOW)
    live.feed(KEY[5:], NOW)
    assert KEY not in end_of(live).body
    whole = exchange(credentials=(KEY,))
    whole.answer = json_head(status_code=401)
    assert end_of(whole, body=b'{"error":"' + KEY + b'"}').answer_body == b'{"error":"***"}'
    odd = exchange(credentials=(KEY,))
    odd.answer = json_head(content_encoding="gzip")
    assert KEY not in end_of(odd, body=b"no gzip " + KEY).body


def test_a_key_that_is_a_word() -> None:
    """A key that may be an ordinary word is masked in errors alone."""
    words = b"data: not-needed\n\n"
    assert end_of(keyed(words)).answer_body == words
    assert end_of(keyed(words, status=401)).answer_body == b"data: ***\n\n"


def test_a_key_in_a_large_answer() -> None:
    """It is found wherever it stands in megabytes."""
    body = b"x" * ((1 << 21) - 5) + KEY + b"x" * 100
    live = exchange(credentials=(KEY,), limit=1 << 23)
    live.answer = json_head(status_code=500)
    assert KEY not in end_of(live, body=body).body
