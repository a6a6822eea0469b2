"""Lookup of served responses by the ingester, beside the store that it writes to."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from response_store.config import Config
from response_store.store.backends import open_reader
from response_store.store.kept_reading import KeptReader, Pause
from response_store.store.served_tables import ServedLookup
from response_store.store.sqlite.connection import identify_file

if TYPE_CHECKING:
    from response_store.serving.stored import Fields, ServedResponse

SECONDS = 2.5  # that one statement may take
_BUSY_SECONDS = 1.0


class ServingReads:
    """Looks up responses, for one thread."""

    def __init__(self, kept: KeptReader) -> None:
        self._kept = kept

    def find(self, tenant: str, response_id: str, fields: Fields) -> ServedResponse | None:
        """Return a response with all that is committed, as far as `fields` names it.

        Raises StoreError.
        """
        return self._kept.ask(
            lambda reader: ServedLookup(reader).find_served(tenant, response_id, fields)
        )

    def close(self) -> None:
        """Close what is open. Idempotent."""
        self._kept.close()


def build_serving_reads(config: Config) -> ServingReads:
    """Return what looks up the responses of a configuration, opened once it is asked."""
    return ServingReads(keep_reader(config))


def keep_reader(config: Config) -> KeptReader:
    """Return a configuration's database for single questions, opened once it is asked."""
    target, tables = config.database, config.tables
    name = f"{'SQLite ' if target.server is None else ''}{target.describe()}"
    opening = partial(
        open_reader,
        target,
        tables,
        shown_as=name,
        busy_seconds=_BUSY_SECONDS,
        statement_seconds=SECONDS,
    )
    return KeptReader(opening, lambda: identify_file(target.path), Pause())
