"""What mitmproxy's content view "OpenAI" shows, and when it is chosen."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from response_store.mitmweb.contentview import NAME
from response_store.mitmweb.recognise import MessageKind, RecognizedMessage
from response_store.mitmweb.render import render_message
from response_store.model.records import Api
from tests.fakes import bodies
from tests.fakes.dialects import OPENAI
from tests.harness.work import at_most
from tests.hypothesis_profiles import examples
from tests.unit.mitmweb.flows import CHAT, RESPONSES, SECRET, STREAM, flow_of, shown, socket_of

if TYPE_CHECKING:
    from mitmproxy.http import HTTPFlow

MIB = 1024 * 1024
ASKED = {
    "model": "gpt-5",
    "instructions": "Be brief.",
    "previous_response_id": "resp_before",
    "stream": True,
    "tools": [{"type": "function", "name": "weather"}, {"type": "web_search"}],
    "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "Weather?\x1b[2J"}]},
        {"type": "function_call", "call_id": "c", "name": "weather", "arguments": '{"in":"Köln"}'},
        {"type": "function_call_output", "call_id": "c", "output": "sunny"},
    ],
}
ASKED_SHOWN = """\
model        gpt-5
previous     resp_before
streamed     yes
tools        weather, web_search

--- instructions
Be brief.

