"""What goes to the store and what to the upstream, in each way of serving."""

from __future__ import annotations

import json
from contextlib import closing
from typing import Any

import pytest

from response_store.config import Serve
from response_store.counts import Counts
from response_store.errors import PassingStoreError, PermanentStoreError, StoreError
from response_store.serving.readers import Readers
from response_store.serving.request import Asked, asked
from response_store.serving.serve import prefer
from response_store.serving.served_store import ServedStore
from response_store.serving.service import Service
from response_store.serving.stored import Found, Wanted
from tests.harness.records import record, response
from tests.unit.serving.responses import AT, ID, ITEMS, found
from tests.unit.serving.responses import response as whole_response
from tests.unit.serving.shelf import ShelfAway, SqliteShelf

TENANT = "t1"
WAYS = [("GET", AT), ("GET", f"{AT}?stream=true"), ("GET", ITEMS), ("GET", f"{AT}?bad=1")]


def ask(method: str, path: str) -> Asked:
    """What a request asks for."""
    wanted = asked(method, path)
    assert wanted is not None
    return wanted


class Holding:
    """Holds one response, whoever asks; or fails."""

    def __init__(self, what: Found | Exception | None) -> None:
        self.what = what

    def find(self, tenant: str, response_id: str, wanted: Wanted) -> Found | None:
        if isinstance(self.what, Exception):
            raise self.what
        return self.what

    def delete(self, tenant: str, response_id: str) -> bool:
        raise AssertionError("with `prefer` the API's answer counts")

    def close(self) -> None:
        """Nothing is open."""


WHOLE = found(whole_response())
RUNNING = [found(whole_response(status=status)) for status in ("queued", "in_progress")]


@pytest.mark.parametrize(
    ("path", "what", "status"),
    [
        (AT, WHOLE, 200),
        (f"{AT}?stream=true", WHOLE, 200),
        (ITEMS, Found(input='[{"id": "a"}]'), 200),
        (f"{ITEMS}?after=b", Found(input='[{"id": "a"}]'), 400),
        (f"{AT}?bad=1", WHOLE, 400),
        (f"{AT}?bad=1", None, None),
        (AT, None, None),
        (ITEMS, None, None),
        (ITEMS, Found(input="[]"), None),
        (AT, RUNNING[0], None),
        (f"{AT}?stream=true", RUNNING[1], None),
        (AT, Found(response_object="{"), None),
        (f"{AT}?stream=true", Found(response_object='{"status": "completed", "output": [}'), None),
        (ITEMS, Found(input="{"), None),
        (AT, PassingStoreError("away"), None),
        (f"{AT}?bad=1", PassingStoreError("away"), None),
        (ITEMS, StoreError("corrupt"), None),
        (AT, PermanentStoreError("no rights"), None),
    ],
)
def test_prefer(path: str, what: Any, status: int | None) -> None:
    """What is here and whole is answered; whatever else is the upstream's."""
    answer = prefer(Holding(what), TENANT, ask("GET", path))
    assert (answer.status if answer else None) == status


def test_prefer_never_deletes() -> None:
    """The upstream is asked, and what it answers is noted when it has."""
    assert prefer(Holding(WHOLE), TENANT, ask("DELETE", AT)) is None


def service(mode: Serve, stored: Any, counts: Counts) -> tuple[Service, Readers]:
    """A service over one place to look things up in."""
    readers = Readers(lambda: stored, threads=1, most=1)
    return Service(mode, readers, counts), readers


@pytest.mark.parametrize(
    ("method", "path", "mode", "is_asked"),
    [
        ("GET", AT, Serve.PREFER, True),
        ("GET", f"/openai{ITEMS}/?api-version=1", Serve.ONLY, True),
        ("DELETE", AT, Serve.ONLY, True),
        ("DELETE", AT, Serve.PREFER, False),
        ("POST", AT, Serve.ONLY, False),
        ("POST", "/v1/responses", Serve.ONLY, False),
        ("GET", "/v1/responses", Serve.ONLY, False),
        ("GET", "/v1/responses/compact", Serve.ONLY, False),
        ("GET", "/v1/models?x=/responses/y", Serve.ONLY, False),
    ],
)
def test_what_is_ours(method: str, path: str, mode: Serve, is_asked: bool) -> None:
    """Only requests for stored responses are held up."""
    told, _ = service(mode, None, Counts())
    assert (told.asked(method, path) is not None) is is_asked


