"""Requests for a response that exists already: polls, resumed streams, cancellations.

A response that runs in the background is polled, streamed again and cancelled, by its id. Each of
these updates the stored response. The snapshots that polls and cancels bring share one row among
the exchanges, made of the tenant and the response's id, so that a client that asks every second
leaves two rows behind and not a thousand. A stream has a row of its own: text comes in it.
"""

from __future__ import annotations

import uuid
from dataclasses import replace

import msgspec
from msgspec import Raw

from response_store import json_text
from response_store.ingest.draft import Request
from response_store.ingest.result_state import ClassifiedResponse
from response_store.json_text import ABSENT
from response_store.openai_api.endpoints import Skip
from response_store.openai_api.outcome import ParsedResponse, Usage
from response_store.store.records import State, Transport

_NAMESPACE = uuid.UUID("c1b0b6a5-1a5c-5d0e-8f43-6f0a5f1e7d2b")


class _Background(msgspec.Struct):
    background: Raw = ABSENT


def normalize_poll(
    request: Request, classified: ClassifiedResponse, transport: Transport
) -> tuple[Request, ClassifiedResponse] | Skip:
    """Return request and answer as they fill a row, or a reason where no response came.

    What was answered is believed by its shape alone, as any host may have paths like the API's.
    """
    outcome = classified.outcome
    object_came = outcome.response_id is not None and bool(outcome.response or outcome.partial)
    if classified.state is State.REFUSED or not (object_came or outcome.items):
        return Skip.NO_RESPONSE
    response_id = outcome.response_id or request.target_response_id
    outcome = replace(outcome, response_id=response_id)
    if transport is not Transport.SSE:
        request = replace(
            request, exchange_id=_build_shared_id(request.tenant_id, response_id or "")
        )
        outcome = replace(outcome, usage=_count_new_usage(outcome))
    return request, replace(classified, outcome=outcome)


def is_background(text: bytes | None) -> bool:
    """Return whether a response object (JSON text) says that it runs in the background."""
    try:
        seen = json_text.slice_members(text or b"", _Background)
    except json_text.UnreadableError:
        return False
    return bytes(seen.background) == b"true"


def _build_shared_id(tenant_id: str, response_id: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, f"{tenant_id}\0{response_id}"))


def _count_new_usage(outcome: ParsedResponse) -> Usage:
    """Return tokens that no other row counts: those of a response that was answered before it
    ran.
    """
    return outcome.usage if is_background(outcome.response or outcome.partial) else Usage()
