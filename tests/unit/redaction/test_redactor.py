"""Rows without their secrets, whichever column they came in."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from response_store.config import RawBodies
from response_store.diagnostics import Counters
from response_store.ingest.draft import Draft
from response_store.model.records import Api, Deletion, EndedBy, Record, State
from response_store.model.zstd import Compressor, unpack
from response_store.redaction.known import KNOWN
from response_store.redaction.patterns import Patterns
from response_store.redaction.redactor import Redactor
from tests.fakes import bodies
from tests.fakes.dialects import CHAT, OPENAI
from tests.unit.ingest.drafts import build, builder, request, streamed, undecodable, whole
from tests.unit.redaction.keys import A30, KEYS

KEY = KEYS["anthropic"]


class Redacting:
    """A redaction, and what it counts."""

    def __init__(self, own: dict[str, str] | None = None, known: Any = KNOWN) -> None:
        self.counters = Counters()
        self.redaction = Redactor(Patterns(known, own or {}), Compressor().frame, self.counters)

    def build(self, ending: Any, body: Any = None, **how: Any) -> Record:
        return build(ending, body, redact=self.redaction, raw=RawBodies.ALWAYS, **how)


def pieces(text: str) -> list[str]:
    return [text[at : at + 5] for at in range(0, len(text), 5)]


def delta_stream(texts: list[str], *, ends: bool, last: Any = None) -> list[bytes]:
    """A stream of deltas with nothing else, whole or cut off before anything repeats them."""
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": {"id": "resp_1", "object": "response",
                                                  "status": "in_progress", "output": []}},
        {"type": "response.output_item.added", "output_index": 0,
         "item": {"type": "message", "id": "msg_1", "role": "assistant", "content": []}},
        {"type": "response.content_part.added", "item_id": "msg_1", "output_index": 0,
         "content_index": 0, "part": {"type": "output_text", "text": "", "annotations": []}},
    ]  # fmt: skip
    events += [
        {"type": "response.output_text.delta", "item_id": "msg_1", "output_index": 0,
         "content_index": 0, "delta": text}
        for text in texts
    ]  # fmt: skip
    if ends:
        whole_text = "".join(texts)
        done = bodies.whole_response(text=whole_text) | {"id": "resp_1"}
        events.append({"type": "response.completed", "response": done})
    return [f"event: {e['type']}\ndata: {json.dumps(e)}\n\n".encode() for e in events]


@pytest.mark.parametrize("ends", [True, False])
def test_a_secret_in_pieces(ends: bool) -> None:
    """No event holds it, but the joined text does: the text is redacted, the raw bytes go."""
    redacting = Redacting()
    chunks = delta_stream(pieces(f"take {KEY} and go"), ends=ends)
    by = EndedBy.TERMINAL_EVENT if ends else EndedBy.CLIENT
    record = redacting.build(streamed(chunks, by=by))
    assert record.exchange.output_text == "take [redacted:anthropic] and go"
    assert record.exchange.raw_response is None
    assert KEY not in repr(record)
    counters = redacting.counters.snapshot()
    assert counters["redaction.raw_dropped"] == 1
    assert counters["redacted.anthropic"] == 1


@pytest.mark.parametrize("ends", [True, False])
def test_a_long_secret_in_two_pieces(ends: bool) -> None:
    """The first is long enough to be one by itself; the rest must not stay."""
    redacting = Redacting()
    record = redacting.build(
        streamed(delta_stream([f"take {KEY}", "CANARY-and-more"], ends=ends), by=EndedBy.CLIENT)
    )
    assert record.exchange.output_text == "take [redacted:anthropic]"
    assert record.exchange.raw_response is None
    assert redacting.counters.snapshot() == {"redacted.anthropic": 1, "redaction.raw_dropped": 1}


def test_a_secret_in_pieces_that_make_no_text() -> None:
    """The raw bytes alone hold it: an event of a type that is not known, cut off."""
    redacting = Redacting()
    chunks = delta_stream([], ends=False)
    for text in pieces(KEY):
        event = {
            "type": "response.of_tomorrow.delta",
            "item_id": "ci",
            "delta": text,
        }
        chunks.append(f"data: {json.dumps(event)}\n\n".encode())
    record = redacting.build(streamed(chunks, by=EndedBy.CLIENT))
    assert record.exchange.raw_response is None
    assert redacting.counters.snapshot() == {"redaction.raw_dropped": 1}


def test_texts_that_quote_json() -> None:
    """A model may answer in JSON, and a server may refuse in words of its own."""
    key = KEY.replace("-", "\\u002d")
    quoted = f'{{"url":"https:\\/\\/me:hunter2-swordfish@host","k":"{key}"}}'
    redacting = Redacting()
    for made in (
        redacting.build(whole(bodies.whole_response(text=quoted))).exchange.output_text,
        redacting.build(whole(quoted.encode(), status=500)).exchange.error_message,
    ):
        told = json.loads(made or "")
        assert told["url"] == "https://me:[redacted:url-password]@host"
        assert told["k"] == "[redacted:anthropic]"


def test_a_path_in_percent_signs() -> None:
    """It is looked at as what it means, too; without a secret it stays to the letter."""
    redacting = Redacting()

    def path(spelled: str) -> str:
        asked = replace(request(), path=spelled)
        made = builder(redact=redacting.redaction).build(
            Draft(asked, whole(bodies.whole_response()))
        )
        assert isinstance(made, Record)
        return made.exchange.path

    assert path("/a%20b/responses?api-version=1%2F2") == "/a%20b/responses?api-version=1%2F2"
    assert path(f"/{KEY.replace('-', '%2D')}/responses") == "/%5Bredacted%3Aanthropic%5D/responses"
    told = path("/responses?include=https%3A%2F%2Fme%3Ahunter2-swordfish%40host")
    assert told == "/responses?include=https%3A%2F%2Fme%3A%5Bredacted%3Aurl-password%5D%40host"


def test_a_host() -> None:
    """A secret may be a label of it."""
    redacting = Redacting({"mine": "tok-[a-z]{8}"})
    asked = replace(request(), host="tok-abcdefgh.gateway.example")
    made = builder(redact=redacting.redaction).build(Draft(asked, whole(bodies.whole_response())))
    assert isinstance(made, Record)
    assert made.exchange.host == "[redacted:mine].gateway.example"


def test_bytes_that_are_no_text_are_kept() -> None:
    """An answer with a broken character holds escapes as well: nothing of it is left out."""
    redacting = Redacting()
    body = b'{"id":"resp_1","a":"\xff \\n"}'
    record = redacting.build(whole(body))
    assert unpack(record.exchange.raw_response or b"") == body
    assert redacting.counters.snapshot() == {}


def test_a_secret_that_a_resumed_stream_brings_to_its_end() -> None:
    """The bytes of the tail hold half of it; joined with what came before it is one."""
    redacting = Redacting()
    half = len(KEY) // 2
    events = numbered(["it is " + KEY[:half], KEY[half:]])
    head = streamed(events[:-2], by=EndedBy.CLIENT)
    tail = streamed(events[-2:])
    made = builder(redact=redacting.redaction, raw=RawBodies.ALWAYS)
    made.build(Draft(request({"model": "m", "input": "x", "background": True}), head))
    resuming = replace(
        request(), exchange_id="e2", method="GET", body=None, target_response_id="resp_1"
    )
    record = made.build(Draft(resuming, tail))
    assert isinstance(record, Record)
    assert record.exchange.output_text == "it is [redacted:anthropic]"
    assert record.exchange.raw_response is None


def numbered(texts: list[str]) -> list[bytes]:
    """A background stream that is cut off behind its last delta, with numbers."""
    frames = delta_stream([*texts, ""], ends=False)
    found = []
    for number, frame in enumerate(frames):
        event = json.loads(frame.partition(b"data: ")[2]) | {"sequence_number": number}
        if "response" in event:
            event["response"] |= {"background": True}
        found.append(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
    return found


def test_a_stream_without_secrets_is_kept_to_the_letter() -> None:
    """Nothing is dropped, nothing written anew."""
    redacting = Redacting()
    chunks = delta_stream(pieces("nothing to be seen here"), ends=True)
    record = redacting.build(streamed(chunks))
    assert unpack(record.exchange.raw_response or b"") == b"".join(chunks)
    assert redacting.counters.snapshot() == {}


def test_a_secret_in_one_event() -> None:
    """The raw stream is kept, with a mark in its place."""
    redacting = Redacting()
    chunks = delta_stream(["a ", KEY, " b"], ends=True)
    record = redacting.build(streamed(chunks))
    raw = unpack(record.exchange.raw_response or b"")
    assert raw == b"".join(chunks).replace(KEY.encode(), b"[redacted:anthropic]")


def test_a_chat_in_pieces() -> None:
    """Chat completions have their own deltas, those of tool calls among them."""
    redacting = Redacting()
    chunks = [
        {"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": [
            {"index": 0, "delta": {"tool_calls": [
                {"index": 0, "id": "call", "function": {"name": "f", "arguments": piece}}]}}]}
        for piece in pieces(json.dumps({"key": KEY}))
    ]  # fmt: skip
    frames = [b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks]
    record = redacting.build(
        streamed([*frames, b"data: [DONE]\n\n"], api=Api.CHAT_COMPLETIONS), api=Api.CHAT_COMPLETIONS
    )
    assert record.exchange.raw_response is None
    assert KEY not in (record.exchange.result or "")
    assert "[redacted:anthropic]" in (record.exchange.result or "")


def test_the_end_of_a_long_message() -> None:
    """A message is clipped behind the redaction: no half of a secret is left."""
    redacting = Redacting()
    record = redacting.build(whole(b"x" * 1980 + b" " + KEY.encode() + b" y", status=500))
    message = record.exchange.error_message or ""
    assert message == "x" * 1980 + " [redacted:anthropic"


def test_own_patterns_leave_ids_alone() -> None:
    """A wide pattern keeps no row from being found; in the texts it has its way."""
    redacting = Redacting({"long": "[A-Za-z0-9_]{20,}"})
    answer = bodies.whole_response(text=f"see {A30}") | {"id": "resp_" + "a" * 40}
    body = {"model": "m", "input": "x", "previous_response_id": "resp_" + "b" * 40}
    record = redacting.build(whole(answer), body)
    assert record.response is not None
    assert record.exchange.response_id == record.response.id == "resp_" + "a" * 40
    assert json.loads(record.response.response_object)["id"] == record.response.id
    assert record.exchange.previous_response_id == "resp_" + "b" * 40
    assert record.exchange.output_text == "see [redacted:long]"


def test_a_key_in_the_place_of_an_id() -> None:
    """Known patterns go everywhere, also where only an id should be."""
    redacting = Redacting()
    body = {"model": KEY, "input": "x", "previous_response_id": KEY, "conversation": KEY}
    record = redacting.build(whole(bodies.whole_response()), body)
    assert KEY not in repr(record)
    assert record.exchange.previous_response_id == "[redacted:anthropic]"
    assert redacting.redaction.redact_deletion(Deletion("t", KEY)) == Deletion(
        "t", "[redacted:anthropic]"
    )


def test_what_can_not_be_looked_at_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A column that makes trouble stays empty, and the row is written all the same."""
    redacting = Redacting()
    real = Patterns.may_contain_secret

    def failing(self: Patterns, text: bytes) -> bool:
        if b"trouble" in text:
            raise MemoryError
        return real(self, text)

    monkeypatch.setattr(Patterns, "may_contain_secret", failing)
    record = redacting.build(
        whole(bodies.whole_response(text="fine")), {"model": "m", "input": "trouble"}
    )
    assert record.response is None
    assert record.exchange.request_body is None
    assert record.exchange.output_text == "fine"
    assert "trouble" not in repr(record)
    counters = redacting.counters.snapshot()
    assert counters["redaction.failed.request_body"] == 1
    assert counters["redaction.failed.input"] == 1


