"""Conversations grow item by item, in one batch and in several, on every database."""

from __future__ import annotations

import json
from typing import Any

import pytest

from response_store.model.records import Change, ConversationChange, Record
from tests.contract.backends import Backend
from tests.contract.contents import Contents
from tests.harness.records import record


def item(name: str | None, text: str) -> str:
    """Return an item as JSON text."""
    return json.dumps(({"id": name} if name else {}) | {"text": text})


def changed(number: int, **fields: Any) -> Record:
    """Return an exchange that changes the conversation `c1`."""
    change = ConversationChange("t1", "c1", 5, **fields)
    return Record(record(f"e{number}").exchange, conversation=change)


BEGUN = changed(1, metadata='{"a":"b"}', items=(item(None, "x"), item(None, "x")), begins=True)
ADDED = changed(2, items=(item("i1", "one"), item("i2", "two\u0000")))
STEPS: list[tuple[list[Change], Any]] = [
    ([BEGUN], ["x", "x"]),
    ([BEGUN, BEGUN], ["x", "x"]),
    ([ADDED], ["one", "two\u0000"]),
    ([ADDED, ADDED], ["one", "two\u0000"]),
    ([BEGUN, ADDED, BEGUN], ["x", "x", "one", "two\u0000"]),
    ([ADDED, changed(3, items=(item("i1", "three"),))], ["three", "two\u0000"]),
    ([ADDED, changed(3, removed_item="i1")], ["two\u0000"]),
    ([changed(3, removed_item="i1")], []),
    ([BEGUN, changed(3, metadata='{"c":"d"}')], ["x", "x"]),
    ([BEGUN, changed(3, deleted=True)], None),
    ([changed(3, deleted=True)], None),
    ([BEGUN, changed(3, deleted=True), ADDED], ["one", "two\u0000"]),
]


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize(("changes", "texts"), STEPS)
def test_a_conversation(
    backend: Backend, contents: Contents, changes: list[Change], texts: Any, together: bool
) -> None:
    """Items are put behind those that are there, replaced by id, and removed; twice is once."""
    for batch in [changes] if together else [[change] for change in changes]:
        contents.write(*batch)
    rows = backend.execute("SELECT * FROM openai_conversations")
    if texts is None:
        assert rows == []
        return
    (row,) = rows
    assert (row["conversation_id"], row["tenant_id"], row["created_at"]) == ("c1", "t1", 5)
    assert [one["text"] for one in json.loads(row["messages"])] == texts


def test_metadata_is_that_of_the_last(backend: Backend, contents: Contents) -> None:
    """What comes without metadata leaves it as it was."""
    contents.write(BEGUN, ADDED)
    select = "SELECT metadata FROM openai_conversations"
    assert backend.execute(select) == [{"metadata": '{"a":"b"}'}]
    contents.write(changed(3, metadata='{"c":"d"}'))
    assert backend.execute(select) == [{"metadata": '{"c":"d"}'}]
