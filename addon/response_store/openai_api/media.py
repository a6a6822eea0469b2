"""Describe images, files and sounds that stand in JSON as base64: `PNG 64x64, 169 B`.

Only the beginning is decoded, as formats and measures stand there.
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
from collections.abc import Callable

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
    if len(text) < _MAX_SOURCE and "base64," not in text:
        return text
    return _EMBEDDED.sub(_replace, text)


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
