"""A stateless agent: each turn sends the whole conversation again, as the ingester gets it.

Texts are of words by chance, so that nothing in them repeats by itself; the same seed gives the
same session.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from response_store.config import CaptureConfig, InputColumns, RawBodies, StoreFalse
from response_store.ingest.draft import AnswerDraft, Draft, Ending, Request
from response_store.ingest.record_builder import RecordBuilder
from response_store.model.records import Api, EndedBy, Record, Transport

_LETTERS = "abcdefghijklmnopqrstuvwxyz_"
STARTED = 1741476000.0


class Turn(NamedTuple):
    """The body of a request, and the answer."""

    body: bytes
    answer: bytes


class Agent:
    """Takes turns of one session.

    `instructions` is how many characters they have, `growth` about how many a turn adds. With
    `repeats` an answer has the request's instructions and tools in it, as OpenAI's have.
    """

    def __init__(
        self, seed: int = 1, *, instructions: int = 3000, growth: int = 300, repeats: bool = False
    ) -> None:
        self._chance = random.Random(seed)
        self._words = ["".join(self._some(_LETTERS, 2, 12)) for _ in range(4000)]
        self._growth = growth
        self._name = f"s{seed}"
        self._instructions = self.text(instructions)
        self._tools = [
            {"type": "function", "name": name, "description": self.text(120)}
            for name in self._words[:6]
        ]
        self._repeated = (
            {"instructions": self._instructions, "tools": self._tools} if repeats else {}
        )
        self.items: list[dict[str, Any]] = []
        self.turns = 0

    def text(self, length: int) -> str:
        """Return words, some of which are common."""
        words: list[str] = []
        size = 0
        while size < length:
            words.append(self._chance.choice(self._words[: self._chance.choice((40, 400, 4000))]))
            size += len(words[-1]) + 1
        return " ".join(words)

    def take(self, **members: Any) -> Turn:
        """Return the next turn: a tool's output or a question, and a call or words for an answer.

        `members` are more ones of the request, in front of its input.
        """
        number = self.turns
        self.turns += 1
        if number % 20 == 0:
            self.items.append({"type": "message", "role": "user", "content": self.text(80)})
        else:
            length = int(self._chance.expovariate(1.0) * self._growth) + 20
            output = {"type": "function_call_output", "call_id": f"call_{number - 1}"}
            self.items.append({**output, "output": self.text(length)})
        body = json.dumps({
            "model": "gpt-5.1-codex", "instructions": self._instructions, **members,
            "input": self.items, "tools": self._tools, "store": False, "stream": False,
            "prompt_cache_key": self._name,
        })  # fmt: skip
        output = self._answer(number)
        self.items += output
        response = {
            "id": f"resp_{self._name}_{number}", "object": "response", "status": "completed",
            "created_at": int(STARTED), "model": "gpt-5.1-codex",
            "output": output, **self._repeated,
            "usage": {"input_tokens": len(body) // 4, "output_tokens": 20},
        }  # fmt: skip
        return Turn(body.encode(), json.dumps(response).encode())

    def _answer(self, number: int) -> list[dict[str, Any]]:
        if number % 20 == 19:
            content = [{"type": "output_text", "text": self.text(120), "annotations": []}]
            return [{"type": "message", "role": "assistant", "id": f"msg_{number}",
                     "content": content}]  # fmt: skip
        arguments = json.dumps({"command": self.text(60)})
        return [{"type": "function_call", "id": f"fc_{number}", "call_id": f"call_{number}",
                 "name": "shell", "arguments": arguments}]  # fmt: skip

    def _some(self, letters: str, least: int, most: int) -> list[str]:
        return self._chance.choices(letters, k=self._chance.randint(least, most))


def take_turns(count: int, seed: int = 1, **how: Any) -> list[Turn]:
    """Return the first turns of a session."""
    agent = Agent(seed, **how)
    return [agent.take() for _ in range(count)]


def build_records(
    turns: Sequence[Turn],
    columns: InputColumns = InputColumns.STORED,
    *,
    name: str = "e",
    tenant: str = "default",
    begins: bool = False,
) -> Iterator[Record]:
    """Yield what the ingester makes of turns, a second after the other.

    With `begins` there is a record of the open exchange before that of its end.
    """
    capture = CaptureConfig(
        ("*",),
        frozenset(api.value for api in Api),
        StoreFalse.CAPTURE,
        RawBodies.ON_ERROR,
        1 << 26,
        input_columns=columns,
    )
    builder = RecordBuilder(capture, "recorder")
    for number, turn in enumerate(turns):
        request = Request(
            exchange_id=f"{name}{number:04}",
            tenant_id=tenant,
            api=Api.RESPONSES,
            method="POST",
            scheme="https",
            host="api.openai.com",
            path="/v1/responses",
            body=turn.body,
            started_at=STARTED + number,
        )
        ending = Ending(
            EndedBy.BODY, 900.0, None, AnswerDraft(Transport.HTTP, 200, None, turn.answer)
        )
        for draft in [Draft(request), Draft(request, ending)][not begins :]:
            change = builder.build(draft)
            assert isinstance(change, Record), change
            yield change
