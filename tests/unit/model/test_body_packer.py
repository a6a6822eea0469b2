"""Bodies that repeat earlier ones: what is stored of them, and that each comes back."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from response_store.limits import BASE_BYTES, BASED, RECENT_BODIES
from response_store.model.body_packer import BodyPacker, MissingBaseError, PackedChanges
from response_store.model.records import Change, Deletion, ExchangeRow, PackedExchangeRow, Record
from response_store.model.zstd import Compressor, build_raw_frame, read_stated_size, unpack
from tests.harness.agent_session import Agent, take_turns
from tests.harness.records import record

BODIES = [turn.body for turn in take_turns(60)]


def holding(body: bytes, exchange_id: str, **columns: object) -> Record:
    """A record with a body as the ingester hands it over."""
    return record(exchange_id, request_body=Compressor().hold(body), **columns)


def numbered(bodies: Sequence[bytes]) -> list[Record]:
    return [holding(body, f"e{number}") for number, body in enumerate(bodies)]


def rows(packed: PackedChanges) -> list[ExchangeRow]:
    return [change.exchange for change in packed.changes if isinstance(change, Record)]


def base_of(row: ExchangeRow) -> str | None:
    return row.request_base_id if isinstance(row, PackedExchangeRow) else None


def unpacked(found: Sequence[ExchangeRow]) -> list[bytes]:
    """The bodies of rows, with nothing but these rows at hand."""
    frames = {row.exchange_id: row.request_body or b"" for row in found}
    bodies = []
    for row in found:
        base_id = base_of(row)
        base = None if base_id is None else unpack(frames[base_id])
        bodies.append(unpack(frames[row.exchange_id], base=base))
    return bodies


def test_a_session_takes_a_tenth() -> None:
    """What the turns of a session repeat is stored once in a while, and each comes back whole."""
    found = rows(BodyPacker().pack(numbered(BODIES)))
    assert unpacked(found) == BODIES
    alone = sum(len(Compressor().frame(body)) for body in BODIES)
    assert sum(len(row.request_body or b"") for row in found) * 5 < alone


def test_bases_stand_alone() -> None:
    """A base has no base, and not more on it than are packed anew when it is removed."""
    found = rows(BodyPacker().pack(numbered(BODIES)))
    bases = [base_of(row) for row in found]
    assert None in bases[1:], "a session has more than one base"
    standing_alone = {row.exchange_id for row in found if base_of(row) is None}
    assert {base for base in bases if base} <= standing_alone
    assert max(bases.count(base) for base in standing_alone) <= BASED


def test_a_later_batch_goes_on() -> None:
    """Bases are remembered between batches; the frames that they were packed against are told."""
    packer = BodyPacker()
    first, second = (numbered(BODIES[:2])[at : at + 1] for at in (0, 1))
    (base,) = rows(packer.pack(first))
    packed = packer.pack(second)
    assert base_of(rows(packed)[0]) == "e0"
    assert packed.bases == {"e0": base.request_body}


def test_sessions_side_by_side() -> None:
    """Each turn goes by a base of its own session, once one is there."""
    agents = [Agent(seed, growth=2000) for seed in (1, 2)]
    turns = [(f"{turn}-{at}", agents[at].take().body) for turn in range(12) for at in (0, 1)]
    found = rows(BodyPacker().pack([holding(body, name) for name, body in turns]))
    assert unpacked(found) == [body for _, body in turns]
    assert all(base[-2:] == row.exchange_id[-2:] for row in found if (base := base_of(row)))
    assert sum(base_of(row) is not None for row in found) > 12


def test_what_changes_near_the_start() -> None:
    """A member that is another one each time, of any length, keeps nothing from being found."""
    agent = Agent()
    bodies = [agent.take(metadata={"turn": "x" * (n % 7)}).body for n in range(12)]
    found = rows(BodyPacker().pack(numbered(bodies)))
    assert unpacked(found) == bodies
    assert sum(base_of(row) is not None for row in found) >= 6


@pytest.mark.parametrize(
    "columns",
    [{"tenant_id": "t2"}, {"host": "other.example"}, {"path": "/v1/other"}]
    + [{"requested_model": "gpt-4"}],
)
def test_nothing_is_shared_beyond(columns: dict[str, str]) -> None:
    """Another tenant, server, path or model has bases of its own."""
    changes = [holding(BODIES[0], "e0"), holding(BODIES[1], "e1", **columns)]
    assert [base_of(row) for row in rows(BodyPacker().pack(changes))] == [None, None]


def test_what_is_unlike_stands_alone() -> None:
    """Bodies with nothing in common, too small or too large ones need no other."""
    chance = random.Random(3)
    bodies = [chance.randbytes(6000), chance.randbytes(6000), b"x" * 300, b"x" * 300]
    bodies += [b"y" * (BASE_BYTES + 1)] * 2
    found = rows(BodyPacker().pack(numbered(bodies)))
    assert [base_of(row) for row in found] == [None] * 6
    assert unpacked(found) == bodies
    assert len(found[-1].request_body or b"") < 10_000, "it is compressed all the same"


def test_an_exchange_that_comes_again() -> None:
    """Its end brings the same frame as its beginning did."""
    packer = BodyPacker()
    packer.pack(numbered(BODIES[:3]))
    (again,) = rows(packer.pack(numbered(BODIES[:3])[2:]))
    (once_more,) = rows(packer.pack(numbered(BODIES[:3])[2:]))
    assert base_of(again) == base_of(once_more) == "e0"
    assert again.request_body == once_more.request_body


def test_a_missing_base() -> None:
    """Where a base is not there any more all is written once again, each body by itself."""
    packer = BodyPacker()
    packer.pack(numbered(BODIES[:2]))
    written: list[Sequence[Change]] = []

    def write(packed: PackedChanges) -> str:
        written.append(packed.changes)
        if packed.bases:
            raise MissingBaseError
        return "written"

    assert packer.write([*numbered(BODIES[:4])[2:], Deletion("t1", "r1")], write) == "written"
    _, second = written
    found = [change.exchange for change in second if isinstance(change, Record)]
    assert [base_of(row) for row in found] == [None, None]
    assert unpacked(found) == BODIES[2:4]
    assert all(len(row.request_body or b"") < read_stated_size(row.request_body or b"") / 2
               for row in found)  # fmt: skip
    assert [base_of(row) for row in rows(packer.pack(numbered(BODIES[4:5])))] == [None]


def test_after_an_error_nothing_is_remembered() -> None:
    """What may not have been written is no base."""
    packer = BodyPacker()

    def fail(_: PackedChanges) -> None:
        raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        packer.write(numbered(BODIES[:1]), fail)
    assert [base_of(row) for row in rows(packer.pack(numbered(BODIES[1:2])))] == [None]


def test_memory_is_bounded() -> None:
    """However many bodies come, so many bytes of them are held."""
    packer = BodyPacker()
    chance = random.Random(4)
    for number in range(40):
        packer.pack([holding(chance.randbytes(1 << 20), f"e{number}")])
        assert packer._held <= RECENT_BODIES
    for number in range(400):
        packer.pack([holding(chance.randbytes(5000), f"f{number}")])
    assert len(packer._recent) <= 256
    held = sum(len(body.body) for body in packer._recent.values())
    assert (packer._held, sum(map(len, packer._bases.values()))) == (held, 8)


def test_a_damaged_body_is_left() -> None:
    """A frame that can't be unpacked, as an import may bring it, is kept as it is."""
    frame = build_raw_frame(BODIES[0])[:-10]
    (row,) = rows(BodyPacker().pack([record("e0", request_body=frame)]))
    assert row.request_body == frame
