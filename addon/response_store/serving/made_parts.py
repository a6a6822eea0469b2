"""Synthetic events for texts and for the parts of an item.

Texts are cut into pieces of a few words' length, between characters and never inside an escape.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Raw

from response_store import json_text
from response_store.json_text import ABSENT
from response_store.serving.events import EventFields, SyntheticEvent
from response_store.serving.slices import (
    Members,
    get_array,
    get_string,
    get_text,
    is_present,
    read_members,
)

EMPTY_TEXT, EMPTY_LIST = Raw(b'""'), Raw(b"[]")
_OUTPUT_TEXT = "response.output_text"
_SUMMARY = "response.reasoning_summary"
# The text of a part: its member, and the name of its events.
_TEXTS = {
    "output_text": ("text", _OUTPUT_TEXT),
    "refusal": ("refusal", "response.refusal"),
    "reasoning_text": ("text", "response.reasoning_text"),
}
_PIECE = 64  # characters
_PAIR = r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # two escapes, one character
_pieces = re.compile(rf"(?:{_PAIR}|\\u[0-9a-fA-F]{{4}}|\\.|[^\\]){{1,{_PIECE}}}", re.DOTALL).findall


def synthesize_text_events(
    name: str, member: str, members: Members, place: EventFields
) -> Iterator[SyntheticEvent]:
    """Yield the events of the text in a member: `<name>.delta`, repeated, then `<name>.done`."""
    yield from _synthesize_deltas(name, members.get(member, ABSENT), place)
    yield _build_done(name, member, members, place)


def synthesize_summary_part_events(part: Raw, place: EventFields) -> Iterator[SyntheticEvent]:
    """Yield the events of a part of a reasoning item's summary."""
    members = read_members(part)
    begun = Raw(json_text.encode_object(members | {"text": EMPTY_TEXT}))
    yield SyntheticEvent(f"{_SUMMARY}_part.added", {**place, "part": begun})
    yield from synthesize_text_events(f"{_SUMMARY}_text", "text", members, place)
    yield SyntheticEvent(f"{_SUMMARY}_part.done", {**place, "part": part})


def synthesize_content_part_events(part: Raw, place: EventFields) -> Iterator[SyntheticEvent]:
    """Yield the events of a part of an item's content; what is not text comes whole."""
    members = read_members(part)
    member, name = _TEXTS.get(get_text(members, "type") or "", ("", ""))
    begun = members | {member: EMPTY_TEXT} if name else members
    if name == _OUTPUT_TEXT:
        begun |= {"annotations": EMPTY_LIST, "logprobs": EMPTY_LIST}
    shown = Raw(json_text.encode_object(begun)) if name else part
    yield SyntheticEvent("response.content_part.added", {**place, "part": shown})
    if name == _OUTPUT_TEXT:
        yield from _synthesize_output_text(members, place)
    elif name:
        yield from synthesize_text_events(name, member, members, place)
    yield SyntheticEvent("response.content_part.done", {**place, "part": part})


def _synthesize_output_text(members: Members, place: EventFields) -> Iterator[SyntheticEvent]:
    """Yield the events of a text with its annotations; its log probabilities come with the end."""
    no_logprobs = {**place, "logprobs": EMPTY_LIST}
    yield from _synthesize_deltas(_OUTPUT_TEXT, members.get("text", ABSENT), no_logprobs)
    for index, annotation in enumerate(get_array(members, "annotations")):
        fields = {**place, "annotation_index": index, "annotation": annotation}
        yield SyntheticEvent(f"{_OUTPUT_TEXT}.annotation.added", fields)
    known = members["logprobs"] if is_present(members, "logprobs") else EMPTY_LIST
    yield _build_done(_OUTPUT_TEXT, "text", members, {**place, "logprobs": known})


def _synthesize_deltas(name: str, text: Raw, place: EventFields) -> Iterator[SyntheticEvent]:
    for piece in _pieces(json_text.strip_quotes(text).decode()):
        yield SyntheticEvent(f"{name}.delta", {**place, "delta": Raw(f'"{piece}"'.encode())})


def _build_done(name: str, member: str, members: Members, place: EventFields) -> SyntheticEvent:
    return SyntheticEvent(
        f"{name}.done", {**place, member: get_string(members, member) or EMPTY_TEXT}
    )
