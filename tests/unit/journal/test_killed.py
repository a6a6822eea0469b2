"""Kill -9 at any moment: what was acknowledged arrives, once, and nothing else does.

Every fourth response is deleted again before it is acknowledged.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.unit.journal.bench import JournalBench
from tests.unit.store.files import rows, store_on

pytestmark = pytest.mark.one_python

RUN = """
import itertools, random, sys, time
from pathlib import Path
from response_store.store.records import Deletion
from tests.harness.records import QUESTION, record, response
from tests.unit.journal.bench import JournalBench
from tests.unit.store.files import store_on
folder, name = Path(sys.argv[1]), sys.argv[2]
bench = JournalBench(folder / "journal.db").open()
bench.start(store_on(folder / "responses.db", name), batch=random.choice([1, 3, 50]),
            recorder_id=name)
for number in itertools.count():
    key = f"{name}-{number}"
    batch = [record(key, state="open", recorder_id=name)]
    done = record(key, response(f"r-{key}", asked=[QUESTION]), recorder_id=name)
    deleted = [Deletion("t1", f"r-{key}")] if number % 4 == 3 else []
    if number % 3:
        bench.write_records(*batch, done, *deleted)
    else:
        bench.write_records(*batch)
        bench.write_records(done)
        bench.write_records(*deleted)
    print(key, flush=True)
    time.sleep(random.random() * 0.002)
"""


def killed_run(folder: Path, name: str, after: float) -> tuple[list[str], bool]:
    """What a proxy acknowledged until it was killed, `after` seconds after its first record."""
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", RUN, folder, name],
        stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(after)
        process.send_signal(signal.SIGKILL)
        said = first + process.stdout.read()
    whole = said[: said.rfind("\n") + 1]
    return whole.split(), process.returncode == -signal.SIGKILL


def is_deleted(key: str) -> bool:
    return int(key.rpartition("-")[2]) % 4 == 3


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_again_and_again(tmp_path: Path, seed: int) -> None:
    """Proxies that are killed one after the other on one journal: every record is there once.

    What was deleted is not.

    The one that was being written when the kill came may be there or not, and no row stays open.
    """
    chance = random.Random(seed)
    acknowledged: list[str] = []
    for run in range(4):
        said, was_killed = killed_run(tmp_path, f"run{run}", chance.random() * 0.25)
        assert was_killed
        acknowledged += said
    bench = JournalBench(tmp_path / "journal.db")
    try:
        bench.start(store_on(tmp_path / "responses.db", "last"), recorder_id="last")
        bench.drain()
    finally:
        bench.close()
    found = dict(rows(tmp_path / "responses.db", "SELECT exchange_id, state FROM openai_exchanges"))
    answers = rows(tmp_path / "responses.db", "SELECT id FROM openai_responses")
    assert {found.get(key) for key in acknowledged} == {"completed"}
    extra = found.keys() - acknowledged
    assert len(extra) <= 4
    assert {found[key] for key in extra} <= {"completed", "interrupted"}
    there = {one.removeprefix("r-") for (one,) in answers}
    assert there - extra == {key for key in acknowledged if not is_deleted(key)}
    assert any(map(is_deleted, acknowledged))
    completed = {key for key in extra if found[key] == "completed"}
    assert {key for key in completed if not is_deleted(key)} <= there & extra <= completed
    assert rows(tmp_path / "journal.db", "SELECT count(*) FROM waiting") == [(0,)]
    assert rows(tmp_path / "journal.db", "SELECT count(*) FROM dead_letters") == [(0,)]
    assert rows(tmp_path / "journal.db", "PRAGMA integrity_check") == [("ok",)]


def test_killed_while_the_database_is_away(tmp_path: Path) -> None:
    """What gathers during an outage survives the kill, and arrives in order."""
    (tmp_path / "responses.db").mkdir()  # can't be opened
    said, was_killed = killed_run(tmp_path, "run", 0.1)
    assert was_killed
    bench = JournalBench(tmp_path / "journal.db")
    try:
        bench.start(recorder_id="last", batch=10**6)
        bench.drain()
    finally:
        bench.close()
    expected = [name for key in said for name in ([key, f"-r-{key}"] if is_deleted(key) else [key])]
    names = bench.target.names
    assert names[: len(expected)] == expected
    assert len(names) <= len(expected) + 2
