"""Turn the contents of items into text: strings, parts, attachments, and values of any shape."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from response_store.openai_api.media import describe_base64, describe_source, replace_base64

Fields: TypeAlias = Mapping[str, Any]

_TEXT_PARTS = frozenset(
    {"text", "input_text", "output_text", "summary_text", "reasoning_text", "transcript"}
)
_THINKING_PARTS = frozenset({"thinking", "reasoning"})
_NAMES = ("filename", "file_id", "file_url", "image_url", "video_url", "url", "name")
_DATA = ("file_data", "data", "b64_json", "result")
_ENCRYPTED = ("encrypted_content", "signature", "fingerprint")
_MAX_NESTED = 100
_MAX_UNKNOWN = 500


def as_fields(value: object) -> Fields:
    """Return an object's members; none where it is no object."""
    return value if isinstance(value, dict) else {}


def as_list(value: object) -> list[Any]:
    """Return an array's elements; none where it is no array."""
    return value if isinstance(value, list) else []


def as_name(value: object) -> str:
    """Return a string as it is, and nothing for anything else."""
    return value if isinstance(value, str) else ""


def join_lines(texts: Iterable[str]) -> str:
    """Return texts under each other, without those that are empty."""
    return "\n".join(filter(None, texts))


def extract_text(content: object, depth: int = 0) -> str:
    """Return the text of a content: a string, parts, or any value as JSON. Never base64."""
    if isinstance(content, str):
        return replace_base64(content)
    if isinstance(content, list) and depth < _MAX_NESTED:
        return join_lines(_format_part(part, depth + 1) for part in content)
    return format_compact(content) if content else ""


def extract_result(output: object) -> str:
    """Return the text of a tool's output, which may also be a part: a screenshot, a resource."""
    if isinstance(output, dict) and isinstance(output.get("type"), str):
        return _format_part(output, 1)
    return extract_text(output)


def extract_error(error: object) -> str:
    """Return an error's words; where it has none, all of it."""
    fields = as_fields(error)
    return extract_text(fields.get("message") or fields.get("content") or error)


def extract_thoughts(content: object) -> str:
    """Return what a content says as thoughts of the model, as some servers put them there."""
    parts = [part for part in as_list(content) if is_thinking(part)]
    return join_lines(extract_text(part.get("thinking") or part.get("text"), 1) for part in parts)


def is_thinking(part: object) -> bool:
    """Return whether a part of a message's content holds thoughts."""
    return as_name(as_fields(part).get("type")) in _THINKING_PARTS


def extract_refusal(reason: object) -> str:
    """Return a refusal's words."""
    return f"(refused) {reason}" if isinstance(reason, str) else ""


def describe_attachment(part: Fields) -> str:
    """Return what a file, image or sound is: its name or address, its format and its size."""
    kind = as_name(part.get("type")) or "part"
    nested = part.get(kind)
    holders = [part, *(each for each in (nested, part.get("source")) if isinstance(each, dict))]
    notes = [_describe_source(holder.get(name)) for holder in holders for name in _NAMES]
    if isinstance(nested, str):
        notes.append(_describe_source(nested))
    notes += [_describe_data(holder) for holder in holders]
    shown = ", ".join(dict.fromkeys(filter(None, notes)))
    return f"[{kind} {shown}]" if shown else f"[{kind}]"


def format_compact(value: object, limit: int | None = None) -> str:
    """Return any value as JSON on one line, base64 described and what is encrypted left out."""
    try:
        text = json.dumps(_hide_unreadable(value), ensure_ascii=False)
    except (ValueError, RecursionError):
        return "(nested too deeply to show)"
    if limit is None or len(text) <= limit:
        return text
    return f"{text[:limit]}... ({len(text)} characters)"


def format_unknown(item: Fields, without: frozenset[str]) -> str:
    """Return what an item of an unknown kind holds, beside the members that say nothing."""
    known = {name: value for name, value in item.items() if name not in without and value}
    return format_compact(known, _MAX_UNKNOWN) if known else ""


def _format_part(part: object, depth: int) -> str:
    if isinstance(part, str):
        return replace_base64(part)
    fields = as_fields(part)
    kind = as_name(fields.get("type"))
    if kind in _TEXT_PARTS:
        return extract_text(fields.get("text", fields.get(kind)), depth)
    if kind in _THINKING_PARTS or kind in _ENCRYPTED:
        return ""
    special = _PARTS.get(kind)
    if special is not None:
        return special(fields, depth)
    if not kind and isinstance(fields.get("text"), str):
        return extract_text(fields["text"], depth)
    return describe_attachment(fields) if fields else ""


def _format_tool_result(part: Fields, depth: int) -> str:
    return extract_text(part.get("content", part.get("output")), depth)


def _format_resource(part: Fields, depth: int) -> str:
    resource = as_fields(part.get("resource"))
    return extract_text(resource.get("text"), depth) or describe_attachment(
        {**part, **resource, "type": "file"}
    )


_PARTS: dict[str, Callable[[Fields, int], str]] = {
    "refusal": lambda part, _: extract_refusal(part.get("refusal")),
    "tool_result": _format_tool_result,
    "resource": _format_resource,
    "logs": lambda part, depth: extract_text(part.get("logs"), depth),
}


def _describe_source(value: object) -> str:
    if isinstance(value, dict):
        value = value.get("url")
    return describe_source(value) if isinstance(value, str) else ""


def _describe_data(part: Fields) -> str:
    """Return format and size of what is coded in a part."""
    media_type = as_name(part.get("mimeType") or part.get("media_type") or part.get("format"))
    data = next((part[name] for name in _DATA if isinstance(part.get(name), str)), None)
    return describe_base64(data, media_type) if data else ""


def _hide_unreadable(value: object, depth: int = 0) -> object:
    if isinstance(value, str):
        return replace_base64(value)
    if depth > _MAX_NESTED:
        return value
    if isinstance(value, list):
        return [_hide_unreadable(each, depth + 1) for each in value]
    if isinstance(value, dict):
        kept = ((name, each) for name, each in value.items() if name not in _ENCRYPTED)
        return {name: _hide_unreadable(each, depth + 1) for name, each in kept}
    return value
