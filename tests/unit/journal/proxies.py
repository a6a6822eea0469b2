"""Run many proxies of one exchange each, some of them killed, beside others who take over.

    python proxies.py FOLDER HOW_MANY SEED

Prints the keys of frames that were acknowledged and of those that were applied, as JSON.
Processes are forked from this one: an interpreter for each would take minutes.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from response_store.config import Durability
from response_store.diagnostics import Counters
from response_store.journal.directory import JournalDirectory, list_journals
from response_store.journal.errors import JournalError
from response_store.journal.frames import FrameKind
from response_store.journal.reader import JournalReader
from response_store.journal.writer import JournalWriter
from tests.unit.journal.making import make_header

AT_ONCE = 8


def note(path: Path, text: str) -> None:
    """Append a line to a file that many processes write."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(fd, f"{text}\n".encode())
    os.close(fd)


def run_proxy(folder: Path, notes: Path, key: int) -> None:
    """Make a journal, append one frame, and end; every other one empties its journal itself."""
    directory = JournalDirectory.create(folder, make_header())
    writer = JournalWriter(
        directory,
        max_bytes=1 << 20,
        durability=Durability.PROCESS,
        counters=Counters(),
        call_soon=lambda function: function(),
    )
    if writer.append(FrameKind.END, key, b"head", (b"body" * 100,)).done:
        note(notes / "acknowledged", str(key))
    time.sleep(random.random() * 0.005)
    writer.close()
    if key % 2 and directory.lock_reader():
        apply(directory, notes)
    directory.close()


def take_over(folder: Path, notes: Path) -> None:
    """Apply and remove whatever has no owner, until nothing is left and nobody comes."""
    while not (notes / "ended").exists():
        sweep(folder, notes)
        time.sleep(random.random() * 0.01)


def sweep(folder: Path, notes: Path, later: float = 0.0) -> None:
    """Look at all journals once."""
    for directory in list_journals(folder, wall=lambda: time.time() + later):
        try:
            if directory.lock_reader() and not directory.is_owned():
                apply(directory, notes)
        except JournalError as error:
            note(notes / "errors", str(error))
        finally:
            directory.close()


def apply(directory: JournalDirectory, notes: Path) -> None:
    """Note each frame, then remove the journal."""
    reader = JournalReader(directory)
    for ref in reader.next(1000):
        note(notes / "applied", str(reader.frame(ref).key))
    reader.close()
    directory.remove()


def fork(function, *arguments) -> int:
    """Run a function in a process of its own."""
    pid = os.fork()
    if pid:
        return pid
    try:
        random.seed()
        function(*arguments)
    except BaseException as error:  # noqa: BLE001
        note(arguments[1] / "errors", f"{type(error).__name__}: {error}")
    finally:
        os._exit(0)


def run(folder: Path, notes: Path, how_many: int) -> None:
    """Start them all, eight at once, and kill one in five somewhere on its way."""
    takers = [fork(take_over, folder, notes) for _ in range(2)]
    running: set[int] = set()
    for key in range(how_many):
        pid = fork(run_proxy, folder, notes, key)
        running.add(pid)
        if random.random() < 0.2:
            time.sleep(random.random() * 0.015)
            os.kill(pid, signal.SIGKILL)
        while len(running) >= AT_ONCE:
            ended, _ = os.wait()
            running.discard(ended)
    for pid in running:
        os.waitpid(pid, 0)
    (notes / "ended").touch()
    for pid in takers:
        os.waitpid(pid, 0)


def main() -> None:
    """Run, sweep once more as somebody a minute later would, and print what became of it."""
    folder, how_many, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    random.seed(seed)
    notes = folder.with_name("notes")
    notes.mkdir()
    run(folder, notes, how_many)
    sweep(folder, notes, later=120.0)
    result = {
        name: (notes / name).read_text().splitlines() if (notes / name).exists() else []
        for name in ("acknowledged", "applied", "errors")
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
