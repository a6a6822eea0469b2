"""Pack bodies anew whose base is removed, in the transaction that removes it.

The newest of the exchanges on a base is the base of the others from then on, and stands alone: as
the oldest exchanges are mostly removed first, it is the last of them to go. Nothing is left of the
removed body but what theirs have in common with it.

What is redacted goes the same way: what is packed against it is packed anew before.

On a server another process may be writing one of them at this moment: their base stays then, as
whatever is locked does, and goes with a later batch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Protocol

from response_store.limits import BASE_BYTES
from response_store.model.zstd import (
    BasedCompressor,
    Compressor,
    DamagedZstdError,
    unpack,
)
from response_store.queries.reader import Row

MAX_BASED = 64
"""Exchanges on bases of one batch, beyond those of its first base: each takes about 1 ms."""

COUNT_BASED = """(
    SELECT count(*) FROM {exchanges} AS one WHERE one.request_base_id = {exchanges}.exchange_id)"""
"""How many exchanges have one as their base."""

_BASED = "SELECT exchange_id, request_base_id FROM {{exchanges}} WHERE request_base_id IN ({})"
_LOCKED = "SELECT exchange_id FROM {{exchanges}} WHERE exchange_id IN ({}) ORDER BY 1 {{lock}}"
_BODY = "SELECT request_body FROM {exchanges} WHERE exchange_id = ?"
_REPLACE = "UPDATE {exchanges} SET request_body = ?, request_base_id = ? WHERE exchange_id = ?"
_NEWEST_FIRST = """
SELECT exchange_id FROM {{exchanges}} WHERE exchange_id IN ({})
ORDER BY started_at DESC, exchange_id DESC"""


class Execute(Protocol):
    """Runs a statement in the words of `queries/reader.py`."""

    def __call__(self, statement: str, values: Sequence[object]) -> tuple[list[Row], int]:
        """Run a statement; return its rows, and how many were removed."""


def release_bases(
    execute: Execute, ids: Sequence[str], select: Callable[[], Sequence[str]]
) -> Sequence[str]:
    """Return which exchanges can be removed, once nothing that stays is packed against them.

    `select` tells which of `ids` are sure to be removed if they can be.
    """
    based = execute(_BASED.format(_mark(ids)), ids)[0]
    if not based:
        return ids
    removed = list(select())
    going = set(removed)
    groups: dict[str, list[str]] = defaultdict(list)
    for exchange_id, base_id in based:
        if base_id in going and exchange_id not in going:
            groups[base_id].append(exchange_id)
    staying = [exchange_id for group in groups.values() for exchange_id in group]
    locked = {row[0] for row in execute(_LOCKED.format(_mark(staying)), staying)[0]}
    for base_id, group in groups.items():
        if locked.issuperset(group):
            _rebase(execute, base_id, group)
        else:
            removed.remove(base_id)
    return removed


def release_base(execute: Execute, exchange_id: str) -> bool:
    """Return whether the body of an exchange can be changed: nothing is packed against it then."""
    return bool(release_bases(execute, [exchange_id], lambda: [exchange_id]))


def _mark(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values)) or "NULL"


def _rebase(execute: Execute, base_id: str, ids: Sequence[str]) -> None:
    """Pack the bodies of some exchanges without their base. What can't be unpacked is left."""
    ordered = [row[0] for row in execute(_NEWEST_FIRST.format(_mark(ids)), ids)[0]]
    bodies = _unpack_all(execute, base_id, ordered)
    alone = Compressor()
    newest_id, newest = next(bodies, (None, b""))
    if newest_id is None:
        return
    frame = alone.frame(newest)
    execute(_REPLACE, (frame, None, newest_id))
    on_newest = BasedCompressor(newest)
    for exchange_id, body in bodies:
        based = on_newest.frame(body)
        if 2 * len(based) * len(newest) <= len(frame) * len(body):
            execute(_REPLACE, (based, newest_id, exchange_id))
        else:
            execute(_REPLACE, (alone.frame(body), None, exchange_id))


def _unpack_all(execute: Execute, base_id: str, ids: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """Yield the bodies of exchanges on one base, each as it is needed."""
    try:
        base = unpack(_read_frame(execute, base_id), BASE_BYTES)
    except DamagedZstdError:
        return
    for exchange_id in ids:
        with suppress(DamagedZstdError):
            yield exchange_id, unpack(_read_frame(execute, exchange_id), BASE_BYTES, base)


def _read_frame(execute: Execute, exchange_id: str) -> bytes:
    rows = execute(_BODY, (exchange_id,))[0]
    return bytes(rows[0][0]) if rows and rows[0][0] is not None else b""
