"""The PostgreSQL server that tests share: each takes a database of its own on it."""

from __future__ import annotations

import atexit
from functools import cache

from response_store.config.addresses import Reach
from response_store.config.postgres_target import PostgresTarget, postgres_target
from tests.harness.postgres import Postgres, Template


@cache
def shared_template() -> Template:
    """The template of every server of this process; it goes with the process."""
    template = Template()
    atexit.register(template.close)
    return template


@cache
def shared_server() -> Postgres:
    """A server that runs until the process ends. Never stop it: its users are many."""
    server = Postgres(shared_template()).open()
    atexit.register(server.close)
    return server


def target_of(url: str) -> PostgresTarget:
    """What a URL to a server of the tests names: in plain text, unless the URL says otherwise."""
    mode = None if "sslmode=" in url else "disable"
    return postgres_target(url, Reach.PRIVATE, ssl_mode=mode)
