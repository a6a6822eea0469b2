"""HTTP answers; every error has the same shape.

Source: the API reference, "Error codes" and "Delete a model response".
"""

from __future__ import annotations

from dataclasses import dataclass

from response_store import jsontext
from response_store.sites import RefusalReason

JSON = "application/json"
EVENT_STREAM = "text/event-stream; charset=utf-8"
RETRY_AFTER = 1  # seconds
_INVALID = "invalid_request_error"
_SERVER = "server_error"
_UNAVAILABLE = "response_store_unavailable"


@dataclass(frozen=True, slots=True)
class ServedAnswer:
    """An HTTP answer; the names of `headers` are in lower case."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def build_json_answer(body: bytes, status: int = 200) -> ServedAnswer:
    """Return an answer whose body is JSON text."""
    return ServedAnswer(status, (("content-type", JSON),), body)


def build_stream_answer(body: bytes) -> ServedAnswer:
    """Return an answer whose body is a stream of events."""
    return ServedAnswer(200, (("content-type", EVENT_STREAM), ("cache-control", "no-cache")), body)


def build_deleted(response_id: str) -> ServedAnswer:
    """Return the answer to a deletion that was made."""
    document = {
        "id": jsontext.encode_string(response_id),
        "object": "response.deleted",
        "deleted": True,
    }
    return build_json_answer(jsontext.encode_object(document))


def build_not_found(response_id: str) -> ServedAnswer:
    """Return the answer where there is no such response, or it is another tenant's."""
    return _build_error(404, f"No response found with id '{response_id}'.", _INVALID)


def build_bad_request(reason: str) -> ServedAnswer:
    """Return the answer to a request that breaks a rule; `reason` says which."""
    return _build_error(400, reason, _INVALID)


def build_forbidden(reason: RefusalReason) -> ServedAnswer:
    """Return the answer to a page of another site, or to who has not sent the token."""
    status = 401 if reason is RefusalReason.TOKEN else 403
    answer = _build_error(status, _FORBIDDEN[reason], _INVALID, f"response_store_{reason}")
    if reason is RefusalReason.TOKEN:
        return ServedAnswer(status, (*answer.headers, ("www-authenticate", "Bearer")), answer.body)
    return answer


_FORBIDDEN = {
    RefusalReason.HOST: (
        "This response store is not known under the name in Host. Ask for localhost or an address "
        "of loopback, or add the name to serve_hosts."
    ),
    RefusalReason.SITE: (
        "This response store answers no pages of other sites. If the page is yours, add the host "
        "of its address to serve_hosts."
    ),
    RefusalReason.TOKEN: (
        "This response store wants serve_token, as 'authorization: Bearer TOKEN' or in "
        "x-response-store-token."
    ),
}


def build_internal_error() -> ServedAnswer:
    """Return the answer where a stored row can't be read; it does not say what is wrong with it."""
    return _build_error(500, "Internal server error.", _SERVER)


def build_unavailable() -> ServedAnswer:
    """Return the answer while the database can't be reached."""
    text = "The response store is out of reach. Try again later."
    answer = _build_error(503, text, _SERVER, _UNAVAILABLE)
    return ServedAnswer(503, (*answer.headers, ("retry-after", str(RETRY_AFTER))), answer.body)


def _build_error(status: int, message: str, kind: str, code: str | None = None) -> ServedAnswer:
    error = {
        "message": jsontext.encode_string(message),
        "type": kind,
        "param": None,
        "code": code or kind,
    }
    return build_json_answer(jsontext.encode_object({"error": error}), status)
