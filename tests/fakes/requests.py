"""A request as the model server read it from the wire."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import zstandard

DECODERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "identity": bytes,
    "gzip": gzip.decompress,
    "zstd": lambda body: zstandard.ZstdDecompressor().decompressobj().decompress(body),
}


@dataclass(frozen=True)
class Request:
    """One request: the target as it stood in the request line, headers in order, body as sent."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""
    version: str = "HTTP/1.1"

    def header(self, name: str, default: str = "") -> str:
        """The first header of that name, or the default."""
        found = (value for key, value in self.headers if key.lower() == name.lower())
        return next(found, default)

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def fields(self) -> dict[str, Any]:
        """The JSON object in the body; empty where there is none that Python can read."""
        try:
            value = json.loads(DECODERS[self.header("content-encoding")](self.body))
        except (ValueError, RecursionError):
            return {}
        return value if isinstance(value, dict) else {}
