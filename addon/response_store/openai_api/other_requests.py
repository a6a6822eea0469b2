"""Read requests to the endpoints beside the two main ones, and what they change of a conversation.

Source: the API reference, "Conversations". Pages of items change nothing: their order is the
client's choice.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Raw
from msgspec.structs import replace

from response_store import jsontext
from response_store.jsontext import ABSENT
from response_store.model.records import ConversationChange
from response_store.openai_api.endpoints import find_conversation_id, find_item_id
from response_store.openai_api.items import slice_array
from response_store.openai_api.responses import read_conversation


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
            jsontext.check_readable(body)
            members = jsontext.slice_all_members(jsontext.check_utf8(body))
        except jsontext.UnreadableError as error:
            problem = f"request body: {error}"
    return OtherRequest(
        model=jsontext.read_text(members.get("model", ABSENT)),
        previous_response_id=jsontext.read_text(members.get("previous_response_id", ABSENT)),
        conversation_id=(
            find_conversation_id(path) or read_conversation(members.get("conversation", ABSENT))
        ),
        stores=bytes(members.get("store", ABSENT)) != b"false",
        problem=problem,
    )


_NO_METADATA = "{}"


class ConversationRequest(NamedTuple):
    """A request to the Conversations API. `started_at` is Unix seconds."""

    tenant_id: str
    method: str
    path: str
    body: bytes | None
    started_at: float


def read_conversation_change(
    request: ConversationRequest, answer: bytes
) -> ConversationChange | None:
    """Return the change that an answered request made; None where it made none."""
    members = _read_members(answer)
    kind = jsontext.read_text(members.get("object", ABSENT)) or ""
    in_path = find_conversation_id(request.path)
    named = in_path or jsontext.read_text(members.get("id", ABSENT))
    if not named:
        return None
    change = ConversationChange(request.tenant_id, named, int(request.started_at))
    if request.method == "DELETE":
        item_id = find_item_id(request.path)
        return replace(change, deleted=item_id is None, removed_item=item_id)
    if kind == "conversation":
        items = (
            _read_items(_read_members(request.body or b"").get("items", ABSENT))
            if not in_path
            else ()
        )
        return replace(_describe(change, members), items=items, begins=in_path is None)
    if request.method == "POST" and kind == "list":
        return replace(change, items=_read_items(members.get("data", ABSENT)))
    return None


def _describe(change: ConversationChange, members: dict[str, Raw]) -> ConversationChange:
    metadata = members.get("metadata", ABSENT)
    created_at = jsontext.read_int(members.get("created_at", ABSENT))
    return replace(
        change,
        created_at=change.created_at if created_at is None else created_at,
        metadata=jsontext.read_slice(metadata) if jsontext.is_present(metadata) else _NO_METADATA,
    )


def _read_items(array: Raw) -> tuple[str, ...]:
    return tuple(jsontext.read_slice(item) for item in slice_array(array))


def _read_members(text: bytes) -> dict[str, Raw]:
    try:
        return jsontext.slice_all_members(text)
    except jsontext.UnreadableError:
        return {}
