"""Rows only move forward, and what is written twice is there once."""

from __future__ import annotations

import json
from itertools import permutations
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from response_store.model.records import Record, ResponseRow
from tests.contract.contents import Contents
from tests.harness.postgres_backend import PostgresDatabase
from tests.harness.records import ANSWER, QUESTION, exchange, record, response

ENDED = ("completed", "incomplete", "failed", "cancelled", "refused", "queued", "in_progress")
CUT = ("interrupted", "unreadable", "too_large")
# What one response looks like on its way; what a snapshot holds follows from its status.
OUTPUT: dict[str, list[Any]] = {"queued": [], "in_progress": [], "completed": [ANSWER]}


def snapshot(status: str, *, repeats_input: bool) -> ResponseRow:
    asked = [QUESTION] if repeats_input else None
    return response(status=status, asked=asked, answered=OUTPUT[status])


@pytest.fixture(params=["one batch", "a batch each"])
def write(request: pytest.FixtureRequest, contents: Contents) -> Any:
    """Writes records, together or one after the other."""

    def written(*records: Record) -> None:
        if request.param == "one batch":
            contents.write(*records)
        else:
            for one in records:
                contents.write(one)

    return written


def test_the_same_response_twice_is_one_row(write: Any, contents: Contents) -> None:
    """A response that two exchanges bring is stored once, and both exchanges are."""
    answer = response(asked=[QUESTION], answered=[ANSWER])
    write(record("e1", answer), record("e2", answer))
    assert len(contents.responses()) == 1
    assert [row["exchange_id"] for row in contents.exchanges()] == ["e1", "e2"]


def test_the_same_record_twice_changes_nothing(write: Any, contents: Contents) -> None:
    """A record that is written again leaves both rows as they were."""
    one = record(answer=response(asked=[QUESTION]), output_text="hi", raw_response=b"raw")
    contents.write(one)
    before = contents.responses(), contents.exchanges()
    write(one, one)
    assert (contents.responses(), contents.exchanges()) == before


@pytest.mark.parametrize("final", ["completed", "incomplete", "failed", "cancelled"])
def test_a_late_snapshot_replaces_nothing_final(write: Any, contents: Contents, final: str) -> None:
    """A response that has ended stays so, whatever unfinished snapshot comes late."""
    write(
        record("e1", response(status=final, asked=[QUESTION])),
        record("e2", response(status="queued", asked=[QUESTION])),
        record("e3", response(status="in_progress", asked=[QUESTION])),
    )
    assert contents.member("status") == final


def test_a_response_moves_forward(write: Any, contents: Contents) -> None:
    """Later states replace earlier ones, and `queued` does not come back."""
    for seen in ("queued", "in_progress", "queued"):
        write(record("e1", response(status=seen, asked=[QUESTION])))
    assert contents.member("status") == "in_progress"
    write(record("e2", response(status="completed", asked=[QUESTION])))
    assert contents.member("status") == "completed"


@pytest.mark.parametrize("status", ["queued", "in_progress", "completed"])
def test_a_snapshot_without_input_erases_none(write: Any, contents: Contents, status: str) -> None:
    """A polled snapshot keeps the stored input; the messages are that input and its own output."""
    write(
        record("e1", response(status="queued", asked=[QUESTION])),
        record("e2", response(status=status, answered=[ANSWER])),
    )
    row = contents.response()
    assert json.loads(row["input"]) == [QUESTION]
    assert json.loads(row["messages"]) == [QUESTION, ANSWER]
    assert contents.member("status") == status


def test_an_input_that_comes_late_is_kept(write: Any, contents: Contents) -> None:
    """Where the final snapshot came first, without the input, a late one still brings that."""
    write(
        record("e1", response(status="completed", answered=[ANSWER])),
        record("e2", response(status="queued", asked=[QUESTION])),
    )
    row = contents.response()
    assert contents.member("status") == "completed"
    assert json.loads(row["messages"]) == [QUESTION, ANSWER]


def test_the_model_is_not_forgotten(write: Any, contents: Contents) -> None:
    """A snapshot that names no model does not erase the one that is known."""
    write(
        record("e1", response(status="queued", asked=[QUESTION], model="gpt-5")),
        record("e2", response(status="completed", model="")),
    )
    assert contents.response()["model"] == "gpt-5"


