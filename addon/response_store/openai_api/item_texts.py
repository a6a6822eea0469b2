"""Turn the contents of items into text: strings, parts, attachments, and values of any shape."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from response_store.openai_api.media import describe_base64, describe_source, without_base64

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


def fields_of(value: object) -> Fields:
    """Return an object's members; none where it is no object."""
    return value if isinstance(value, dict) else {}


def list_of(value: object) -> list[Any]:
    """Return an array's elements; none where it is no array."""
    return value if isinstance(value, list) else []


def name_of(value: object) -> str:
    """Return a string as it is, and nothing for anything else."""
    return value if isinstance(value, str) else ""


def join(texts: Iterable[str]) -> str:
    """Return texts under each other, without those that are empty."""
    return "\n".join(filter(None, texts))


def text_of(content: object, depth: int = 0) -> str:
    """Return the text of a content: a string, parts, or any value as JSON. Never base64."""
    if isinstance(content, str):
        return without_base64(content)
    if isinstance(content, list) and depth < _MAX_NESTED:
        return join(_part(part, depth + 1) for part in content)
    return compact(content) if content else ""


def result_of(output: object) -> str:
    """Return the text of a tool's output, which may also be a part: a screenshot, a resource."""
    if isinstance(output, dict) and isinstance(output.get("type"), str):
        return _part(output, 1)
    return text_of(output)


def error_of(error: object) -> str:
    """Return an error's words; where it has none, all of it."""
    fields = fields_of(error)
    return text_of(fields.get("message") or fields.get("content") or error)


def thoughts_of(content: object) -> str:
    """Return what a content says as thoughts of the model, as some servers put them there."""
    parts = [part for part in list_of(content) if is_thinking(part)]
    return join(text_of(part.get("thinking") or part.get("text"), 1) for part in parts)


def is_thinking(part: object) -> bool:
    """Return whether a part of a message's content holds thoughts."""
    return name_of(fields_of(part).get("type")) in _THINKING_PARTS


def refusal_of(reason: object) -> str:
    """Return a refusal's words."""
    return f"(refused) {reason}" if isinstance(reason, str) else ""


def attachment(part: Fields) -> str:
    """Return what a file, image or sound is: its name or address, its format and its size."""
    kind = name_of(part.get("type")) or "part"
    nested = part.get(kind)
    holders = [part, *(each for each in (nested, part.get("source")) if isinstance(each, dict))]
    notes = [_source(holder.get(name)) for holder in holders for name in _NAMES]
    if isinstance(nested, str):
        notes.append(_source(nested))
    notes += [_data(holder) for holder in holders]
    shown = ", ".join(dict.fromkeys(filter(None, notes)))
    return f"[{kind} {shown}]" if shown else f"[{kind}]"


def compact(value: object, limit: int | None = None) -> str:
    """Return any value as JSON on one line, base64 described and what is encrypted left out."""
    try:
        text = json.dumps(_legible(value), ensure_ascii=False)
    except (ValueError, RecursionError):
        return "(nested too deeply to show)"
    if limit is None or len(text) <= limit:
        return text
    return f"{text[:limit]}... ({len(text)} characters)"


def compact_unknown(item: Fields, without: frozenset[str]) -> str:
    """Return what an item of an unknown kind holds, beside the members that say nothing."""
    known = {name: value for name, value in item.items() if name not in without and value}
    return compact(known, _MAX_UNKNOWN) if known else ""


def _part(part: object, depth: int) -> str:
    if isinstance(part, str):
        return without_base64(part)
    fields = fields_of(part)
    kind = name_of(fields.get("type"))
    if kind in _TEXT_PARTS:
        return text_of(fields.get("text", fields.get(kind)), depth)
    if kind in _THINKING_PARTS or kind in _ENCRYPTED:
        return ""
    special = _PARTS.get(kind)
    if special is not None:
        return special(fields, depth)
    if not kind and isinstance(fields.get("text"), str):
        return text_of(fields["text"], depth)
    return attachment(fields) if fields else ""


def _tool_result(part: Fields, depth: int) -> str:
    return text_of(part.get("content", part.get("output")), depth)


def _resource(part: Fields, depth: int) -> str:
    resource = fields_of(part.get("resource"))
    return text_of(resource.get("text"), depth) or attachment({**part, **resource, "type": "file"})


_PARTS: dict[str, Callable[[Fields, int], str]] = {
    "refusal": lambda part, _: refusal_of(part.get("refusal")),
    "tool_result": _tool_result,
    "resource": _resource,
    "logs": lambda part, depth: text_of(part.get("logs"), depth),
}


def _source(value: object) -> str:
    if isinstance(value, dict):
        value = value.get("url")
    return describe_source(value) if isinstance(value, str) else ""


def _data(part: Fields) -> str:
    """Return format and size of what is coded in a part."""
    media_type = name_of(part.get("mimeType") or part.get("media_type") or part.get("format"))
    data = next((part[name] for name in _DATA if isinstance(part.get(name), str)), None)
    return describe_base64(data, media_type) if data else ""


def _legible(value: object, depth: int = 0) -> object:
    if isinstance(value, str):
        return without_base64(value)
    if depth > _MAX_NESTED:
        return value
    if isinstance(value, list):
        return [_legible(each, depth + 1) for each in value]
    if isinstance(value, dict):
        kept = ((name, each) for name, each in value.items() if name not in _ENCRYPTED)
        return {name: _legible(each, depth + 1) for name, each in kept}
    return value
