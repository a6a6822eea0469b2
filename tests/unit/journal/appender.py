"""Append at random until somebody kills this process; print each seq that is acknowledged.

    python -m tests.unit.journal.appender FOLDER SEED DURABILITY SHARE_OF_RESERVED_SEQS

One line a frame: seq, key and a checksum of its body. The journal's id comes first.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path

from response_store.config import Durability
from response_store.diagnostics import Counters
from response_store.journal.frames import FrameKind
from response_store.journal.receipts import Receipt
from response_store.journal.writer import JournalWriter
from tests.unit.journal.making import EventLoop, make_journal

BLOCK = os.urandom(1 << 20)


REPOSITORY = Path(__file__).parents[3]


def start(folder: Path, seed: int, durability: Durability, reserved: float) -> subprocess.Popen:
    """Start this module as a process of its own. For the tests."""
    command = [sys.executable, "-m", __name__, str(folder), str(seed), durability.value]
    return subprocess.Popen(
        [*command, str(reserved)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )


def make_body(chance: random.Random) -> bytes:
    """Return a body of some size, now and then one that is large."""
    size = chance.choice([0, 100, 2000, 2000, 2000, 60_000, 150_000])
    start = chance.randrange(len(BLOCK) - size)
    return BLOCK[start : start + size]


def report(line: str) -> None:
    """Tell the parent, at once."""
    os.write(1, f"{line}\n".encode())


def append_for_ever(
    writer: JournalWriter, loop: EventLoop, chance: random.Random, reserved: float
) -> None:
    """Append, rotate, reserve seqs, wait."""
    key = 0
    while True:
        key += 1
        body = make_body(chance)
        line = f"{key} {zlib.crc32(body)}"

        def acknowledge(receipt: Receipt, line: str = line) -> None:
            if receipt.done:
                report(f"{receipt.seq} {line}")

        receipt = writer.append(FrameKind.END, key, b"head", (body[:50], body[50:]))
        receipt.add_done_callback(acknowledge)
        if chance.random() < 0.05:
            writer.rotate()
        if chance.random() < reserved:
            writer.next_seq()
        if chance.random() < 0.2:
            writer.wait([receipt], 0.01)
        loop.run()


def main() -> None:
    """Append for at most ten seconds."""
    seed = int(sys.argv[2])
    journal = make_journal(Path(sys.argv[1]))
    report(journal.journal_id)
    loop = EventLoop()
    writer = JournalWriter(
        journal,
        max_bytes=1 << 30,
        durability=Durability(sys.argv[3]),
        counters=Counters(),
        call_soon=loop.soon.append,
        large_from=100_000,
        segment_bytes=300_000,
    )
    threading.Thread(target=lambda: (time.sleep(10.0), os._exit(1)), daemon=True).start()
    append_for_ever(writer, loop, random.Random(seed), float(sys.argv[4]))


if __name__ == "__main__":
    main()
