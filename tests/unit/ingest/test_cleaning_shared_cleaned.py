"""Cleaned segments that two threads append to."""

from __future__ import annotations

import threading

from response_store.config import Durability
from response_store.ingest.cleaning import SharedCleaned
from response_store.journal.frames import FrameKind
from response_store.journal.reader import JournalReader
from tests.unit.ingest.bench import Bench


def test_threads_do_not_get_in_each_others_way(bench: Bench) -> None:
    """Frames of several threads are all there, whole."""
    shared = SharedCleaned(bench.proxy.directory, Durability.PROCESS)

    def append(first: int) -> None:
        for seq in range(first, 400, 4):
            shared.append(seq, FrameKind.END, seq, b"head", (b"body" * seq,))

    threads = [threading.Thread(target=append, args=(first,)) for first in (1, 2, 3, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    shared.close()
    reader = JournalReader(bench.proxy.directory)
    frames = [reader.frame(ref) for ref in reader.next(1000)]
    assert [frame.seq for frame in frames] == list(range(1, 400))
    assert all(frame.body == b"body" * frame.seq for frame in frames)
    assert shared.highest_seq == 399


def test_nobody_appends_while_it_is_paused(bench: Bench) -> None:
    """What comes meanwhile waits, and begins another segment."""
    shared = SharedCleaned(bench.proxy.directory, Durability.POWER)
    first = shared.append(1, FrameKind.END, 1, b"")
    later = threading.Thread(target=shared.append, args=(2, FrameKind.END, 1, b""))
    with shared.paused():
        later.start()
        later.join(0.1)
        assert later.is_alive()
        assert shared.own_segments() == [first.segment]
    later.join()
    assert len(shared.own_segments()) == 2


def test_segments_of_an_earlier_process_are_not_its_own(bench: Bench) -> None:
    """Only what this process has made is known to be read."""
    SharedCleaned(bench.proxy.directory, Durability.PROCESS).append(1, FrameKind.END, 1, b"")
    shared = SharedCleaned(bench.proxy.directory, Durability.PROCESS)
    assert shared.own_segments() == []
    ref = shared.append(2, FrameKind.END, 1, b"")
    assert shared.own_segments() == [ref.segment]
