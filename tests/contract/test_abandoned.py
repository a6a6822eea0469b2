"""Open rows whose journal is not known are nobody's: they are closed, and may still be finished."""

from __future__ import annotations

from response_store.backends.base import Checkpoint
from response_store.model.records import Record
from tests.contract.contents import Contents
from tests.harness.records import record

GIVEN_UP = ("interrupted", "proxy_stopped")


def open_row(exchange_id: str, journal: str) -> Record:
    return record(exchange_id, state="open", recorder_id=journal, output_text="so far")


def states(contents: Contents) -> dict[str, tuple[str, str | None]]:
    return {row["exchange_id"]: (row["state"], row["ended_by"]) for row in contents.exchanges()}


def test_rows_of_unknown_journals_are_closed(contents: Contents) -> None:
    """Only open ones are, and only those of journals without a row; the rest stays as it is."""
    store = contents.store
    store.write([open_row("mine", "known")], Checkpoint("known", 1, None))
    store.write([open_row("left", "gone"), open_row("old", "recorder of version 1")])
    store.write([record("ended", recorder_id="gone", ended_by="body")])
    assert store.close_abandoned() == 2
    assert states(contents) == {
        "ended": ("completed", "body"),
        "left": GIVEN_UP,
        "mine": ("open", None),
        "old": GIVEN_UP,
    }
    assert {row["output_text"] for row in contents.exchanges()} == {"so far", None}
    assert store.close_abandoned() == 0


def test_rows_of_a_finished_journal_are_closed(contents: Contents) -> None:
    """What a journal left open when it was finished is closed by the next look."""
    store = contents.store
    store.write([open_row("e1", "j")], Checkpoint("j", 1, None))
    assert store.close_abandoned() == 0
    store.finish("j")
    assert store.close_abandoned() == 1
    assert states(contents) == {"e1": GIVEN_UP}


def test_nothing_to_close(contents: Contents) -> None:
    """An empty database has nothing that was abandoned."""
    assert contents.store.close_abandoned() == 0


def test_any_true_end_replaces_what_was_given_up(contents: Contents) -> None:
    """A row that was closed in its owner's absence yields to whatever the owner says of its end."""
    ends = {
        "whole": ("completed", "body"),
        "cut": ("interrupted", "client"),
        "unreadable": ("unreadable", "body"),
        "large": ("too_large", "upstream"),
    }
    for name in ends:
        contents.store.write([open_row(name, "gone")])
    assert contents.store.close_abandoned() == len(ends)
    for name, (state, ended_by) in ends.items():
        contents.write(record(name, state=state, ended_by=ended_by))
    assert states(contents) == ends
    for name in ends:  # and does not come back
        contents.write(
            record(name, state="interrupted", ended_by="proxy_stopped", raw_response=b"longer"),
            open_row(name, "gone"),
        )
    assert states(contents) == ends
