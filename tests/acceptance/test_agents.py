"""An agent that calls a tool, by the real Agents SDK: each of its turns is there."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes import bodies
from tests.fakes.answers import PLAIN, Answer, json_answer

if TYPE_CHECKING:
    from tests.fakes.model_server import ModelServer
    from tests.fakes.requests import Request
    from tests.harness.proxy import Proxy

CLIENT = Path(__file__).with_name("agents_client.py")
PYTHON = os.environ.get("TEST_AGENTS_PYTHON")
pytestmark = [
    pytest.mark.skipif(
        not PYTHON,
        reason="openai-agents and mitmproxy can't be installed together: install openai-agents in "
        "an environment of its own and name its Python in TEST_AGENTS_PYTHON",
    ),
]
CALL = bodies.function_call("weather", '{"city":"Graz"}', item_id="fc_1")
ANSWER = "It rains in Graz."


def model(request: Request) -> Answer:
    """First the tool is called, then its result is answered."""
    asked = request.fields
    called = "rain in Graz" in json.dumps(asked)
    if "messages" in asked:
        return json_answer(completion(asked, called))
    item = bodies.message(ANSWER, item_id="msg_1") if called else CALL
    output = {"output": [item], "usage": bodies.USAGE}
    if not asked.get("stream"):
        return json_answer(bodies.response(asked, **output))
    begun = bodies.response(asked, status="in_progress")
    ended = begun | output | {"status": "completed"}
    return PLAIN.answer(
        bodies.number(
            [
                {"type": "response.created", "response": begun},
                {"type": "response.output_item.done", "output_index": 0, "item": item},
                {"type": "response.completed", "response": ended},
            ]
        )
    )


def completion(asked: dict[str, Any], called: bool) -> dict[str, Any]:
    """The same as a chat completion."""
    function = {"name": CALL["name"], "arguments": CALL["arguments"]}
    tool_calls = [{"id": "call_1", "type": "function", "function": function}]
    message: dict[str, Any] = {"role": "assistant", "content": ANSWER if called else None}
    message |= {} if called else {"tool_calls": tool_calls}
    choice = {"index": 0, "message": message, "finish_reason": "stop" if called else "tool_calls"}
    usage = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
    return {
        "id": bodies.new_id("chatcmpl"),
        "object": "chat.completion",
        "created": 1764000000,
        "model": asked["model"],
        "choices": [choice],
        "usage": usage,
    }


@pytest.mark.parametrize("how", ["whole", "stream", "chat"])
def test_an_agent(proxy: Proxy, model_server: ModelServer, tenant: str, how: str) -> None:
    """Both turns are there: the call of the tool, and the answer to its result."""
    scenario = model_server.play(model)
    program = [str(PYTHON), str(CLIENT), proxy.url, tenant, scenario, how]
    ran = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)
    assert ran.stdout.strip() == ANSWER, ran.stderr
    first, second = proxy.database.all_ended(tenant, 2)
    assert [first["state"], second["state"]] == ["completed", "completed"]
    assert {first["api"], second["api"]} == {"chat_completions" if how == "chat" else "responses"}
    assert {first["transport"], second["transport"]} == {"sse" if how == "stream" else "http"}
    assert [first["output_text"], second["output_text"]] == [None, ANSWER]
    if how == "stream":
        assert second["previous_response_id"] == first["response_id"]
    if how == "chat":
        assert json.loads(first["result"])["choices"][0]["message"]["tool_calls"][0]["function"]
    else:
        stored = {row["id"]: row["response_object"] for row in proxy.database.responses(tenant)}
        assert json.loads(stored[first["response_id"]])["output"] == [CALL]
