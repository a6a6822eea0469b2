"""Chat completions: what a stream's chunks come to, and how they end."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import openai
import pytest

from tests.fakes import bodies
from tests.fakes.answers import Answer, End, Gate, Stream, broken, json_answer
from tests.fakes.dialects import CHAT as CHAT_DIALECT
from tests.fakes.dialects import DATA_ONLY
from tests.harness.clients import CHAT, QUESTION, RawClient, chatting, fetch, sdk
from tests.harness.database import unpacked
from tests.harness.expected import TOKENS, assert_holds, facts

if TYPE_CHECKING:
    from tests.fakes.model_server import ModelServer
    from tests.fakes.requests import Request
    from tests.harness.clients import Reply
    from tests.harness.database import Row
    from tests.harness.proxy import Proxy

Json = dict[str, Any]
NO_TOKENS = dict.fromkeys(TOKENS)
STREAM = Stream(dialect=CHAT_DIALECT)
STREAMED = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
HALF = 4
"""Chunks up to and with the third piece of the text."""
HALF_TEXT = "".join(bodies.deltas(bodies.TEXT)[:3])


def ask(proxy: Proxy, model: str, tenant: str, *, streamed: bool = True, **fields: Any) -> Reply:
    """Ask for a completion and read it to its end."""
    return fetch(proxy.port, chatting(model, stream=streamed, **fields), tenant, path=CHAT)


def result(row: Row) -> Json:
    """The completion that was kept."""
    found: Json = json.loads(row["result"])
    return found


def chunk(delta: Json, index: int = 0, finish: str | None = None, **top: Any) -> Json:
    """A chunk with one choice."""
    choice = {"index": index, "delta": delta, "finish_reason": finish}
    base = {"id": "chatcmpl_1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return base | {"choices": [choice]} | top


def whole(*choices: Json, **top: Any) -> Json:
    """A completion with these messages."""
    made = [
        {"index": at, "message": {"role": "assistant", **said}, "finish_reason": "stop"}
        for at, said in enumerate(choices)
    ]
    base = {"id": "chatcmpl_1", "object": "chat.completion", "created": 1, "model": "m"}
    return base | {"choices": made} | top


SAID: dict[str, tuple[list[Json], Json]] = {
    "several choices": (
        [
            chunk({"role": "assistant", "content": "b"}, 1),
            chunk({"role": "assistant", "content": "A"}),
            chunk({"content": "B"}, 1),
            chunk({}, 1, "stop"),
            chunk({"content": "a"}),
            chunk({}, 0, "stop"),
        ],
        whole({"content": "Aa"}, {"content": "bB"}),
    ),
    "a refusal": (
        [
            chunk({"role": "assistant", "content": None, "refusal": "I "}),
            chunk({"refusal": "can't."}),
            chunk({}, 0, "stop"),
        ],
        whole({"content": None, "refusal": "I can't."}),
    ),
    "usage in every chunk": (
        [
            chunk({"role": "assistant", "content": "Aa"}, usage={"total_tokens": 1}),
            chunk({}, 0, "stop", usage=bodies.CHAT_USAGE),
        ],
        whole({"content": "Aa"}, usage=bodies.CHAT_USAGE),
    ),
}


@STREAMED
@pytest.mark.parametrize("name", SAID)
def test_said(
    proxy: Proxy, model_server: ModelServer, tenant: str, name: str, *, streamed: bool
) -> None:
    """Chunks come to what the same server would say in one piece, and to the same row."""
    chunks, expected = SAID[name]
    answer = STREAM.answer(chunks) if streamed else json_answer(expected)
    ask(proxy, model_server.play(answer), tenant, streamed=streamed)
    row = proxy.database.ended(tenant)
    found = result(row)
    for choice in found["choices"]:
        assert choice.pop("logprobs", None) is None
    assert found == expected
    first = expected["choices"][0]["message"]["content"]
    assert_holds(row, {"state": "completed", "output_text": first, "response_id": "chatcmpl_1"})
    assert_holds(row, TOKENS if "usage" in expected else NO_TOKENS)


@pytest.mark.parametrize("usage", [False, True], ids=["without usage", "with usage"])
def test_as_the_sdk_joins(proxy: Proxy, tenant: str, *, usage: bool) -> None:
    """What is kept is what the SDK's own stream helper puts together."""
    how: Any = {"stream_options": {"include_usage": True}} if usage else {}
    with (
        sdk(proxy.url, tenant) as client,
        client.chat.completions.stream(
            model="gpt-5", messages=[{"role": "user", "content": QUESTION}], **how
        ) as stream,
    ):
        joined = json.loads(stream.get_final_completion().model_dump_json())
    row = proxy.database.ended(tenant)
    assert_holds(row, {"state": "completed", "ended_by": "terminal_event", "transport": "sse"})
    assert_holds(row, TOKENS if usage else NO_TOKENS)
    ours, theirs = (found["choices"][0] for found in (result(row), joined))
    assert ours["finish_reason"] == theirs["finish_reason"]
    for name in ("role", "content", "refusal"):
        assert ours["message"][name] == theirs["message"][name]
    calls = [call["function"] for call in theirs["message"]["tool_calls"]]
    assert [call["function"] for call in ours["message"]["tool_calls"]] == [
        {"name": call["name"], "arguments": call["arguments"]} for call in calls
    ]


