"""Looking into JSON text that may be of any shape: what is not there is empty."""

from __future__ import annotations

from msgspec import Raw

from response_store import json_text
from response_store.json_text import ABSENT

Members = dict[str, Raw]


def members_of(text: json_text.Text) -> Members:
    """Return the members of a JSON object; none where it is no object."""
    try:
        return json_text.all_members(text)
    except json_text.UnreadableError:
        return {}


def member_of(members: Members, name: str) -> Members:
    """Return the members of the object that is a member; none where it is no object."""
    return members_of(members.get(name, ABSENT))


def parts_of(members: Members, name: str) -> list[Raw]:
    """Return the elements of the array that is a member; none where it is no array."""
    try:
        return json_text.elements(members.get(name, ABSENT))
    except json_text.UnreadableError:
        return []


def text_of(members: Members, name: str) -> str | None:
    """Return the value of the string that is a member, else None."""
    return json_text.as_text(members.get(name, ABSENT))


def string_of(members: Members, name: str) -> Raw | None:
    """Return the JSON string that is a member, as it came, else None."""
    text = members.get(name, ABSENT)
    return text if bytes(memoryview(text)[:1]) == b'"' else None


def present(members: Members, name: str) -> bool:
    """Return whether a member is there and is not null."""
    return json_text.present(members.get(name, ABSENT))
