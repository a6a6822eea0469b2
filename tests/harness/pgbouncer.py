"""A real PgBouncer before a server of the tests, on a free port."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.harness.ports import free_port
from tests.harness.postgres import Postgres
from tests.harness.postgres_programs import USERS

PROGRAM = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")
_SETTINGS = """\
[databases]
* = host=127.0.0.1 port={server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
auth_type = trust
auth_file = {users}
unix_socket_dir =
pool_mode = {mode}
default_pool_size = {size}
"""

_SIZES = {"transaction": 5, "session": 20}


@contextmanager
def pgbouncer(server: Postgres, folder: Path, mode: str) -> Iterator[int]:
    """Run one in this mode, `transaction` or `session`, and give its port."""
    assert PROGRAM is not None
    port = free_port()
    folder.mkdir(exist_ok=True)
    settings = folder / "pgbouncer.ini"
    users = folder / "users.txt"
    users.write_text('"owner" ""\n')
    users.chmod(0o644)
    # Sessions are kept for as long as a client is there, and each proxy has a few.
    values = {"port": port, "mode": mode, "users": users, "size": _SIZES[mode]}
    settings.write_text(_SETTINGS.format(server=server.port, **values))
    for path in (folder, *folder.parents):
        if path == Path("/tmp"):
            break
        path.chmod(path.stat().st_mode | 0o055)
    settings.chmod(0o644)
    as_other = ["-u", _user()] if _is_root() else []
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([PROGRAM, *as_other, str(settings)], stdout=log, stderr=log)
    try:
        _wait(port, process, folder / "log")
        yield port
    finally:
        process.terminate()
        process.wait(10)


def _is_root() -> bool:
    return os.geteuid() == 0


def _user() -> str:
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in USERS if name in known)


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and process.poll() is None:
        try:
            psycopg.connect(f"host=127.0.0.1 port={port} dbname=postgres user=owner").close()
        except psycopg.OperationalError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError(log.read_text(errors="replace"))