def test_without_its_mark(proxy: Proxy, model_server: ModelServer, tenant: str) -> None:
    """A stream without `[DONE]` is complete when every choice has finished."""
    stream = Stream(dialect=DATA_ONLY).answer(bodies.chat_chunks())
    ask(proxy, model_server.play(stream), tenant)
    row = proxy.database.ended(tenant)
    assert_holds(row, {"state": "completed", "ended_by": "body", "output_text": bodies.TEXT})


def halfway(*then: Any) -> Any:
    """A stream that goes on otherwise after half of its text."""

    def play(request: Request) -> Answer:
        return broken(STREAM.answer(bodies.chat_chunks(request.fields)), after=HALF, then=then)

    return play


def test_upstream_cut(proxy: Proxy, model_server: ModelServer, tenant: str) -> None:
    """A stream whose server goes away keeps what came, also as it came."""
    assert not ask(proxy, model_server.play(halfway(End.FIN)), tenant).whole
    row = proxy.database.ended(tenant)
    assert_holds(row, {"state": "interrupted", "ended_by": "upstream", "output_text": HALF_TEXT})
    assert result(row)["choices"][0]["message"]["content"] == HALF_TEXT
    assert unpacked(row["raw_response"]) == model_server.recordings.only(tenant).body


def test_client_gone(proxy: Proxy, model_server: ModelServer, tenant: str) -> None:
    """A client that leaves keeps what came."""
    body = chatting(model_server.play(halfway(Gate())), stream=True)
    with RawClient(proxy.port) as client:
        reply = client.ask(body, x_tenant=tenant, path=CHAT)
        last = bodies.deltas(bodies.TEXT)[2]
        client.read_until(reply, json.dumps(last, ensure_ascii=False).encode())
    row = proxy.database.ended(tenant)
    assert_holds(row, {"state": "interrupted", "ended_by": "client", "output_text": HALF_TEXT})


ERRORS: dict[str, tuple[Json, str, str]] = {
    "an object": ({"error": {"code": "overloaded", "message": "Busy."}}, "overloaded", "Busy."),
    "a number": ({"error": {"code": 502, "message": "Busy."}}, "502", "Busy."),
    "in a last chunk": (
        chunk({"content": ""}, 0, "error", error={"code": 502, "message": "Busy."}),
        "502",
        "Busy.",
    ),
}


@pytest.mark.parametrize("done", [False, True], ids=["without mark", "with mark"])
@pytest.mark.parametrize("name", ERRORS)
def test_error_in_a_stream(
    proxy: Proxy, model_server: ModelServer, tenant: str, name: str, *, done: bool
) -> None:
    """A stream that breaks off with an error has failed, and keeps its text."""
    error, code, message = ERRORS[name]
    events = [*bodies.chat_chunks()[:HALF], error]
    stream = Stream(dialect=CHAT_DIALECT if done else DATA_ONLY).answer(events)
    ask(proxy, model_server.play(stream), tenant)
    row = proxy.database.ended(tenant)
    assert_holds(row, {"state": "failed", "error_code": code, "error_message": message})
    assert_holds(row, {"output_text": HALF_TEXT, "ended_by": "terminal_event" if done else "body"})
    assert row["raw_response"] is not None


@STREAMED
def test_refused(proxy: Proxy, tenant: str, *, streamed: bool) -> None:
    """The SDK raises what the refusal means, and the row says why."""
    with sdk(proxy.url, tenant) as client, pytest.raises(openai.RateLimitError):
        client.chat.completions.create(
            model="refused-429", messages=[{"role": "user", "content": "Hi"}], stream=streamed
        )
    row = proxy.database.ended(tenant)
    assert_holds(row, {"state": "refused", "error_code": "rate_limit_exceeded"})
    assert facts(row, "api", "output_text") == {"api": "chat_completions", "output_text": None}
