"""Retention: the rules for what is kept, applied now and then while a proxy runs."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass

from response_store.config import Config, SqliteTarget
from response_store.counts import Counts
from response_store.errors import PassingStoreError, StoreError
from response_store.faults import Faults
from response_store.pruning import measures
from response_store.pruning.database import open_database
from response_store.pruning.removing import Gone
from response_store.pruning.sweep import Sweep
from response_store.store.selection import Selection

logger = logging.getLogger(__name__)
_DAY = 86_400.0
_REST = 4.0  # times what a batch took: others have the database four fifths of the time
_LEAST_REST = 0.01  # seconds


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds until the first look, and between two. To measure a file costs next to nothing."""

    first: float = 120.0
    every: float = 3600.0
    measured_file: float = 300.0


class Retention:
    """A thread that removes what is too old or too much."""

    def __init__(
        self, config: Config, counts: Counts, faults: Faults, times: Times | None = None
    ) -> None:
        self._config = config
        self._counts = counts
        self._faults = faults
        self._times = times or Times()
        self._stop = threading.Event()
        self._told: set[str] = set()
        self._thread = threading.Thread(
            target=self._run, name="response-store-retention", daemon=True
        )

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self, seconds: float) -> None:
        """End the thread, at most `seconds` long; what it has not removed stays. Idempotent."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(seconds)

    def _run(self) -> None:
        pause = self._times.first
        while not self._stop.wait(pause):
            self._look()
            pause = self._next()

    def _next(self) -> float:
        measures_file = (
            isinstance(self._config.database, SqliteTarget)
            and self._config.retention.max_bytes is not None
        )
        return min(self._times.every, self._times.measured_file if measures_file else 1e9)

    def _look(self) -> None:
        try:
            self._remove()
        except StoreError as error:
            self._counts.add("retention.failed")
            self._tell(error)
        except Exception as error:  # noqa: BLE001 - the next look may succeed
            self._faults.report("retention", error)

    def _remove(self) -> None:
        config = self._config
        with open_database(config.database, config.tables) as database:
            if not database.remover.may_begin():
                return  # another proxy is at it
            sweep = Sweep(database, self._rest, self._count)
            if config.retention.max_age_days is not None:
                until = time.time() - config.retention.max_age_days * _DAY
                sweep.remove(Selection(until=until), measures.tenants(database.reading))
            if config.retention.max_bytes is not None:
                sweep.shrink(config.retention.max_bytes)
            if sweep.exchanges:
                sweep.give_back()
        if sweep.exchanges:
            logger.info("response_store: retention removed %d exchanges", sweep.exchanges)

    def _rest(self, taken: float) -> bool:
        return not self._stop.wait(max(_REST * taken, _LEAST_REST))

    def _count(self, gone: Gone) -> None:
        if gone.exchanges:
            self._counts.add("pruned", gone.exchanges)
        if gone.responses:
            self._counts.add("pruned.responses", gone.responses)

    def _tell(self, error: StoreError) -> None:
        """A line for each error that somebody has to mend, once."""
        if isinstance(error, PassingStoreError) or str(error) in self._told:
            return
        self._told.add(str(error))
        logger.warning("response_store: retention can't remove anything: %s", error)


def retention_of(config: Config, counts: Counts, faults: Faults) -> Retention | None:
    """What keeps the rules of a configuration; None where it has none."""
    return Retention(config, counts, faults) if config.retention else None
