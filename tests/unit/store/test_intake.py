"""The queue by itself: an end that nothing comes behind."""

from __future__ import annotations

import pytest

from response_store.store.intake import Intake, Limits
from response_store.store.ticket import Fate, Ticket


@pytest.fixture
def intake() -> Intake[str]:
    return Intake(Limits())


def tickets(intake: Intake[str], count: int) -> list[Ticket[str]]:
    made = [Ticket(str(at), 1) for at in range(count)]
    assert [intake.put(ticket) for ticket in made] == [None] * count
    return made


def test_the_end_comes_behind_everything(intake: Intake[str]) -> None:
    """What was put in before the end is taken; then there is nothing, however often one asks."""
    made = tickets(intake, 3)
    intake.end()
    intake.end()
    assert intake.put(Ticket("late", 1)) == "dropped.stopped"
    assert intake.take() == made
    intake.settled()
    assert intake.take() is None
    assert intake.take() is None


def test_putting_in_and_ending_exclude_each_other(intake: Intake[str]) -> None:
    """A ticket goes in under the lock that guards the end, or it could come behind it."""
    held: list[bool] = []
    inner = intake._incoming.put

    class Watched:
        def put(self, ticket: Ticket[str] | None) -> None:
            held.append(intake._lock.locked())
            inner(ticket)

    intake._incoming = Watched()  # type: ignore[assignment]
    tickets(intake, 1)
    intake.end()
    assert held == [True, True]


def test_what_is_put_off_keeps_its_place(intake: Intake[str]) -> None:
    """Tickets that were looked at go before those that came later, and the end stays last."""
    first = tickets(intake, 2)
    assert intake.put_off() == first
    later = tickets(intake, 2)
    intake.end()
    assert intake.put_off() == first + later
    assert intake.take() == first + later
    intake.settled()
    assert intake.take() is None


def test_what_is_left_is_lost(intake: Intake[str]) -> None:
    """`leave` drops what no batch has taken, and the sum is right."""
    made = tickets(intake, 3)
    intake.end()
    assert intake.leave() == made
    assert {ticket.fate for ticket in made} == {Fate.DROPPED}
    assert intake.summary().lost == 3
    assert intake.queue.records == 0
    assert intake.wait_settled(0)
    assert intake.take() is None
