"""Make every commit of the store hang, as a disk that does not answer would.

While the file named by BENCHMARK_SLOW_COMMIT exists its text is how many seconds a commit takes.
The wait gives the interpreter's lock away, as the sync of a file does.
"""

import os
import time
from collections.abc import Sequence
from pathlib import Path

from response_store.store.records import Record
from response_store.store.sqlite.store import SqliteStore

SWITCH = Path(os.environ["BENCHMARK_SLOW_COMMIT"])
write = SqliteStore.write


def slow_write(self: SqliteStore, records: Sequence[Record]) -> None:
    """Wait, then commit."""
    if SWITCH.exists():
        time.sleep(float(SWITCH.read_text()))
    write(self, records)


setattr(SqliteStore, "write", slow_write)  # noqa: B010 (mypy refuses the assignment)
