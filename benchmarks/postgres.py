"""PostgreSQL as a side: a server for the run, and a fresh database for each proxy."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import click
import psycopg
from psycopg.conninfo import make_conninfo

from benchmarks import journals
from benchmarks.control import Child
from benchmarks.rig import Rig
from benchmarks.sides import POLL_SECONDS, POSITION, Side
from response_store.config import Durability

OPEN_SECONDS = 120.0
CLOSE_SECONDS = 60.0
ROWS = """
SELECT count(*), count(*) FILTER (WHERE state = 'completed'), count(DISTINCT response_id),
       (SELECT count(*) FROM openai_responses)
FROM openai_exchanges"""


@dataclass(frozen=True)
class Database:
    """One database of the server; over TLS, on loopback."""

    url: str
    authority: Path

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        """A connection of the driver's own kind."""
        with psycopg.connect(self.connection_string(), autocommit=True) as connection:
            yield connection

    def connection_string(self) -> str:
        """Return what the driver connects with: over TLS, the certificate checked."""
        return make_conninfo(self.url, sslmode="verify-full", sslrootcert=str(self.authority))

    def row(self, query: str) -> tuple[Any, ...]:
        """The one row that a query gives."""
        with self.connection() as connection:
            found = connection.execute(query).fetchone()
        assert found is not None
        return found


class PostgresServer:
    """A server that lives as long as this is open, at `folder`'s disk."""

    def __init__(self, folder: Path, round_trip_ms: float = 0.0) -> None:
        self._asked = {"folder": str(folder), "round_trip_ms": round_trip_ms}

    def __enter__(self) -> Self:
        self._keeper = Child("postgres_keeper", grace=CLOSE_SECONDS)
        try:
            self._where = self.ask("open", timeout=OPEN_SECONDS, **self._asked)
        except RuntimeError:
            self._keeper.close()
            raise click.ClickException("no PostgreSQL server; the reason stands above") from None
        except BaseException:
            self._keeper.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._keeper.close()

    @property
    def version(self) -> str:
        return str(self._where["version"])

    def ask(self, do: str, timeout: float = 60.0, **more: Any) -> Any:
        """Have the keeper do something (see `postgres_keeper`)."""
        return self._keeper.ask(timeout, do=do, **more)

    def database(self, *, far: bool = False) -> Database:
        """A new, empty database; `far` by the line that takes its time."""
        name, where = self.ask("database"), self._where
        port = where["far_port" if far else "port"]
        url = f"postgresql://{where['user']}@127.0.0.1:{port}/{name}"
        return Database(url, Path(where["authority"]))


@contextmanager
def postgres_server(rig: Rig, round_trip_ms: float = 0.0) -> Iterator[PostgresServer]:
    """A server on the disk of the rig."""
    with PostgresServer(rig.folder.parent, round_trip_ms) as server:
        yield server


@dataclass(frozen=True, kw_only=True)
class PostgresSide(Side):
    """The addon with a database on a server. For one proxy: the next one needs a fresh database."""

    server: PostgresServer
    target: Database

    def _configuration(self, folder: Path) -> str:
        settings = {
            "database_url": self.target.url,
            "allow_private_database_url": True,
            "ssl_root_cert": str(self.target.authority),
            "durability": self.durability,
        }
        lines = "".join(f"{key}: {json.dumps(value)}\n" for key, value in settings.items())
        return lines + journals.configuration(folder)

    def connection_string(self, folder: Path) -> str:
        return self.target.connection_string()

    def settle_through(self, folder: Path, seq: int) -> float:
        """As of any side, over one connection."""
        start, journal = time.monotonic(), journals.find(folder)
        assert journal or not seq
        with self.target.connection() as connection:

            def is_done() -> bool:
                query = POSITION.format(journal.name if journal else "")
                row = connection.execute(query).fetchone()
                return row is not None and row[0] >= seq

            self._wait(is_done, "the database is behind", POLL_SECONDS)
        return time.monotonic() - start

    def complaint(self, folder: Path, exchanges: int) -> str | None:
        """Every exchange has to be there once: one row, one id, one response."""
        rows = self.target.row(ROWS)
        if set(rows) == {exchanges}:
            return None
        names = ("rows", "completed", "different ids", "responses")
        found = ", ".join(f"{number} {name}" for number, name in zip(rows, names, strict=True))
        return f"{exchanges} exchanges, {found}"

    def server_cpu_seconds(self) -> float:
        return float(self.server.ask("cpu"))

    def _number(self, folder: Path, query: str) -> int:
        return int(self.target.row(query)[0])


def sides(server: PostgresServer) -> list[PostgresSide]:
    """The addon with each durability of its journal."""
    return [
        PostgresSide(
            f"PostgreSQL, {durability}",
            durability=durability,
            server=server,
            target=server.database(),
        )
        for durability in Durability
    ]
