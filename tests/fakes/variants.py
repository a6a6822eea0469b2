"""Servers that speak OpenAI's APIs in their own way: where they listen, and what they add.

Each is a row of a table: what it has in common with OpenAI's own is not repeated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.fakes import bodies
from tests.fakes.answers import Answer, Stream, json_answer
from tests.fakes.dialects import CHAT, DATA_ONLY, OPENAI, Dialect
from tests.fakes.requests import Request

Json = dict[str, Any]
LONG_ID = "resp_" + "bGl0ZWxsbTpjdXN0b21fbGxtX3Byb3ZpZGVy" * 13


@dataclass(frozen=True, kw_only=True)
class ResponsesServer:
    """A server of the Responses API.

    `members` are in every response object, `usage` and `last` in the final one; `drops` are
    members that it leaves out.
    """

    path: str = "/v1/responses"
    dialect: Dialect = OPENAI
    members: Mapping[str, Any] = field(default_factory=dict)
    last: Mapping[str, Any] = field(default_factory=dict)
    usage: Mapping[str, Any] = field(default_factory=dict)
    drops: frozenset[str] = frozenset()
    item_id: str | None = None
    streams_unasked: bool = False

    def play(self, request: Request) -> Answer:
        """Answer as this server does."""
        if request.fields.get("stream") or self.streams_unasked:
            return Stream(dialect=self.dialect).answer(self._events(request.fields))
        output = [bodies.message(bodies.TEXT, item_id=self.item_id or bodies.new_id("msg"))]
        whole = bodies.whole_response(request.fields, output=output, **self.members)
        return json_answer(self._object(whole | self._last()))

    def _events(self, asked: Json) -> list[Json]:
        events = bodies.stream_events(asked, last=self._last(), **self.members)
        return [
            event | ({"response": self._object(event["response"])} if "response" in event else {})
            for event in events
        ]

    def _last(self) -> Json:
        return {"usage": bodies.USAGE | self.usage, **self.last}

    def _object(self, made: Json) -> Json:
        return {name: value for name, value in made.items() if name not in self.drops}


RESPONSES: dict[str, ResponsesServer] = {
    "OpenAI": ResponsesServer(),
    "Azure, dated": ResponsesServer(
        path="/openai/responses?api-version=2025-04-01-preview",
        members={"content_filters": [{"blocked": False, "source_type": "prompt"}]},
    ),
    "Azure, v1": ResponsesServer(path="/openai/v1/responses?api-version=preview"),
    "ChatGPT": ResponsesServer(path="/backend-api/codex/responses", drops=frozenset({"user"})),
    "OpenRouter": ResponsesServer(
        path="/api/v1/responses",
        dialect=Dialect(comments=True, done=True),
        members={"id": "gen-1763856000-Zx9"},
        usage={"cost": 0.00012, "is_byok": False},
    ),
    "vLLM": ResponsesServer(
        members={"kv_transfer_params": None, "id": "resp_" + "0f" * 16},
        usage={"output_tokens_details": {"reasoning_tokens": 5, "tool_output_tokens": 0}},
    ),
    "Ollama": ResponsesServer(
        members={"id": "resp_123", "created_at": 1763856000}, item_id="msg_123"
    ),
    "LM Studio": ResponsesServer(dialect=Dialect(done=True), drops=frozenset({"background"})),
    "llama.cpp": ResponsesServer(
        members={"created_at": 0, "id": "resp_llama"}, drops=frozenset({"error", "metadata"})
    ),
    "LiteLLM": ResponsesServer(
        dialect=CHAT, members={"id": LONG_ID, "created_at": 1763856000.75}, usage={"cost": None}
    ),
    "transformers serve": ResponsesServer(
        dialect=DATA_ONLY,
        members={"id": "resp_req_0", "created_at": 1763856000.1234567},
        streams_unasked=True,
    ),
}


@dataclass(frozen=True, kw_only=True)
class ChatServer:
    """A server of Chat Completions.

    `top` is beside the choices, `choice` in each choice, `deltas` are streamed before the text and
    come to `said` in the message, `first` is a chunk before all others.
    """

    path: str = "/v1/chat/completions"
    dialect: Dialect = CHAT
    top: Mapping[str, Any] = field(default_factory=dict)
    choice: Mapping[str, Any] = field(default_factory=dict)
    deltas: tuple[Json, ...] = ()
    said: Mapping[str, Any] = field(default_factory=dict)
    first: Mapping[str, Any] | None = None
    usage: Mapping[str, Any] = field(default_factory=dict)

    def play(self, request: Request) -> Answer:
        """Answer as this server does."""
        if request.fields.get("stream"):
            return Stream(dialect=self.dialect).answer(self._chunks(request.fields))
        made = bodies.chat_completion(request.fields)
        made["choices"][0]["message"] |= self.said
        made["choices"][0] |= self.choice
        made["usage"] = made["usage"] | self.usage
        return json_answer(made | self.top | (self.first or {}))

    def _chunks(self, asked: Json) -> Iterator[Json]:
        start, *chunks = bodies.chat_chunks(asked)
        if self.first is not None:
            yield start | {"choices": [], **self.first}
        yield start
        for delta in self.deltas:
            yield start | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        for chunk in chunks:
            if chunk["usage"]:
                chunk["usage"] = chunk["usage"] | self.usage
            for choice in chunk["choices"]:
                choice.update(self.choice)
            yield chunk | self.top


THOUGHT = "First the weather, then the time."
_PIECES = bodies.deltas(THOUGHT)
_DETAIL = {"type": "reasoning.text", "format": "anthropic-claude-v1", "index": 0}

CHATS: dict[str, ChatServer] = {
    "OpenAI": ChatServer(),
    "Azure": ChatServer(
        path="/openai/deployments/my-gpt/chat/completions?api-version=2024-10-21",
        first={"prompt_filter_results": [{"prompt_index": 0}]},
        choice={"content_filter_results": {"hate": {"filtered": False, "severity": "safe"}}},
    ),
    "OpenRouter": ChatServer(
        path="/api/v1/chat/completions",
        dialect=Dialect(event_lines=False, done=True, comments=True),
        top={"provider": "Somebody"},
        choice={"native_finish_reason": "tool_use"},
        deltas=tuple(
            {"reasoning": piece, "reasoning_details": [_DETAIL | {"text": piece}]}
            for piece in _PIECES
        ),
        said={"reasoning": THOUGHT, "reasoning_details": [_DETAIL | {"text": THOUGHT}]},
        usage={"cost": 0.00012, "cost_details": {"upstream_inference_cost": None}},
    ),
    "vLLM": ChatServer(
        top={"prompt_token_ids": None},
        choice={"stop_reason": None},
        deltas=tuple({"reasoning_content": piece} for piece in _PIECES),
        said={"reasoning_content": THOUGHT},
    ),
    "Ollama": ChatServer(
        top={"system_fingerprint": "fp_ollama"},
        deltas=tuple({"role": "assistant", "content": "", "reasoning": p} for p in _PIECES),
        said={"reasoning": THOUGHT},
    ),
    "LM Studio": ChatServer(top={"stats": {}}),
    "llama.cpp": ChatServer(top={"timings": {"prompt_n": 31, "predicted_per_second": 21.5}}),
    "LiteLLM": ChatServer(
        deltas=tuple({"reasoning_content": p, "provider_specific_fields": None} for p in _PIECES),
        said={"reasoning_content": THOUGHT, "provider_specific_fields": None},
    ),
    "transformers serve": ChatServer(dialect=DATA_ONLY, top={"system_fingerprint": ""}),
}