def test_an_open_row_is_redacted_and_not_counted() -> None:
    """What it holds comes once more, with its end."""
    redacting = Redacting()
    asked = request({"model": "m", "input": KEY})
    made = builder(redact=redacting.redaction).build(Draft(asked))
    assert isinstance(made, Record)
    assert made.exchange.state == State.OPEN
    assert KEY.encode() not in unpack(made.exchange.request_body or b"")
    assert redacting.counters.snapshot() == {}


def test_bytes_that_can_not_be_decoded_are_not_kept() -> None:
    """Nobody can tell what is in them."""
    redacting = Redacting()
    record = redacting.build(undecodable(b"", b"\x1f\x8b broken"))
    assert record.exchange.state == State.UNREADABLE
    assert record.exchange.raw_response is None


@pytest.mark.parametrize(
    ("ending", "api"),
    [
        (whole(bodies.whole_response()), Api.RESPONSES),
        (streamed(OPENAI.frames(bodies.stream_events())), Api.RESPONSES),
        (whole(bodies.chat_completion()), Api.CHAT_COMPLETIONS),
        (
            streamed(CHAT.frames(bodies.chat_chunks()), api=Api.CHAT_COMPLETIONS),
            Api.CHAT_COMPLETIONS,
        ),
    ],
)
def test_usual_traffic_holds_no_secret(ending: Any, api: Api) -> None:
    """No known pattern finds anything in the bodies of everyday, and no byte of them changes."""
    redacting = Redacting()
    made = redacting.build(ending, api=api)
    assert redacting.counters.snapshot() == {}
    assert made == build(ending, raw=RawBodies.ALWAYS, api=api)


