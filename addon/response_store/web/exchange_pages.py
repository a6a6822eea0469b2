"""One exchange: what was said, its bodies as trees, its stream, and what else is known of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from response_store.errors import StoreError
from response_store.format.curl import format_curl
from response_store.format.exchange import get_raw_response, read_exchanged
from response_store.format.facts import describe_cost, list_facts
from response_store.format.settings import list_settings, list_tools
from response_store.jsontext import TooManyValuesError
from response_store.model.records import State
from response_store.web.blocks import (
    MAX_BLOCKS,
    find_parent,
    find_text,
    list_blocks,
    list_pictures,
    show_blocks,
)
from response_store.web.bodies import (
    Body,
    DocumentCache,
    cut_part,
    decode_body,
    list_events,
    read_body,
)
from response_store.web.json_tree import find_value, list_nodes
from response_store.web.page import PLAIN, Answer, PageError, PageRequest, render
from response_store.web.running import POSITION, fill_in

if TYPE_CHECKING:
    from response_store.format.conversation import Block
    from response_store.queries.exchanges import Query
    from response_store.queries.lookup import LookupResult

_MAX_PLACE = 1 << 30
MAX_CURL = 200_000
"""Bytes of a request up to which its command is shown."""
_documents = DocumentCache()


def show_exchange(request: PageRequest, query: Query) -> Answer:
    """Return the page of an exchange: what it adds to the one before, or all with `whole`."""
    entry, parent = find_exchange(request, query)
    exchanged = read_exchanged(entry)
    blocks = list_blocks(entry, None if request.get("whole") else parent, exchanged)
    start = 0 if request.get("early") else max(len(blocks) - MAX_BLOCKS, 0)
    return render(
        "exchange.html",
        request,
        tab="conversation",
        blocks=show_blocks(blocks[start:], start),
        left_out=start,
        has_parent=parent is not None,
        tools=list_tools(exchanged.request or exchanged.answer),
        settings=list_settings(exchanged.request),
        **describe_exchange(request, entry, parent),
    )


def show_body(request: PageRequest, query: Query) -> Answer:
    """Return the page of a body as a tree; as text where it is no JSON."""
    entry, parent = find_exchange(request, query)
    body = Body(request.parts[1])
    try:
        nodes, following = list_nodes(_documents.read(entry, body), "")
        part = None
    except PageError:
        nodes, following, part = [], 0, cut_part(decode_body(entry, body), 0)
    return render(
        "exchange_body.html",
        request,
        tab=body.value,
        nodes=nodes,
        following=following,
        tree_path="",
        part=part,
        **describe_exchange(request, entry, parent),
    )


def show_nodes(request: PageRequest, query: Query) -> Answer:
    """Return a level of a tree, for the page that has the levels above."""
    entry = query.find(request.source.tenant, request.parts[0])
    path, start = request.get("path"), request.get_number("start", at_most=_MAX_PLACE)
    document = _documents.read(entry, Body(request.parts[1]))
    nodes, following = list_nodes(document, path, start)
    return render(
        "tree.html", request, nodes=nodes, following=following, tree_path=path,
        identifier=request.parts[0], tab=request.parts[1],
    )  # fmt: skip


def show_text(request: PageRequest, query: Query) -> Answer:
    """Return the next part of a long text: of a body, of a value in its tree, or of a block."""
    start = request.get_number("start", at_most=_MAX_PLACE)
    part = cut_part(_find_text(request, query), start)
    return render("text_part.html", request, part=part)


def _find_text(request: PageRequest, query: Query) -> str:
    entry, parent = find_exchange(request, query)
    name = request.parts[1]
    if name != "block":
        if not request.get("path"):
            return decode_body(entry, Body(name))
        value = find_value(_documents.read(entry, Body(name)), request.get("path"))
        return value if isinstance(value, str) else ""
    return find_text(_find_block(request, entry, parent), request.get("result"))


def _find_block(request: PageRequest, entry: LookupResult, parent: LookupResult | None) -> Block:
    blocks = list_blocks(entry, None if request.get("whole") else parent)
    number = request.get_number("number", at_most=_MAX_PLACE)
    if number >= len(blocks):
        raise PageError("number: there is no such block.", 404)
    return blocks[number]


def show_picture(request: PageRequest, query: Query) -> Answer:
    """Return a picture of a block as a `data:` URL, in a text: a document it never is."""
    entry, parent = find_exchange(request, query)
    pictures = list_pictures(_find_block(request, entry, parent))
    number = request.get_number("picture", at_most=_MAX_PLACE)
    if number >= len(pictures):
        raise PageError("picture: there is no such picture.", 404)
    return Answer(pictures[number].url.encode(), PLAIN)


def show_stream(request: PageRequest, query: Query) -> Answer:
    """Return the page of the events of an answer as they came."""
    entry, parent = find_exchange(request, query)
    start = request.get_number("start", at_most=_MAX_PLACE)
    try:
        raw, times = get_raw_response(entry), entry.exchange.event_times if entry.exchange else None
        events, following, why_not = *list_events(raw, times, start), ""
    except (StoreError, TooManyValuesError) as error:
        events, following, why_not = [], 0, str(error)
    return render(
        "exchange_stream.html",
        request,
        tab="stream",
        events=events,
        older=request.link_here(start=0) if start else "",
        next_page=request.link_here(start=following) if following else "",
        has_times=any(event.time for event in events),
        why_not=why_not,
        **describe_exchange(request, entry, parent),
    )


def show_facts(request: PageRequest, query: Query) -> Answer:
    """Return the page of everything else that is known, and of the command that asks again."""
    entry, parent = find_exchange(request, query)
    described = describe_exchange(request, entry, parent)
    return render(
        "exchange_facts.html",
        request,
        tab="facts",
        facts=list_facts(entry, described["cost"].long),
        curl=_write_curl(entry),
        **described,
    )


def _write_curl(entry: LookupResult) -> str:
    if entry.exchange is None:
        return ""
    try:
        body = read_body(entry, Body.REQUEST)
        return format_curl(entry.exchange, body) if len(body) <= MAX_CURL else ""
    except StoreError:  # no JSON
        return ""


def find_exchange(request: PageRequest, query: Query) -> tuple[LookupResult, LookupResult | None]:
    """Return what an address names, and what that continues. Raises StoreError."""
    tenant = request.source.tenant
    with query.snapshot() as lookup:
        entry = lookup.find(tenant, request.parts[0])
        parent = find_parent(lookup, tenant, entry)
    return complete_running(request, query, entry), parent


def complete_running(request: PageRequest, query: Query, entry: LookupResult) -> LookupResult:
    """Return an exchange that runs with what has come of its answer; any other as it is."""
    row = entry.exchange
    if row is None or row.state != State.OPEN:
        return entry
    position = query.reader.row(POSITION, (row.recorder_id,))
    return fill_in(request.source, entry, int(position[0]) if position else 0)


def describe_exchange(
    request: PageRequest, entry: LookupResult, parent: LookupResult | None
) -> dict[str, Any]:
    """Return what all tabs of an exchange show."""
    row = entry.exchange
    return {
        "cost": describe_cost(entry, request.source.load_prices()),
        "identifier": request.parts[0],
        "row": row,
        "response": entry.response,
        "parent": parent.exchange if parent else None,
    }
