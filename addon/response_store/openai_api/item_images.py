"""Find the pictures in an item: what was sent as base64, of a format that every browser draws.

What a picture is, its first bytes say, never the type that stands beside it: an SVG, which may hold
scripts, is none here. A picture that is only named by a URL is none either: nothing is fetched.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from response_store.openai_api.item_texts import Fields, as_fields, as_list, as_name

MAX_IMAGES = 20
"""Pictures of one item."""
MAX_CHARACTERS = 8 << 20
"""Characters of base64 of one picture."""
_FORMATS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)
_WEBP = (b"RIFF", b"WEBP")
_HEAD = 16  # characters of base64, twelve bytes
_CODED = re.compile(r"[A-Za-z0-9+/]+={0,2}", re.ASCII)
_DATA_URL = re.compile(r"\s*data:[^,]{0,200};base64,", re.IGNORECASE)
_HOLDERS = ("image_url", "source", "image", "file", "resource")
_DATA = ("data", "b64_json", "url", "image_url", "file_data", "blob")
_MAX_NESTED = 5


class ItemImage(NamedTuple):
    """A picture: its media type, and its bytes as base64 without blanks."""

    media_type: str
    data: str

    @property
    def url(self) -> str:
        """Return the `data:` URL, which has no mark that HTML would have to escape."""
        return f"data:{self.media_type};base64,{self.data}"


def find_images(item: Fields) -> tuple[ItemImage, ...]:
    """Return the pictures of a message, of a tool's result, or of a call that has made one."""
    if item.get("type") == "image_generation_call":
        return tuple(filter(None, [_read_image(item.get("result"))]))
    contents = (item.get(name) for name in ("content", "output", "outputs", "images"))
    images = (image for content in contents for image in _find_in(content, 0))
    return tuple(islice(images, MAX_IMAGES))


def _find_in(content: object, depth: int) -> Iterator[ItemImage]:
    if depth > _MAX_NESTED:
        return
    for part in [content] if isinstance(content, dict) else as_list(content):
        fields = as_fields(part)
        holders = [fields, *(as_fields(fields.get(name)) for name in _HOLDERS)]
        values = (holder.get(name) for holder in holders for name in _DATA)
        image = next(filter(None, map(_read_image, values)), None)
        if image is not None:
            yield image
        for name in ("content", "output"):
            if not isinstance(fields.get(name), str):
                yield from _find_in(fields.get(name), depth + 1)


def _read_image(value: object) -> ItemImage | None:
    """Return the picture in a `data:` URL or in bare base64; None where it is none."""
    data = as_name(value)
    if not data or len(data) > MAX_CHARACTERS:
        return None
    url = _DATA_URL.match(data)
    data = "".join(data[url.end() if url else 0 :].split())
    media_type = _detect_format(data[:_HEAD])
    return ItemImage(media_type, data) if media_type and _CODED.fullmatch(data) else None


def _detect_format(start: str) -> str:
    try:
        head = base64.b64decode(start, validate=True)
    except (binascii.Error, ValueError):
        return ""
    if (head[:4], head[8:12]) == _WEBP:
        return "image/webp"
    return next((name for begins, name in _FORMATS if head.startswith(begins)), "")
