"""What is compared: mitmdump without the addon, with it, and with that of an older checkout."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from benchmarks import journals
from benchmarks.places import CAPTURE_SCRIPT, SCRIPTS
from response_store.config import Durability

WAIT_SECONDS = 120.0
POLL_SECONDS = 0.005
REST_POLL_SECONDS = 0.1
UNINDEXED = """
SELECT (SELECT count(*) FROM openai_exchanges) - (SELECT count(*) FROM openai_exchanges_search)"""
COMPLETED = "SELECT count(*) FROM openai_exchanges WHERE state = 'completed'"
POSITION = """
SELECT coalesce(max(position), 0) FROM openai_exchanges_journals WHERE journal_id = '{}'"""


@dataclass(frozen=True)
class Side:
    """One way to run mitmdump. `durability` set: with the addon.

    `more` are further lines of its configuration. `checkout` is that of an older addon, which
    writes the database itself. `stored` is a database with `rows` completed exchanges.
    """

    name: str
    scripts: tuple[Path, ...] = ()
    durability: Durability | None = None
    more: str = ""
    checkout: Path | None = None
    stored: Path | None = None
    rows: int = 0

    @property
    def has_ingester(self) -> bool:
        return self.durability is not None and self.checkout is None

    def arguments(self, folder: Path) -> list[str]:
        """Return the options that only this side has; write its configuration if it has one."""
        scripts = [part for script in self.scripts for part in ("-s", str(script))]
        if self.durability is None:
            return scripts
        capture = self.checkout / "addon" / "capture.py" if self.checkout else CAPTURE_SCRIPT
        config = self.configure(folder)
        return [*scripts, "-s", str(capture), "--set", f"response_store_config={config}"]

    def configure(self, folder: Path) -> Path:
        """Write the configuration and return its path."""
        config = folder / "config.yaml"
        config.write_text(self._configuration(folder) + self.more)
        return config

    def _configuration(self, folder: Path) -> str:
        url = json.dumps(f"sqlite://{self.database(folder)}")
        lines = f"database_url: {url}\ndurability: {self.durability}\n"
        return lines if self.checkout else lines + journals.configuration(folder)

    def database(self, folder: Path) -> Path:
        """Return the SQLite file of this side in its folder."""
        return self.stored or folder / "responses.db"

    def connection_string(self, folder: Path) -> str:
        """Return what another process opens the database with."""
        return str(self.database(folder))

    def behind(self, folder: Path) -> int:
        """Return how many acknowledged frames are not in the database yet."""
        return journals.last_seq(folder) - self.position(folder) if self.has_ingester else 0

    def position(self, folder: Path) -> int:
        """Return the last frame of the journal that is in the database."""
        journal = journals.find(folder)
        try:
            return self._number(folder, POSITION.format(journal.name)) if journal else 0
        except sqlite3.OperationalError:  # it is not made yet
            return 0

    def settle(self, folder: Path) -> None:
        """Wait until all that is acknowledged by now is in the database."""
        if self.has_ingester:
            self.settle_through(folder, journals.last_seq(folder))

    def settle_through(self, folder: Path, seq: int) -> float:
        """Wait until the database has all up to a frame; return how many seconds that took."""
        start = time.monotonic()
        self._wait(lambda: self.position(folder) >= seq, "the database is behind", POLL_SECONDS)
        return time.monotonic() - start

    def rest(self, folder: Path) -> None:
        """Wait until nothing is done any more: searches are prepared when a load is over."""
        if self.durability is not None:
            self._wait(lambda: self.unindexed(folder) <= 0, "not indexed", REST_POLL_SECONDS)

    def unindexed(self, folder: Path) -> int:
        """Return how many exchanges can't be searched yet."""
        return self._number(folder, UNINDEXED)

    def complaint(self, folder: Path, exchanges: int) -> str | None:
        """Return what is wrong with the rows that the proxy has left after so many exchanges."""
        if self.durability is None:
            return None
        rows = self._number(folder, COMPLETED) - self.rows
        return None if rows == exchanges else f"{exchanges} exchanges, {rows} rows"

    def server_cpu_seconds(self) -> float:
        """Return the CPU time so far of a database server, where there is one."""
        return 0.0

    def _number(self, folder: Path, query: str) -> int:
        path = f"{self.database(folder).as_uri()}?mode=ro"
        with closing(sqlite3.connect(path, uri=True, timeout=30)) as connection:
            return int(connection.execute(query).fetchone()[0])

    def _wait(self, is_done: Callable[[], bool], what: str, pause: float) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while not is_done():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.name}: {what} after {WAIT_SECONDS:.0f} s")
            time.sleep(pause)


PASS_THROUGH = SCRIPTS / "pass_through.py"
FORGET_MESSAGES = SCRIPTS / "forget_messages.py"
EMPTY_HOOKS = SCRIPTS / "empty_hooks.py"
EMPTY_HOOKS_ASYNC = SCRIPTS / "empty_hooks_async.py"

BARE = Side("bare")
BARE_AGAIN = Side("bare again")
STREAMING = Side("pass-through", (PASS_THROUGH,))
STREAMING_AGAIN = Side("pass-through again", (PASS_THROUGH,))
FORGETTING = Side("forgetting", (FORGET_MESSAGES,))
FORGETTING_AGAIN = Side("forgetting again", (FORGET_MESSAGES,))
EMPTY = Side("empty hooks", (EMPTY_HOOKS,))
EMPTY_ASYNC = Side("empty async hooks", (EMPTY_HOOKS_ASYNC,))
POWER = Side("addon, power", durability=Durability.POWER)
PROCESS = Side("addon, process", durability=Durability.PROCESS)
REDACT = Side("addon, redact: common", durability=Durability.PROCESS, more="redact: common\n")


def older(checkout: Path | None, *kinds: Durability) -> list[Side]:
    """Return the addon of an older checkout with each durability; none without a checkout."""
    if checkout is None:
        return []
    kinds = kinds or tuple(Durability)
    return [Side(f"before, {kind}", durability=kind, checkout=checkout) for kind in kinds]