--- user
Weather?\u241b[2J

--- tool call weather
{"in":"Köln"}

--- tool result
sunny"""
USAGE = {
    "input_tokens": 120,
    "input_tokens_details": {"cached_tokens": 64},
    "output_tokens": 45,
    "output_tokens_details": {"reasoning_tokens": 20},
    "total_tokens": 165,
}
ANSWERED = bodies.response(
    response_id="resp_1",
    model="gpt-5-dated",
    usage=USAGE,
    output=[
        bodies.message("Sunny.", item_id="msg_1"),
        bodies.function_call("weather", '{"in":"Rome"}', item_id="fc_1"),
    ],
)
ANSWERED_SHOWN = """\
response     resp_1
model        gpt-5-dated
state        completed
tokens       120 in (64 cached), 45 out (20 reasoning)

--- assistant
Sunny.

--- tool call weather
{"in":"Rome"}"""


def told(value: Any) -> bytes:
    """JSON as it passes."""
    return json.dumps(value, ensure_ascii=False).encode()


def streamed(events: list[dict[str, Any]]) -> bytes:
    """Events as a body."""
    return b"".join(OPENAI.frames(events))


def answer_of(flow: HTTPFlow) -> str:
    """What the view that is chosen by itself shows of an answer: ours."""
    text, view = shown(flow, flow.response)
    assert view == NAME
    return text.replace("\n \n", "\n\n")


def test_request() -> None:
    """A request is its settings, and the conversation that it sends; no header is shown."""
    flow = flow_of(asked=told(ASKED))
    text, view = shown(flow, flow.request)
    assert view == NAME
    assert text.replace("\n \n", "\n\n") == ASKED_SHOWN


def test_answer() -> None:
    """An answer is what was said, with tool calls and tokens."""
    assert answer_of(flow_of(answer=told(ANSWERED))) == ANSWERED_SHOWN


def test_stream_with_its_terminal_event() -> None:
    """A stream is shown as the answer that its terminal event holds."""
    events = [
        {"type": "response.created", "response": ANSWERED | {"output": []}},
        {"type": "response.output_text.delta", "output_index": 0, "delta": "Sun"},
        {"type": "response.completed", "response": ANSWERED},
    ]
    flow = flow_of(answer=streamed(events), content_type=STREAM)
    assert answer_of(flow) == ANSWERED_SHOWN


@pytest.mark.parametrize("terminal", [True, False])
def test_stream_put_together(terminal: bool) -> None:
    """Without an output at the end, or without an end, the pieces tell the answer."""
    begun = {"type": "response.created", "response": ANSWERED | {"output": [], "usage": None}}
    events = [begun, *bodies.text_events("msg_1", "Sunny, and warm.")]
    if terminal:
        events.append({"type": "response.completed", "response": ANSWERED | {"output": []}})
    text = answer_of(flow_of(answer=streamed(events), content_type=STREAM))
    assert "--- assistant\nSunny, and warm." in text
    assert ("120 in" in text) is terminal


@pytest.mark.parametrize("stream", [True, False])
def test_chat_completion(stream: bool) -> None:
    """A chat completion is shown alike, whole or streamed."""
    asked = {"model": "gpt-5", "stream_options": {"include_usage": True}}
    body = told(bodies.chat_completion(asked))
    if stream:
        body = streamed(bodies.chat_chunks(asked)) + b"data: [DONE]\n\n"
    kind = STREAM if stream else "application/json"
    text = answer_of(flow_of(CHAT, answer=body, content_type=kind))
    assert f"--- assistant\n{bodies.TEXT}" in text
    assert "--- tool call " in text
    assert "tokens       " in text
    assert "chatcmpl" in text


def test_error() -> None:
    """A refusal is shown as the error that it is."""
    flow = flow_of(answer=told(bodies.error_body("Too many.", kind="requests", code="rate_limit")))
    assert "error        rate_limit: Too many." in answer_of(flow)


def test_socket() -> None:
    """The messages of a socket are shown as what each side says."""
    create = {"type": "response.create", "model": "gpt-5", "input": "Weather?"}
    delta = {"type": "response.output_text.delta", "output_index": 0, "delta": "Sun"}
    completed = {"type": "response.completed", "response": ANSWERED}
    sent = [(True, told(create)), (False, told(delta)), (False, told(completed))]
    flow = socket_of(*sent)
    assert flow.websocket is not None
    told_of = [shown(flow, message) for message in flow.websocket.messages]
    assert [view for _, view in told_of] == [NAME] * 3
    texts = [text.replace("\n \n", "\n\n") for text, _ in told_of]
    assert texts[0] == "event        response.create\nmodel        gpt-5\n\n--- user\nWeather?"
    assert texts[1] == f"event        {delta['type']}\n\n--- assistant\nSun"
    assert texts[2] == f"event        response.completed\n{ANSWERED_SHOWN}"


def test_socket_whose_end_is_empty() -> None:
    """Where a terminal message comes without output, those before it in its lane tell."""
    pieces = [{"type": "response.created", "response": {"id": "resp_1"}, "stream_id": "a"}]
    pieces += [event | {"stream_id": "a"} for event in bodies.text_events("m", "Sunny.")]
    other = [event | {"stream_id": "b"} for event in bodies.text_events("n", "Not this.")]
    end = {"type": "response.completed", "response": {"id": "resp_1"}, "stream_id": "a"}
    flow = socket_of(*((False, told(event)) for event in [*pieces, *other, end]))
    assert flow.websocket is not None
    text = shown(flow, flow.websocket.messages[-1]).text
    assert "--- assistant\nSunny." in text
    assert "Not this." not in text


@pytest.mark.parametrize(
    ("flow", "name"),
    [
        (flow_of("/v1/models", answer=b'{"object": "list"}'), "another path"),
        (flow_of(answer=b"<html>no</html>", content_type="text/html"), "no JSON"),
        (flow_of(answer=b""), "nothing"),
    ],
)
def test_others_are_left_alone(flow: HTTPFlow, name: str) -> None:
    """What is none of ours is shown by mitmproxy's own views."""
    assert shown(flow, flow.response).view != NAME


def test_no_header_is_shown() -> None:
    """What the view shows comes from bodies alone."""
    flow = flow_of(asked=told(ASKED), answer=told(ANSWERED))
    texts = [shown(flow, message, NAME).text for message in (flow.request, flow.response)]
    assert SECRET not in "".join(texts)


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"model":"m","input":"' + b"x" * 40 * MIB + b'"}', "40.0 MiB: that is too much"),
        (b'{"model":"m","input":' + b"[" * 100_000, '{"model"'),
        (b'{"model":"m","input":[' + b'{"content":"a"},' * 60_000 + b"1]}", "--- user\na"),
        (b'{"model":"m","input":[' + b"[]," * 1_300_000 + b"1]}", "3.7 MiB: that is too much"),
        (b'{"model":"m","input":[' + b"1," * 199_000 + b"1]}", "model        m"),
        (b'{"model":"m","input":"' + b"\\u001b" * 600_000 + b'"}', "--- user\n\u241b"),
        (b'{"model":"' + b"m" * 4_000_000 + b'"}', "model        m"),
        (b"\x1b" * 4 * MIB, "\u241b"),
    ],
    ids=["large", "deep", "long", "lists", "numbers", "controls", "name", "no JSON"],
)
def test_large_requests_are_bounded(body: bytes, words: str) -> None:
    """The view shows a body of any size without holding mitmweb up."""
    flow = flow_of(asked=body)
    with at_most(0.2):
        text = render_message(body, RecognizedMessage(MessageKind.REQUEST, Api.RESPONSES))
    assert words in text
    assert shown(flow, flow.request, NAME).text == text


