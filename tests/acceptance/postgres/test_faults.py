"""What befalls the database while traffic passes: nobody waits, nothing is lost, nothing twice.

One proxy lives through all of it. Each test strikes, sees what `status` says, and fixes.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.postgres.looking import (
    ask,
    assert_each_once,
    assert_nothing_waits,
    rows_of,
    status,
)
from tests.acceptance.postgres.traffic import Traffic
from tests.conftest import BY_TENANT
from tests.harness.line import Line
from tests.harness.postgres import PostgresDatabase, children_of
from tests.harness.proxy import Proxy, wait_until

if TYPE_CHECKING:
    from tests.acceptance.postgres.conftest import OnPostgres
    from tests.fakes.model_server import ModelServer
    from tests.harness.postgres import Postgres
    from tests.harness.postgres_fixtures import MakeLine


INSIDE = Path(__file__).with_name("inside.py")
IMPATIENT = Path(__file__).with_name("impatient.py")
DEADLINE = 1.0
ROLE, CANARY = "fickle", "canary-password"
PROMPT = 2.0  # seconds within which every answer ends, whatever the database does
PRLIMIT = shutil.which("prlimit") or "prlimit"
STALL = 0.5  # seconds that the event loop stands still at most; a wait of ours would be longer
FILLED = 2_000_000  # bytes of a table, more than the server's other files have
HANG_UP = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = %s"
FILL = """
INSERT INTO openai_exchanges (exchange_id, tenant_id, api, transport, state, started_at, method,
                              scheme, host, path, recorder_id, user_agent)
SELECT 'filler-' || n, 'filler', 'responses', 'http', 'completed', 0, 'POST', 'http', '', '', '',
       repeat('x', 1000)
FROM generate_series(1, %s / 1000) n"""
SIZE = "SELECT pg_relation_size('openai_exchanges') AS size"
IN_PUBLIC = f"INSERT, UPDATE ON ALL TABLES IN SCHEMA public {{}} {ROLE}"


@dataclass(frozen=True)
class Scene:
    """A proxy, the line that it writes through, and the database at the other end."""

    proxy: Proxy
    line: Line
    database: PostgresDatabase

    @property
    def server(self) -> Postgres:
        return self.database.server

    def says(self, words: str) -> dict[str, str]:
        """The status, once its last error has these words."""
        return wait_until(
            lambda: words in (told := status(self.proxy))["last error"] and told, words, 15
        )


@pytest.fixture(scope="module")
def scene(
    mortal: Postgres,
    model_server: ModelServer,
    authority: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Scene]:
    """One for all tests of this module; each leaves it fixed."""
    role = mortal.create_role(ROLE, password=CANARY)
    database = mortal.create_database(owner=role)
    with Line(mortal.port) as line:
        settings = {
            "database_url": database.url(
                user=role, password=CANARY, port=line.port, connect_timeout=2
            ),
            "allow_private_database_url": True,
            "ssl_mode": "disable",
            "pool": {"acquire_timeout_secs": 2},
        }
        with Proxy(
            tmp_path_factory.mktemp("faults"),
            authority=authority,
            mode=f"reverse:{model_server.url}",
            config=BY_TENANT | settings,
            first=[INSIDE],
            in_ingester=[IMPATIENT],
            environment={"HARNESS_DEADLINE": str(DEADLINE)},
        ) as proxy:
            proxy.command("harness.stall")  # the start is not what is measured
            yield Scene(proxy, line, database)


def held(scene: Scene) -> Iterator[None]:
    """Nothing passes in either direction, and no connection ends."""
    scene.line.hold()
    yield
    scene.line.restore()


def gone(scene: Scene) -> Iterator[None]:
    """All that is open is cut, and nobody listens."""
    scene.line.refuse()
    scene.line.cut()
    yield
    scene.line.restore()


def killed(scene: Scene) -> Iterator[None]:
    """`kill -9` of every process of the server."""
    scene.server.kill9()
    yield
    scene.server.start()


def read_only(scene: Scene) -> Iterator[None]:
    """As operators close a server before its disk is full."""
    scene.server.set(default_transaction_read_only="on")
    yield
    scene.server.set(default_transaction_read_only=None)


def too_many_connections(scene: Scene) -> Iterator[None]:
    """The role has no connection left, not even those it had."""
    scene.server.execute(f"ALTER ROLE {ROLE} CONNECTION LIMIT 0")
    scene.server.execute(HANG_UP, ROLE)
    yield
    scene.server.execute(f"ALTER ROLE {ROLE} CONNECTION LIMIT -1")


def without_rights(scene: Scene) -> Iterator[None]:
    """The role may read and no longer write."""
    scene.database.execute(f"REVOKE {IN_PUBLIC.format('FROM')}")
    yield
    scene.database.execute(f"GRANT {IN_PUBLIC.format('TO')}")


def without_a_table(scene: Scene) -> Iterator[None]:
    """Our own table is gone, and comes back as from a backup."""
    scene.database.execute("ALTER TABLE openai_exchanges RENAME TO away")
    yield
    scene.database.execute("ALTER TABLE away RENAME TO openai_exchanges")


@dataclass(frozen=True)
class Fault:
    """Something that befalls the database, and what `status` says of it: the phase, the error.

    `steps` strikes, and fixes when it is asked again.
    """

    steps: Callable[[Scene], Iterator[None]]
    phase: str
    words: str

    @contextmanager
    def strikes(self, scene: Scene) -> Iterator[None]:
        """Have it last as long as the block, whatever becomes of that."""
        steps = self.steps(scene)
        next(steps)
        try:
            yield
        finally:
            next(steps, None)

    def __str__(self) -> str:
        return self.steps.__name__


FAULTS = [
    Fault(held, "waiting", "gives no answer"),
    Fault(gone, "waiting", "is the server up"),
    Fault(killed, "waiting", "is the server up"),
    Fault(read_only, "waiting", "read-only"),
    Fault(too_many_connections, "waiting", "too many connections"),
    Fault(without_rights, "failed", "lacks a right"),
    Fault(without_a_table, "failed", "openai_exchanges is missing"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_fault(scene: Scene, fault: Fault, tenant: str) -> None:
    """While it lasts answers come at once, and status tells why records wait; then all come."""
    before = len(scene.proxy.output())
    with Traffic(scene.proxy, tenant) as traffic:
        traffic.passes(3)
        with fault.strikes(scene):
            told = scene.says(fault.words)
            traffic.passes(5)
        traffic.passes(3)
    assert told["store"].endswith(f", {fault.phase}")
    assert int(told["attempts"].split()[0]) >= 1
    assert CANARY not in str(told)
    assert_nobody_waited(scene, traffic)
    assert_all_is_well(scene, tenant, traffic.ids)
    assert CANARY not in scene.proxy.output()
    assert "Traceback" not in scene.proxy.output()[before:]


def test_a_full_disk(scene: Scene, tenant: str) -> None:
    """Where a file of the server can't grow, records wait until there is room."""
    scene.database.execute(FILL, FILLED)
    with Traffic(scene.proxy, tenant) as traffic:
        # A write that comes back short is what a full disk looks like, in the middle of a page.
        with no_file_beyond(scene.database.execute(SIZE)[0]["size"] + 100, scene.server):
            told = scene.says("SQLSTATE")
            traffic.passes(5)
        traffic.passes(3)
    assert not told["store"].endswith(", ready")
    assert_nobody_waited(scene, traffic)
    assert_all_is_well(scene, tenant, traffic.ids)


