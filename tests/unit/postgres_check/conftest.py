"""Runs `response-store config check --connect`, and reads what it tells."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import yaml
from click.testing import CliRunner

from response_store.cli import main

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