@pytest.mark.parametrize(("method", "path"), [*WAYS[:3], ("DELETE", AT)])
@pytest.mark.parametrize("mode", [Serve.ONLY, Serve.PREFER])
async def test_a_store_that_is_away(method: str, path: str, mode: Serve) -> None:
    """It is said to be, unless the upstream can be asked; each answer is counted."""
    counts = Counts()
    stored = ShelfAway()
    stored.close = lambda: None  # type: ignore[attr-defined]
    told, _ = service(mode, stored, counts)
    answer = await told.answer(TENANT, ask(method, path))
    told.close()
    assert (answer.status if answer else None) == (503 if mode is Serve.ONLY else None)
    name = "served.503" if mode is Serve.ONLY else "served.by_upstream"
    assert counts.snapshot() == {name: 1}


@pytest.mark.parametrize(("mode", "status"), [(Serve.ONLY, 503), (Serve.PREFER, None)])
async def test_too_many_at_once(mode: Serve, status: int | None) -> None:
    """What finds no room is answered as if the store were away."""
    told, readers = service(mode, Holding(WHOLE), Counts())
    readers._unfinished = 1
    answer = await told.answer(TENANT, ask("GET", AT))
    assert (answer.status if answer else None) == status


@pytest.mark.parametrize(("mode", "status"), [(Serve.ONLY, 500), (Serve.PREFER, None)])
async def test_an_error_of_our_own(mode: Serve, status: int | None) -> None:
    """It comes to whoever guards the traffic, who gets to know what to do."""
    told, _ = service(mode, Holding(ZeroDivisionError()), Counts())
    with pytest.raises(ZeroDivisionError):
        await told.answer(TENANT, ask("GET", AT))
    told.close()
    instead = told.failed()
    assert (instead.status if instead else None) == status


class Writes:
    """A way into a store that takes its time."""

    def __init__(self, *, settled: bool = True, deleted: bool = True) -> None:
        self._settled, self._deleted = settled, deleted
        self.deletions: list[str] = []

    def settled(self, seconds: float) -> bool:
        assert 0 < seconds < 5
        return self._settled

    def delete(self, tenant: str, response_id: str, seconds: float) -> bool:
        assert 0 < seconds < 5
        self.deletions.append(response_id)
        return self._deleted


def test_a_look_up_waits_for_what_was_written_before(shelf: SqliteShelf) -> None:
    """Where the writes before do not settle, nothing is said of what is stored."""
    shelf.write(record("e1", response(ID, asked=[])))
    with closing(ServedStore(shelf, Writes(settled=False))) as stored:
        for wanted in Wanted:
            with pytest.raises(PassingStoreError, match="not written yet"):
                stored.find(TENANT, ID, wanted)
        with pytest.raises(PassingStoreError, match="not written yet"):
            stored.delete(TENANT, ID)


def test_a_deletion_waits_for_its_commit(shelf: SqliteShelf) -> None:
    """What is there is deleted through the writer, and nothing is promised before the commit."""
    shelf.write(record("e1", response(ID, asked=[])))
    writes, slow = Writes(), Writes(deleted=False)
    assert ServedStore(shelf, writes).delete(TENANT, ID) is True
    assert ServedStore(shelf, writes).delete("t2", ID) is False
    assert ServedStore(shelf, writes).delete(TENANT, "resp_y") is False
    assert writes.deletions == [ID]
    with pytest.raises(PassingStoreError, match="not written yet"):
        ServedStore(shelf, slow).delete(TENANT, ID)


def test_an_answer_is_the_same_through_either_way(shelf: SqliteShelf) -> None:
    """`prefer` answers what it answers in the words of `only`."""
    from response_store.serving.serve import serve

    row = response(ID, asked=[{"id": "a", "type": "message", "role": "user"}])
    shelf.write(record("e1", row))
    for method, path in WAYS:
        wanted = ask(method, path)
        assert prefer(shelf, TENANT, wanted) == serve(shelf, TENANT, wanted)
    assert json.loads(row.response_object)["id"] == ID
