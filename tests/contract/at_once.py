"""Several stores at work at the same moment."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from response_store.backends.base import Store
from response_store.errors import StoreError


def at_once(stores: Sequence[Store], work: Callable[[int], None]) -> list[StoreError]:
    """Open each store and do its work, each in a thread of its own; the errors that came."""
    barrier, errors = threading.Barrier(len(stores)), []

    def run(at: int) -> None:
        barrier.wait()
        try:
            stores[at].open()
            work(at)
        except StoreError as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(at,)) for at in range(len(stores))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors
