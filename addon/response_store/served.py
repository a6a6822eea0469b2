"""Serving what a session stores: reads beside its writer, deletions by way of it."""

from __future__ import annotations

import time

from response_store.capture.draft import Draft
from response_store.config import Config, Serve
from response_store.counts import Counts
from response_store.ingest.deletions import own_deletion
from response_store.serving.readers import Readers
from response_store.serving.served_store import ServedStore
from response_store.serving.service import Service
from response_store.store.storage import Storage
from response_store.store.ticket import Fate
from response_store.store.writer import Writer


def service_of(config: Config, storage: Storage[Draft], counts: Counts) -> Service | None:
    """What answers requests for stored responses; None where they all go on."""
    if config.serve is Serve.OFF:
        return None
    # It knows of journals, which nobody else needs with SQLite.
    from response_store.store.serving_reads import serving_reads  # noqa: PLC0415

    reads, writes = serving_reads(config), DraftWrites(storage.writer)
    return Service(config.serve, Readers(lambda: ServedStore(reads(), writes)), counts)


class DraftWrites:
    """The writer, as those see it who look things up."""

    def __init__(self, writer: Writer[Draft]) -> None:
        self._writer = writer

    def settled(self, seconds: float) -> bool:
        return self._writer.drain(seconds)

    def delete(self, tenant: str, response_id: str, seconds: float) -> bool:
        ticket = self._writer.submit(own_deletion(tenant, response_id, time.time()), sync=True)
        ticket.wait(seconds)
        return ticket.fate is Fate.WRITTEN
