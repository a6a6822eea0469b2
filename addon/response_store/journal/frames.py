"""The format of a journal's frames: a header of 44 bytes, a msgpack head, the raw bytes of a body.

Frames stand one behind the other in segment files. A header (little endian) is

    magic "RSJ1" | kind u8 | flags u8 | 0 u16 | head size u32 | body size u64 | seq u64 | key u64
    | crc_head u32 | crc_all u32

`crc_head` is the CRC-32 of the header's first 36 bytes and the head, `crc_all` goes on over the
body. Both begin with the journal's *seed*, so that a frame of another journal, or one that stands
in a body, is no frame here.

`seq` (from 1, without reuse) is the frame's place in the journal, `key` the exchange it belongs to.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from enum import IntEnum

from msgspec import Struct

MAGIC = b"RSJ1"
HEADER = struct.Struct("<4sBBHIQQQII")
HEADER_SIZE = HEADER.size
MAX_HEAD_BYTES = 1 << 20
MAX_SEQ = (1 << 62) - 1  # fits the databases' BIGINT
CARRIED = 1  # flag: a copy, with its original seq, of a frame whose segment was dropped

_START = struct.Struct("<4sBBHIQQQ")
START_SIZE = _START.size
_CHECKSUMS = struct.Struct("<II")

Buffer = bytes | bytearray | memoryview


class FrameKind(IntEnum):
    """What a frame says of its exchange."""

    OPEN = 1  # it has lasted 250 ms: its request
    PART = 2  # decoded bytes of a streamed answer, whole events
    END = 3  # how it ended, the rest of the answer, and the request if there was no OPEN
    DELETION = 4  # a response that this proxy was asked to delete
    STOP = 5  # the proxy stops: what is open is interrupted
    RECORD = 6  # a change that the ingester has built and cleaned itself


KINDS = {int(kind): kind for kind in FrameKind}


class Frame(Struct, frozen=True):
    """A whole frame."""

    seq: int
    kind: FrameKind
    key: int
    flags: int
    head: bytes
    body: bytes


class FrameRef(Struct, frozen=True, order=True):
    """Where a frame lies: `segment` is the name of its file. Its head's checksum was right."""

    seq: int
    kind: FrameKind
    key: int
    flags: int
    segment: str
    offset: int
    head_size: int
    body_size: int

    @property
    def size(self) -> int:
        """Return how many bytes the frame takes in its file."""
        return HEADER_SIZE + self.head_size + self.body_size


def compute_seed(journal_id: str) -> int:
    """Return what the checksums of a journal's frames begin with."""
    return zlib.crc32(journal_id.encode())


def encode(
    seq: int,
    kind: int,
    key: int,
    head: bytes,
    parts: Sequence[Buffer] = (),
    *,
    flags: int = 0,
    seed: int = 0,
) -> list[Buffer]:
    """Return the buffers of a frame, for `os.writev`: two of the header, the head, the parts.

    A memoryview among `parts` must be of bytes. Raises ValueError for a head above 1 MiB.
    """
    if len(head) > MAX_HEAD_BYTES:
        raise ValueError(f"a frame's head of {len(head)} bytes is above {MAX_HEAD_BYTES}")
    size = sum(map(len, parts))
    start = _START.pack(MAGIC, kind, flags, 0, len(head), size, seq, key)
    crc_head = crc_all = zlib.crc32(head, zlib.crc32(start, seed))
    for part in parts:
        crc_all = zlib.crc32(part, crc_all)
    return [start, _CHECKSUMS.pack(crc_head, crc_all), head, *parts]


def parse_header(buffer: bytes, at: int, segment: str, offset: int) -> tuple[FrameRef, int] | None:
    """Return the frame whose header stands at `at` of `buffer`, and its `crc_head`.

    `offset` is the same place in the file. None where the bytes can't be a header. The checksum
    is not looked at: compare it with what `checksum_head` returns.
    """
    magic, kind, flags, zero, head_size, body_size, seq, key, crc_head, _ = HEADER.unpack_from(
        buffer, at
    )
    if magic != MAGIC or kind not in KINDS or zero or head_size > MAX_HEAD_BYTES:
        return None
    if not 0 < seq <= MAX_SEQ:
        return None
    return FrameRef(seq, KINDS[kind], key, flags, segment, offset, head_size, body_size), crc_head


def checksum_head(buffer: bytes, at: int, head_size: int, seed: int) -> int:
    """Return what `crc_head` of the frame at `at` must be; header and head are in `buffer`."""
    crc = zlib.crc32(buffer[at : at + START_SIZE], seed)
    return zlib.crc32(buffer[at + HEADER_SIZE : at + HEADER_SIZE + head_size], crc)


def decode(ref: FrameRef, top: bytes, body: bytes, seed: int) -> Frame | None:
    """Return the frame of `ref` from its header and head, `top`, and its body.

    None where a checksum, or what stands there, is not that of the frame.
    """
    if len(top) != HEADER_SIZE + ref.head_size or len(body) != ref.body_size:
        return None
    start = _START.pack(
        MAGIC, ref.kind, ref.flags, 0, ref.head_size, ref.body_size, ref.seq, ref.key
    )
    head = top[HEADER_SIZE:]
    crc = zlib.crc32(head, zlib.crc32(start, seed))
    sums = _CHECKSUMS.pack(crc, zlib.crc32(body, crc))
    return (
        Frame(ref.seq, ref.kind, ref.key, ref.flags, head, body)
        if top[:HEADER_SIZE] == start + sums
        else None
    )
