"""With `durability: power` nothing that a client saw complete is lost with the machine's power."""

from __future__ import annotations

import random
import re
import sqlite3
import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from response_store.backends.registry import build_store
from response_store.config import load_config
from response_store.diagnostics import Counters, ErrorReporter
from response_store.ingest.takeover import Fate, take_over
from response_store.journal.directory import build_target
from tests.fakes import bodies
from tests.fakes.answers import Stream, json_answer
from tests.fakes.model_server import ModelServer
from tests.fakes.websocket import WebSocketSwitch
from tests.fakes.websocket_client import WebSocketClient
from tests.fakes.websocket_plays import usual
from tests.harness import proxy as proxy_module
from tests.harness.clients import RawClient, asking
from tests.harness.power_loss import Disk
from tests.harness.proxy import BIN, Proxy, wait_until
from tests.harness.traced import Call, cannot_trace, has_ended, read_calls, sent, tracing

if TYPE_CHECKING:
    from tests.fakes.requests import Request

pytestmark = [
    pytest.mark.skipif(bool(cannot_trace()), reason=f"no trace: {cannot_trace()}"),
]

SMALL_PARTS = Path(proxy_module.__file__).with_name("small_parts.py")
DATA = "data"  # where the database is, apart from the journals
CREDENTIAL = {"type": "mcp", "server_label": "s", "authorization": "canary-mcp"}
TERMINAL = re.compile(rb'"type": ?"response\.completed"')  # of a stream, or a WebSocket's turn


@dataclass(frozen=True)
class Traffic:
    """What a proxy did. `ends` has the moment at which the end of each answer went on, by id."""

    root: Path
    calls: list[Call]
    ends: dict[str, int]


@pytest.fixture(scope="module")
def traffic(authority: Path, tmp_path_factory: pytest.TempPathFactory) -> Traffic:
    """Traffic of all kinds through a traced proxy, until it has ended and emptied its journal."""
    folder = tmp_path_factory.mktemp("power")
    root, trace = folder / "disk", folder / "trace"
    (root / DATA).mkdir(parents=True)
    config = {
        "durability": "power",
        "completion_wait_ms": 10_000,
        "database_url": f"sqlite:///{root / DATA / 'responses.db'}",
        "journal": {"path": str(root / "journals")},
    }
    how: dict[str, Any] = {"config": config, "first": [SMALL_PARTS], "in_ingester": [SMALL_PARTS]}
    with ModelServer() as server:
        WebSocketSwitch(server, usual)
        proxy = Proxy(
            folder / "proxy", authority=authority, mode=f"reverse:{server.url}",
            before=tracing(trace), patience=60, **how,
        )  # fmt: skip
        with proxy:
            ids = send_traffic(proxy, Scenarios(server), root / DATA / "responses.db-wal")
            status = proxy.command("response_store.status")
            assert "wait." not in str(status), "an end went on before the disk had it"
            proxy.terminate(60)
    wait_until(lambda: has_ended(trace), "the trace is whole", 60)
    calls = read_calls(trace)
    return Traffic(root, calls, ends_of(calls, ids))


class Scenarios:
    """What the model server plays, by the name that a request asks for."""

    def __init__(self, server: ModelServer) -> None:
        self.long = server.play(self._long)
        self.bulky = server.play(self._bulky)
        self.huge = server.play(self._huge)

    def _long(self, request: Request) -> Any:
        events = bodies.stream_events(request.fields, text="0123456 " * 8)
        return Stream(pause=0.04).answer(events)

    def _bulky(self, request: Request) -> Any:
        return json_answer(bodies.whole_response(request.fields, "bulk " * 4000))

    def _huge(self, request: Request) -> Any:
        return json_answer(bodies.whole_response(request.fields, "huge! " * 15_000))


