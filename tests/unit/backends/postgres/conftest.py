"""Databases on the shared server, servers of one's own, and checks of a configuration."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import yaml
from click.testing import CliRunner

from response_store.cli import main
from tests.harness.line import Line
from tests.harness.postgres import Postgres, PostgresDatabase
from tests.harness.postgres_shared import shared_server, shared_template


@pytest.fixture
def database() -> Iterator[PostgresDatabase]:
    """An empty database on the shared server."""
    made = shared_server().create_database()
    yield made
    made.drop()


@pytest.fixture
def line(database: PostgresDatabase) -> Iterator[Line]:
    """A line to the shared server."""
    with Line(database.server.port) as line:
        yield line


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A server that a test may end; it starts it again."""
    with Postgres(shared_template()) as server:
        yield server


CANARY = "c4n4ry-p4ssword"


@dataclass(frozen=True)
class Told:
    """What came of a check: the facts by their names, the problems, and whether it was fine."""

    fine: bool
    facts: dict[str, str]
    problems: str
    warnings: list[str]


Check: TypeAlias = Callable[..., Told]


@pytest.fixture(autouse=True)
def nothing_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    """What OpenSSL and this program read from the environment is not set."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "RESPONSE_STORE_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """Checks a configuration with this URL, which may lead to loopback, and these keys."""

    def check(url: str, **keys: Any) -> Told:
        values = {"database_url": url, "allow_private_database_url": True} | keys
        path = tmp_path / "store.yaml"
        path.write_text(yaml.safe_dump(values))
        result = CliRunner().invoke(main, ["config", "check", "--connect", str(path)])
        assert result.exception is None or isinstance(result.exception, SystemExit)
        assert CANARY not in result.output
        told = result.stderr.splitlines()
        warnings = [line for line in told if line.startswith("Warning: ")]
        problems = "\n".join(line for line in told if line not in warnings)
        assert result.exit_code == (2 if problems else 0)
        head, _, facts = result.stdout.partition("\nconnection: ")
        assert head.startswith(f"{path}: ok\n")
        assert facts.startswith("refused\n" if problems else "ok\n")
        named = re.findall(r"^  (\S+(?: \S+)*) {2,}(.+)$", facts, re.MULTILINE)
        return Told(not problems, dict(named), problems, warnings)

    return check
