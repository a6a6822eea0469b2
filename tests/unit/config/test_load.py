"""Loading as a whole: files, environment, and all problems at once."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from response_store.config import Backend, ConfigError, in_force, load_config

from .conftest import Load, Refusal

URL = "RESPONSE_STORE_DATABASE_URL"


def test_no_file_means_the_defaults() -> None:
    """Without a file everything has its default, and the source says so."""
    config = load_config(None, {})
    assert config.source == "defaults"
    assert config.backend is Backend.SQLITE
    assert config.database.path == Path("responses.db")
    assert config.capture.apis == {"responses", "chat_completions"}
    assert config.completion_wait_ms == 1000


def test_the_source_is_the_file(load: Load, tmp_path: Path) -> None:
    """A configuration knows its file."""
    assert load("durability: process").source == str(tmp_path / "store.yaml")


def test_the_environment_wins_over_the_file(load: Load) -> None:
    """The URL in the environment replaces the one in the file, even a bad one."""
    config = load("database_url: sqlite://../file.db", {URL: "sqlite://environment.db"})
    assert config.database.path == Path("environment.db")


def test_an_empty_variable_counts_as_absent(load: Load) -> None:
    """A variable that is set to nothing, as templates do, changes nothing."""
    assert load("database_url: sqlite://file.db", {URL: ""}).database.path == Path("file.db")


def test_a_bad_url_in_the_environment_names_the_variable(refusal: Refusal) -> None:
    """The file is not blamed for what the environment says, and the value is not shown."""
    said = refusal("database_url: sqlite://x.db", {URL: "sqlite://s3cr3t/../x.db"})
    assert f"\n{URL}: database_url: the path has a '..' segment" in said
    assert "s3cr3t" not in said
    assert "store.yaml" not in said


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an environment given, that of the process counts."""
    monkeypatch.setenv(URL, "sqlite://process.db")
    assert load_config().database.path == Path("process.db")


def test_all_problems_come_at_once(refusal: Refusal, tmp_path: Path) -> None:
    """YAML, schema and rules are reported together, in the order of the lines."""
    said = refusal(
        "responses_table: select\n"
        "capture:\n"
        "  hosts: [ok.org, 5, 'a:1']\n"
        "  hots: []\n"
        "tenant: {id: '', header: Cookie, id: x}\n"
        "durability: 7\n"
        "database_url: sqlite://../x?mode=ro\n"
        "exchanges_table: 1x\n"
    )
    head, *rest = said.splitlines()
    assert head == "Response Store: the configuration is refused, 10 problems."
    places = [line.split(": ")[:2] for line in rest if not line.startswith(" ")]
    file = tmp_path / "store.yaml"
    assert places == [
        [f"{file}:1", "responses_table"],
        [f"{file}:3", "capture.hosts[1]"],
        [f"{file}:4", "capture.hots"],
        [f"{file}:5", "tenant.id"],
        [f"{file}:5", "tenant.id"],
        [f"{file}:5", "tenant.header"],
        [f"{file}:6", "durability"],
        [f"{file}:7", "database_url"],
        [f"{file}:7", "database_url"],
        [f"{file}:8", "exchanges_table"],
    ]


def test_a_mismatch_is_about_the_url(refusal: Refusal) -> None:
    """A PostgreSQL URL under backend: sqlite is refused without its password."""
    said = refusal({"backend": "sqlite", "database_url": "postgres://u:s3cr3t@192.0.2.1/db"})
    assert "backend is sqlite, but the URL's scheme is that of PostgreSQL" in said
    assert "s3cr3t" not in said


def test_what_is_in_force_holds_no_secret(load: Load) -> None:
    """The summary names what counts, and masks what may be credentials."""
    summary = in_force(load("database_url: sqlite://user:s3cr3t@x.db\ntenant: {header: X-T}"))
    assert summary["database"] == "***@x.db"
    assert summary["tenant.header"] == "x-t"
    assert "s3cr3t" not in str(summary)


def test_loading_opens_no_connection(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """Validation needs no network."""

    def refuse(*_: object) -> None:
        raise AssertionError("a socket was made")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    load("durability: process")
    with pytest.raises(ConfigError):
        load("durability: full")


def test_loading_opens_only_the_file_and_the_schema(tmp_path: Path) -> None:
    """In a fresh process, no file beside the YAML, the schema and Python's own is opened."""
    path = tmp_path / "store.yaml"
    path.write_text(f"database_url: sqlite://{tmp_path}/x.db\n")
    program = (
        "import sys\n"
        "from response_store.config import load_config\n"
        f"load_config({str(path)!r}, {{}})  # imports and caches\n"
        "opened = []\n"
        "sys.addaudithook(lambda event, args: event == 'open' and opened.append(str(args[0])))\n"
        f"load_config({str(path)!r}, {{}})\n"
        "print(opened, 'mitmproxy' in sys.modules, 'psycopg' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.split("\n")[0] == f"{[str(path)]} False False"
    assert [entry.name for entry in tmp_path.iterdir()] == ["store.yaml"]
