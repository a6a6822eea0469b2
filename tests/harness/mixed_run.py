"""A mix from its first exchange to the judgement: chosen by a seed, played by many at once."""

from __future__ import annotations

import itertools
import os
import random
import threading
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING

from tests.fakes.model_server import ModelServer
from tests.fakes.websocket import WebSocketSwitch
from tests.fakes.websocket_plays import usual
from tests.harness import mixed_http, mixed_sockets
from tests.harness.mixed_stage import DEADLINE, Stage

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.harness.database import Database
    from tests.harness.proxy import Proxy

WORKERS = 12
BETWEEN_KILLS = 60  # exchanges
SLOWEST = 0.2  # seconds an exchange may take, all at once, before the mix counts as stuck
SEED, EXCHANGES = "INVARIANT_SEED", "INVARIANT_EXCHANGES"
PLAYS = mixed_http.PLAYS | mixed_sockets.PLAYS
DISK = Path(__file__).with_name("mixed_disk.py")
PATIENT = {"completion_wait_ms": 20_000}
HELD = [*mixed_http.HELD, *mixed_sockets.HELD]
LAST = (
    [mixed_http.whole_at_last, mixed_sockets.at_last, mixed_http.guarded_at_last],
    [mixed_http.streamed_at_last],
    [mixed_http.guarded_stream_at_last],
)
"""By turns: while a stream waits for its commit, it holds up all others."""


def play_mix(make: Callable[..., Proxy], database: Database | None, exchanges: int) -> Proxy:
    """Play at least so many exchanges, kill the proxy and its ingester now and then, and judge.

    `make` makes the proxy, with arguments of `Proxy` and with `settings` for its YAML; `database`
    is where its rows are, if not in its own file. Returns the proxy, which has ended.
    """
    seed = int(os.environ.get(SEED, "1"))  # the same mix each time, as for Hypothesis
    exchanges = int(os.environ.get(EXCHANGES, exchanges))
    with ModelServer() as server:
        proxy = make(
            mode=f"reverse:{server.url}", first=[DISK], in_ingester=[DISK], settings=PATIENT
        )
        rows = database or proxy.database
        stage = Stage(proxy, rows, server, WebSocketSwitch(server, usual))
        try:
            _play(stage, seed, exchanges)
            _end(stage, proxy)
        except AssertionError as error:
            again = f"{SEED}={seed} {EXCHANGES}={exchanges}"
            raise AssertionError(f"with {again}:\n{error}") from None
        return proxy


def _play(stage: Stage, seed: int, exchanges: int) -> None:
    stage.start()
    numbers = itertools.count()

    def work() -> None:
        while len(stage.asked) < exchanges and not stage.errors:
            chance = random.Random(f"{seed}-{next(numbers)}")
            (play,) = chance.choices(list(PLAYS), list(PLAYS.values()))
            stage.act(stage.enter(chance), play)

    workers = [threading.Thread(target=work, daemon=True) for _ in range(WORKERS)]
    for worker in workers:
        worker.start()
    deadline = monotonic() + DEADLINE + exchanges * SLOWEST
    kills = max(1, exchanges // BETWEEN_KILLS)
    for number in range(kills):
        _wait_until_played(stage, exchanges * (number + 0.5) / (kills + 1), deadline)
        stage.kill_ingester()
        _wait_until_played(stage, exchanges * (number + 1) / (kills + 1), deadline)
        if not stage.errors:
            chance = random.Random(f"{seed}-held-{number + 1}")
            stage.kill(HELD, LAST[number % len(LAST)], chance, both=number % 2 == 1)
    _wait(lambda: not any(worker.is_alive() for worker in workers), deadline)
    stage.judge()


def _end(stage: Stage, proxy: Proxy) -> None:
    """Stop the proxy, and judge once more: nothing may come at the end."""
    proxy.flush()
    told = proxy.command("response_store.status")
    assert "open exchanges: 0\n" in told, told
    assert "held in memory: 0 bytes\n" in told, told
    assert "fault" not in told, told
    finished = proxy.terminate()
    assert " 0 lost" in finished.stderr, finished.stderr
    assert "Traceback" not in finished.output, finished.output
    stage.judge()


def _wait_until_played(stage: Stage, exchanges: float, deadline: float) -> None:
    _wait(lambda: len(stage.asked) >= exchanges or stage.errors, deadline)


def _wait(true: Callable[[], object], deadline: float) -> None:
    while not true():
        assert monotonic() < deadline, "the mix does not come to its end"
        sleep(0.01)
