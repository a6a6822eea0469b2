"""Answer requests for stored responses on the event loop, as configured.

The ingester looks things up, once everything is in the database that was captured before the
question, so that a client sees whatever it was acknowledged. This side runs on the event loop and
waits for the ingester's reply, for a bounded time.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

import msgspec

from response_store.config import Serve
from response_store.errors import StoreError, TransientStoreError
from response_store.ingest.channel import FAILED, OK, IngesterReply
from response_store.jsontext import replace_unstorable
from response_store.serving import http_response
from response_store.serving.http_response import ServedAnswer
from response_store.serving.request import DeleteResponse, StoreRequest, parse_request

if TYPE_CHECKING:
    from response_store.diagnostics import Counters

SECONDS = 3.0
"""That somebody waits for the store."""
KIND = "serve"
"""The kind of question that the ingester answers from `serving/answers.py`."""
_DELETE_SECONDS = 1.5
_METHODS = ("GET", "DELETE")


class StoreQuery(msgspec.Struct, array_like=True):
    """A request as it came, for the ingester, with its tenant."""

    mode: str
    tenant: str
    method: str
    path: str


class StoreReply(msgspec.Struct, array_like=True):
    """The ingester's reply. No `status`: the upstream is to be asked, or a response may be deleted.

    The body comes behind it.
    """

    status: int | None
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


encode = msgspec.msgpack.Encoder().encode
_decode_reply = msgspec.msgpack.Decoder(StoreReply).decode


class AnswerSource(Protocol):
    """Messages to the ingester."""

    def ask(self, kind: str, arguments: bytes, seconds: float) -> asyncio.Future[IngesterReply]:
        """Ask the ingester, behind all that was captured so far."""

    async def delete(self, tenant: str, response_id: str, seconds: float) -> bool:
        """Write that a response is deleted; return whether it is in the database in time."""


class Service:
    """Answers requests on the event loop."""

    def __init__(self, mode: Serve, journal: AnswerSource, counters: Counters) -> None:
        self._mode = mode
        self._journal = journal
        self._counters = counters

    def concerns(self, method: str, path: str) -> bool:
        """Return whether a request may read or delete what is stored; cheap."""
        return method in _METHODS and "/responses/" in path

    def parse(self, method: str, path: str) -> StoreRequest | None:
        """Return what a request asks of us; None where it goes on, as nearly all of them do."""
        if not self.concerns(method, path):
            return None
        query = parse_request(method, path)
        # The API is asked to delete as well. Its answer is what the client gets, and what counts.
        return None if isinstance(query, DeleteResponse) and self._mode is Serve.PREFER else query

    async def answer(
        self, tenant: str, request: StoreRequest, method: str, path: str
    ) -> ServedAnswer | None:
        """Return the answer to a request; None where the upstream is to be asked."""
        try:
            query = StoreQuery(self._mode.value, tenant, method, replace_unstorable(path))
            reply = await self._look_up(query)
            if reply is None and isinstance(request, DeleteResponse):
                reply = await self._delete(tenant, request)
        except (TransientStoreError, TimeoutError):
            reply = self._replace_error(http_response.build_unavailable())
        except StoreError:
            reply = self._replace_error(http_response.build_internal_error())
        return self._count(reply)

    def answer_after_error(self) -> ServedAnswer | None:
        """Return what to do where answering has raised."""
        return self._count(self._replace_error(http_response.build_internal_error()))

    async def _look_up(self, query: StoreQuery) -> ServedAnswer | None:
        future = self._journal.ask(KIND, encode(query), SECONDS)
        replied = await asyncio.wait_for(future, SECONDS)
        if replied.status == FAILED:
            raise StoreError("looking it up has failed")  # the ingester has counted why
        if replied.status != OK:
            raise TransientStoreError("the store did not answer in time: try again later")
        reply = _decode_reply(replied.body)
        if reply.status is None:
            return None
        return ServedAnswer(reply.status, reply.headers, reply.body)

    async def _delete(self, tenant: str, request: DeleteResponse) -> ServedAnswer:
        in_time = await self._journal.delete(tenant, request.id, _DELETE_SECONDS)
        if not in_time:
            raise TransientStoreError("the deletion is not written yet: try again later")
        return http_response.build_deleted(request.id)

    def _replace_error(self, error: ServedAnswer) -> ServedAnswer | None:
        return None if self._mode is Serve.PREFER else error

    def _count(self, result: ServedAnswer | None) -> ServedAnswer | None:
        self._counters.add(f"served.{result.status}" if result else "served.by_upstream")
        return result
