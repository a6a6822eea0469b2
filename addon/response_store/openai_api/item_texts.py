"""Turn the contents of items into text: strings, parts, attachments, media, values of any shape.

Only the beginning is decoded, as formats and measures stand there.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import string
import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

_HEAD_CHARACTERS = 349_528  # of base64: the measures of a JPEG stand behind its preview
_MAX_TYPE = 40
_MAX_SOURCE = 60
_KIB = 1024
_DATA_URL = re.compile(r"\s*data:([^;,\s]*)((?:;[^;,\s]*)*),", re.IGNORECASE)
_BLANKS = re.compile(r"\s+")
# In a text: a URL with its data, whatever its length, and what is long and mixed enough.
_EMBEDDED = re.compile(
    r"data:[\w.+/\\-]{0,80}(?:;[\w.=-]{1,40}){0,4};base64,[\w+/\\-]*={0,2}"
    r"|(?<![\w+/-])[A-Za-z0-9+/_-]{200,}={0,2}"
    r"|(?<![\w+/])(?:[A-Za-z0-9+/]{60,}\r?\n){3,}[A-Za-z0-9+/]*={0,2}",
    re.ASCII,
)
_RUN = b"a" * 60  # without one of these the pattern finds no base64 outside of URLs
_ALPHABET = (string.ascii_letters + string.digits + "+/_-").encode()
_TO_RUNS = bytes(_RUN[0] if code in _ALPHABET else 0 for code in range(256))
_MIXED = (re.compile("[A-Z]"), re.compile("[a-z]"), re.compile("[0-9]"))


def describe_source(source: str) -> str:
    """Return what a URL or bare base64 holds; a URL that points elsewhere is shortened."""
    url = _DATA_URL.match(source)
    if url is not None:
        is_base64 = url[2].lower().endswith(";base64")
        return _describe(source[url.end() :], url[1], is_base64=is_base64)
    return source if len(source) <= _MAX_SOURCE else f"{source[:_MAX_SOURCE]}..."


def describe_base64(data: str, media_type: str = "") -> str:
    """Return format, measures and size of what is coded as base64, or is a data URL."""
    url = _DATA_URL.match(data)
    if url is not None:
        return describe_source(data)
    return _describe(data, media_type, is_base64=True)


def replace_base64(text: str) -> str:
    """Return a text in which base64 is described: nobody reads it."""
    if "base64," not in text and (len(text) < _MAX_SOURCE or not _has_long_run(text)):
        return text
    return _EMBEDDED.sub(_replace, text)


def _has_long_run(text: str) -> bool:
    """Return whether a text has a line's worth of base64 in one piece.

    This takes a twentieth of the time that the pattern takes to find nothing.
    """
    return _RUN in text.encode("ascii", "replace").translate(_TO_RUNS)


def format_size(count: int) -> str:
    """Return `169 B`, `12.3 KiB`."""
    value, units = float(count), ["B", "KiB", "MiB", "GiB"]
    while value >= _KIB and len(units) > 1:
        value, units = value / _KIB, units[1:]
    return f"{count} B" if count < _KIB else f"{value:.1f} {units[0]}"


def _replace(match: re.Match[str]) -> str:
    text = match[0]
    if text.startswith("data:"):
        return f"[{describe_source(text.replace(chr(92), ''))}]"
    if not all(kind.search(text) for kind in _MIXED):
        return text
    return f"[base64, {format_size(_measure_decoded(_BLANKS.sub('', text)))}]"


def _describe(data: str, media_type: str, *, is_base64: bool) -> str:
    if not is_base64:
        return f"{_name_type(media_type)}, {format_size(len(data))}"
    data = _BLANKS.sub("", data) if _BLANKS.search(data[:200]) else data
    head = _decode_head(data)
    known = next(filter(None, (measure(head) for measure in _FORMATS)), "")
    return f"{known or _name_type(media_type)}, {format_size(_measure_decoded(data))}"


def _measure_decoded(data: str) -> int:
    return max(0, len(data.rstrip("=")) * 3 // 4)


def _decode_head(data: str) -> bytes:
    head = data[:_HEAD_CHARACTERS].translate(str.maketrans("-_", "+/")).rstrip("=")
    head = head[: len(head) - (len(head) % 4 == 1)]
    try:
        return base64.b64decode(head + "=" * (-len(head) % 4))
    except (binascii.Error, ValueError):
        return b""


def _name_type(media_type: str) -> str:
    name = media_type.rpartition("/")[2].partition("+")[0].removeprefix("x-")
    if not name or len(name) > _MAX_TYPE:
        return "data"
    return name.upper() if len(name) <= 4 else name


def _measure_png(head: bytes) -> str:
    if not head.startswith(b"\x89PNG\r\n\x1a\n"):
        return ""
    return _format_measures("PNG", *struct.unpack(">II", head[16:24])) if len(head) >= 24 else "PNG"


def _measure_gif(head: bytes) -> str:
    if head[:6] not in (b"GIF87a", b"GIF89a"):
        return ""
    return _format_measures("GIF", *struct.unpack("<HH", head[6:10])) if len(head) >= 10 else "GIF"


def _measure_jpeg(head: bytes) -> str:
    """Walk the segments up to the frame's, which has the measures."""
    if not head.startswith(b"\xff\xd8\xff"):
        return ""
    at = 2
    while at + 9 <= len(head) and head[at] == 0xFF:
        marker, length = head[at + 1], int.from_bytes(head[at + 2 : at + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", head[at + 5 : at + 9])
            return _format_measures("JPEG", width, height)
        at += 2 + max(length, 2)
    return "JPEG"


def _measure_webp(head: bytes) -> str:
    if head[:4] != b"RIFF" or head[8:12] != b"WEBP":
        return ""
    kind = head[12:16]
    if kind == b"VP8X" and len(head) >= 30:
        return _format_measures("WebP", _read_int24(head, 24) + 1, _read_int24(head, 27) + 1)
    if kind == b"VP8 " and len(head) >= 30:
        width, height = struct.unpack("<HH", head[26:30])
        return _format_measures("WebP", width & 0x3FFF, height & 0x3FFF)
    if kind == b"VP8L" and len(head) >= 25:
        bits = int.from_bytes(head[21:25], "little")
        return _format_measures("WebP", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    return "WebP"


def _read_int24(head: bytes, at: int) -> int:
    return int.from_bytes(head[at : at + 3], "little")


def _format_measures(name: str, width: int, height: int) -> str:
    return f"{name} {width}x{height}"


def _match_start(name: str, *starts: bytes) -> Callable[[bytes], str]:
    return lambda head: name if head.startswith(starts) else ""


def _measure_wav(head: bytes) -> str:
    return "WAV" if head[:4] == b"RIFF" and head[8:12] == b"WAVE" else ""


_FORMATS = (
    _measure_png,
    _measure_jpeg,
    _measure_gif,
    _measure_webp,
    _measure_wav,
    _match_start("PDF", b"%PDF-"),
    _match_start("SVG", b"<svg"),
    _match_start("ZIP", b"PK\x03\x04"),
    _match_start("MP3", b"ID3", b"\xff\xfb"),
)

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
