"""Recorders: the open rows of the dead are closed, those of the living are left alone."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from response_store.store.sqlite.recorders import Recorders
from tests.harness.records import record
from tests.unit.store.files import opened, rows

STATES = "SELECT exchange_id, state, ended_by FROM openai_exchanges ORDER BY exchange_id"
OPEN_ROW = """
import sys, time
from pathlib import Path
from tests.harness.records import record
from tests.unit.store.files import store_on
name, seconds = sys.argv[2], float(sys.argv[3])
store = store_on(Path(sys.argv[1]), name)
while time.time() < seconds:
    time.sleep(0.001)
store.open()
for number in range(20):
    store.write([record(f"{name}-{number}", state="open", recorder_id=name)])
print("open", flush=True)
sys.stdin.read()
store.close()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "responses.db"


@contextmanager
def recorder(path: Path, name: str, at: float = 0.0) -> Iterator[subprocess.Popen[str]]:
    """A process with open rows."""
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", OPEN_ROW, path, name, str(at)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    with process:
        yield process
        process.kill()


def says(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line == "open\n", process.communicate()[1]


def locks(path: Path) -> list[str]:
    return sorted(each.name for each in path.parent.glob("*.lock"))


def test_the_killed_and_the_living(path: Path) -> None:
    """Open rows of a process that was killed are closed at the next opening; others are not."""
    with recorder(path, "lives") as living, recorder(path, "killed") as killed:
        says(living)
        says(killed)
        killed.kill()
        killed.wait()
        with opened(path, "next"):
            found = {row for row in rows(path, STATES) if row[0].endswith("-0")}
            assert found == {
                ("killed-0", "interrupted", "proxy_stopped"),
                ("lives-0", "open", None),
            }
            assert locks(path) == [
                f"responses.db-recorder-{name}.lock" for name in ("lives", "next")
            ]
        living.communicate("", timeout=10)
        assert living.returncode == 0
    assert locks(path) == []


def test_many_processes_start_at_once_on_an_empty_file(path: Path) -> None:
    """Six processes that open one new file at the same moment all succeed, and all live."""
    start = time.time() + 1.0
    with (
        recorder(path, "r1", start) as a, recorder(path, "r2", start) as b,
        recorder(path, "r3", start) as c, recorder(path, "r4", start) as d,
        recorder(path, "r5", start) as e, recorder(path, "r6", start) as f,
    ):  # fmt: skip
        processes = [a, b, c, d, e, f]
        for process in processes:
            says(process)
        assert {state for _, state, _ in rows(path, STATES)} == {"open"}
        assert len(rows(path, STATES)) == 120
        assert len(locks(path)) == 6
        for process in processes:
            process.communicate("", timeout=10)
            assert process.returncode == 0
    assert [each.name for each in path.parent.iterdir()] == ["responses.db"]


def test_a_row_of_nobody_is_closed(path: Path) -> None:
    """An open row whose recorder left no lock at all is closed."""
    with opened(path, "first") as store:
        store.write([record(state="open", recorder_id="first")])
    with opened(path, "second"):
        assert rows(path, STATES) == [("e1", "interrupted", "proxy_stopped")]


def test_a_row_that_was_closed_too_early_is_still_finished(path: Path) -> None:
    """Should a living recorder's row be closed by mistake, its end replaces that."""
    with opened(path, "first") as store:
        store.write([record(state="open", recorder_id="gone")])
    with opened(path, "second") as store:
        store.write([record(state="completed", recorder_id="gone")])
    assert rows(path, STATES) == [("e1", "completed", None)]


def test_a_link_and_its_file_are_one_database(path: Path, tmp_path: Path) -> None:
    """Through a link in another folder the same recorders are seen."""
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "link.db"
    link.symlink_to(path)
    with opened(path, "first") as store:
        store.write([record(state="open", recorder_id="first")])
        with opened(link, "second"):
            assert rows(path, STATES) == [("e1", "open", None)]
        assert list(link.parent.iterdir()) == [link]


def test_entering_and_leaving_again_is_harmless(path: Path) -> None:
    """Both may be called any number of times."""
    one, other = Recorders(path), Recorders(path)
    for _ in range(2):
        one.enter("r1")
        assert other.is_alive("r1")
    for _ in range(2):
        one.leave()
        assert not other.is_alive("r1")
    assert locks(path) == []


def test_a_lock_file_that_vanished_is_made_again(path: Path) -> None:
    """A recorder whose lock file was deleted enters anew."""
    one, other = Recorders(path), Recorders(path)
    one.enter("r1")
    next(path.parent.iterdir()).unlink()
    one.enter("r1")
    assert other.is_alive("r1")
    one.leave()


def test_sweeping_takes_only_the_dead_of_this_database(path: Path) -> None:
    """Lock files that nobody holds go; held ones and those of other databases stay."""
    for name in ("responses.db-recorder-dead.lock", "other.db-recorder-dead.lock", "x.lock"):
        (path.parent / name).touch()
    one, other = Recorders(path), Recorders(path)
    one.enter("r1")
    other.enter("r2")
    one.sweep()
    assert locks(path) == [
        "other.db-recorder-dead.lock",
        "responses.db-recorder-r1.lock",
        "responses.db-recorder-r2.lock",
        "x.lock",
    ]
    one.leave()
    other.leave()


def test_a_lock_that_can_not_be_read_counts_as_held(path: Path) -> None:
    """What can't be opened may be another user's, who lives: rows are left alone."""
    (path.parent / "responses.db-recorder-r1.lock").mkdir()
    assert Recorders(path).is_alive("r1")


def test_asking_from_several_threads(path: Path) -> None:
    """Those who ask at the same moment never see a living recorder as dead."""
    one = Recorders(path)
    one.enter("r1")
    seen: list[bool] = []

    def ask() -> None:
        other = Recorders(path)
        seen.extend(other.is_alive("r1") for _ in range(20))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [True] * 80
    one.leave()
