"""Responses that were asked to be deleted: of the API or, where responses are served, of us.

The API has deleted what it answers with a 2xx, whatever the body says of it: servers differ there.
"""

from __future__ import annotations

from collections import OrderedDict

from response_store.ingest.draft import AnswerDraft, Draft, Ending, Request
from response_store.openai_api.endpoints import Skip
from response_store.store.records import Api, Deletion, EndedBy, Transport

_MAX_TOMBSTONES = 1024  # responses: those whose other requests may still be under way
_UNKNOWN = frozenset({404, 405, 410, 501})  # the API has no such response, or deletes none at all

Key = tuple[str, str]
"""Tenant and response id."""


class Tombstones:
    """The last deletions, in the order in which their answers came. Used by one thread.

    What was asked before a response was deleted and ends behind it, a slow poll or a stream that
    is cut off, does not bring the response back. `of_unknown`: whether to delete here as well what
    the API says that it has not got.
    """

    def __init__(self, *, of_unknown: bool = False) -> None:
        self._of_unknown = of_unknown
        self._deleted_at: OrderedDict[Key, float] = OrderedDict()  # Unix seconds

    @property
    def keys(self) -> frozenset[Key]:
        """Return tenant and response id of each, at most 1024."""
        return frozenset(self._deleted_at)

    def read(self, request: Request, ending: Ending) -> Deletion | Skip:
        """Return the deletion that a request came to, or why it came to none.

        Reading it again changes nothing.
        """
        answer = ending.answer
        if (
            not request.target_response_id
            or answer is None
            or not self._is_gone(answer.status_code)
        ):
            return Skip.DELETION
        key = request.tenant_id, request.target_response_id
        deleted_at = request.started_at + (ending.duration_ms or 0) / 1000
        before = self._deleted_at.pop(key, deleted_at)
        self._deleted_at[key] = max(before, deleted_at)
        if len(self._deleted_at) > _MAX_TOMBSTONES:
            self._deleted_at.popitem(last=False)
        return Deletion(*key)

    def covers(self, key: Key, started_at: float) -> bool:
        """Return whether a response was deleted after a request that asked for it began."""
        deleted_at = self._deleted_at.get(key)
        return deleted_at is not None and started_at < deleted_at

    def _is_gone(self, status: int) -> bool:
        return 200 <= status < 300 or (self._of_unknown and status in _UNKNOWN)


def build_deletion(tenant_id: str, response_id: str, now: float) -> Draft:
    """Return a deletion that this proxy was asked for itself; `now` is Unix seconds."""
    request = Request(
        exchange_id="", tenant_id=tenant_id, api=Api.RESPONSES, method="DELETE", scheme="", host="",
        path="", body=None, started_at=now, target_response_id=response_id,
    )  # fmt: skip
    answer = AnswerDraft(Transport.HTTP, 204, None, None)
    return Draft(request, Ending(EndedBy.PROXY, 0.0, answer=answer))
