"""Stored responses as text, and requests for them."""

from __future__ import annotations

import json
from typing import Any

import zstandard

from response_store.serving.answer import Answer
from response_store.serving.request import Get, InputItems, asked
from response_store.serving.serve import answered
from response_store.serving.stored import Found
from tests.fakes import bodies
from tests.fakes.dialects import OPENAI, Dialect

ID = "resp_x"
AT = f"/v1/responses/{ID}"
ITEMS = f"{AT}/input_items"


def ask(path: str) -> Get | InputItems:
    """What a GET asks for."""
    wanted = asked("GET", path)
    assert isinstance(wanted, (Get, InputItems)), wanted
    return wanted


def get(path: str, found: Found | None) -> Answer:
    """What a GET gets."""
    return answered(ask(path), found)


def listed(items: Any, query: str = "") -> Any:
    """A page of an input, as a client reads it."""
    answer = get(f"{ITEMS}?{query}", Found(input=json.dumps(items)))
    assert answer.status == 200, answer.body
    return json.loads(answer.body)


def message(answer: Answer) -> str:
    """The message of an error."""
    text: str = json.loads(answer.body)["error"]["message"]
    return text


def found(response: Any, recorded: bytes | None = None, **how: Any) -> Found:
    """A stored response with this object."""
    return Found(response_object=json.dumps(response, **how), recorded=recorded)


def recorded(events: Any, dialect: Dialect = OPENAI) -> bytes:
    """A recorded stream of these events."""
    return zstandard.ZstdCompressor().compress(b"".join(dialect.frames(events)))


def response(*output: Any, status: str = "completed", **fields: Any) -> dict[str, Any]:
    """A response object, as the API makes it."""
    return bodies.whole_response(response_id=ID, status=status, output=list(output), **fields)