@pytest.mark.parametrize("text", ['{"a":1.50,"b":1e400}', "[]", "no JSON", "", '{"status":7}'])
def test_any_stored_object_counts_as_final(write: Any, contents: Contents, text: str) -> None:
    """An object that says nothing of its state is not replaced by an unfinished one."""
    odd = ResponseRow("t1", "r1", 1, "m", text, "[]", "[]")
    write(record("e1", odd), record("e2", response(status="queued")))
    assert contents.response()["response_object"] == text


def test_tenants_never_mix(write: Any, contents: Contents) -> None:
    """One id of two tenants is two responses, and neither sees the other's input or state."""
    write(
        record("e1", response(tenant_id="t1", status="completed", asked=[QUESTION])),
        record("e2", response(tenant_id="t2", status="queued")),
    )
    one, two = contents.responses()
    assert (one["tenant_id"], json.loads(one["response_object"])["status"]) == ("t1", "completed")
    assert (two["tenant_id"], json.loads(two["response_object"])["status"]) == ("t2", "queued")
    assert json.loads(two["messages"]) == []


def test_an_ended_exchange_is_never_open_again(write: Any, contents: Contents) -> None:
    """An open row gives way to the end, and never comes back."""
    for ended in ENDED + CUT:
        opening = record(ended, state="open", output_text=None)
        write(opening, record(ended, state=ended, output_text="x"), opening)
    for row in contents.exchanges():
        assert (row["state"], row["output_text"]) == (row["exchange_id"], "x")


@pytest.mark.parametrize("cut", CUT)
def test_a_cut_exchange_gives_way_to_a_whole_one(write: Any, contents: Contents, cut: str) -> None:
    """A row that was cut off is replaced by a whole one, and never the other way round."""
    for whole in ENDED:
        cut_off = record(whole, state=cut, raw_response=b"much longer than the other")
        write(cut_off, record(whole, state=whole), cut_off)
    assert all(row["state"] == row["exchange_id"] for row in contents.exchanges())


@pytest.mark.parametrize("state", ["open", "interrupted", "completed"])
def test_of_equals_the_longer_raw_answer_wins(write: Any, contents: Contents, state: str) -> None:
    """Between rows of one rank, only a longer raw answer raises the stored one."""
    table = [
        (b"a", b"bb", b"bb"), (b"bb", b"a", b"bb"), (None, b"a", b"a"), (b"a", None, b"a"),
        (b"a", b"b", b"a"), (None, b"", None),
    ]  # fmt: skip
    for at, (first, second, _) in enumerate(table):
        write(
            record(f"e{at}", state=state, raw_response=first),
            record(f"e{at}", state=state, raw_response=second),
        )
    assert [row["raw_response"] for row in contents.exchanges()] == [kept for *_, kept in table]


def test_every_order_of_snapshots_ends_alike(contents: Contents) -> None:
    """All orders of a background response's snapshots give the same row."""
    kinds = [("queued", True), ("in_progress", False), ("completed", False)]
    seen = set()
    for order in permutations(kinds):
        contents.clear()
        for at, (status, repeats) in enumerate(order):
            contents.write(record(f"e{at}", snapshot(status, repeats_input=repeats)))
        seen.add(tuple(contents.response().values()))
    assert len(seen) == 1
    assert json.loads(next(iter(seen))[-1]) == [QUESTION, ANSWER]


snapshots = st.builds(snapshot, st.sampled_from(list(OUTPUT)), repeats_input=st.booleans())
ends = st.sampled_from(
    [
        ("open", None),
        ("interrupted", "proxy_stopped"),
        ("interrupted", "client"),
        ("completed", "body"),
    ]
)
rows = st.builds(
    lambda end, raw: exchange(
        state=end[0], ended_by=end[1], raw_response=b"x" * raw or None, output_text=end[0]
    ),
    ends,
    st.integers(0, 2),
)
records = st.builds(Record, rows, st.none() | snapshots)


def test_any_order_ends_alike(contents: Contents) -> None:
    """Any order, repetition and batching of the same records ends with the same rows."""
    # One there takes as long as ten in SQLite.
    most = 25 if isinstance(contents.backend, PostgresDatabase) else 100

    @settings(max_examples=most, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def check(data: st.DataObject) -> None:
        base = data.draw(st.lists(records, min_size=1, max_size=6))
        again = data.draw(st.lists(st.sampled_from(base), max_size=4))
        order = data.draw(st.permutations(base + again))
        contents.clear()
        contents.write(*base)
        expected = contents.responses(), contents.exchanges()
        contents.clear()
        at = 0
        while at < len(order):
            size = data.draw(st.integers(1, len(order) - at))
            contents.write(*order[at : at + size])
            at += size
        assert (contents.responses(), contents.exchanges()) == expected

    check()