def send_traffic(proxy: Proxy, scenarios: Scenarios, log: Path) -> set[str]:
    """Send requests of all kinds, some at once, with a rest in between; return the answers' ids."""
    kinds = [
        asking(),
        asking(stream=True),
        asking(scenarios.bulky),
        asking(tools=[CREDENTIAL]),
        asking(scenarios.bulky, tools=[CREDENTIAL]),
        asking(scenarios.huge),
    ]
    with ThreadPoolExecutor(4) as pool:
        long = [pool.submit(exchange, proxy, asking(scenarios.long, stream=True)) for _ in "12"]
        short = [pool.submit(exchange, proxy, kind) for kind in kinds * 3]
        ids = [answer.result() for answer in [*long, *short]]
        wait_until(lambda: not log.stat().st_size, "the log is written back, and cut", 20)
        long = [pool.submit(exchange, proxy, asking(scenarios.long, stream=True)) for _ in "12"]
        short = [pool.submit(exchange, proxy, kind) for kind in kinds * 3]
        sockets = [pool.submit(turns, proxy, 4) for _ in "12"]
        ids += [answer.result() for answer in [*long, *short]]
        ids += [name for answered in sockets for name in answered.result()]
    return set(ids)


def exchange(proxy: Proxy, body: dict[str, Any]) -> str:
    """Send a request over a connection of its own, read all of the answer, and return its id."""
    with RawClient(proxy.port) as client:
        reply = client.read_to_end(client.ask(body))
    assert reply.whole
    return response_ids(bytes(reply.body)).pop()


def turns(proxy: Proxy, number: int) -> list[str]:
    """Have turns pass over a WebSocket, one after the other; return the ids of their responses."""
    with WebSocketClient(proxy.port, "") as client:
        ids = []
        for _ in range(number):
            client.send({"type": "response.create", **asking()})
            ids.append(client.until("response.completed")["response"]["id"])
        client.close()
    return ids


def response_ids(data: bytes) -> set[str]:
    """Return the ids of responses in some text."""
    return {match.decode() for match in re.findall(rb"resp_[0-9a-f]{32}", data)}


def ends_of(calls: list[Call], ids: set[str]) -> dict[str, int]:
    """Return when the end of each answer was sent to the client: from then on it must be kept."""
    ends = {}
    for pieces in sent(calls).values():
        body = b"".join(data for _, data in pieces)
        if not body.startswith(b"HTTP/1.1 ") or not (found := response_ids(body) & ids):
            continue
        terminal = [(moment, data) for moment, data in pieces if TERMINAL.search(data)]
        for moment, data in terminal:
            ends |= dict.fromkeys(response_ids(data) & ids, moment)
        if not terminal:
            ends[found.pop()] = pieces[-1][0]
    assert ends.keys() == ids, "the trace lacks ends"
    return ends


def check(traffic: Traffic, tmp_path: Path, rng: random.Random) -> None:
    """Lose the power at some moment, have the journals taken over, and look for what was sent."""
    last = len(traffic.calls)
    at = rng.randrange(last) if rng.random() < 0.5 else rng.choice(list(after_ends(traffic)))
    lose_power_at(traffic, at, rng)
    taken_over(traffic.root, tmp_path)
    assert taken_over(traffic.root, tmp_path) == [], "a journal is still there"
    look_for(traffic, at)


def lose_power_at(traffic: Traffic, at: int, rng: random.Random) -> None:
    """Lay down what the disk may have after a loss of power before that call."""
    disk = Disk(traffic.root, [DATA])
    disk.play(traffic.calls[:at])
    disk.lose_power(traffic.root, rng)


def look_for(traffic: Traffic, at: int) -> None:
    """See that what was sent before that call is in the database, once."""
    moment = traffic.calls[at].ended
    seen = {name for name, sent_at in traffic.ends.items() if sent_at < moment}
    states = Counter(states_in(traffic.root / DATA / "responses.db"))
    lost = {name for name in seen if states[name, "completed"] != 1}
    assert not lost, f"{len(lost)} of {len(seen)} exchanges are lost at call {at}"
    twice = [name for (name, _), number in states.items() if name and number > 1]
    assert not twice, f"{twice} are stored twice at call {at}"


def after_ends(traffic: Traffic) -> set[int]:
    """Return the places of calls right behind an end that was sent."""
    ends = set(traffic.ends.values())
    return {at + 1 for at, call in enumerate(traffic.calls[:-1]) if call.began in ends}


