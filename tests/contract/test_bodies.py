"""Bodies that are packed against others stay readable, whatever rows come after them."""

from __future__ import annotations

import msgspec

from response_store.model.records import Record
from response_store.model.zstd import build_raw_frame, unpack
from tests.contract.contents import Contents
from tests.harness.agent_session import take_turns
from tests.harness.records import record

BODIES = [turn.body for turn in take_turns(6)]
FIRST, SECOND = "e0", "e1"


def holding(number: int, state: str = "completed", **columns: object) -> Record:
    """The record of a turn, with its body as the ingester hands it over."""
    frame = build_raw_frame(BODIES[number])
    return record(f"e{number}", None, state, request_body=frame, **columns)


def bases(contents: Contents) -> dict[str, str | None]:
    return {row["exchange_id"]: row["request_base_id"] for row in contents.exchanges()}


def bodies(contents: Contents) -> list[bytes]:
    """The bodies of all exchanges, each unpacked with its base where that stands alone."""
    rows = {row["exchange_id"]: row for row in contents.exchanges()}
    found = []
    for row in rows.values():
        base = rows[row["request_base_id"]] if row["request_base_id"] else None
        assert base is None or base["request_base_id"] is None
        on = unpack(bytes(base["request_body"])) if base else None
        found.append(unpack(bytes(row["request_body"]), base=on))
    return found


def test_an_open_row_and_its_end(contents: Contents) -> None:
    """What ended has the body and the base of its beginning, in one batch or in two."""
    contents.write(holding(0, "open"))
    contents.write(holding(0), holding(1, "open"))
    contents.write(holding(1), holding(2, "open"), holding(2))
    assert bases(contents) == {"e0": None, "e1": FIRST, "e2": FIRST}
    assert bodies(contents) == BODIES[:3]
    assert {row["state"] for row in contents.exchanges()} == {"completed"}


def test_a_base_ends_after_a_restart(contents: Contents) -> None:
    """Another ingester, which knows no bodies, or others, takes nothing from what is there."""
    contents.write(holding(0, "open"), holding(1, "open"))
    if contents.backend.many_stores:
        contents.store = contents.backend.store()
        contents.store.open()
    contents.write(holding(2))
    contents.write(holding(0))
    contents.write(holding(1), holding(3))
    assert bodies(contents) == BODIES[:4]
    assert bases(contents)["e0"] is None


def test_a_base_keeps_its_body(contents: Contents) -> None:
    """A row that replaces a base has another body, or none: the base's own stays."""
    contents.write(holding(0, "open"), holding(1))
    contents.write(record(FIRST, request_body=None))
    assert bodies(contents) == BODIES[:2]
    contents.clear()
    contents.write(holding(0, "open"), holding(1))
    other = msgspec.structs.replace(
        holding(5), exchange=msgspec.structs.replace(holding(5).exchange, exchange_id=FIRST)
    )
    contents.write(other)
    assert bodies(contents) == BODIES[:2]


def test_what_is_no_base_takes_another_body(contents: Contents) -> None:
    """Nothing depends on it: the body of the later row counts."""
    contents.write(record("e0", None, "open", request_body=build_raw_frame(b"a small one")))
    contents.write(record("e0", request_body=build_raw_frame(b"another one")))
    assert bodies(contents) == [b"another one"]


def test_a_base_that_went(contents: Contents) -> None:
    """What is written after its base was removed or changed by somebody else stands alone."""
    contents.write(holding(0))
    contents.backend.execute("DELETE FROM openai_exchanges")
    contents.write(holding(1), holding(2))
    assert bodies(contents) == BODIES[1:3]
    contents.backend.execute("UPDATE openai_exchanges SET request_body = NULL")
    contents.write(holding(3))
    assert bases(contents)["e3"] is None
