"""Read what the columns need of requests to the endpoints beside the two main ones."""

from __future__ import annotations

from typing import NamedTuple

from response_store import json_text
from response_store.json_text import ABSENT
from response_store.openai_api.other_endpoints import find_conversation_id
from response_store.openai_api.response_object import read_conversation


class OtherRequest(NamedTuple):
    """What a body and a path say."""

    model: str | None
    previous_response_id: str | None
    conversation_id: str | None
    stores: bool
    problem: str | None


def read_other_request(body: bytes, path: str) -> OtherRequest:
    """Return what a request says, and what is wrong with a body that can't be read."""
    members, problem = {}, None
    if body.strip():
        try:
            json_text.check_size(body)
            json_text.check_values(body)
            members = json_text.slice_all_members(json_text.check_utf8(body))
        except json_text.UnreadableError as error:
            problem = f"request body: {error}"
    return OtherRequest(
        model=json_text.read_text(members.get("model", ABSENT)),
        previous_response_id=json_text.read_text(members.get("previous_response_id", ABSENT)),
        conversation_id=(
            find_conversation_id(path) or read_conversation(members.get("conversation", ABSENT))
        ),
        stores=bytes(members.get("store", ABSENT)) != b"false",
        problem=problem,
    )
