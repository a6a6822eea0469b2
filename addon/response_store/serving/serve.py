"""Building of the answer to a request from what is stored."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from response_store import json_text
from response_store.errors import StoreError, TransientStoreError
from response_store.json_text import ABSENT
from response_store.openai_api.accumulated import complete_output, read_accumulated
from response_store.openai_api.plain_response import STATES
from response_store.serving import answer
from response_store.serving.answer import ServedAnswer
from response_store.serving.include import includes
from response_store.serving.input_items import build_item_list, split_items
from response_store.serving.paging import CursorError
from response_store.serving.replay import replay_body
from response_store.serving.request import (
    INCLUDE_UNSUPPORTED,
    BadRequest,
    DeleteResponse,
    GetInputItems,
    GetResponse,
    StoreRequest,
)
from response_store.serving.stored import Fields, ResponseLookup, ServedResponse


class _ResponseMembers(msgspec.Struct):
    status: Raw = ABSENT
    output: Raw = ABSENT


def serve(lookup: ResponseLookup, tenant: str, request: StoreRequest) -> ServedAnswer | None:
    """Answer a request out of a store. Blocks as long as the store does.

    None: what is to be deleted is there.
    """
    if isinstance(request, BadRequest):
        return answer.build_bad_request(request.reason)
    try:
        if isinstance(request, DeleteResponse):
            response = lookup.find(tenant, request.id, Fields.PRESENCE)
            return answer.build_not_found(request.id) if response is None else None
        return build_answer(request, lookup.find(tenant, request.id, request.fields))
    except TransientStoreError:
        return answer.build_unavailable()
    except StoreError:
        return answer.build_internal_error()


def serve_if_better(
    lookup: ResponseLookup, tenant: str, request: StoreRequest
) -> ServedAnswer | None:
    """Answer a request out of a store, unless the upstream is to be asked. Blocks as `serve`.

    What is not stored is the upstream's to judge, a query that breaks a rule of ours as well: any
    path that ends alike may be a service that we know nothing of.
    """
    try:
        match request:
            case DeleteResponse():
                return None
            case BadRequest():
                known = lookup.find(tenant, request.id, Fields.PRESENCE) is not None
                return answer.build_bad_request(request.reason) if known else None
        response = lookup.find(tenant, request.id, request.fields)
    except StoreError:
        return None
    return None if needs_upstream(request, response) else build_answer(request, response)


def build_answer(
    request: GetResponse | GetInputItems, response: ServedResponse | None
) -> ServedAnswer:
    """Answer a request with what was found for it."""
    if response is None:
        return answer.build_not_found(request.id)
    try:
        return (
            _answer_items(request, response)
            if isinstance(request, GetInputItems)
            else _answer_response(request, response)
        )
    except json_text.UnreadableError:
        return answer.build_internal_error()


def needs_upstream(request: GetResponse | GetInputItems, response: ServedResponse | None) -> bool:
    """Return whether the upstream, if it can be asked, has a better answer than we have.

    It has one about a response that is not stored or still runs, about an input that we never saw
    (it is empty then), and about an `include` that goes beyond what is stored.
    """
    if response is None:
        return True
    try:
        if isinstance(request, GetInputItems):
            items = split_items(response.input)
            return not items or not includes(items, request.include)
        seen = json_text.slice_members(_complete_response(response), _ResponseMembers)
        state = STATES.get(json_text.read_text(seen.status) or "")
        runs = state is not None and not state.is_final
        return runs or not _does_output_include(seen, request.include)
    except json_text.UnreadableError:
        return True


def _answer_response(request: GetResponse, response: ServedResponse) -> ServedAnswer:
    text = _complete_response(response)
    if not _does_output_include(json_text.slice_members(text, _ResponseMembers), request.include):
        return answer.build_bad_request(INCLUDE_UNSUPPORTED)
    if request.stream:
        return answer.build_stream_answer(replay_body(request, text, response.recorded))
    return answer.build_json_answer(text)


def _complete_response(response: ServedResponse) -> bytes:
    """Return the response as JSON text, with what streamed where its own output lacks that."""
    text = response.response_object.encode(errors="replace")
    items = read_accumulated(response.accumulated)
    return complete_output(text, items) if items else text


def _does_output_include(seen: _ResponseMembers, include: tuple[str, ...]) -> bool:
    if not include or bytes(memoryview(seen.output)[:1]) != b"[":
        return True
    return includes(json_text.slice_elements(seen.output), include)


def _answer_items(request: GetInputItems, response: ServedResponse) -> ServedAnswer:
    items = split_items(response.input)
    if not includes(items, request.include):
        return answer.build_bad_request(INCLUDE_UNSUPPORTED)
    try:
        return answer.build_json_answer(build_item_list(request, items))
    except CursorError as error:
        return answer.build_bad_request(str(error))
