"""Loading as a whole: files, environment, and all problems at once."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from response_store.config import (
    Acknowledge,
    Backend,
    ConfigError,
    Durability,
    JournalConfig,
    PoolConfig,
    Serve,
    list_effective_settings,
    list_security_warnings,
    load_config,
)
from response_store.config.ip_ranges import HostPolicy
from response_store.config.postgres_target import PostgresTarget
from response_store.config.tls import SslMode, TlsPlan
from tests.unit.config.conftest import Load, Refusal

URL = "RESPONSE_STORE_DATABASE_URL"


def test_no_file_means_the_defaults() -> None:
    """Without a file everything has its default, and the source says so."""
    config = load_config(None, {})
    assert config.source == "defaults"
    assert config.backend is Backend.SQLITE
    assert config.acknowledge is Acknowledge.JOURNAL
    assert config.journal == JournalConfig(None, 2**30)
    assert config.durability is Durability.PROCESS
    assert config.pool == PoolConfig(0, 10, 600, 30)
    assert config.database.path == Path("responses.db")
    assert config.capture.apis == {
        "responses", "chat_completions", "completions", "responses_compact", "conversations",
        "stored_completions",
    }  # fmt: skip
    assert config.completion_wait_ms == 1000


def test_serving(load: Load) -> None:
    """Whether it is served, and to whom, is told among what is in force; remote is warned of."""
    assert (
        list_effective_settings(load("")).items()
        >= {"serve": "off", "serve_remote": "false"}.items()
    )
    here, remote = load({"serve": "only"}), load({"serve": "prefer", "serve_remote": True})
    assert (here.serve, here.serve_remote) == (Serve.ONLY, False)
    assert (
        list_effective_settings(remote).items()
        >= {"serve": "prefer", "serve_remote": "true"}.items()
    )
    assert (
        list_security_warnings(here) == list_security_warnings(load({"serve_remote": True})) == ()
    )
    (warning,) = list_security_warnings(remote)
    assert "everyone who reaches this proxy" in warning


def test_the_source_is_the_file(load: Load, tmp_path: Path) -> None:
    """A configuration knows its file."""
    assert load("durability: process").source == str(tmp_path / "store.yaml")


def test_the_environment_wins_over_the_file(load: Load) -> None:
    """The URL in the environment replaces the one in the file, even a bad one."""
    config = load("database_url: sqlite://../file.db", {URL: "sqlite://environment.db"})
    assert config.database.path == Path("environment.db")


@pytest.mark.parametrize("content", ["", "backend: postgres\n"])
def test_the_environment_may_name_postgresql(content: str, load: Load) -> None:
    """The scheme of the URL in the environment says the backend, where the file does not."""
    config = load(content, {URL: "postgres://u:s3cr3t@1.2.3.4:6432/db"})
    assert config.backend is Backend.POSTGRES
    assert config.database.describe() == "postgres://1.2.3.4:6432/db"
    assert "s3cr3t" not in f"{config!r} {list_effective_settings(config)}"


def test_the_environment_is_bound_to_the_file(refusal: Refusal) -> None:
    """What the file says of backend, names and addresses holds for that URL too."""
    for content, url in (
        ("backend: sqlite", "postgres://u:s3cr3t@1.2.3.4/db"),
        ("backend: postgres", "postgres://u:s3cr3t@db.example.net/db"),
        ("allow_dns_database_url: true", "postgres://u:s3cr3t@10.0.0.1/db"),
    ):
        said = refusal(content, {URL: url})
        assert f"\n{URL}: database_url: " in said
        assert "store.yaml" not in said
        assert "s3cr3t" not in said


def test_postgresql_is_loaded_as_it_is_written(load: Load) -> None:
    """Every key of PostgreSQL comes to where it belongs."""
    config = load(
        "database_url: postgres://u:p@db.example.net/db\n"
        "allow_dns_database_url: true\n"
        "ssl_mode: verify-ca\n"
        "ssl_root_cert: /ca.pem\n"
        "acknowledge: database\n"
        "journal: {path: /var/journals, max_bytes: 1048576}\n"
        "pool: {min_connections: 1, max_connections: 2, idle_timeout_secs: 3}\n"
    )
    assert isinstance(config.database, PostgresTarget)
    assert config.database.host_policy is HostPolicy.PUBLIC_NAMES
    assert config.database.tls == TlsPlan(SslMode.VERIFY_CA, "/ca.pem")
    assert config.acknowledge is Acknowledge.DATABASE
    assert config.journal == JournalConfig(Path("/var/journals"), 1_048_576)
    assert config.pool == PoolConfig(1, 2, 3, 30)


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
    summary = list_effective_settings(
        load("database_url: sqlite://user:s3cr3t@x.db\ntenant: {header: X-T}")
    )
    assert summary["database"] == "***@x.db"
    assert summary["tenant.header"] == "x-t"
    assert "s3cr3t" not in str(summary)


def test_what_is_in_force_with_postgresql(load: Load) -> None:
    """The summary has what counts with PostgreSQL alone, and no user and no password."""
    config = load(
        "database_url: postgres://ann:s3cr3t@10.0.0.1/db\n"
        "allow_private_database_url: true\n"
        "ssl_root_cert: /ca.pem\n"
        "journal: {path: 'ann:s3cr3t@journals'}\n"
    )
    summary = list_effective_settings(config)
    assert summary["database"] == "postgres://10.0.0.1:5432/db"
    assert (summary["ssl_mode"], summary["ssl_root_cert"]) == ("verify-full", "/ca.pem")
    assert summary["journal.path"] == "***@journals"
    assert summary["pool.idle_timeout_secs"] == "600"
    assert summary["database hosts"].startswith("all names, addresses and sockets")
    assert "s3cr3t" not in str(summary)
    assert "ann" not in str(summary)
    assert not {"ssl_mode", "pool.idle_timeout_secs"} & list_effective_settings(load("")).keys()


@pytest.mark.parametrize("url", ["sqlite://x.db", "postgres://u@1.2.3.4/db"])
def test_what_is_in_force_of_the_journal(url: str, load: Load) -> None:
    """Every backend has a journal; its default folder depends on the environment."""
    defaults = list_effective_settings(load({"database_url": url}))
    assert (defaults["durability"], defaults["acknowledge"]) == ("process", "journal")
    assert defaults["journal.path"] == "none: in $STATE_DIRECTORY, else in the user's state folder"
    assert defaults["journal.max_bytes"] == str(2**30)
    configured = list_effective_settings(
        load({"database_url": url, "journal": {"path": "/var/journals"}})
    )
    assert configured["journal.path"] == "/var/journals"


def test_a_path_below_the_home_folder(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ~ at the start is the home folder, and elsewhere a letter."""
    monkeypatch.setenv("HOME", "/home/ann")
    assert load("journal: {path: ~/j}").journal.path == Path("/home/ann/j")
    assert load("journal: {path: a/~/j}").journal.path == Path("a/~/j")


