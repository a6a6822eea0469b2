"""Rounds of an ingester that is killed at random moments, beside a proxy that goes on.

    python -m tests.acceptance.ingester.kill_rounds FOLDER SEED ROUNDS [DURABILITY]

Between the kills rows are deleted, as a prune does. What was acknowledged must be there at the end,
each exchange once, and what was deleted must not come back.
"""

from __future__ import annotations

import json
import random
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from response_store.config import Config
from response_store.ingest.channel import Accepted, Dirty, Verdict
from response_store.journal.frames import FrameKind
from tests.unit.ingest.proxy_side import (
    Ingester,
    ProxyJournal,
    answer_head,
    end_frame,
    id_of,
    make_config,
    response_object,
    stream_end,
    stream_start,
)

STATES = {"completed": "completed", "open": "interrupted"}


Execute = Callable[[str], list[tuple[Any, ...]]]


def sqlite_file(path: Path) -> Execute:
    """Return what runs a statement in a SQLite file."""

    def execute(statement: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(path, timeout=20)) as connection, connection:
            return connection.execute(statement).fetchall()

    return execute


class Rounds:
    """One proxy, and its ingesters one after the other. `seed` decides all but the timing.

    `execute` runs a statement in the database behind their backs.
    """

    def __init__(self, config: Config, execute: Execute, seed: int) -> None:
        self.random = random.Random(seed)
        self.config = config
        self.execute = execute
        self.proxy = ProxyJournal(self.config, segment_bytes=32 << 10)
        self.ingester: Ingester | None = None
        self.expected: dict[str, str] = {}  # what must be in the database at the end
        self.deleted: set[str] = set()
        self.streams: set[int] = set()
        self.held: dict[int, tuple[int, bytes, list[bytes]]] = {}  # sent, and not accepted
        self.key = 0

    def run(self, rounds: int) -> None:
        """Run, and check what is there at the end. Raises AssertionError."""
        for number in range(rounds):
            self.start()
            if self.random.random() < 0.7 and self.ingester is not None:
                self.ingester.verdict()
            until = time.monotonic() + self.random.random() * 0.6
            while time.monotonic() < until:
                for _ in range(self.random.randrange(40)):
                    self.step()
                self.listen()
            if number % 3 == 0 and self.ingester is not None:
                if not any(isinstance(each, Verdict) for each, _ in self.ingester.messages):
                    self.ingester.verdict()
                self.ingester.wake()
                self.ingester.flush(min(self.held, default=self.proxy.writer.last_seq + 1) - 1)
                self.delete_some()
            self.kill()
        self.finish()
        self.check()

    def start(self) -> None:
        """Start an ingester, and send it what was not accepted."""
        self.ingester = Ingester(self.proxy, outstanding=tuple(self.held))
        for seq, (key, head, parts) in self.held.items():
            self._send_dirty(seq, key, head, parts)

    def step(self) -> None:
        """Let the proxy do something at random."""
        choice = self.random.random()
        if choice < 0.45:
            self.key += 1
            body = json.dumps(response_object(self.key, metadata={"x": "y" * 600})).encode()
            self.proxy.exchange(self.key, body=body)
            self.expected[id_of(self.key)] = "completed"
        elif choice < 0.6:
            self.key += 1
            self.proxy.open(self.key)
            self.proxy.part(self.key, stream_start(self.key), first=True)
            self.streams.add(self.key)
            self.expected[id_of(self.key)] = "open"
        elif choice < 0.8 and self.streams:
            key = self.random.choice(sorted(self.streams))
            self.streams.discard(key)
            answer = answer_head("sse", is_terminated=True)
            self.proxy.end(key, body=stream_end(key), answer=answer, by="terminal_event")
            self.expected[id_of(key)] = "completed"
        elif choice < 0.9:
            self.key += 1
            seq = self.proxy.writer.next_seq()
            self.held[seq] = (self.key, *end_frame(self.key, alone=True))
            self._send_dirty(seq, *self.held[seq])
        elif choice < 0.93:
            time.sleep(self.random.random() * 0.01)

    def listen(self) -> None:
        """Wake the ingester, and take what it has accepted."""
        if self.ingester is None:
            return
        self.ingester.channel.settimeout(0.0005)
        with suppress(TimeoutError, BlockingIOError):
            self.ingester.wake()
            for message, _ in self.ingester.receive():
                if isinstance(message, Accepted):
                    for seq in message.seqs:
                        if seq in self.held:
                            self.expected[id_of(self.held.pop(seq)[0])] = "completed"
        self.ingester.channel.settimeout(20)

    def delete_some(self) -> None:
        """Delete rows that have ended, as a prune does."""
        found = self.execute("SELECT exchange_id FROM openai_exchanges WHERE state <> 'open'")
        chosen = [name for (name,) in sorted(found) if self.random.random() < 0.3]
        if chosen:
            names = ", ".join(f"'{name}'" for name in chosen)
            self.execute(f"DELETE FROM openai_exchanges WHERE exchange_id IN ({names}) RETURNING 1")
            self.deleted.update(chosen)

    def kill(self) -> None:
        """Kill the ingester, whatever it is at."""
        assert self.ingester is not None
        self.ingester.kill()
        self.ingester = None

    def finish(self) -> None:
        """End the proxy; the last ingester, or one that takes over, applies the rest."""
        self.start()
        assert self.ingester is not None
        for _ in range(400):
            self.listen()
            if not self.held:
                break
            time.sleep(0.01)
        assert not self.held, "frames were not accepted"
        if self.random.random() < 0.5:
            self.ingester.kill()
        self.proxy.close()
        if self.ingester.process.poll() is None:
            self.ingester.leave()
            assert self.ingester.wait() == 0
        else:
            self.take_over()
        assert not self.proxy.directory.path.exists()

    def take_over(self) -> None:
        """Have other processes take the journal over, each killed sooner or later, but the last."""
        for seconds in (0.3, 0.5, None):
            other = ProxyJournal(self.config)
            ingester = Ingester(other)
            deadline = time.monotonic() + (seconds or 20.0)
            while self.proxy.directory.path.exists() and time.monotonic() < deadline:
                time.sleep(0.02)
            if seconds is None:
                other.close()
                ingester.leave()
                assert ingester.wait() == 0
            else:
                ingester.kill()
                other.close()

    def check(self) -> None:
        """Compare the database with what was acknowledged."""
        found = dict(self.execute("SELECT exchange_id, state FROM openai_exchanges"))
        wanted = {
            name: STATES[state] for name, state in self.expected.items() if name not in self.deleted
        }
        lost = wanted.keys() - found.keys()
        back = found.keys() - wanted.keys()
        assert not lost, f"{len(lost)} exchanges are lost"
        assert not back, f"{len(back)} exchanges came back, or were never acknowledged"
        assert found == wanted

    def _send_dirty(self, seq: int, key: int, head: bytes, parts: list[bytes]) -> None:
        assert self.ingester is not None
        with suppress(OSError):
            self.ingester.send(Dirty(seq, FrameKind.END, key, head), b"".join(parts))


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    durability = f"durability: {sys.argv[4]}\n" if len(sys.argv) > 4 else ""
    database = sqlite_file(folder / "responses.db")
    rounds = Rounds(make_config(folder, durability), database, int(sys.argv[2]))
    rounds.run(int(sys.argv[3]))
    print(len(rounds.expected), "exchanges,", len(rounds.deleted), "deleted")
