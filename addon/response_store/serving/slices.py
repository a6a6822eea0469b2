"""Access to members of JSON text of any shape; what is missing is empty."""

from __future__ import annotations

from msgspec import Raw

from response_store import json_text
from response_store.json_text import ABSENT

Members = dict[str, Raw]


def read_members(text: json_text.Text) -> Members:
    """Return the members of a JSON object; none where it is no object."""
    try:
        return json_text.slice_all_members(text)
    except json_text.UnreadableError:
        return {}


def get_object(members: Members, name: str) -> Members:
    """Return the members of the object that is a member; none where it is no object."""
    return read_members(members.get(name, ABSENT))


def get_array(members: Members, name: str) -> list[Raw]:
    """Return the elements of the array that is a member; none where it is no array."""
    try:
        return json_text.slice_elements(members.get(name, ABSENT))
    except json_text.UnreadableError:
        return []


def get_text(members: Members, name: str) -> str | None:
    """Return the value of the string that is a member, else None."""
    return json_text.read_text(members.get(name, ABSENT))


def get_string(members: Members, name: str) -> Raw | None:
    """Return the JSON string that is a member, as it came, else None."""
    text = members.get(name, ABSENT)
    return text if bytes(memoryview(text)[:1]) == b'"' else None


def is_present(members: Members, name: str) -> bool:
    """Return whether a member is there and is not null."""
    return json_text.is_present(members.get(name, ABSENT))
