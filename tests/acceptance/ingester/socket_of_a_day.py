"""A WebSocket that is open for a day, beside traffic of many times what its journal may hold.

    python -m tests.acceptance.ingester.socket_of_a_day FOLDER BYTES

The day passes on a clock of its own. Prints what the journal held, as JSON.
"""

from __future__ import annotations

import json
import random
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.unit.ingest.bench import Bench
from tests.unit.ingest.proxy_side import (
    STARTED,
    answer_head,
    build_exchange_id,
    response_object,
    sse,
    stream_end,
    stream_start,
)

MAX_BYTES = 64 << 20
DAY = 86_400.0  # seconds
TURNS = 24
PARTS = 25  # frames that each turn's answer comes in
_AT_ONCE = 4 << 20  # bytes between two looks of the ingester
_SOCKET = {"flow_id": "socket", "transport": "websocket"}
_ANSWER = answer_head("websocket")


@dataclass
class Held:
    """Bytes that passed, and that the journal held at most, before and after a look; how it went.

    `waited` is how often a frame found the journal full.
    """

    traffic: int = 0
    most: int = 0
    most_after: int = 0
    waited: int = 0
    exchanges: int = 0
    crashes: int = 0
    seconds: float = 0.0


class Day:
    """One day, in which `traffic` bytes pass beside the socket."""

    def __init__(self, folder: Path, traffic: int, seed: int = 1) -> None:
        self.now = 0.0
        self.held = Held()
        self._traffic = traffic
        self._random = random.Random(seed)
        # Nothing is stored of most of what passes, so that the database stays small.
        text = (
            "capture: {store_false: skip}\n"
            f"journal: {{path: {folder / 'journals'}, max_bytes: {MAX_BYTES}}}\n"
        )
        self.bench = Bench(folder, text, clock=lambda: self.now)
        self._bodies = [
            json.dumps(response_object(0, metadata={"x": "y" * size})).encode()
            for size in (2_000, 60_000, 900_000)
        ]
        self._key = 1000
        self._planned = 0

    def run(self) -> None:
        """Let the day pass: turn after turn, and one that is open from morning to night."""
        began = time.monotonic()
        self._begin(TURNS + 1)
        for turn in range(1, TURNS + 1):
            self._begin(turn)
            for part in range(PARTS):
                self._pass(self._traffic // TURNS // PARTS)
                self._part(turn, part)
                if part % 4 == 0:
                    self._part(TURNS + 1, (turn - 1) * PARTS + part)
            self._end(turn)
        self._end(TURNS + 1)
        self.bench.apply()
        self.held.seconds = round(time.monotonic() - began, 1)

    def _begin(self, turn: int) -> None:
        self.bench.proxy.open(turn, turn=turn, **_SOCKET)
        self.bench.proxy.part(turn, stream_start(turn), first=True)

    def _part(self, turn: int, number: int) -> None:
        delta = {"item_id": f"msg_{turn}", "output_index": 0, "content_index": 0}
        self.bench.proxy.part(
            turn, sse("response.output_text.delta", 2, **delta, delta=f" {number}" * 50)
        )

    def _end(self, turn: int) -> None:
        self.bench.proxy.end(turn, body=stream_end(turn), answer=_ANSWER, by="terminal_event")

    def _pass(self, size: int) -> None:
        """Let traffic pass, which the ingester looks at now and then, and is killed sometimes."""
        self.now += DAY / TURNS / PARTS
        self._planned += size
        unseen = 0
        while self.held.traffic < self._planned:
            unseen += self._exchange()
            if unseen >= _AT_ONCE:
                self._look()
                unseen = 0
        self._look()
        if self._random.random() < 0.02:
            self.held.crashes += 1
            self.bench.crash()

    def _exchange(self) -> int:
        """Let an exchange pass, of which one in 50 is stored; return its bytes."""
        self._key += 1
        self.held.exchanges += 1
        stored = self._key % 50 == 0
        body = self._bodies[0 if stored else self._random.randrange(len(self._bodies))]
        request = json.dumps({"model": "gpt-5", "input": "x", "store": stored}).encode()
        if stored:
            body = json.dumps(response_object(self._key)).encode()
        self.bench.proxy.exchange(self._key, request=request, body=body)
        self.held.traffic += len(body)
        self.held.waited += self.bench.proxy.writer.waiting
        return len(body)

    def _look(self) -> None:
        """Do what the ingester does, and say to the proxy what the journal holds."""
        directory = self.bench.proxy.directory
        self.held.most = max(self.held.most, directory.bytes_on_disk())
        self.bench.apply()
        self.bench.applier.compact()
        self.bench.store.maintain()
        held = directory.bytes_on_disk()
        self.held.most_after = max(self.held.most_after, held)
        self.bench.proxy.writer.released(held)

    def turns(self) -> dict[int, tuple[str, str]]:
        """Return the state and the text of each turn, as the database has them."""
        found = self.bench.rows(
            "SELECT exchange_id, state, output_text FROM openai_exchanges "
            "WHERE transport = 'websocket'"
        )
        numbers = {build_exchange_id("socket", STARTED, turn): turn for turn in range(1, TURNS + 2)}
        assert len(found) == len(numbers), f"{len(found)} rows of {len(numbers)} turns"
        return {numbers[name]: (state, text) for name, state, text in found}

    def stored(self) -> int:
        """Return how many other exchanges the database has."""
        [(number,)] = self.bench.rows(
            "SELECT count(*) FROM openai_exchanges WHERE transport <> 'websocket'"
        )
        return number


def check(day: Day) -> None:
    """See that every turn is there whole, and that the journal stayed below its bound."""
    whole = {turn: ("completed", f"answer {turn}") for turn in range(1, TURNS + 2)}
    assert day.turns() == whole
    assert day.stored() == sum(key % 50 == 0 for key in range(1001, day._key + 1))
    assert day.held.most < MAX_BYTES
    assert day.held.waited == 0, "frames waited in memory for a journal that was full"
    assert day.bench.proxy.writer._counters.snapshot() == {}
    counters = day.bench.counters.snapshot()
    assert not counters.keys() & {"frames_gone", "journal.damaged", "dropped.damaged"}, counters
    assert day.bench.end()
    day.bench.close()


if __name__ == "__main__":
    day = Day(Path(sys.argv[1]), int(sys.argv[2]))
    day.run()
    check(day)
    print(json.dumps(asdict(day.held)))
