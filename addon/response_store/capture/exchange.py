"""One exchange while it lives: from the request to whichever end comes first.

Ends race: a terminal event, the end of the body, the client or the upstream gone, the proxy
stopped. The first one counts; what comes later changes nothing.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from response_store.capture.arrivals import ArrivalLog
from response_store.capture.budget import Budget
from response_store.capture.draft import (
    AnswerHead,
    Arrivals,
    EndHead,
    PartHead,
    RequestHead,
    encode_head,
)
from response_store.capture.outbox import LARGE, LARGE_ENCODED, Chain, OutgoingFrame
from response_store.capture.stream_tee import StreamTee
from response_store.journal.frames import FrameKind
from response_store.limits import CHUNK_SECONDS
from response_store.model.records import Api, EndedBy, Transport
from response_store.openai_api.content_encoding import (
    DecodingTimeoutError,
    EncodingError,
    TooLargeError,
    decode,
)
from response_store.openai_api.credentials import (
    is_ordinary,
    may_hold_credentials,
    may_hold_credentials_sliced,
)

if TYPE_CHECKING:
    from response_store.journal.receipts import Receipt

PART_BYTES = LARGE // 2
"""Decoded bytes of a stream that are written before it is time: little is left for its end, which
the event loop can write at once."""
_PAUSE = 0.0005  # seconds in which a worker thread lets the event loop run
_SEARCHED = 1 << 21  # bytes: it takes less than a millisecond
_SEARCH_BYTES = 1 << 14  # bytes at each end of a request
_asks_for_stream = re.compile(rb'"stream"\s*:\s*true').search
MASKED = "***"
_TOO_LARGE = "request body: above max_body_bytes"


class CapturedResponse(NamedTuple):
    """What there is of an answer: pieces that were decoded as they came, or a whole body.

    `encoded` are the chunks of a stream that is decoded later, all of it.
    """

    head: AnswerHead | None
    body: bytes | None = None
    encoded: Sequence[bytes] | None = None
    pieces: Sequence[bytes] | None = None
    raw: Sequence[bytes] = ()
    arrivals: Arrivals | None = None


class Exchange:
    """State of one exchange. Used by the event loop's thread, but for what frames are made of.

    `key` is that of its frames. `live` is False for one that is read from a file. `redacts`: all of
    it goes to the ingester in memory, as it may hold secrets; so it does where its request holds
    credentials, which an answer may repeat.
    """

    __slots__ = (
        "_body", "_budget", "_credentials", "_first_event_ms", "_limit", "_looked", "_plain_answer",
        "_plain_request", "_private", "_request_expands", "_started",
        "answer", "answer_fields", "chain", "ended", "is_open", "keeps_times", "key",
        "last_receipt", "live", "part_sent", "problem", "receipts", "redacts", "rejected",
        "request", "stream",
    )  # fmt: skip

    def __init__(
        self,
        key: int,
        request: RequestHead,
        body: bytes | None,
        *,
        live: bool,
        limit: int,
        budget: Budget,
        redacts: bool,
        elapsed: float,
        now: float,
        credentials: tuple[bytes, ...] = (),
        keeps_times: bool = True,
    ) -> None:
        """`elapsed` are the seconds since the request began, `now` those of a monotonic clock.

        `keeps_times`: when the bytes of a stream came is written, too.
        """
        self.key = key
        self.request = request
        self.live = live
        self.redacts = redacts
        self.keeps_times = keeps_times
        self.answer: AnswerHead | None = None
        self.answer_fields: object = None  # of the headers that `answer` was read from
        self.stream: StreamTee | None = None
        self.ended = False
        self.rejected = False  # answered by this proxy instead of the upstream
        self.is_open = False  # its OPEN frame is on its way
        self.part_sent = False
        self.problem: tuple[str, str] | None = None  # code and words, where the connection failed
        self.chain: Chain | None = None  # where a frame of it is large
        self.receipts: list[Receipt] = []  # of its frames that are not acknowledged yet
        self.last_receipt: Receipt | None = None
        self._credentials = credentials
        self._body = body
        self._limit = limit
        self._budget = budget
        self._looked = False
        self._plain_request: bytes | None = None  # decoded, until it is looked at
        self._plain_answer: bytes | None = None  # decoded, until it is written
        self._request_expands: bool | None = None
        self._private = redacts
        self._started = now - elapsed
        self._first_event_ms: float | None = None

    @property
    def regular_end(self) -> EndedBy:
        """Return what a body that came whole says of its end."""
        return EndedBy.PROXY if self.rejected else EndedBy.BODY

    @property
    def creates(self) -> bool:
        """Return whether it asks for a new response, and not for one that exists."""
        return self.request.target_response_id is None

    @property
    def asks_for_stream(self) -> bool:
        """Return whether the request asks for a stream, by a look at its ends."""
        body = self._plain_request or self._body
        if not body:
            return False
        return bool(
            _asks_for_stream(body[:_SEARCH_BYTES]) or _asks_for_stream(body[-_SEARCH_BYTES:])
        )

    def elapsed_ms(self, now: float) -> float:
        """Return the milliseconds since the request began; `now` is of the monotonic clock."""
        return round(max(0.0, now - self._started) * 1000, 3)

    def moment(self, at: float) -> float:
        """Return the monotonic time that a wall-clock time (Unix seconds) stands for."""
        return self._started + at - self.request.started_at

    def age(self, now: float) -> float:
        """Return the seconds since the request began."""
        return now - self._started

    def take_head(self, head: AnswerHead) -> None:
        """Take the head of the answer, without the client's own credentials."""
        named = head.upstream_request_id
        if named and self._masked(named) != named:
            head = msgspec.structs.replace(head, upstream_request_id=MASKED)
        if any(self._masked(value) != value for value in head.limits.values()):
            head = msgspec.structs.replace(head, limits={})
        self.answer = head

    def start_stream(self) -> StreamTee:
        """Return what watches the answer's body, which comes in chunks."""
        answer = self.answer
        assert answer is not None, "the head of an answer comes before its body"
        is_timed = self.keeps_times and answer.transport == Transport.SSE.value
        self.stream = StreamTee(
            Api(self.request.api),
            answer.content_encoding,
            self._limit,
            self._budget,
            holds_whole=self._holds_whole(answer),
            arrivals=ArrivalLog() if is_timed else None,
        )
        return self.stream

    def feed(
        self, chunk: bytes | Sequence[bytes], now: float, *, is_terminal: bool = False
    ) -> bool:
        """Take a chunk; return whether it completes the terminal event.

        A large message of a socket comes in pieces; `is_terminal` says what it is.
        """
        stream = self.stream
        if stream is None:
            return False
        if isinstance(chunk, bytes):
            ends = stream.feed(chunk, now)
        else:
            ends = stream.feed_frame(chunk, now, is_terminal=is_terminal)
        if self._first_event_ms is None and stream.first_event:
            self._first_event_ms = self.elapsed_ms(now)
        return ends

    def is_large(self, body: bytes | None = None) -> bool:
        """Return whether the next frame is better made by a worker thread.

        `body` is a whole answer's, not decoded yet.
        """
        if not self.is_open and self._request_is_large():
            return True
        stream = self.stream
        if stream is not None and (body is None or stream.has_chunks):
            return stream.is_deferred or stream.pending_size > LARGE or stream.raw_size > LARGE
        if body is None or self.answer is None:
            return False
        self._plain_answer, is_large = self._measure(body, self.answer.content_encoding)
        return is_large

    # Frames: made in order, one at a time, perhaps by another thread.

    def open_frame(self) -> OutgoingFrame:
        """Return the frame with the request."""
        body = self._request_body()
        parts = [body] if body else []
        return OutgoingFrame(
            FrameKind.OPEN, self.key, encode_head(self.request), parts, self._private
        )

    def part_frame(
        self, pieces: Sequence[bytes], elapsed_ms: float, arrivals: Arrivals | None = None
    ) -> OutgoingFrame:
        """Return a frame with more of the answer, decoded and of whole events."""
        answer = None if self.part_sent else self.answer
        self.part_sent = True
        came = _join(pieces)
        body = self._without_echoes(came)
        arrivals = arrivals if body is came else None
        head = encode_head(PartHead(answer, elapsed_ms, self._first_event_ms, arrivals))
        return OutgoingFrame(
            FrameKind.PART, self.key, head, [body], self._private or self._may_hold(body)
        )

    def gather(self, body: bytes | None, *, alone: bool = False) -> CapturedResponse:
        """Return what there is of the answer now. On the event loop, where chunks come in.

        `body` is a whole answer's, which was not streamed. `alone`: all of it, also what was
        written before.
        """
        answer, stream = self.answer, self.stream
        if answer is None:
            return CapturedResponse(None)
        if stream is None or (body is not None and not stream.has_chunks):
            return CapturedResponse(answer, body=body)
        if stream.is_deferred:
            return CapturedResponse(answer, encoded=list(stream.chunks))
        head = msgspec.structs.replace(
            answer,
            is_terminated=stream.is_terminated,
            too_large=stream.too_large,
            decode_error=stream.decode_error,
            has_body=stream.has_chunks,  # not where another script took the stream from us
        )
        pieces = stream.whole() if alone else stream.take(all_of_it=True)
        raw = list(stream.chunks) if stream.decode_error is not None else []
        arrivals = self.take_arrivals(all_of_it=alone)
        return CapturedResponse(head, pieces=pieces or [], raw=raw, arrivals=arrivals)

    def take_arrivals(self, *, all_of_it: bool = False) -> Arrivals | None:
        """Return when what was taken of the stream came, or all of it; None without times."""
        log = self.stream.arrivals if self.stream is not None else None
        return log.take(self._started, all_of_it=all_of_it) if log is not None else None

    def end_frame(
        self, by: EndedBy, duration_ms: float, answered: CapturedResponse, *, alone: bool = False
    ) -> OutgoingFrame:
        """Return the frame of the end. `alone`: it replaces what earlier frames say."""
        request = self._request_body()
        alone = alone or answered.encoded is not None
        says_request = alone or self._private or not self.is_open
        if not says_request:
            request = None
        answer, came, raw = self._answer_body(answered)
        body, raw = self._without_echoes(came), self._without_echoes(raw)
        head = EndHead(
            request=self.request if says_request else None,
            ended_by=by.value,
            duration_ms=duration_ms,
            first_event_ms=self._first_event_ms,
            answer=answer,
            request_size=len(request) if request else 0,
            raw_size=len(raw),
            is_whole=says_request and self.is_open,
            problem=self.problem and (self.problem[0], self._masked(self.problem[1])),
            arrivals=answered.arrivals if body is came else None,
        )
        parts = [part for part in (request, body, raw) if part]
        private = self._private or self._may_hold(body) or bool(raw and self._may_hold(raw))
        return OutgoingFrame(FrameKind.END, self.key, encode_head(head), parts, private)

    def has_parts(self) -> bool:
        """Return whether there is something for a part: not where all goes at once, at the end."""
        stream = self.stream
        if stream is None or not self.is_open or stream.holds_whole:
            return False
        if self.is_private():  # the request was large, and not looked at before the answer came
            stream.hold_whole()
            return False
        return stream.pending_size > 0

    @property
    def has_large_part(self) -> bool:
        """Return whether so much waits for the next part that it is better written now."""
        stream = self.stream
        return stream is not None and stream.untaken > PART_BYTES and not stream.holds_whole

    def is_private(self) -> bool:
        """Return whether all of it goes to the ingester at its end. Looks at the request once."""
        if not self._looked:
            self._request_body()
        return self._private

    def _holds_whole(self, answer: AnswerHead) -> bool:
        """Return whether what is decoded stays until the end: only streams can be cut."""
        if answer.transport == Transport.HTTP.value:
            return True
        if not self.creates:
            return True  # nothing is written before its end tells whether a response came
        if not self._looked and self._request_is_large():
            return self.redacts  # looked at later, by the worker thread
        return self.is_private()

    def _request_is_large(self) -> bool:
        body, coding = self._body, self.request.content_encoding
        if body is None:
            return False
        if self._looked or not coding:
            return len(body) > LARGE
        if self._request_expands is None:
            self._plain_request, self._request_expands = self._measure(body, coding)
        return self._request_expands

    def _measure(self, body: bytes, coding: str) -> tuple[bytes | None, bool]:
        """Return a body decoded, where that is a small thing, and whether it is a large one.

        A few bytes may stand for megabytes, which only decoding them tells.
        """
        if not coding or len(body) > LARGE_ENCODED:
            return None, len(body) > (LARGE_ENCODED if coding else LARGE)
        try:
            limit = min(LARGE, self._limit)
            return decode((body,), coding, limit, CHUNK_SECONDS, stepwise=True), False
        except (TooLargeError, DecodingTimeoutError):
            return None, True
        except EncodingError:  # found again where it is written
            return None, False

    def _request_body(self) -> bytes | None:
        """Return the request's body, decoded; looks at it when it is first asked for."""
        if self._looked:
            return self._body
        self._looked = True
        body = self._body
        if body is None:
            return None
        plain, self._plain_request = self._plain_request, None
        try:
            body = plain or decode((body,), self.request.content_encoding, self._limit)
        except EncodingError as error:  # what can't be decoded can't be cleaned
            why = _TOO_LARGE if isinstance(error, TooLargeError) else f"request body: {error}"
            self.request = msgspec.structs.replace(self.request, missing=why)
            self._body = None
            return None
        self._body = body
        self._private = self._private or self._may_hold(body)
        return body

    def _answer_body(self, answered: CapturedResponse) -> tuple[AnswerHead | None, bytes, bytes]:
        """Return the answer's head, what is to be written of its body, and undecodable bytes."""
        head, body = answered.head, answered.body
        if head is None:
            return None, b"", b""
        if answered.pieces is not None:
            raw = b"" if self._private else _join(answered.raw)[: self._limit]
            return head, _join(answered.pieces), raw
        if answered.encoded is not None:
            body = _join(answered.encoded)
        if body is None:
            return msgspec.structs.replace(head, has_body=False), b"", b""
        plain, self._plain_answer = self._plain_answer, None
        try:
            return head, plain or decode((body,), head.content_encoding, self._limit), b""
        except TooLargeError as error:
            beginning = error.decoded if head.content_encoding else body
            head = msgspec.structs.replace(head, too_large=True)
            return head, beginning[: self._limit], b""
        except EncodingError as error:
            head = msgspec.structs.replace(head, decode_error=str(error))
            return head, error.decoded, b"" if self._private else body[: self._limit]

    def _without_echoes(self, body: bytes) -> bytes:
        """Return a body without the client's own credentials, which an error may repeat."""
        if not self._credentials or not body:
            return body
        is_error = self.answer is not None and self.answer.status_code >= 400
        for secret in self._credentials:
            if (is_error or not is_ordinary(secret)) and _contains(body, secret):
                body = body.replace(secret, b"***")
        return body

    def _masked(self, text: str) -> str:
        """Return a short text of the server without the client's own credentials."""
        for secret in self._credentials:
            text = text.replace(secret.decode(errors="replace"), MASKED)
        return text

    def _may_hold(self, body: bytes) -> bool:
        if len(body) <= LARGE:
            return may_hold_credentials(body)
        return may_hold_credentials_sliced(body, _yield_to_others)


def _contains(body: bytes, secret: bytes) -> bool:
    """Search a body; of megabytes in slices, between which the event loop may run."""
    for start in range(0, len(body), _SEARCHED):
        if start:
            _yield_to_others()
        if body.find(secret, start, start + _SEARCHED + len(secret)) >= 0:
            return True
    return False


def _yield_to_others() -> None:
    time.sleep(_PAUSE)


def _join(pieces: Sequence[bytes]) -> bytes:
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
