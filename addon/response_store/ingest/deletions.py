"""Responses that were asked to be deleted: of the API or, where responses are served, of us.

The API has deleted what it answers with a 2xx, whatever the body says of it: servers differ there.
"""

from __future__ import annotations

from collections import OrderedDict

from response_store.capture.draft import Answer, Draft, Ending, Request
from response_store.openai_api.endpoints import Skip
from response_store.store.records import Api, Deletion, EndedBy, Transport

_MOST = 1024  # responses: those whose other requests may still be under way
_UNKNOWN = frozenset({404, 405, 410, 501})  # the API has no such response, or deletes none at all


class Deletions:
    """The last deletions of a run, in the order in which their answers came.

    What was asked before a response was deleted and ends behind it, a slow poll or a stream that
    is cut off, does not bring the response back. `of_unknown`: whether to delete here as well what
    the API says that it has not got.
    """

    def __init__(self, *, of_unknown: bool = False) -> None:
        self._of_unknown = of_unknown
        self._deleted_at: OrderedDict[tuple[str, str], float] = OrderedDict()

    def read(self, request: Request, ending: Ending) -> Deletion | Skip:
        """The deletion that a request came to, or why it came to none."""
        answer = ending.answer
        if not request.follows or answer is None or not self._is_gone(answer.status_code):
            return Skip.DELETION
        key = request.tenant_id, request.follows
        self._deleted_at.pop(key, None)
        self._deleted_at[key] = request.started_at + ending.duration_ms / 1000
        if len(self._deleted_at) > _MOST:
            self._deleted_at.popitem(last=False)
        return Deletion(*key)

    def hide(self, request: Request, response_id: str) -> bool:
        """Whether a response was deleted after this request had asked for it."""
        deleted_at = self._deleted_at.get((request.tenant_id, response_id))
        return deleted_at is not None and request.started_at < deleted_at

    def _is_gone(self, status: int) -> bool:
        return 200 <= status < 300 or (self._of_unknown and status in _UNKNOWN)


def own_deletion(tenant_id: str, response_id: str, now: float) -> Draft:
    """A deletion that was asked of this proxy, and goes no further; `now` is Unix seconds."""
    request = Request(
        exchange_id="", tenant_id=tenant_id, api=Api.RESPONSES, method="DELETE", scheme="", host="",
        path="", user_agent=None, content_encoding="", body=None, started_at=now,
        follows=response_id,
    )  # fmt: skip
    answer = Answer(Transport.HTTP, 204, "", None, None)
    return Draft(request, Ending(EndedBy.PROXY, 0.0, answer=answer))