ROTATING = {"item_id": "it{n}", "output_index": "{n}", "both": "{n}"}


@pytest.mark.parametrize("rotates", ROTATING)
def test_a_secret_in_pieces_of_items_that_rotate(rotates: str) -> None:
    """Where each event names another item the pieces are put together all the same."""
    redacting = Redacting()
    events = []
    for n, piece in enumerate(pieces(KEY)):
        event = {"type": "response.output_text.delta", "item_id": "i", "output_index": 0}
        if rotates in ("item_id", "both"):
            event["item_id"] = f"it{n}"
        if rotates in ("output_index", "both"):
            event["output_index"] = n
        events.append(event | {"content_index": 0, "delta": piece})
    done = {"type": "response.completed", "response": bodies.whole_response(text="hello")}
    chunks = [f"data: {json.dumps(e)}\n\n".encode() for e in (*events, done)]
    record = redacting.build(streamed(chunks))
    assert record.exchange.raw_response is None
    assert redacting.counters.snapshot()["redaction.raw_dropped"] == 1


@pytest.mark.parametrize("member", ["token", "bytes", "chat"])
def test_a_secret_in_logprobs(member: str) -> None:
    """A key that stands there token by token goes with its tokens; other tokens stay."""
    tokens = [
        {"token": piece, "logprob": -0.1, "bytes": list(piece.encode())} for piece in pieces(KEY)
    ]
    if member == "bytes":
        tokens = [token | {"token": "?"} for token in tokens]
    others = [{"token": "hello", "logprob": -0.1, "bytes": list(b"hello")}]
    answer = bodies.whole_response(text="hello")
    part = answer["output"][0]["content"][0]
    answer["output"][0]["content"] = [part | {"logprobs": others}, part | {"logprobs": tokens}]
    if member == "chat":
        answer["more"] = {"logprobs": {"content": tokens}}
    redacting = Redacting()
    record = redacting.build(whole(json.dumps(answer).encode()))
    assert record.response is not None
    stored = json.loads(record.response.response_object)
    kept = [one["logprobs"] for one in stored["output"][0]["content"]]
    assert kept == [others, []]
    assert stored.get("more") in (None, {"logprobs": None})
    assert pieces(KEY)[1] not in record.response.messages
    assert redacting.counters.snapshot()["redacted.anthropic"] == 1


