"""`response-store config check`."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from response_store.cli import main
from response_store.config import ConfigError, load_config


def check(path: Path, **environ: str) -> Result:
    return CliRunner(env=environ).invoke(main, ["config", "check", str(path)])


def test_a_good_file_is_told_and_exits_with_0(tmp_path: Path) -> None:
    """What is in force goes to standard output."""
    path = tmp_path / "store.yaml"
    path.write_text("durability: power\n")
    result = check(path)
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{path}: ok\n")
    assert "\n  durability              power\n" in result.stdout
    assert "\n  journal.max_bytes       1073741824\n" in result.stdout
    assert result.stderr == ""


def test_json_for_programs(tmp_path: Path) -> None:
    """The file may be named as in other commands, and what is told is one object."""
    path = tmp_path / "store.yaml"
    path.write_text(f"durability: power\ndatabase_url: sqlite:///{tmp_path}/x.db\n")
    arguments = ["config", "check", "--config", str(path), "--connect", "--json"]
    told = json.loads(CliRunner().invoke(main, arguments).stdout)
    assert (told["source"], told["settings"]["durability"]) == (str(path), "power")
    assert told["connection"]["problems"] == []
    assert dict(told["connection"]["facts"])


def test_a_bad_file_gives_the_same_text_and_2(tmp_path: Path) -> None:
    """Standard error holds exactly what mitmproxy would say, and nothing else."""
    path = tmp_path / "store.yaml"
    path.write_text("durability: full\nbackend: postgres\n")
    with pytest.raises(ConfigError) as caught:
        load_config(path, {})
    result = check(path)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr == f"{caught.value}\n"


def test_a_missing_file_is_a_problem_like_any_other(tmp_path: Path) -> None:
    """A missing file has the same form and status."""
    result = check(tmp_path / "nowhere.yaml")
    assert result.exit_code == 2
    assert "there is no such file" in result.stderr


def test_the_environment_counts(tmp_path: Path) -> None:
    """The URL of the environment is what is checked, and never shown."""
    path = tmp_path / "store.yaml"
    path.write_text("")
    result = check(path, RESPONSE_STORE_DATABASE_URL="postgres://u:s3cr3t@192.0.2.1/db")
    assert result.exit_code == 2
    assert "RESPONSE_STORE_DATABASE_URL" in result.stderr
    assert "s3cr3t" not in result.output


def test_nothing_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A check opens no database."""
    monkeypatch.chdir(tmp_path)
    Path("store.yaml").write_text("database_url: sqlite://x.db\n")
    assert check(Path("store.yaml")).exit_code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["store.yaml"]


def test_what_is_unsafe_is_warned_of(tmp_path: Path) -> None:
    """A mode that verifies nothing is no error, and standard error says what is at stake."""
    path = tmp_path / "store.yaml"
    path.write_text("database_url: postgres://u:s3cr3t@1.2.3.4/db\nssl_mode: prefer\n")
    result = check(path)
    assert result.exit_code == 0
    assert "\n  ssl_root_cert           none: the server is not verified\n" in result.stdout
    assert result.stderr.startswith("Warning: ssl_mode is prefer: the server is unverified")
    assert result.stderr.count("\n") == 1
    assert "s3cr3t" not in result.output


def test_nothing_is_connected_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without being told to, a check asks neither a resolver nor a server."""

    def refuse(*_: object) -> None:
        raise AssertionError("a socket was made")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    path = tmp_path / "store.yaml"
    path.write_text("database_url: postgres://u@db.example.net/db\nallow_dns_database_url: true\n")
    assert check(path).exit_code == 0
