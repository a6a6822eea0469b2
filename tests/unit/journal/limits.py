"""Append in a process whose files may not grow beyond a limit, as on a full disk.

    python limits.py FOLDER FIRST_LIMIT LAST_LIMIT DURABILITY

For each limit: make a journal, append frames under it, raise it again, append more. Prints for
each how many frames were acknowledged under the limit and after it, and the journal's id.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

from response_store.config import Durability
from response_store.diagnostics import Counters
from response_store.journal.frames import FrameKind
from response_store.journal.writer import JournalWriter
from tests.unit.journal.making import make_journal

BEFORE, UNDER = 2, 3  # frames before the limit comes, and under it


def limit_files(size: int) -> None:
    """Let no file of this process grow beyond `size` bytes; -1 for no limit."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def run(folder: Path, limit: int, durability: Durability) -> dict[str, object]:
    """Append under one limit and after it."""
    now = 0.0
    directory = make_journal(folder)
    writer = JournalWriter(
        directory,
        max_bytes=1 << 20,
        durability=durability,
        counters=Counters(),
        call_soon=lambda function: function(),
        clock=lambda: now,
    )
    before = [writer.append(FrameKind.END, key, b"head", (b"body",)) for key in range(BEFORE)]
    writer.wait(before, 10.0)
    limit_files(limit)
    under = [
        writer.append(FrameKind.END, 10 + key, b"head", (b"body" * 9,)) for key in range(UNDER)
    ]
    done_under = [writer.wait([receipt], 10.0) for receipt in under]
    failing = writer.failing
    limit_files(-1)
    now = writer.retry_in
    writer.retry()
    after = writer.append(FrameKind.END, 20, b"head", (b"body",))
    writer.wait([*under, after], 10.0)
    result = {
        "journal": str(directory.path),
        "before": [receipt.done for receipt in before],
        "under": done_under,
        "later": [receipt.done for receipt in under],
        "after": after.done,
        "failing": failing and failing.text,
        "failing_after": writer.failing and writer.failing.text,
        "seqs": [receipt.seq for receipt in [*before, *under, after]],
    }
    writer.close()
    directory.close()
    return result


def main() -> None:
    """Print one line of JSON a limit."""
    folder, first, last = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    for limit in range(first, last):
        print(json.dumps(run(folder, limit, Durability(sys.argv[4]))))


if __name__ == "__main__":
    main()
