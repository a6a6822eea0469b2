"""Many proxies that live for one exchange each, on one database, some of them killed."""

from __future__ import annotations

import os
import random
import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Any

import pytest

from tests.harness.clients import RawClient, asking
from tests.harness.database import Database
from tests.harness.ingesters import kill_both
from tests.harness.proxy import BIN, Proxy, runs, wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.fakes.model_server import ModelServer

pytestmark = [pytest.mark.soak, pytest.mark.timeout(7200)]
HOW_MANY = int(os.environ.get("MANY_PROXIES", "40"))
AT_ONCE = 8


class Fleet:
    """Proxies that share a database and a folder of journals."""

    def __init__(self, folder: Path, server: ModelServer, authority: Path) -> None:
        self.folder = folder
        self.database = Database(folder / "responses.db")
        self.seen: set[str] = set()  # the ids of answers that clients have read to their end
        self.killed = 0
        self._server = server
        self._authority = authority
        self._random = random.Random(1)

    @property
    def config(self) -> Mapping[str, Any]:
        """The configuration of all of them."""
        return {
            "database_url": f"sqlite:///{self.database.path}",
            "journal": {"path": str(self.folder / "journals")},
        }

    def run(self, number: int) -> None:
        """Start a proxy, have one exchange pass, and end it; one in five is killed on its way."""
        kills = number % 5 == 0
        proxy = Proxy(
            self.folder / f"proxy-{number}",
            authority=self._authority,
            mode=f"reverse:{self._server.url}",
            config=self.config,
            patience=120,
        )
        with proxy:
            ingester = proxy.ingester()
            with RawClient(proxy.port) as client:
                reply = client.ask(asking(stream=bool(number % 2)))
                if not kills or number % 10:
                    client.read_to_end(reply)
                    self.seen.add(str(number) if not reply.whole else _id_of(bytes(reply.body)))
            if kills:
                self.killed += 1
                sleep(self._random.random() * 0.05)
                (kill_both if number % 3 else Proxy.kill9)(proxy)
            else:
                proxy.terminate(60)
        wait_until(lambda: not runs(ingester), "the ingester ends as well", 60)

    def take_over(self) -> str:
        """Do what every command does first."""
        path = self.folder / "proxy-0" / "config.yaml"
        done = subprocess.run(
            [BIN / "response-store", "flush", "--config", path],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr


def _id_of(body: bytes) -> str:
    start = body.index(b"resp_")
    return body[start : start + 37].decode()


def test_one_exchange_each(tmp_path: Path, model_server: ModelServer, authority: Path) -> None:
    """Eight at once, one in five killed: every answer is there once, and no journal is left."""
    fleet = Fleet(tmp_path, model_server, authority)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for done in [pool.submit(fleet.run, number) for number in range(HOW_MANY)]:
            done.result()
    said = fleet.take_over()
    rows = fleet.database.exchanges()
    states = Counter((row["response_id"], row["state"]) for row in rows)
    lost = [name for name in fleet.seen if states[name, "completed"] != 1]
    assert not lost, f"{len(lost)} of {len(fleet.seen)} are lost:\n{said}"
    assert len(fleet.seen) == HOW_MANY - len(range(0, HOW_MANY, 10))
    assert not [key for key, number in states.items() if key[0] and number > 1]
    assert not any(row["state"] == "open" for row in rows)
    left = [path for path in (tmp_path / "journals").iterdir() if path.is_dir()]
    assert {path.name for path in left} <= {"damaged"}
    print(f"{HOW_MANY} proxies, {fleet.killed} killed, {len(rows)} rows")
