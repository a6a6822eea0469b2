"""Bringing an index up to date before it is asked: what no proxy has indexed yet."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from response_store.errors import RowRefusedError, TransientStoreError
from response_store.search import index as indexes

if TYPE_CHECKING:
    from response_store.search.index import Index

_AT_ONCE = 500
_ATTEMPTS = 5


def catch_up(index: Index) -> Iterator[int]:
    """Index what is lacking; tells after each exchange how many are done. Raises StoreError."""
    done = 0
    for find in (indexes.missing, indexes.changed):
        after = ""
        while found := find(index.rows, after, _AT_ONCE):
            for exchange_id in found:
                if _insistent(partial(indexes.bring_up, index, exchange_id, _at_once)):
                    done += 1
                    yield done
            after = found[-1]


def _insistent(bring_up: Callable[[], bool]) -> bool:
    """Again where somebody else is in the way; without what no database takes."""
    for attempt in range(_ATTEMPTS):
        try:
            return bring_up()
        except RowRefusedError:
            return False
        except TransientStoreError:
            if attempt == _ATTEMPTS - 1:
                raise
            time.sleep(0.1)
    return False


def _at_once() -> None:
    """No pause: somebody waits."""
