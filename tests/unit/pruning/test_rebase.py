"""Bodies whose base is removed or redacted: they stay readable, and nothing is left of the base."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import psycopg
import pytest

from response_store.model.selection import Selection
from response_store.pruning.prune import Pruner
from response_store.pruning.rebase import MAX_BASED
from response_store.queries.bodies import BODY, unpack_body
from tests.harness.agent_session import STARTED, build_records, take_turns
from tests.unit.pruning.conftest import Anywhere, Open, ids
from tests.unit.queries.stored_in_postgres import StoredInPostgres
from tests.unit.queries.test_bodies import fill, opened_store

if TYPE_CHECKING:
    pass

TURNS = take_turns(40)
BODIES = {f"e{number:04}": turn.body for number, turn in enumerate(TURNS)}


@pytest.fixture
def session(anywhere: Anywhere) -> Anywhere:
    """A database with a session."""
    fill(anywhere, [*build_records(TURNS)])
    return anywhere


def read_bases(anywhere: Anywhere) -> dict[str, str | None]:
    """The base of each exchange."""
    with anywhere.open() as query:
        rows = query.reader.rows("SELECT exchange_id, request_base_id FROM {exchanges}")
    return dict(sorted(rows))


def check(anywhere: Anywhere, expected: Sequence[str]) -> None:
    """These are left, each has its body, and bases stand alone."""
    assert ids(anywhere) == [*expected]
    bases = read_bases(anywhere)
    assert all(bases[base] is None for base in bases.values() if base)
    with anywhere.open() as query:
        for name in expected:
            (row,) = query.reader.rows(BODY, (name,))
            assert unpack_body(*row) == BODIES[name]


def first_group(anywhere: Anywhere) -> list[str]:
    """A base, and what is packed against it."""
    bases = read_bases(anywhere)
    base = next(filter(None, bases.values()))
    return [base, *(name for name, one in bases.items() if one == base)]


def prune(opened: Open, anywhere: Anywhere, selection: Selection) -> Pruner:
    pruner = Pruner(opened(anywhere))
    pruner.remove(selection, ["default"])
    return pruner


@pytest.mark.parametrize("kept", [39, 33, 17, 3])
def test_the_oldest_go(session: Anywhere, opened: Open, kept: int) -> None:
    """Whatever the time up to which they go, the others are there."""
    prune(opened, session, Selection(until=STARTED + len(TURNS) - kept))
    check(session, [*BODIES][-kept:])


def test_a_base_alone_goes(session: Anywhere, opened: Open) -> None:
    """The newest one on it is the base of the others from then on; its own body is gone."""
    base, *others = first_group(session)
    session.script(f"UPDATE {{exchanges}} SET label = 'secret' WHERE exchange_id = '{base}'")
    prune(opened, session, Selection(labels=("secret",)))
    check(session, [name for name in BODIES if name != base])
    bases = read_bases(session)
    assert [bases[name] for name in others] == [others[-1]] * (len(others) - 1) + [None]


def test_a_group_goes_but_for_one(session: Anywhere, opened: Open) -> None:
    """What is left alone stands alone."""
    group = first_group(session)
    names = ", ".join(f"'{name}'" for name in group[:-1])
    session.script(f"UPDATE {{exchanges}} SET label = 'x' WHERE exchange_id IN ({names})")
    prune(opened, session, Selection(labels=("x",)))
    check(session, [name for name in BODIES if name not in group[:-1]])


def test_a_batch_is_bounded(session: Anywhere, opened: Open) -> None:
    """Where many bodies are on the bases of a batch, it has fewer rows."""
    batches: list[int] = []
    bases = [name for name, base in read_bases(session).items() if base is None]
    names = ", ".join(f"'{name}'" for name in bases)
    session.script(f"UPDATE {{exchanges}} SET label = 'base' WHERE exchange_id IN ({names})")
    pruner = Pruner(opened(session), on_batch=lambda batch: batches.append(batch.exchanges))
    pruner.remove(Selection(labels=("base",)), ["default"])
    check(session, [name for name in BODIES if name not in bases])
    assert sum(batches) == len(bases)
    assert max(batches) <= MAX_BASED


def test_a_base_that_is_damaged_goes(session: Anywhere, opened: Open) -> None:
    """What could not be read before can't be read afterwards, and the rest goes on."""
    base, *others = first_group(session)
    session.script(f"UPDATE {{exchanges}} SET request_body = NULL WHERE exchange_id = '{base}'")
    prune(opened, session, Selection(until=STARTED + int(base[1:]) + 1))
    assert base not in ids(session)
    assert read_bases(session)[others[0]] == base


def test_a_base_of_what_is_written_now_stays(
    stored_in_postgres: StoredInPostgres, opened: Open
) -> None:
    """What somebody else has locked at this moment keeps its base; a later look takes it."""
    session = stored_in_postgres
    fill(session, [*build_records(TURNS)])
    base, first, *_ = first_group(session)
    session.script(f"UPDATE {{exchanges}} SET label = 'x' WHERE exchange_id = '{base}'")
    with psycopg.connect(session.database.url()) as other:
        other.execute("SELECT 1 FROM openai_exchanges WHERE exchange_id = %s FOR UPDATE", (first,))
        assert prune(opened, session, Selection(labels=("x",))).exchanges == 0
    check(session, [*BODIES])
    assert prune(opened, session, Selection(labels=("x",))).exchanges == 1
    check(session, [name for name in BODIES if name != base])


def test_writing_goes_on_behind_a_base_that_went(anywhere: Anywhere, opened: Open) -> None:
    """A store that remembers a base which was removed meanwhile writes what it has whole."""
    records = [*build_records(TURNS[:6])]
    with opened_store(anywhere) as store:
        store.write(records[:3])
        prune(opened, anywhere, Selection(until=STARTED + 1))
        store.write(records[3:5])
        assert read_bases(anywhere)["e0003"] is None
        store.write(records[5:])
    check(anywhere, [*BODIES][1:6])