@contextmanager
def no_file_beyond(size: int, server: Postgres) -> Iterator[None]:
    """Let no file that the server's processes write grow beyond so many bytes."""
    limit_files(server, str(size))
    try:
        yield
    finally:
        limit_files(server, "unlimited")


def limit_files(server: Postgres, size: str) -> None:
    # As the server's own user: another one, even root, may not be allowed to.
    assert server.process is not None
    for pid in (server.process.pid, *children_of(server.process.pid)):
        with suppress(AssertionError):  # one that ends by itself
            server._programs.run(PRLIMIT, f"--pid={pid}", f"--fsize={size}:")


def test_a_dropped_table(scene: Scene, tenant: str) -> None:
    """A table that is gone for good is made again; what came since is in it."""
    kept = rows_of(scene.database)
    with Traffic(scene.proxy, tenant) as before:
        before.passes(3)
    scene.proxy.flush()
    scene.database.execute("DROP TABLE openai_responses")
    with Traffic(scene.proxy, tenant) as traffic:
        traffic.passes(5)
    assert_nobody_waited(scene, traffic)
    kept.all_ended(tenant, len(before.ids + traffic.ids), 15)
    assert sorted(row["id"] for row in kept.responses(tenant)) == sorted(traffic.ids)
    assert_nothing_waits(scene.proxy)


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_restart(scene: Scene, mode: str, tenant: str) -> None:
    """A server that is restarted is found again by itself."""
    with Traffic(scene.proxy, tenant) as traffic:
        traffic.passes(3)
        scene.server.restart(mode)
        traffic.passes(3)
    assert_nobody_waited(scene, traffic)
    assert_all_is_well(scene, tenant, traffic.ids)


def test_a_line_that_is_cut_in_batches(scene: Scene, tenant: str) -> None:
    """Wherever a batch is cut off, also after the commit that nobody heard of, it comes once."""
    line = scene.line
    cuts = [partial(line.cut_after, size) for size in (1, 700, 2_000, 5_000)]
    cuts += [partial(line.cut_before, b"COMMIT\0"), partial(line.cut_before, b"BEGIN\0")]
    with Traffic(scene.proxy, tenant) as traffic:
        for cut in cuts:
            before = line.accepted
            cut()
            wait_until(lambda before=before: line.accepted > before, "a new connection")
            traffic.passes(1)
    assert_nobody_waited(scene, traffic)
    assert_all_is_well(scene, tenant, traffic.ids)


def test_a_slow_line(
    on_postgres: OnPostgres, scene: Scene, make_line: MakeLine, tenant: str
) -> None:
    """At 1 KB/s records arrive, if slowly, and nobody else becomes slow."""
    line, kept = make_line(scene.server.port), rows_of(scene.database)
    url = scene.database.url(user=ROLE, password=CANARY, port=line.port)
    with on_postgres(url) as proxy:
        ids = ask(proxy, tenant, 2)
        proxy.flush()
        line.slow(1024)
        with Traffic(proxy, tenant) as traffic:
            traffic.passes(10)
        wait_until(lambda: len(kept.exchanges(tenant)) > 2, "a slow row arrives", 20)
        told = status(proxy)
        line.restore()
        assert_each_once(kept, tenant, ids + traffic.ids)
    assert traffic.slowest < PROMPT
    assert told["last error"] == "none"
    assert not told["not in the database yet"].startswith("0 frames")


def assert_nobody_waited(scene: Scene, traffic: Traffic) -> None:
    assert traffic.slowest < PROMPT
    assert float(scene.proxy.command("harness.stall")) < STALL


def assert_all_is_well(scene: Scene, tenant: str, ids: list[str]) -> None:
    assert_each_once(rows_of(scene.database), tenant, ids)
    assert_nothing_waits(scene.proxy)
