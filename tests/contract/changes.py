"""Strategies for changes that meet: few tenants, responses and exchanges, in any state."""

from __future__ import annotations

from hypothesis import strategies as st

from response_store.model.records import Change, Deletion, Record
from tests.harness.records import ANSWER, QUESTION, record, response

TENANTS = st.sampled_from(["t1", "t2"])
INPUTS = {"r1": [QUESTION], "r2": []}  # a response's input never changes
RESPONSES = st.sampled_from([*INPUTS])
STATES = st.sampled_from(["open", "interrupted", "queued", "in_progress", "completed", "failed"])
STATUSES = st.sampled_from(["queued", "in_progress", "completed", "failed"])


@st.composite
def a_record(draw: st.DrawFn) -> Record:
    """A record of an exchange, with or without a response, with or without its input."""
    tenant, named = draw(TENANTS), draw(RESPONSES)
    answer = None
    if draw(st.integers(0, 3)):
        answer = response(
            named,
            draw(STATUSES),
            tenant_id=tenant,
            asked=draw(st.sampled_from([None, INPUTS[named]])),
            answered=draw(st.sampled_from([[], [ANSWER]])),
        )
    raw = draw(st.sampled_from([None, b"x", b"longer"]))
    # An exchange belongs to one tenant.
    exchange_id = f"{tenant}-{draw(st.integers(1, 3))}"
    more = {"tenant_id": tenant, "response_id": named, "raw_response": raw}
    return record(exchange_id, answer, draw(STATES), **more)


deletions = st.builds(Deletion, TENANTS, RESPONSES)
changes: st.SearchStrategy[Change] = st.one_of(a_record(), a_record(), deletions)


@st.composite
def cuts(draw: st.DrawFn, length: int) -> list[slice]:
    """Where a sequence of that length is cut into batches."""
    found, at = [], 0
    while at < length:
        size = draw(st.integers(1, length - at))
        found.append(slice(at, at + size))
        at += size
    return found
