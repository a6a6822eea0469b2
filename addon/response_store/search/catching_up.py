"""Index what no proxy has indexed yet, before a search."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from response_store.errors import RowRefusedError, TransientStoreError
from response_store.search import index as indexes

if TYPE_CHECKING:
    from response_store.search.index import Index

_BATCH_SIZE = 500
_MAX_ATTEMPTS = 5


def index_missing(index: Index) -> Iterator[int]:
    """Index what is missing; yield after each exchange how many are done. Raises StoreError."""
    done = 0
    for find in (indexes.list_missing, indexes.list_changed):
        after = ""
        while exchange_ids := find(index.rows, after, _BATCH_SIZE):
            for exchange_id in exchange_ids:
                if _retry(partial(indexes.index_exchange, index, exchange_id, _never_yield)):
                    done += 1
                    yield done
            after = exchange_ids[-1]


def _retry(bring_up: Callable[[], bool]) -> bool:
    """Call `index_one` again while another writer is in the way; False for a row the database
    refuses.
    """
    for attempt in range(_MAX_ATTEMPTS):
        try:
            return bring_up()
        except RowRefusedError:
            return False
        except TransientStoreError:
            if attempt == _MAX_ATTEMPTS - 1:
                raise
            time.sleep(0.1)
    return False


def _never_yield() -> None:
    """Do nothing: somebody waits for the result."""
