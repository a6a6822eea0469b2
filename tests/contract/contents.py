"""A store, and what its database holds."""

from __future__ import annotations

import json
from typing import Any

from response_store.model.records import Record
from tests.contract.backends import Backend, Row


class Contents:
    """An open store; what it holds is read back by plain SQL."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.store = backend.store()
        self.store.open()

    def write(self, *records: Record) -> None:
        """One batch."""
        self.store.write(records)

    def responses(self) -> list[Row]:
        return self.backend.execute("SELECT * FROM openai_responses ORDER BY tenant_id, id")

    def exchanges(self) -> list[Row]:
        return self.backend.execute("SELECT * FROM openai_exchanges ORDER BY exchange_id")

    def response(self) -> Row:
        """The only response."""
        (row,) = self.responses()
        return row

    def exchange(self) -> Row:
        """The only exchange."""
        (row,) = self.exchanges()
        return row

    def member(self, name: str) -> Any:
        """A member of the only response object."""
        return json.loads(self.response()["response_object"])[name]

    def clear(self) -> None:
        """Empty the tables."""
        for table in ("openai_responses", "openai_exchanges"):
            self.backend.execute(f"DELETE FROM {table}")
