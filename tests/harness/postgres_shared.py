"""The PostgreSQL servers that tests share: each test takes a database of its own on one.

The template is made once a run, whichever process of the run needs it first; each process starts
its own servers from it, and only when a test asks for one. `open_run` and `close_run` stand around
a run, in the first process and in its workers.
"""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import psycopg

from response_store.config.ip_ranges import HostPolicy
from response_store.config.postgres_target import PostgresTarget, build_postgres_target
from tests.harness.pgbouncer import pgbouncer
from tests.harness.postgres import Postgres, PostgresDatabase, Row, Template
from tests.harness.postgres_certificates import PostgresCertificates, make_postgres_certificates
from tests.harness.postgres_programs import reachable_folder

# The processes of a run inherit it from the first one.
RUN_FOLDER = "TEST_POSTGRES_RUN_FOLDER"

_opened = ExitStack()


def open_run() -> None:
    """Make the folder of the run; for its first process, before the others start."""
    os.environ[RUN_FOLDER] = str(reachable_folder())


def close_run(*, first: bool) -> None:
    """End this process's servers, for good; the first process outlives the others, and tidies."""
    _opened.close()
    if first:
        shutil.rmtree(os.environ.pop(RUN_FOLDER), ignore_errors=True)


@cache
def shared_template() -> Template:
    """The template of every server of the run."""
    return _opened.enter_context(Template(Path(os.environ[RUN_FOLDER])))


@cache
def shared_certificates() -> PostgresCertificates:
    """An authority, and certificates that are right and wrong."""
    folder = Path(os.environ[RUN_FOLDER]) / f"certificates-{os.getpid()}"
    return make_postgres_certificates(folder)


@cache
def shared_server() -> Postgres:
    """The server that speaks plain text only. Never stop it: its users are many."""
    return _opened.enter_context(Postgres(shared_template()))


@cache
def shared_pooler(mode: str) -> int:
    """The port of a PgBouncer before the shared server, in this mode."""
    folder = Path(os.environ[RUN_FOLDER]) / f"pgbouncer-{mode}-{os.getpid()}"
    return _opened.enter_context(pgbouncer(shared_server(), folder, mode))


@cache
def shared_database() -> PostgresDatabase:
    """A database of the shared server, for tests one after the other; each leaves it empty."""
    return shared_server().create_database()


@cache
def shared_connection() -> psycopg.Connection[Row]:
    """The superuser's connection to that database, for one statement after the other."""
    connection = _opened.enter_context(shared_server().connect(shared_database().name))
    connection.prepare_threshold = None  # tables come and go
    return connection


@cache
def shared_tls_server() -> Postgres:
    """The server that speaks TLS, with the right certificate, and plain text. Never stop it."""
    certificate = shared_certificates().right
    return _opened.enter_context(Postgres(shared_template(), certificate=certificate))


def target_of(url: str) -> PostgresTarget:
    """What a URL to a server of the tests names: in plain text, unless the URL says otherwise."""
    mode = None if "sslmode=" in url else "disable"
    return build_postgres_target(url, HostPolicy.PRIVATE, ssl_mode=mode)
