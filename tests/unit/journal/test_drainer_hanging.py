"""A target that hangs or is slow: the journal changes hands, and batches become small enough."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from response_store.errors import PassingStoreError, PermanentStoreError
from response_store.store.records import Change
from tests.harness.records import numbered
from tests.unit.journal.bench import JournalBench, Target
from tests.unit.journal.conftest import MakeBench
from tests.unit.store.scripted import PATIENT


class NarrowTarget(Target):
    """Has no room for more than three changes at once."""

    def write(self, changes: Sequence[Change]) -> None:
        if len(changes) > 3:
            raise PassingStoreError("too slow")
        super().write(changes)


def hanging(bench: JournalBench) -> None:
    """A drainer hangs in its target with three records, and no interruption reaches it."""
    bench.target.deaf = True
    bench.target.hang()
    bench.start()
    bench.write_records(*numbered(3))
    assert bench.target.at_work.wait(PATIENT)


def test_the_next_one_takes_over(bench: JournalBench, make_bench: MakeBench) -> None:
    """As soon as the drainer is closed another session owns the journal, with all that waits."""
    hanging(bench)
    bench.journal.close()
    with pytest.raises(PermanentStoreError, match="belongs to another proxy"):
        make_bench().open()
    assert bench.drainer is not None
    assert bench.drainer.close(0.2).records == 3
    after = make_bench().open()
    after.start()
    after.drain()
    assert after.target.names == ["e0", "e1", "e2"]


def test_one_that_was_dismissed_changes_nothing(bench: JournalBench, make_bench: MakeBench) -> None:
    """What hung and succeeds after all takes nothing out of a journal that is another's now."""
    hanging(bench)
    bench.journal.close()
    assert bench.drainer is not None
    bench.drainer.close(0.2)
    after = make_bench().open()
    after.write_records(*numbered(2, start=3))
    bench.target.may_go_on.set()
    assert bench.drainer._thread is not None
    bench.drainer._thread.join(PATIENT)
    assert bench.target.names == ["e0", "e1", "e2"]
    assert after.journal.status.records == 5
    after.start()
    after.drain()
    assert after.target.names == [f"e{at}" for at in range(5)]


def test_a_target_that_takes_few_at_once(bench: JournalBench) -> None:
    """Batches become smaller until they pass; later they grow again."""
    bench.write_records(*numbered(40))
    target = NarrowTarget()
    bench.start(target)
    bench.drain()
    assert target.names == [f"e{at}" for at in range(40)]
    assert bench.counts.get("drain.failed") > 1


def test_batches_grow_again(bench: JournalBench) -> None:
    """After an outage that made them small they soon are as large as before."""
    bench.target.script.extend([PassingStoreError("away")] * 8)
    bench.write_records(*numbered(200))
    bench.start()
    bench.drain()
    assert [len(batch) for batch in bench.target.batches] == [1, 2, 4, 8, 16, 32, 64, 73]
