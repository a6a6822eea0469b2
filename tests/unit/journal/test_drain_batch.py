"""What of a batch is written: open rows that are replaced are left out, those of the dead end."""

from __future__ import annotations

from response_store.store.drain_batch import changes_of
from response_store.store.journal.entry import RECORD, Entry, values
from response_store.store.records import Record
from tests.harness.records import record, response


def entries(*records: Record) -> list[Entry]:
    return [
        Entry(at, RECORD, one.exchange.exchange_id, 1, values(one, 0.0)[-1])
        for at, one in enumerate(records, start=1)
    ]


def never(_: Entry) -> bool:
    return False


def test_an_open_row_whose_end_is_there_is_left_out() -> None:
    """Of an exchange that began and ended in one batch, only the end is written."""
    opened, ended, other = record("e1", state="open"), record("e1"), record("e2", state="open")
    assert changes_of(entries(opened, other, ended), "recorder", never) == [other, ended]


def test_an_open_row_behind_its_end_stays() -> None:
    """Only what comes later replaces; the target knows what to do with the rest."""
    opened, ended = record("e1", state="open"), record("e1")
    assert changes_of(entries(ended, opened), "recorder", never) == [ended, opened]


def test_an_open_row_that_brings_a_response_stays() -> None:
    """A response is never left out."""
    opened = record("e1", response(status="queued"), state="open")
    ended = record("e1")
    assert changes_of(entries(opened, ended), "recorder", never) == [opened, ended]


def test_ends_are_all_written() -> None:
    """Several records of one exchange that are no open rows stay, in order."""
    ends = [record("e1", state="queued"), record("e1"), record("e1", state="interrupted")]
    assert changes_of(entries(*ends), None, never) == ends


def test_an_open_row_of_a_killed_recorder_is_closed() -> None:
    """The journal has one owner: whoever left an open row in it before is dead."""
    (closed, ours) = changes_of(
        entries(
            record("e1", state="open", recorder_id="dead", host="h"), record("e2", state="open")
        ),
        "recorder",
        never,
    )
    assert (closed.exchange.state, closed.exchange.ended_by) == ("interrupted", "proxy_stopped")
    assert closed.exchange.host == "h"
    assert ours.exchange.state == "open"


def test_an_open_row_whose_end_waits_further_on_is_not_closed() -> None:
    """What a recorder told before it was killed is not overwritten by a guess."""
    opened = record("e1", state="open", recorder_id="dead")
    assert changes_of(entries(opened), "recorder", lambda entry: True) == [opened]


def test_without_a_recorder_nothing_is_closed() -> None:
    """Who does not say which recorder this is has open rows written as they are."""
    opened = record("e1", state="open", recorder_id="dead")
    assert changes_of(entries(opened), None, never) == [opened]
