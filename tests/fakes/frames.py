"""Frames of zstd that were made to cost."""

from __future__ import annotations


def endless(size: int, *, stated: int | None = None) -> bytes:
    """Return a frame of one byte over and over; it states no size, or a wrong one."""
    blocks, rest = divmod(size, 1 << 17)
    block = (1 << 17 << 3 | 1 << 1).to_bytes(3, "little") + b"a"
    last = (rest << 3 | 1 << 1 | 1).to_bytes(3, "little") + b"a"
    head = b"\x00\x58" if stated is None else b"\xa0" + stated.to_bytes(4, "little")
    return b"\x28\xb5\x2f\xfd" + head + block * blocks + last
