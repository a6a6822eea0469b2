"""Real PostgreSQL servers: started from a template, restarted, killed, frozen, and asked.

    with Template() as template, Postgres(template, certificate=certificates.right) as server:
        database = server.create_database()
        database.url(sslmode="verify-full"), database.execute("SELECT 1")

They listen on loopback. `OWNER` owns the databases and is no superuser; the superuser comes in by
the socket alone, which is the way of `execute`. Every wait has a deadline, and only processes that
were started here are ended. A server that is killed loses nothing that it committed, with or
without `fsync`: that setting matters when the machine loses its power.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlencode

import psycopg
from filelock import FileLock
from psycopg import sql
from psycopg.rows import dict_row

from tests.harness.ports import LOOPBACK, free_port
from tests.harness.postgres_certificates import ServerCertificate
from tests.harness.postgres_programs import Programs, find_programs, reachable_folder
from tests.harness.proxy import wait_until

Row = dict[str, Any]

SUPERUSER = "postgres"
OWNER = "owner"
BY_PASSWORD = "by_password"
START_TIMEOUT = 30.0
STOP_TIMEOUT = 10.0

# What holds in every database, whatever the version. A single-user server reads it line by line.
PREPARATION = f"""\
CREATE ROLE {BY_PASSWORD};
CREATE ROLE {OWNER} LOGIN;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
"""

SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_permissions": "0700",
    "password_encryption": "scram-sha-256",
    "log_line_prefix": "%m [%p] %u@%d ",
    "max_connections": "60",
    "shared_buffers": "32MB",
    "autovacuum": "off",
    # In the folder of the server, which goes with it even if it was killed.
    "dynamic_shared_memory_type": "mmap",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}

CLIENTS = f"""\
local all all trust
host all {SUPERUSER} all reject
host all +{BY_PASSWORD} all scram-sha-256
host all all all trust
"""
NO_PLAIN_CLIENTS = "hostnossl all all all reject\n"

STOP_SIGNALS = {
    "smart": signal.SIGTERM,
    "fast": signal.SIGINT,
    "immediate": signal.SIGQUIT,
}

# A server that was killed leaves processes behind that end a moment later.
PASSING = ("pre-existing shared memory block", 'lock file "postmaster.pid" already exists')
PORT_TAKEN = "Address already in use"


class Template:
    """An initialised data folder to copy servers from, in a folder that holds the servers too.

    Processes that name the same folder share it: one of them makes it. Otherwise it is this one's
    own, and goes with it.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._is_shared = folder is not None
        self.folder = folder or reachable_folder()
        self._numbers = itertools.count(1)
        try:
            with FileLock(self.folder / "lock"):
                self.programs = self._make()
        except BaseException:
            self.close()
            raise

    def copy(self) -> Path:
        """A new folder for a server: `data` is in it, a copy of the template."""
        folder = self.new_folder(f"{os.getpid()}-{next(self._numbers)}")
        self.programs.run("/bin/cp", "-a", str(self.folder / "template"), str(folder / "data"))
        return folder

    def new_folder(self, name: str) -> Path:
        """An empty folder of the user that runs the servers."""
        folder = self.folder / name
        folder.mkdir(mode=0o700)
        return self.programs.give(folder)

    def close(self) -> None:
        """Remove it, and what the servers left behind, unless others share it."""
        if not self._is_shared:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _make(self) -> Programs:
        self.programs = find_programs(self.folder)
        if (self.folder / "template").exists():
            return self.programs
        data = str(self.new_folder("making"))
        how = ["--encoding=UTF8", "--locale=C", "--no-sync", "--wal-segsize=1"]
        self.programs.run("initdb", "-D", data, "--auth=trust", f"--username={SUPERUSER}", *how)
        self.programs.run("postgres", "--single", "-F", "-D", data, "template1", typed=PREPARATION)
        (self.folder / "making").rename(self.folder / "template")
        return self.programs


