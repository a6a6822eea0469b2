"""The key of an exchange, made of what its flow says of itself."""

from __future__ import annotations

import hashlib
import uuid

_NAMESPACE = uuid.UUID("5f0e3a56-6d0c-5b5e-9a44-3c6f5f3f1c0e")


def build_exchange_id(flow_id: str, started_at: float, turn: int = 0) -> str:
    """Return the key of an exchange: the same for the same flow however often it is read.

    `turn` counts the turns of a WebSocket from 1. What uuid.uuid5 returns, at a third of its cost:
    RFC 9562, section 5.5.
    """
    name = f"{flow_id}|{started_at:.6f}|{turn}".encode()
    digest = bytearray(hashlib.sha1(_NAMESPACE.bytes + name, usedforsecurity=False).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
