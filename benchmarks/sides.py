"""What is compared: mitmdump without the addon, and with it."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from benchmarks.places import CAPTURE_SCRIPT, SCRIPTS

REST_SECONDS = 120.0
POLL_SECONDS = 0.1
UNINDEXED = """
SELECT (SELECT count(*) FROM openai_exchanges) - (SELECT count(*) FROM openai_exchanges_search)"""
COMPLETED = "SELECT count(*) FROM openai_exchanges WHERE state = 'completed'"


class Durability(StrEnum):
    """The addon's settings of the same name."""

    POWER = "power"
    PROCESS = "process"


@dataclass(frozen=True)
class Side:
    """One way to run mitmdump. `durability` set: with the addon."""

    name: str
    scripts: tuple[Path, ...] = ()
    durability: Durability | None = None

    def arguments(self, folder: Path) -> list[str]:
        """The options that only this side has; writes its configuration where it needs one."""
        found = [part for script in self.scripts for part in ("-s", str(script))]
        if self.durability is None:
            return found
        config = folder / "config.yaml"
        config.write_text(self._configuration(folder))
        return [*found, "-s", str(CAPTURE_SCRIPT), "--set", f"response_store_config={config}"]

    def _configuration(self, folder: Path) -> str:
        url = json.dumps(f"sqlite://{self.database(folder)}")
        return f"database_url: {url}\ndurability: {self.durability}\n"

    def database(self, folder: Path) -> Path:
        """The SQLite file of this side in its folder."""
        return folder / "responses.db"

    def behind(self, folder: Path) -> int:
        """How many records the database does not have yet, of those whose clients were answered."""
        return 0

    def settle(self, folder: Path) -> None:
        """Wait until it has them."""

    def rest(self, folder: Path) -> None:
        """Wait until the proxy does nothing more: it prepares searches when a load is over."""
        deadline = time.monotonic() + REST_SECONDS
        while self.durability is not None and self.unindexed(folder) > 0:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.name}: not indexed within {REST_SECONDS:.0f} s")
            time.sleep(POLL_SECONDS)

    def unindexed(self, folder: Path) -> int:
        """How many exchanges can't be searched yet."""
        with closing(sqlite3.connect(self.database(folder))) as connection:
            return int(connection.execute(UNINDEXED).fetchone()[0])

    def complaint(self, folder: Path, exchanges: int) -> str | None:
        """What is wrong with the rows that the proxy has left after so many exchanges."""
        if self.durability is None:
            return None
        with closing(sqlite3.connect(self.database(folder))) as connection:
            (rows,) = connection.execute(COMPLETED).fetchone()
        return None if rows == exchanges else f"{exchanges} exchanges, {rows} rows"

    def server_cpu_seconds(self) -> float:
        """CPU time so far of a database server, where there is one."""
        return 0.0


PASS_THROUGH = SCRIPTS / "pass_through.py"
FORGET_MESSAGES = SCRIPTS / "forget_messages.py"

BARE = Side("bare")
BARE_AGAIN = Side("bare again")
STREAMING = Side("pass-through", (PASS_THROUGH,))
STREAMING_AGAIN = Side("pass-through again", (PASS_THROUGH,))
FORGETTING = Side("forgetting", (FORGET_MESSAGES,))
FORGETTING_AGAIN = Side("forgetting again", (FORGET_MESSAGES,))
POWER = Side("addon, power", durability=Durability.POWER)
PROCESS = Side("addon, process", durability=Durability.PROCESS)
