"""Stored responses as text, and requests for them."""

from __future__ import annotations

import json
from typing import Any

import zstandard

from response_store.serving.answers import build_answer
from response_store.serving.http_response import ServedAnswer
from response_store.serving.request import GetInputItems, GetResponse, ServedResponse, parse_request
from tests.fakes import bodies
from tests.fakes.dialects import OPENAI, Dialect

ID = "resp_x"
AT = f"/v1/responses/{ID}"
ITEMS = f"{AT}/input_items"


def ask(path: str) -> GetResponse | GetInputItems:
    """What a GET asks for."""
    wanted = parse_request("GET", path)
    assert isinstance(wanted, (GetResponse, GetInputItems)), wanted
    return wanted


def get(path: str, found: ServedResponse | None) -> ServedAnswer:
    """What a GET gets."""
    return build_answer(ask(path), found)


def listed(items: Any, query: str = "") -> Any:
    """A page of an input, as a client reads it."""
    answer = get(f"{ITEMS}?{query}", ServedResponse(input=json.dumps(items)))
    assert answer.status == 200, answer.body
    return json.loads(answer.body)


def message(answer: ServedAnswer) -> str:
    """The message of an error."""
    text: str = json.loads(answer.body)["error"]["message"]
    return text


def found(response: Any, recorded: bytes | None = None, **how: Any) -> ServedResponse:
    """A stored response with this object."""
    return ServedResponse(response_object=json.dumps(response, **how), recorded=recorded)


def recorded(events: Any, dialect: Dialect = OPENAI) -> bytes:
    """A recorded stream of these events."""
    return zstandard.ZstdCompressor().compress(b"".join(dialect.frames(events)))


def response(*output: Any, status: str = "completed", **fields: Any) -> dict[str, Any]:
    """A response object, as the API makes it."""
    return bodies.whole_response(response_id=ID, status=status, output=list(output), **fields)
