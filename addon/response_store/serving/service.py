"""Answers to those who ask after stored responses, as the configuration has it."""

from __future__ import annotations

from response_store.config import Serve
from response_store.counts import Counts
from response_store.errors import PassingStoreError
from response_store.serving import answer
from response_store.serving.answer import Answer
from response_store.serving.readers import Readers
from response_store.serving.request import Asked, Delete, asked
from response_store.serving.serve import prefer, serve

SECONDS = 3.0  # that somebody waits for the store
_CLOSE_SECONDS = 1.0
_METHODS = ("GET", "DELETE")


class Service:
    """Answers requests on the event loop; the threads of `readers` do the work."""

    def __init__(self, mode: Serve, readers: Readers, counts: Counts) -> None:
        self._mode = mode
        self._readers = readers
        self._counts = counts

    def asked(self, method: str, path: str) -> Asked | None:
        """What a request asks of us; None where it goes on, as nearly all of them do."""
        if method not in _METHODS or "/responses/" not in path:
            return None
        found = asked(method, path)
        # The API is asked to delete as well. Its answer is what the client gets, and what counts.
        return None if isinstance(found, Delete) and self._mode is Serve.PREFER else found

    async def answer(self, tenant: str, asked: Asked) -> Answer | None:
        """The answer to a request; None where the upstream is to be asked. May raise anything."""
        answer_of = prefer if self._mode is Serve.PREFER else serve
        try:
            made = await self._readers.ask(lambda stored: answer_of(stored, tenant, asked), SECONDS)
        except PassingStoreError:
            made = self._instead(answer.unavailable())
        return self._counted(made)

    def failed(self) -> Answer | None:
        """What to do where answering has raised."""
        return self._counted(self._instead(answer.broken()))

    def close(self) -> None:
        """End the threads. Idempotent."""
        self._readers.close(_CLOSE_SECONDS)

    def _instead(self, error: Answer) -> Answer | None:
        return None if self._mode is Serve.PREFER else error

    def _counted(self, made: Answer | None) -> Answer | None:
        self._counts.add(f"served.{made.status}" if made else "served.by_upstream")
        return made
