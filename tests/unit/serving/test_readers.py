"""Threads that look things up: bounded, with a deadline, and off the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from response_store.errors import PassingStoreError, PermanentStoreError
from response_store.serving.readers import Readers
from response_store.serving.stored import Found, Wanted

LONG = 10.0


class Shelf:
    """A place to look things up in, of one thread."""

    def __init__(self) -> None:
        self.made_in = threading.get_ident()
        self.closed_in: int | None = None

    def find(self, tenant: str, response_id: str, wanted: Wanted) -> Found | None:
        return Found(response_object=f"{tenant} {response_id}")

    def delete(self, tenant: str, response_id: str) -> bool:
        return False

    def close(self) -> None:
        self.closed_in = threading.get_ident()


class Made(list[Shelf]):
    """Makes shelves and keeps them."""

    def __call__(self) -> Shelf:
        self.append(Shelf())
        return self[-1]


@pytest.fixture
def made() -> Made:
    """The shelves of the readers."""
    return Made()


@pytest.fixture
def readers(made: Made) -> Iterator[Readers]:
    """Two threads, and room for two questions besides."""
    readers = Readers(made, threads=2, most=4)
    yield readers
    readers.close(LONG)


async def test_an_answer(readers: Readers, made: Made) -> None:
    """A question is asked in another thread, of what belongs to that thread."""

    def question(stored: Any) -> tuple[Any, bool]:
        return stored.find("t", "r", Wanted.OBJECT), stored.made_in == threading.get_ident()

    assert not made, "nothing is made before it is needed"
    assert await readers.ask(question, LONG) == (Found(response_object="t r"), True)
    readers.close(LONG)
    assert len(made) == 2
    assert [shelf.closed_in for shelf in made] == [shelf.made_in for shelf in made]


async def test_an_error_is_that_of_the_question(readers: Readers) -> None:
    """What a question raises comes to whoever asked, and the thread goes on."""

    def question(_: Any) -> None:
        raise PermanentStoreError("broken")

    for _ in range(8):  # more than there is room for
        with pytest.raises(PermanentStoreError, match="broken"):
            await readers.ask(question, LONG)
    assert await readers.ask(lambda _: 1, LONG) == 1


async def test_the_loop_goes_on(readers: Readers) -> None:
    """Whoever waits for a store waits alone."""
    gate = threading.Event()
    waits = asyncio.ensure_future(readers.ask(lambda _: gate.wait(LONG), LONG))
    await asyncio.sleep(0)
    assert not waits.done()
    gate.set()
    assert await waits is True


async def test_it_takes_too_long(readers: Readers) -> None:
    """After the deadline the store counts as out of reach; what nobody waits for is not asked."""
    gate, asked = threading.Event(), []
    stuck = [asyncio.ensure_future(readers.ask(lambda _: gate.wait(LONG), 0.02)) for _ in range(2)]
    behind = asyncio.ensure_future(readers.ask(lambda _: asked.append(1), 0.02))
    for one in (*stuck, behind):
        with pytest.raises(PassingStoreError, match="too long"):
            await one
    gate.set()
    assert await readers.ask(lambda _: 1, LONG) == 1
    assert asked == []


async def test_too_many_ask(readers: Readers) -> None:
    """Beyond the bound nobody waits, and there is room again once some have their answer."""
    gate = threading.Event()
    waits = [asyncio.ensure_future(readers.ask(lambda _: gate.wait(LONG), LONG)) for _ in range(4)]
    await asyncio.sleep(0)
    with pytest.raises(PassingStoreError, match="too many"):
        await readers.ask(lambda _: 1, LONG)
    gate.set()
    assert await asyncio.gather(*waits) == [True] * 4
    assert await readers.ask(lambda _: 1, LONG) == 1


async def test_closed_while_some_wait(readers: Readers) -> None:
    """What has not begun is told that the store is closed; afterwards nothing is taken in."""
    gate = threading.Event()
    begun = threading.Barrier(3)

    def question(_: Any) -> bool:
        begun.wait(LONG)
        return gate.wait(LONG)

    stuck = [asyncio.ensure_future(readers.ask(question, LONG)) for _ in range(2)]
    behind = asyncio.ensure_future(readers.ask(lambda _: 1, LONG))
    await asyncio.sleep(0)
    begun.wait(LONG)
    readers.close(0.01)
    gate.set()
    assert await asyncio.gather(*stuck) == [True, True]
    with pytest.raises(PassingStoreError, match="closed"):
        await behind
    with pytest.raises(PassingStoreError, match="closed"):
        await readers.ask(lambda _: 1, LONG)


def test_closing_what_was_never_used(made: Made) -> None:
    """No thread is started to be ended."""
    before = threading.active_count()
    Readers(made).close(LONG)
    assert (threading.active_count(), made) == (before, [])
