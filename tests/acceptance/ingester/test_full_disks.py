"""Full disks, of the journal, of the database or of both, lose nothing that room brings back."""

from __future__ import annotations

from pathlib import Path

import pytest

from response_store.errors import TransientStoreError
from response_store.ingest.channel import Accepted
from tests.acceptance.ingester.full_disks import Disks
from tests.harness.outages import no_file_beyond
from tests.unit.ingest.bench import Bench
from tests.unit.ingest.proxy_side import (
    Ingester,
    ProxyJournal,
    end_frame,
    exchanges,
    id_of,
    make_config,
    rows,
)

WHOLE = "PRAGMA integrity_check"


SEEDS = (0, 4, 6, 7, 105, 134, 145, 154)


@pytest.mark.parametrize("seed", SEEDS)
def test_at_random_moments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Each exchange has its one row in the end, whichever disk was full when, and crashes beside.

    What is refused is refused as a full disk, and nothing is a dead letter, dropped or gone.
    """
    disks = run(tmp_path, monkeypatch, seed)
    assert disks.journal.failed
    assert disks.refused


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(1000, 1300))
def test_at_more_moments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """The same with other seeds."""
    run(tmp_path, monkeypatch, seed)


def run(folder: Path, patch: pytest.MonkeyPatch, seed: int) -> Disks:
    """Fill disks and make room, and see that everything is there in the end."""
    disks = Disks(folder, patch, seed)
    disks.run(150)
    assert disks.bench.end()
    assert disks.bench.states() == disks.expected
    assert disks.bench.rows(WHOLE) == [("ok",)]
    counters = disks.bench.counters.snapshot()
    assert not [
        name for name in counters if name.startswith(("dropped", "dead", "frames_", "fault"))
    ]
    assert disks.bench.proxy.writer._counters.snapshot() == {}
    return disks


def test_at_every_page_of_the_database(bench: Bench) -> None:
    """A batch is there whole, or nothing of it and its position; with room it is."""
    bench.proxy.exchange(1)
    bench.apply()
    refused = 0
    for more in range(40):
        connection = bench.store._connection
        [pages] = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + more}").fetchone()
        before = bench.states()
        keys = range(10 * (more + 1), 10 * (more + 1) + 5)
        for key in keys:
            bench.proxy.exchange(key, request=b'{"model":"m","input":"%s"}' % (b"x" * 3000))
        try:
            bench.apply()
        except TransientStoreError:
            refused += 1
            assert before.items() <= bench.states().items()
            connection.execute(f"PRAGMA max_page_count = {1 << 30}").fetchone()
            bench.apply()
        assert bench.states() == before | {id_of(key): "completed" for key in keys}
        connection.execute(f"PRAGMA max_page_count = {1 << 30}").fetchone()
    assert 3 < refused < 40
    assert bench.rows("SELECT count(*) FROM openai_exchanges") == [(201,)]


@pytest.mark.timeout(120)
def test_an_ingester_whose_disk_is_full(tmp_path: Path) -> None:
    """Neither its database nor its part of the journal takes anything: it says so and goes on.

    What may hold secrets is accepted only once there is room, and nothing is lost.
    """
    proxy = ProxyJournal(make_config(tmp_path))
    ingester = Ingester(proxy)
    try:
        assert ingester.verdict().error is None
        proxy.exchange(1)
        ingester.flush()
        accepted: set[int] = set()
        with no_file_beyond(0, ingester.process.pid):
            proxy.exchange(2)
            ingester.wake()
            seq = ingester.dirty(3, *end_frame(3, alone=True))
            ingester.until(lambda _: ingester.report is not None and bool(ingester.report.error))
            accepted = {
                number
                for message, _ in ingester.messages
                if isinstance(message, Accepted)
                for number in message.seqs
            }
            proxy.exchange(4)
            ingester.wake()
        if seq not in accepted:
            ingester.until(lambda each: isinstance(each, Accepted) and seq in each.seqs)
        ingester.flush()
        proxy.close()
        ingester.leave()
        assert ingester.wait() == 0
    finally:
        ingester.close()
    path = tmp_path / "responses.db"
    assert seq not in accepted
    assert exchanges(path) == {id_of(key): "completed" for key in (1, 2, 3, 4)}
    assert rows(path, WHOLE) == [("ok",)]
    assert not proxy.directory.path.exists()