def test_what_can_not_be_followed() -> None:
    """What is nested beyond what can be followed is shown as it came, or as far as Python can."""
    part = '{"type": "text", "text": [' * 320 + '"deep"' + "]}" * 320
    flow = flow_of(asked=f'{{"model": "m", "input": [{{"content": [{part}]}}]}}'.encode())
    text = shown(flow, flow.request, NAME).text
    assert '"deep"' in text or "(nested too deeply to show)" in text


@pytest.mark.exhaustive
@pytest.mark.parametrize("ends", [True, False])
def test_large_streams_are_bounded(ends: bool) -> None:
    """Of a stream of 40 MB the end is read, else the beginning, and it says so."""
    delta = {"type": "response.output_text.delta", "output_index": 0, "delta": "Sun" * 100}
    piece = streamed([delta])
    body = piece * (40 * MIB // len(piece))
    if ends:
        body += streamed([{"type": "response.completed", "response": ANSWERED}])
    flow = flow_of(answer=body, content_type=STREAM)
    with at_most(0.2):
        text = render_message(body, RecognizedMessage(MessageKind.ANSWER, Api.RESPONSES))
    assert (answer_of(flow) == ANSWERED_SHOWN) is ends
    assert ("the first 640.0 KiB are read" in text) is not ends
    assert shown(flow, flow.response, NAME).text == text


@pytest.mark.exhaustive
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_streams_of_many_small_events_are_bounded(line_end: bytes) -> None:
    """What an event costs is bounded as well as what a byte costs."""
    pieces = {
        Api.CHAT_COMPLETIONS: b'data:{"choices":[{"delta":{"content":"a"}}]}\n\n',
        Api.RESPONSES: b"data:{}\n\n",
    }
    for api, piece in pieces.items():
        body = piece.replace(b"\n", line_end) * 100_000
        with at_most(0.6):  # measured: 0.1; all of it takes seconds
            text = render_message(body, RecognizedMessage(MessageKind.ANSWER, api))
        assert api is Api.RESPONSES or "are read" in text


def test_a_large_answer_is_bounded() -> None:
    """So is an answer of very many items; one that ends its stream alone is read."""
    item = {"type": "message", "content": [{"type": "output_text", "text": "Sun"}]}
    many = {**ANSWERED, "output": [item] * 30_000}
    with at_most(0.3):
        told_many = render_message(told(many), RecognizedMessage(MessageKind.ANSWER, Api.RESPONSES))
        said = [{"type": "output_text", "text": "Sun" * 10**6}]
        long = {**ANSWERED, "output": [{**item, "content": said}]}
        ending = streamed([{"type": "response.completed", "response": long}])
        told_long = render_message(ending, RecognizedMessage(MessageKind.ANSWER, Api.RESPONSES))
    assert "that is too much" in told_many
    assert "SunSunSun" in told_long
    assert told_long.endswith("(2868928 more characters)")


def test_of_a_long_conversation_the_ends_are_shown() -> None:
    """What was said last is what somebody looks for; a list loses its middle, and says so."""
    said = [{"role": "user", "content": f"turn {n} " + "x" * 1000} for n in range(1000)]
    said[500:500] = [{"role": "user", "content": "y"}] * 5000
    text = render_message(
        told({"model": "m", "input": said}), RecognizedMessage(MessageKind.REQUEST, Api.RESPONSES)
    )
    assert "turn 0 x" in text
    assert "turn 999 x" in text
    assert text.count("are not shown here)") == 1
    assert len(text) < 300_000
    few = render_message(told({"model": "m", "input": ["a", *["b"] * 2000]}), None)
    assert '--- left out\n{"items": 1}' in few


NAMES = st.sampled_from(
    "model input messages output choices message content type text role item delta response id "
    "usage error tools name function tool_calls arguments output_index".split()
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=examples(100))
@given(
    body=st.binary(max_size=60)
    | st.dictionaries(NAMES, JSON, max_size=6).map(lambda value: json.dumps(value).encode()),
    path=st.sampled_from([RESPONSES, CHAT]),
    stream=st.booleans(),
)
def test_any_body_is_shown(body: bytes, path: str, stream: bool) -> None:
    """Whatever a body holds, the view shows something and raises nothing."""
    data = b"data: " + body + b"\n\n" if stream else body
    flow = flow_of(path, asked=body, answer=data, content_type=STREAM if stream else "text/plain")
    socket = socket_of((False, body), (True, body))
    assert socket.websocket is not None
    for message in (flow.request, flow.response):
        assert "Couldn't parse" not in shown(flow, message, NAME).text
    for spoken in socket.websocket.messages:
        assert "Couldn't parse" not in shown(socket, spoken, NAME).text