ESCAPES = ["\x1b[01;31m\x1b[K", "\x1b[0m", "\x1b(B", "\x1b]8;;http://h/\x07", "\x1b[?25l", "\x1bM"]


@pytest.mark.parametrize("escape", ESCAPES)
@pytest.mark.parametrize("at", [0, 3, 12, len(KEY) - 1])
def test_a_secret_with_escapes(escape: str, at: int) -> None:
    """A terminal escape hides no key, before it or inside it."""
    redacting = Redacting()
    asked = {"model": "m", "input": f"look: {KEY[:at]}{escape}{KEY[at:]}{escape}!"}
    record = redacting.build(whole(bodies.whole_response()), json.dumps(asked).encode())
    assert record.response is not None
    said = json.loads(record.response.input)[0]["content"][0]["text"]
    expected = f"look: {escape if not at else ''}[redacted:anthropic]{escape}!"
    assert said == expected
    assert KEY[-8:] not in repr(record)


def test_redaction_comes_before_clipping() -> None:
    """What is clipped to fit a column was looked at whole, so that no half of a key stays."""
    redacting = Redacting()
    facts = request()
    facts.headers["user_agent"] = "A" * 964 + " " + KEYS["google"]
    record = builder(redact=redacting.redaction).build(Draft(facts, whole(bodies.whole_response())))
    assert isinstance(record, Record)
    agent = record.exchange.user_agent or ""
    assert (len(agent) <= 1000, "gg" in agent, "SSS" in agent) == (True, False, False)


def test_what_takes_too_long_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A column that can't be looked at in time is left out, and counted; others stay."""
    monkeypatch.setattr("response_store.redaction.redactor.COLUMN_SECONDS", 0)
    redacting = Redacting({"slow": "(?:x.*y|x)"})
    record = redacting.build(whole(bodies.whole_response()), {"model": "m", "input": "x"})
    assert record.exchange.request_body is None
    assert record.exchange.state == State.COMPLETED
    assert redacting.counters.snapshot()["redaction.too_slow.request_body"] == 1
