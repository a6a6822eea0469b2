"""The rest of the API: completions, embeddings, compaction, conversations, stored completions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.answers import EVENT_STREAM, Answer, Framing, json_answer
from tests.harness.clients import fetch, sdk
from tests.harness.database import unpacked
from tests.harness.on_databases import BACKENDS, Stage, proxy_on

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fakes.model_server import ModelServer
    from tests.harness.database import Row
    from tests.harness.proxy import Proxy

USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
TEXT = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "tab-1", "usage": USAGE}
VECTORS = [[0.25, -0.5, 1.0], [0.0, 0.125, 2.0]]


@pytest.fixture(scope="module", params=BACKENDS)
def stage(
    request: pytest.FixtureRequest,
    model_server: ModelServer,
    authority: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stage]:
    """A proxy that captures embeddings as well, on SQLite and then on PostgreSQL."""
    apis = ["responses", "chat_completions", "completions", "embeddings", "responses_compact"]
    config = {"capture": {"apis": [*apis, "conversations", "stored_completions"]}}
    folder = tmp_path_factory.mktemp(f"others-{request.param}")
    mode = f"reverse:{model_server.url}"
    with proxy_on(request.param, request, folder, config, authority=authority, mode=mode) as stage:
        yield stage


class Asking:
    """A client of the model server, through the proxy."""

    def __init__(self, stage: Stage, server: ModelServer, tenant: str) -> None:
        self.proxy, self.database = stage.proxy, stage.database
        self.server, self.tenant = server, tenant
        self.sdk: Any = sdk(stage.proxy.url, tenant)

    def answer(self, value: Any) -> dict[str, str]:
        """Return the headers by which the model server answers so."""
        answer = value if isinstance(value, Answer) else json_answer(value)
        return {"x-scenario": self.server.play(answer)}

    def rows(self) -> list[Row]:
        """Return the exchanges that were captured."""
        self.proxy.flush()
        return self.database.exchanges(self.tenant)

    def row(self) -> Row:
        """Return the only exchange."""
        (row,) = self.rows()
        return row


@pytest.fixture
def asking(stage: Stage, model_server: ModelServer, tenant: str) -> Iterator[Asking]:
    """A client of its own tenant."""
    one = Asking(stage, model_server, tenant)
    with one.sdk:
        yield one


def stream(*chunks: Any) -> Answer:
    """Return chunks as a stream, with the mark behind them."""
    lines = [*(json.dumps(chunk) for chunk in chunks), "[DONE]"]
    body = "".join(f"data: {line}\n\n" for line in lines).encode()
    return Answer(headers=(("content-type", EVENT_STREAM),), framing=Framing.CHUNKED, steps=(body,))


def counted(proxy: Proxy) -> dict[str, str]:
    """Return what the running proxy has counted."""
    lines = proxy.command("response_store.status").splitlines()
    return {name: value for name, _, value in (line.partition(": ") for line in lines)}


def test_completion(asking: Asking) -> None:
    """A completion of a prompt has its text, its tokens and its object."""
    choices = [{"index": 0, "text": "return x", "finish_reason": "stop", "logprobs": None}]
    headers = asking.answer(TEXT | {"choices": choices})
    made = asking.sdk.completions.create(model="tab", prompt="def f(x):", extra_headers=headers)
    assert made.choices[0].text == "return x"
    row = asking.row()
    assert (row["api"], row["state"], row["response_id"]) == ("completions", "completed", "cmpl-1")
    assert (row["output_text"], row["input_tokens"], row["output_tokens"]) == ("return x", 7, 3)
    assert (row["requested_model"], row["model"]) == ("tab", "tab-1")
    assert json.loads(row["result"]) == TEXT | {"choices": choices}


def test_streamed_completion(asking: Asking) -> None:
    """Its pieces are put together, with the tokens of the last chunk."""
    chunks = [
        TEXT | {"usage": None, "choices": [{"index": 0, "text": piece, "finish_reason": end}]}
        for piece, end in (("ret", None), ("urn \ud83d", None), ("\ude00", "stop"))
    ]
    headers = asking.answer(stream(*chunks, TEXT | {"choices": []}))
    with asking.sdk.completions.create(
        model="tab", prompt="def", stream=True, extra_headers=headers
    ) as events:
        assert [event.id for event in events]
    row = asking.row()
    assert (row["api"], row["transport"], row["state"]) == ("completions", "sse", "completed")
    assert (row["ended_by"], row["output_text"]) == ("terminal_event", "return \U0001f600")
    assert row["output_tokens"] == 3
    result = json.loads(row["result"])
    assert (result["object"], result["choices"][0]["text"]) == (
        "text_completion",
        row["output_text"],
    )


def test_failed_completion(asking: Asking) -> None:
    """An error in the stream, and one in its place, are told as those of a chat are."""
    chunk = TEXT | {"choices": [{"index": 0, "text": "re", "finish_reason": None}]}
    error = {"error": {"message": "No room.", "type": "server_error", "code": "full"}}
    for answer in (stream(chunk, error), json_answer(error, status=503)):
        headers = {"x_scenario": asking.answer(answer)["x-scenario"]}
        fetch(asking.proxy.port, {"model": "tab", "prompt": "def"}, asking.tenant,
              path="/v1/completions", **headers)  # fmt: skip
    failed, refused = asking.rows()
    assert (failed["state"], failed["error_message"]) == ("failed", "No room.")
    assert (refused["state"], refused["error_code"]) == ("refused", "full")


@pytest.mark.parametrize("coded", [False, True])
def test_embeddings(asking: Asking, coded: bool) -> None:
    """Inputs, tokens and digests are kept; the vectors are not."""
    vectors: list[Any] = ["AACAPgAAAL8AAIA/", "AAAAAAAAAD4AAABA"] if coded else VECTORS
    data = [
        {"object": "embedding", "index": at, "embedding": vector}
        for at, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": 5, "total_tokens": 5}
    answer = {"object": "list", "data": data, "model": "embed-1", "usage": usage}
    body = {"model": "embed", "input": ["Moss.", "Fern."]}
    reply = fetch(asking.proxy.port, body, asking.tenant, path="/v1/embeddings",
                  x_scenario=asking.answer(answer)["x-scenario"])  # fmt: skip
    assert json.loads(bytes(reply.body)) == answer
    row = asking.row()
    assert (row["api"], row["state"], row["model"]) == ("embeddings", "completed", "embed-1")
    assert (row["input_tokens"], row["total_tokens"], row["raw_response"]) == (5, 5, None)
    assert json.loads(unpacked(row["request_body"])) == body
    kept = json.loads(row["result"])["data"]
    assert [sorted(one) for one in kept] == [
        ["index", "object", "sha256"] if coded else ["dimensions", "index", "object", "sha256"]
    ] * 2
    assert kept[0]["sha256"] != kept[1]["sha256"]


def test_compaction(asking: Asking) -> None:
    """A compacted conversation has its items and tokens; it is no response."""
    output = [{"type": "compaction", "id": "cmp_1", "encrypted_content": "AbC1" * 100}]
    answer = {
        "id": "resp_c1", "object": "response.compaction", "created_at": 1, "output": output,
        "usage": {"input_tokens": 90, "output_tokens": 9, "total_tokens": 99},
    }  # fmt: skip
    asking.sdk.responses.compact(
        model="gpt-5", input="Long.", previous_response_id="resp_0",
        extra_headers=asking.answer(answer),
    )  # fmt: skip
    row = asking.row()
    assert (row["api"], row["state"]) == ("responses_compact", "completed")
    assert (row["response_id"], row["previous_response_id"]) == ("resp_c1", "resp_0")
    assert (row["input_tokens"], json.loads(row["result"])) == (90, answer)
    assert asking.database.responses(asking.tenant) == []


def test_conversation(asking: Asking) -> None:
    """Each request of a conversation is an exchange that names it."""
    conversation = {"id": "conv_1", "object": "conversation", "created_at": 5, "metadata": {}}
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}
    listed = {"object": "list", "data": [item | {"id": "msg_1"}], "has_more": False}
    api = asking.sdk.conversations
    api.create(items=[item], extra_headers=asking.answer(conversation))
    api.items.create("conv_1", items=[item], extra_headers=asking.answer(listed))
    api.retrieve("conv_1", extra_headers=asking.answer(conversation))
    api.items.list("conv_1", extra_headers=asking.answer(listed))
    asking.proxy.flush()
    select = "SELECT * FROM openai_conversations WHERE tenant_id = ?"
    (kept,) = asking.database.rows(select, asking.tenant)
    assert (kept["conversation_id"], kept["created_at"], kept["metadata"]) == ("conv_1", 5, "{}")
    assert json.loads(kept["messages"]) == [item, item | {"id": "msg_1"}]
    deleted = {"id": "conv_1", "object": "conversation.deleted", "deleted": True}
    api.delete("conv_1", extra_headers=asking.answer(deleted))
    rows = asking.rows()
    assert asking.database.rows(select, asking.tenant) == []
    assert [(row["api"], row["state"], row["conversation_id"]) for row in rows] == [
        ("conversations", "completed", "conv_1")
    ] * 5
    assert [row["method"] for row in rows] == ["POST", "POST", "GET", "GET", "DELETE"]


def test_stored_completions(asking: Asking) -> None:
    """What is asked of stored completions counts no tokens again."""
    message = {"role": "assistant", "content": "Green."}
    stored = {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-5",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": USAGE,
    }  # fmt: skip
    api = asking.sdk.chat.completions
    api.retrieve("chatcmpl-1", extra_headers=asking.answer(stored))
    api.update("chatcmpl-1", metadata={"a": "b"}, extra_headers=asking.answer(stored))
    api.list(extra_headers=asking.answer({"object": "list", "data": [stored]}))
    gone = {"id": "chatcmpl-1", "object": "chat.completion.deleted", "deleted": True}
    api.delete("chatcmpl-1", extra_headers=asking.answer(gone))
    rows = asking.rows()
    assert {row["api"] for row in rows} == {"stored_completions"}
    assert {row["state"] for row in rows} == {"completed"}
    assert [row["response_id"] for row in rows] == ["chatcmpl-1", "chatcmpl-1", None, "chatcmpl-1"]
    assert {row["input_tokens"] for row in rows} == {None}


def test_what_is_not_captured_is_counted(asking: Asking) -> None:
    """Other endpoints make no row, and are counted by name; unknown paths are not named."""
    before = counted(asking.proxy)
    for path in ("/v1/moderations", "/v1/messages", "/v1beta/models/g:generateContent",
                 "/v1/images/generations", "/secret-path-1", "/v1/secret-path-2"):  # fmt: skip
        fetch(asking.proxy.port, {"model": "m"}, asking.tenant, path=path)
    after = counted(asking.proxy)
    grown = {name for name, value in after.items() if value != before.get(name)}
    assert {"uncaptured.moderations", "uncaptured.messages", "uncaptured.images"} <= grown
    assert "uncaptured.generate_content" in grown
    assert not any("secret" in name for name in after)
    assert asking.rows() == []
