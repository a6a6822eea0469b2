"""From what is asked and what is found to an answer."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from response_store import json_text
from response_store.errors import StoreError, TransientStoreError
from response_store.json_text import ABSENT
from response_store.openai_api.accumulated import complete_output, read_accumulated
from response_store.openai_api.plain_response import STATES
from response_store.serving import answer
from response_store.serving.answer import Answer
from response_store.serving.include import includes
from response_store.serving.input_items import item_list, items_of
from response_store.serving.paging import CursorError
from response_store.serving.replay import replayed
from response_store.serving.request import (
    INCLUDE_UNSUPPORTED,
    Asked,
    Delete,
    Get,
    InputItems,
    Refused,
)
from response_store.serving.stored import Found, Stored, Wanted


class _Response(msgspec.Struct):
    status: Raw = ABSENT
    output: Raw = ABSENT


def serve(stored: Stored, tenant: str, asked: Asked) -> Answer | None:
    """Answer a request out of a store. Blocks as long as the store does.

    None: what is to be deleted is there.
    """
    if isinstance(asked, Refused):
        return answer.refused(asked.reason)
    try:
        if isinstance(asked, Delete):
            found = stored.find(tenant, asked.id, Wanted.PRESENCE)
            return answer.not_found(asked.id) if found is None else None
        return answered(asked, stored.find(tenant, asked.id, asked.wanted))
    except TransientStoreError:
        return answer.unavailable()
    except StoreError:
        return answer.broken()


def prefer(stored: Stored, tenant: str, asked: Asked) -> Answer | None:
    """Answer a request out of a store, unless the upstream is to be asked. Blocks as `serve`.

    What is not stored is the upstream's to judge, a query that breaks a rule of ours as well: any
    path that ends alike may be a service that we know nothing of.
    """
    try:
        match asked:
            case Delete():
                return None
            case Refused():
                known = stored.find(tenant, asked.id, Wanted.PRESENCE) is not None
                return answer.refused(asked.reason) if known else None
        found = stored.find(tenant, asked.id, asked.wanted)
    except StoreError:
        return None
    return None if needs_upstream(asked, found) else answered(asked, found)


def answered(asked: Get | InputItems, found: Found | None) -> Answer:
    """Answer a request with what was found for it."""
    if found is None:
        return answer.not_found(asked.id)
    try:
        return _items(asked, found) if isinstance(asked, InputItems) else _response(asked, found)
    except json_text.UnreadableError:
        return answer.broken()


def needs_upstream(asked: Get | InputItems, found: Found | None) -> bool:
    """Return whether the upstream, if it can be asked, has a better answer than we have.

    It has one about a response that is not stored or still runs, about an input that we never saw
    (it is empty then), and about an `include` that goes beyond what is stored.
    """
    if found is None:
        return True
    try:
        if isinstance(asked, InputItems):
            items = items_of(found.input)
            return not items or not includes(items, asked.include)
        seen = json_text.members(_object(found), _Response)
        state = STATES.get(json_text.as_text(seen.status) or "")
        runs = state is not None and not state.is_final
        return runs or not _output_includes(seen, asked.include)
    except json_text.UnreadableError:
        return True


def _response(asked: Get, found: Found) -> Answer:
    text = _object(found)
    if not _output_includes(json_text.members(text, _Response), asked.include):
        return answer.refused(INCLUDE_UNSUPPORTED)
    if asked.stream:
        return answer.stream_answer(replayed(asked, text, found.recorded))
    return answer.json_answer(text)


def _object(found: Found) -> bytes:
    """Return the response as JSON text, with what streamed where its own output lacks that."""
    text = found.response_object.encode(errors="replace")
    items = read_accumulated(found.accumulated)
    return complete_output(text, items) if items else text


def _output_includes(seen: _Response, include: tuple[str, ...]) -> bool:
    if not include or bytes(memoryview(seen.output)[:1]) != b"[":
        return True
    return includes(json_text.elements(seen.output), include)


def _items(asked: InputItems, found: Found) -> Answer:
    items = items_of(found.input)
    if not includes(items, asked.include):
        return answer.refused(INCLUDE_UNSUPPORTED)
    try:
        return answer.json_answer(item_list(asked, items))
    except CursorError as error:
        return answer.refused(str(error))
