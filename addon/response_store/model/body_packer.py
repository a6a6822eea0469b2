"""Pack the bodies of requests against earlier ones, which they mostly repeat.

A client that keeps its conversation itself sends all of it with each turn. So of a body that is
like an earlier one only what is new is stored, and the id of the exchange that has the rest, its
base. A base always stands alone, so that two frames are all that is ever needed to read a body, and
it has at most `limits.BASED` others on it.

What is alike is found by samples of the base near the same places in the body: whatever a client
changes in the middle, the most of both is the same. Bases are of the same tenant, server, path and
model. A base gets no more bodies once these take as much room as itself: then the next body stands
alone, and is the base of those that come after it. That is the least there is to be stored with
bases that stand alone, up to a factor that is small.

The last bodies are held in memory. Where that is lost, as at a restart, one more stands alone.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias, TypeVar

import msgspec

from response_store.limits import BASE_BYTES, BASED, RECENT_BODIES
from response_store.model.records import (
    Change,
    Deletion,
    ExchangeRow,
    PackedExchangeRow,
    pack_exchange_row,
)
from response_store.model.zstd import (
    SMALL,
    BasedCompressor,
    Compressor,
    DamagedZstdError,
    read_stated_size,
    unpack,
)

_SAMPLES, _SAMPLE = 8, 32  # of a base; bytes of one
_SHIFT = 4096  # bytes by which it may stand somewhere else
_LEAST_ALIKE = _SAMPLES // 2
_BASES_OF_GROUP = 8
_MAX_BODIES = 256
_MAX_COMPRESSORS = 4  # whose tables are kept
_Group: TypeAlias = tuple[str, str, str, str | None]
T = TypeVar("T")


class MissingBaseError(Exception):
    """A base is not in the database as it was packed against: it was removed, or replaced."""


class PackedChanges(NamedTuple):
    """Changes as they are written, and the frame of each base that their rows name."""

    changes: Sequence[Change]
    bases: Mapping[str, bytes] = {}


@dataclass(slots=True, eq=False)
class _Body:
    """A body of the last ones, as it was packed; one that stands alone may be a base."""

    exchange_id: str
    group: _Group
    body: bytes
    frame: bytes
    base_id: str | None = None
    based: int = 0  # bodies on it
    based_bytes: int = 0  # which their frames take
    compressor: BasedCompressor | None = field(default=None, repr=False)

    @property
    def is_used_up(self) -> bool:
        """Return whether another body on it is dearer than a new base."""
        return self.based >= BASED or self.based_bytes >= len(self.frame)

    def count_alike(self, body: bytes) -> int:
        """Return how many samples of it stand in another body, near the same places."""
        own, step = self.body, len(self.body) // _SAMPLES
        count = 0
        for number in range(_SAMPLES):
            at = number * step + step // 2
            sample = own[at : at + _SAMPLE]
            count += (
                body[at : at + _SAMPLE] == sample
                or body.find(sample, max(at - _SHIFT, 0), at + _SHIFT) >= 0
            )
            if number - count >= _SAMPLES - _LEAST_ALIKE:
                return 0  # there can't be enough any more
        return count


class BodyPacker:
    """Packs the bodies of one store's exchanges. Not thread-safe."""

    def __init__(self) -> None:
        self._compressor = Compressor()
        self._recent: OrderedDict[str, _Body] = OrderedDict()  # the last used are the last
        self._bases: dict[_Group, list[_Body]] = {}
        self._held = 0  # bytes

    def write(self, changes: Sequence[Change], write: Callable[[PackedChanges], T]) -> T:
        """Have changes written with their bodies packed; return what `write` returns.

        Where it raises MissingBaseError, having left no trace, all of them stand alone. After any
        error what was remembered is forgotten.
        """
        try:
            packed = self.pack(changes)
            try:
                return write(packed)
            except MissingBaseError:
                self.clear()
                return write(PackedChanges(self._pack_all(changes, self._pack_alone)))
        except BaseException:
            self.clear()
            raise

    def pack(self, changes: Sequence[Change]) -> PackedChanges:
        """Return changes with their bodies packed."""
        bases: dict[str, bytes] = {}

        def pack_row(row: ExchangeRow) -> ExchangeRow:
            packed = self._pack_row(row)
            if isinstance(packed, PackedExchangeRow) and packed.request_base_id is not None:
                bases[packed.request_base_id] = self._recent[packed.request_base_id].frame
            return packed

        return PackedChanges(self._pack_all(changes, pack_row), bases)

    def clear(self) -> None:
        """Forget all bodies: the next ones stand alone."""
        self._recent.clear()
        self._bases.clear()
        self._held = 0

    def _pack_all(
        self, changes: Iterable[Change], pack: Callable[[ExchangeRow], ExchangeRow]
    ) -> list[Change]:
        return [
            msgspec.structs.replace(change, exchange=packed)
            if not isinstance(change, Deletion)
            and (packed := pack(change.exchange)) is not change.exchange
            else change
            for change in changes
        ]

    def _pack_alone(self, row: ExchangeRow) -> ExchangeRow:
        """Return a row whose body needs no other one, and is compressed."""
        frame = row.request_body
        if frame is None or not SMALL < read_stated_size(frame) <= min(len(frame), BASE_BYTES):
            return row
        return msgspec.structs.replace(row, request_body=self._compressor.frame(unpack(frame)))

    def _pack_row(self, row: ExchangeRow) -> ExchangeRow:
        frame = row.request_body
        if frame is None or not SMALL < read_stated_size(frame) <= BASE_BYTES:
            return self._pack_alone(row)
        try:
            body = unpack(frame, BASE_BYTES)
        except DamagedZstdError:
            return row
        known = self._recent.get(row.exchange_id)
        if known is None or known.body != body or not self._has_base(known):
            known = self._pack_body(row, body)
        self._recent.move_to_end(known.exchange_id)
        if known.base_id is None:
            return msgspec.structs.replace(row, request_body=known.frame)
        return pack_exchange_row(row, known.frame, known.base_id)

    def _has_base(self, body: _Body) -> bool:
        return body.base_id is None or body.base_id in self._recent

    def _pack_body(self, row: ExchangeRow, body: bytes) -> _Body:
        group = row.tenant_id, row.host, row.path, row.requested_model
        base = self._find_base(group, body)
        frame = self._compress(base, body) if base is not None and not base.is_used_up else None
        if base is None or frame is None:
            new = _Body(row.exchange_id, group, body, self._compressor.frame(body))
        else:
            new = _Body(row.exchange_id, group, body, frame, base.exchange_id)
            base.based += 1
            base.based_bytes += len(frame)
            self._recent.move_to_end(base.exchange_id)
        self._remember(new, instead_of=base)
        return new

    def _find_base(self, group: _Group, body: bytes) -> _Body | None:
        """Return the base that is most like a body, of several the last one."""
        best, most_alike = None, _LEAST_ALIKE - 1
        for base in reversed(self._bases.get(group, ())):
            if (alike := base.count_alike(body)) > most_alike:
                best, most_alike = base, alike
            if most_alike == _SAMPLES:
                break
        return best

    def _compress(self, base: _Body, body: bytes) -> bytes | None:
        """Return a body's frame on a base; None where that would not save half of it."""
        if base.compressor is None:
            base.compressor = BasedCompressor(base.body)
            self._limit_compressors(base)
        frame = base.compressor.frame(body)
        alone = len(base.frame) * len(body) // len(base.body)  # roughly
        return frame if 2 * len(frame) <= alone else None

    def _limit_compressors(self, last: _Body) -> None:
        having = [one for one in self._recent.values() if one.compressor and one is not last]
        for one in having[: max(len(having) + 1 - _MAX_COMPRESSORS, 0)]:
            one.compressor = None

    def _remember(self, new: _Body, instead_of: _Body | None) -> None:
        if (before := self._recent.get(new.exchange_id)) is not None:
            self._forget(before)
        self._recent[new.exchange_id] = new
        self._held += len(new.body)
        if new.base_id is None:
            bases = self._bases.setdefault(new.group, [])
            if instead_of in bases and instead_of.is_used_up:
                bases.remove(instead_of)
            bases.append(new)
            del bases[:-_BASES_OF_GROUP]
        while self._held > RECENT_BODIES or len(self._recent) > _MAX_BODIES:
            self._forget(next(iter(self._recent.values())))

    def _forget(self, body: _Body) -> None:
        del self._recent[body.exchange_id]
        self._held -= len(body.body)
        bases = self._bases.get(body.group, [])
        if body in bases:
            bases.remove(body)
            if not bases:
                del self._bases[body.group]