@pytest.mark.parametrize(
    ("host", "keys", "words"),
    [
        ("1.2.3.4", "", None),
        ("1.2.3.4", "ssl_mode: disable", "plain text"),
        ("1.2.3.4", "ssl_mode: prefer", "the server is unverified"),
        ("1.2.3.4", "ssl_mode: require", "the server is unverified"),
        ("1.2.3.4", "ssl_mode: verify-ca", "any server that a public authority signed"),
        ("10.0.0.1", "allow_private_database_url: true\nssl_mode: disable", None),
        ("db.example.net", "allow_dns_database_url: true\nssl_mode: prefer", "prefer: the server"),
        ("db.example.net", "allow_private_database_url: true\nssl_mode: prefer", "Should that"),
        ("db.example.net", "allow_private_database_url: true\nssl_mode: disable", "plain text"),
        ("db", "allow_private_database_url: true\nssl_mode: prefer", None),
        ("localhost.", "allow_private_database_url: true\nssl_mode: prefer", None),
        ("db.localhost", "allow_private_database_url: true\nssl_mode: prefer", None),
        ("%2Frun%2Fpg", "allow_private_database_url: true", None),
    ],
)
def test_what_is_unsafe_gives_a_warning(
    host: str, keys: str, words: str | None, load: Load
) -> None:
    """Modes that don't verify are warned of, where the server may be at a public address."""
    found = list_security_warnings(load(f"database_url: postgres://u:s3cr3t@{host}/db\n{keys}\n"))
    assert len(found) == (words is not None)
    assert words is None or words in found[0]
    assert "s3cr3t" not in str(found)


def test_sqlite_gives_no_warning(load: Load) -> None:
    """There is nobody on the way to a file."""
    assert list_security_warnings(load("")) == ()


def test_loading_opens_no_connection(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """Validation needs no network."""

    def refuse(*_: object) -> None:
        raise AssertionError("a socket was made")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    load("durability: process")
    load("database_url: postgres://u@db.example.net/db\nallow_private_database_url: true")
    with pytest.raises(ConfigError):
        load("durability: full")


@pytest.mark.parametrize(
    ("url", "imports"), [("sqlite:///x.db", False), ("postgres://u:p@1.2.3.4/db", True)]
)
def test_loading_opens_only_the_file_and_the_schema(
    url: str, imports: bool, tmp_path: Path
) -> None:
    """In a fresh process, no file beside the YAML, the schema and Python's own is opened.

    psycopg, which takes long to import, is imported for PostgreSQL alone.
    """
    path = tmp_path / "store.yaml"
    path.write_text(f"database_url: {url}\n")
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
    assert done.stdout.split("\n")[0] == f"{[str(path)]} False {imports}"
    assert [entry.name for entry in tmp_path.iterdir()] == ["store.yaml"]


def test_a_label_of_the_environment(tmp_path: Path) -> None:
    """RESPONSE_STORE_LABEL wins over the file, unless it is empty, and is judged as the key is."""
    (tmp_path / "c.yaml").write_text("capture: {label: weekly}\n")
    for label, expected in (("nightly", "nightly"), ("", "weekly")):
        config = load_config(tmp_path / "c.yaml", {"RESPONSE_STORE_LABEL": label})
        assert config.capture.label == expected
    with pytest.raises(ConfigError, match="RESPONSE_STORE_LABEL"):
        load_config(None, {"RESPONSE_STORE_LABEL": "a\nb"})