class Postgres:
    """One server. It starts when it is opened; `port` stays the same until it is closed.

    With a certificate it speaks TLS, with `only_tls` nothing else. `settings` are PostgreSQL's.
    """

    def __init__(
        self,
        template: Template,
        *,
        certificate: ServerCertificate | None = None,
        only_tls: bool = False,
        fsync: bool = False,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None
        self._programs = template.programs
        self._folder = template.copy()
        self._data = self._folder / "data"
        self._numbers = itertools.count(1)
        self._kept: psycopg.Connection[Row] | None = None
        switch = "on" if fsync else "off"
        self._settings = SETTINGS | {"fsync": switch, "full_page_writes": switch}
        self._settings |= {"unix_socket_directories": str(self._folder)} | dict(settings or {})
        self._write("pg_hba.conf", (NO_PLAIN_CLIENTS if only_tls else "") + CLIENTS)
        if certificate is not None:
            self._write_certificate(certificate)

    @property
    def socket_folder(self) -> Path:
        """The folder of the server's socket, to give as a host."""
        return self._folder

    @property
    def running(self) -> bool:
        """Whether the server's first process is there."""
        return self.process is not None and self.process.poll() is None

    def open(self) -> Self:
        """Start the server on a free port."""
        for _ in range(5):
            self.port = free_port()
            with suppress(_PortTakenError):
                return self.start()
        raise AssertionError(f"no free port:\n{self.log()}")

    def start(self) -> Self:
        """Start the server on its port, and wait until it serves."""
        assert self.port, "a new server starts with `open`"
        assert not self.running, "the server runs already"
        self._write_settings()
        deadline = monotonic() + START_TIMEOUT
        while not self._starts(deadline):
            assert monotonic() < deadline, f"no start within {START_TIMEOUT} s:\n{self.log()}"
            sleep(0.05)
        return self

    def stop(self, mode: str = "fast") -> None:
        """End the server as its operators do: "smart", "fast" or "immediate"."""
        assert self.process is not None
        self._let_go()
        self.thaw()
        self.process.send_signal(STOP_SIGNALS[mode])
        try:
            self.process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.kill9()
            raise AssertionError(f"runs after {STOP_TIMEOUT} s:\n{self.log()}") from None

    def restart(self, mode: str = "fast") -> None:
        """Stop and start."""
        self.stop(mode)
        self.start()

    def kill9(self) -> None:
        """End every process of the server at once, with SIGKILL."""
        self._let_go()
        if self.process is not None and self.running:
            # Once it is stopped it starts no other, and they are still known as its children.
            self.process.send_signal(signal.SIGSTOP)
            self._signal_all(signal.SIGKILL)
            self.process.wait(STOP_TIMEOUT)

    def freeze(self) -> None:
        """Stop every process where it is: connections stay open, and nobody answers."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let the processes of a frozen server go on."""
        self._signal_all(signal.SIGCONT)

    def close(self) -> None:
        """End the server if it still runs, and remove its files."""
        if self.running:
            with suppress(AssertionError):
                self.stop("immediate")
        self.kill9()
        shutil.rmtree(self._folder, ignore_errors=True)

    def log(self) -> str:
        """What the server has said so far."""
        path = self._folder / "log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def url(
        self,
        database: str = "postgres",
        *,
        user: str = OWNER,
        password: str | None = None,
        host: str = LOOPBACK,
        port: int | None = None,
        **parameters: Any,
    ) -> str:
        """A URL to the server; `port` is that of a line before it, `parameters` are libpq's."""
        secret = "" if password is None else f":{quote(password, safe='')}"
        place = f"[{host}]" if ":" in host else quote(host, safe="")
        path = quote(database, safe="")
        asked = f"?{urlencode(parameters, quote_via=quote)}" if parameters else ""
        user = quote(user, safe="")
        return f"postgresql://{user}{secret}@{place}:{port or self.port}/{path}{asked}"

    def connect(self, database: str = "postgres") -> psycopg.Connection[Row]:
        """Connect as the superuser, by the socket; each statement is a transaction of its own."""
        return psycopg.connect(
            host=str(self._folder),
            port=self.port,
            user=SUPERUSER,
            dbname=database,
            connect_timeout=10,
            autocommit=True,
            options="-c default_transaction_read_only=off",
            row_factory=dict_row,
            prepare_threshold=None,
        )

    def execute(self, statement: str, *values: Any, database: str = "postgres") -> list[Row]:
        """Run a statement as the superuser, by the socket, in a transaction of its own."""
        with self.connect(database) as connection:
            cursor = connection.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    def create_role(self, name: str, *, password: str | None = None, options: str = "") -> str:
        """Make a role that may log in and create nothing, and return its name.

        With a password the server asks for it, without one it trusts. `options` are those of
        CREATE ROLE, such as `CONNECTION LIMIT 2`.
        """
        parts = [sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(name)), sql.SQL(options)]
        if password is not None:
            secret = sql.SQL("PASSWORD {} IN ROLE {}")
            parts.append(secret.format(sql.Literal(password), sql.Identifier(BY_PASSWORD)))
        self._run(sql.SQL(" ").join(parts))
        return name

    def create_database(
        self, name: str | None = None, *, template: str = "template1", owner: str = OWNER
    ) -> PostgresDatabase:
        """Make a database, a copy of another one that nobody is connected to."""
        made = PostgresDatabase(self, name or f"test_{next(self._numbers)}")
        # Newer servers copy page by page unless told otherwise, at twice the price.
        strategy = "STRATEGY FILE_COPY" if self._keep().info.server_version >= 150000 else ""
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {} " + strategy)
        self._run(statement.format(*map(sql.Identifier, (made.name, template, owner))))
        return made

    def set(self, **settings: str | None) -> None:
        """Change settings of the server; None takes back what was set.

        A server that runs obeys at its next transactions. What it can't change while it runs is an
        error: give it at the start, or stop the server first.
        """
        for name, value in settings.items():
            self._settings.pop(name, None)
            if value is not None:
                self._settings[name] = value
        self._write_settings()
        if self.running:
            self.reload()
            asked = "SELECT name FROM pg_settings WHERE pending_restart"
            pending = [row["name"] for row in self.execute(asked)]
            assert not pending, f"set only while the server is stopped: {pending}"

    def present(self, certificate: ServerCertificate) -> None:
        """Show this certificate from now on; for a server that was made with one."""
        assert "ssl" in self._settings, "the server was made without a certificate"
        self._write_certificate(certificate)
        if self.running:
            self.reload()

    def reload(self) -> None:
        """Have the server read its files again, and wait until new connections obey them."""
        assert self.process is not None
        before = self._loaded()
        self.process.send_signal(signal.SIGHUP)
        wait_until(lambda: self._loaded() != before, "the server has read its files")

    def __enter__(self) -> Self:
        try:
            return self.open() if self.process is None else self
        except BaseException:
            self.close()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _run(self, statement: sql.Composed) -> None:
        self._keep().execute(statement)

    def _keep(self) -> psycopg.Connection[Row]:
        """Return a connection that stays until the server ends."""
        if self._kept is None:
            self._kept = self.connect()
        return self._kept

    def _let_go(self) -> None:
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def _loaded(self) -> Any:
        return self.execute("SELECT pg_conf_load_time() AS loaded")[0]["loaded"]

    def _starts(self, deadline: float) -> bool:
        """Whether the server came up; False if what kept it from that passes."""
        said = len(self.log())
        with (self._folder / "log").open("ab") as log:
            self.process = self._programs.popen(
                "postgres",
                "-D",
                str(self._data),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        while self.running and not self._ready():
            if monotonic() > deadline:
                self.kill9()
            sleep(0.005)
        if self.running:
            return True
        news = self.log()[said:]
        if PORT_TAKEN in news:
            raise _PortTakenError(news)
        assert any(text in news for text in PASSING), f"the server did not start:\n{news}"
        return False

    def _ready(self) -> bool:
        assert self.process is not None
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) > 7 and lines[0] == str(self.process.pid) and lines[7].strip() == "ready"

    def _signal_all(self, number: signal.Signals) -> None:
        if self.process is None or not self.running:
            return
        for pid in [self.process.pid, *children_of(self.process.pid)]:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def _write_certificate(self, certificate: ServerCertificate) -> None:
        self._settings |= {"ssl": "on", "ssl_cert_file": "server.crt", "ssl_key_file": "server.key"}
        self._write("server.crt", certificate.certificate.read_text())
        self._write("server.key", certificate.key.read_text())

    def _write_settings(self) -> None:
        settings = self._settings | {"port": str(self.port)}
        lines = [f"{name} = '{_quoted(value)}'\n" for name, value in settings.items()]
        # It is read last, and so it wins.
        self._write("postgresql.auto.conf", "".join(lines))

    def _write(self, name: str, text: str) -> None:
        path = self._data / name
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)
        path.write_text(text, encoding="utf-8")
        self._programs.give(path)


@dataclass(frozen=True)
class PostgresDatabase:
    """One database of a server."""

    server: Postgres
    name: str

    def url(self, **how: Any) -> str:
        """A URL to the database, with the arguments of `Postgres.url`."""
        return self.server.url(self.name, **how)

    def execute(self, statement: str, *values: Any) -> list[Row]:
        """Run a statement as the superuser, in a transaction of its own."""
        return self.server.execute(statement, *values, database=self.name)

    def drop(self) -> None:
        """Remove the database, and end the connections to it."""
        statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
        self.server._run(statement.format(sql.Identifier(self.name)))


class _PortTakenError(Exception):
    """Another process took the port between the look and the start."""


def children_of(parent: int) -> list[int]:
    """The processes that a process has started and that still run."""
    if not Path("/proc/self/stat").exists():
        listed = subprocess.check_output(["ps", "-A", "-o", "pid=,ppid="], text=True)
        pairs = [line.split() for line in listed.splitlines()]
        return [int(pid) for pid, its_parent in pairs if int(its_parent) == parent]
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # The name of the program stands in brackets, and may hold any letter.
            if int(stat.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(stat.parent.name))
    return found


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "''")