def taken_over(root: Path, tmp_path: Path) -> list[Fate]:
    """Do what every command does first; return what became of the journals that are there."""
    path = tmp_path / "config.yaml"
    path.write_text(f"journal: {{path: {root / 'journals'}}}\n")
    config = load_config(
        path, {"RESPONSE_STORE_DATABASE_URL": f"sqlite:{root / DATA / 'responses.db'}"}
    )
    store, counters = build_store(config), Counters()
    try:
        found = take_over(
            root / "journals", config, store, build_target(config),
            counters=counters, errors=ErrorReporter(counters),
        )  # fmt: skip
    finally:
        store.close()
    fates = [journal.fate for journal in found]
    assert set(fates) <= {Fate.APPLIED}, f"a journal is left: {found}"
    reported = counters.snapshot()
    assert "frames_gone" not in reported, reported
    assert not any(name.startswith(("fault.", "store.")) for name in reported), reported
    return fates


def states_in(path: Path) -> list[tuple[str, str]]:
    """Return the response's id and the state of each row, of a database that is whole."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        found = connection.execute("SELECT response_id, state FROM openai_exchanges").fetchall()
        joined = connection.execute(
            "SELECT e.response_id FROM openai_exchanges e LEFT JOIN openai_responses r "
            "ON r.id = e.response_id WHERE e.state = 'completed' AND r.id IS NULL"
        ).fetchall()
    assert not joined, "a response is missing beside its exchange"
    return found


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", range(4))
def test_no_exchange_is_lost(traffic: Traffic, tmp_path: Path, seed: int) -> None:
    """Whatever the disk kept of what was not synced: what clients saw complete is there, once."""
    rng = random.Random(seed)
    for _ in range(15):
        check(traffic, tmp_path, rng)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("durability", ["process", "power"])
def test_the_power_is_lost_again(traffic: Traffic, tmp_path: Path, durability: str) -> None:
    """While a command takes over what is left, with whatever durability it is configured."""
    rng = random.Random(durability)
    at = rng.choice(sorted(after_ends(traffic))[10:-5])
    lose_power_at(traffic, at, rng)
    disk, trace = Disk.found(traffic.root), tmp_path / "trace"
    flush(traffic.root, tmp_path, durability, tracing(trace))
    wait_until(lambda: has_ended(trace), "the trace is whole", 60)
    look_for(traffic, at)
    calls = read_calls(trace)
    done = 0
    for moment in sorted(rng.sample(range(len(calls)), 25)):
        disk.play(calls[done:moment])
        done = moment
        disk.lose_power(traffic.root, rng)
        taken_over(traffic.root, tmp_path)
        look_for(traffic, at)


def flush(root: Path, tmp_path: Path, durability: str, before: list[str]) -> None:
    """Run the command that waits until all is in the database."""
    path = tmp_path / "flush.yaml"
    path.write_text(
        f"durability: {durability}\njournal: {{path: {root / 'journals'}}}\n"
        f"database_url: 'sqlite:///{root / DATA / 'responses.db'}'\n"
    )
    command = [*before, str(BIN / "response-store"), "flush", "--config", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(100, 120))
def test_no_exchange_is_lost_long(traffic: Traffic, tmp_path: Path, seed: int) -> None:
    """The same a thousand times."""
    rng = random.Random(seed)
    for _ in range(50):
        check(traffic, tmp_path, rng)


def test_traffic_passes_through_all_that_becomes_of_files(traffic: Traffic) -> None:
    """The trace has segments that are dropped, a log that is cut, and a journal that is removed."""
    calls = [(call.name, *call.paths[-1:], call.place) for call in traffic.calls]
    text = "\n".join(" ".join(call) for call in calls)
    assert re.search(r"unlink \S+/m-\d{20}\.seg", text), "no segment was dropped"
    assert re.search(r"write\w* \S*/c-\d{20}\.seg", text), "nothing was cleaned or carried"
    assert re.search(r"rename \S+/l-\d{20}\.seg", text), "no frame was large"
    assert re.search(r"ftruncate \S+-wal", text), "the log was not cut"
    assert re.search(r"pwrite64 \S+responses\.db\n", text), "there was no checkpoint"
    assert re.search(r"rename \S+/\.gone-", text), "the journal was not removed"
    assert len(traffic.ends) > 40
