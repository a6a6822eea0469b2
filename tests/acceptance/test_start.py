"""What keeps the proxy from starting is said in a few clear words, and nothing else happens."""

from __future__ import annotations

import re
import sqlite3
import sys
from contextlib import chdir, closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from response_store.cli import main
from tests.harness import limited
from tests.harness.clients import asking, fetch
from tests.harness.expected import assert_completed
from tests.harness.proxy import wait_until
from tests.unit.backends.sqlite.files import PRAXIS, script

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import MakeProxy
    from tests.harness.proxy import Finished, Proxy

LIMITED = (sys.executable, limited.__file__)


def assert_refused(finished: Finished, *words: str) -> None:
    """The program ended with status 1 and a text with these words, and no traceback."""
    assert finished.returncode == 1, finished.output
    assert "Traceback" not in finished.output
    for word in words:
        assert word in finished.output


def garbage(path: Path) -> None:
    """No database at all."""
    path.write_bytes(b"This is no database, whatever its name says.\n" * 200)


def half(path: Path) -> None:
    """A database whose second half is lost."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE openai_responses (tenant_id TEXT)")
        connection.executemany("INSERT INTO openai_responses VALUES (?)", [("x" * 900,)] * 100)
        connection.commit()
    path.write_bytes(path.read_bytes()[:4096] + b"\xff" * 40_000)


def folder(path: Path) -> None:
    """A folder where the file should be."""
    path.mkdir()


def foreign(path: Path) -> None:
    """A table of that name which is not ours."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE openai_responses (tenant_id TEXT, id TEXT)")
        connection.commit()


def planted(path: Path) -> None:
    """Tables that are ours, with a trigger that forges what is written to them."""
    script(path, PRAXIS)
    forges = "UPDATE openai_responses SET response_object = '{}' WHERE id = NEW.id"
    script(path, f"CREATE TRIGGER forger AFTER INSERT ON openai_responses BEGIN {forges}; END")


def contents(path: Path) -> object:
    """What must not change: the tables, or the bytes of what has none."""
    if not path.is_file():
        return None
    try:
        with closing(sqlite3.connect(path)) as connection:
            return connection.execute("SELECT sql FROM sqlite_master ORDER BY name").fetchall()
    except sqlite3.DatabaseError:
        return path.read_bytes()


BROKEN: dict[str, tuple[Callable[[Path], None], str]] = {
    "garbage": (garbage, "responses.db"),
    "half": (half, "responses.db"),
    "a folder": (folder, "responses.db"),
    "foreign columns": (foreign, "response_object"),
    "a trigger": (planted, "trigger forger on openai_responses"),
}


def test_a_file_that_others_may_read(make_proxy: MakeProxy, tenant: str) -> None:
    """A database that a clone has left readable is closed to others first, and the log says it."""
    proxy = make_proxy()
    proxy.folder.mkdir()
    path = proxy.folder / "responses.db"
    script(path, PRAXIS)
    path.chmod(0o644)
    with proxy:
        fetch(proxy.port, asking(), tenant)
        proxy.database.ended(tenant)
        assert {file.stat().st_mode & 0o777 for file in proxy.folder.glob("responses.db*")} == {
            0o600
        }
        wait_until(lambda: "readable by other users" in proxy.output(), "it is said")


def test_a_log_that_waits_for_its_database(make_proxy: MakeProxy) -> None:
    """A -wal that lies there before its database ends mitmdump at once, and is left as it is."""
    proxy = make_proxy(control=False, executed=True)
    proxy.folder.mkdir()
    log = proxy.folder / "responses.db-wal"
    log.write_bytes(b"planted")
    assert_refused(proxy.run(), "responses.db-wal is there without its database")
    assert log.read_bytes() == b"planted"
    assert not (proxy.folder / "responses.db").exists()


@pytest.mark.parametrize("name", BROKEN)
def test_broken_database(make_proxy: MakeProxy, name: str) -> None:
    """A file that is no database of ours ends mitmdump at once, and is left as it is."""
    break_it, word = BROKEN[name]
    proxy = make_proxy(control=False)
    proxy.folder.mkdir()
    path = proxy.folder / "responses.db"
    break_it(path)
    before = contents(path)
    assert_refused(proxy.run(), word)
    assert contents(path) == before


@pytest.mark.parametrize("where", ["file", "folder"])
def test_read_only(make_proxy: MakeProxy, tmp_path: Path, where: str) -> None:
    """A file or a folder that can't be written ends mitmdump at once."""
    data = tmp_path / "data"
    data.mkdir()
    path = data / "responses.db"
    if where == "file":
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA user_version = 0")
        path.touch()
    locked, mode = (path, 0o444) if where == "file" else (data, 0o555)
    locked.chmod(mode)
    try:
        config = {"database_url": f"sqlite:///{path}"}
        proxy = make_proxy(config=config, before=LIMITED, control=False)
        assert_refused(proxy.run(), "responses.db")
    finally:
        locked.chmod(0o755)


WRONG = {
    "values": """\
databse_url: sqlite://responses.db
completion_wait_ms: soon
durability: eventually
capture:
  max_body_bytes: -1
  store_fasle: skip
""",
    "a key twice": "durability: power\ndurability: process\n",
    "no YAML": "capture: [responses\n",
    "a secret": "database_url: postgres://user:canary-password@db.example/x?canary=canary\n",
}
SAID = {
    "values": ["completion_wait_ms", "durability", "max_body_bytes", "database_url", "store_false"],
    "a key twice": ["durability", "config.yaml:2"],
    "no YAML": ["line"],
    "a secret": ["database_url"],
}


def check(path: Path) -> Result:
    """Run `response-store config check` on the file."""
    with chdir(path.parent):
        return CliRunner().invoke(main, ["config", "check", path.name])


def without_times(text: str) -> str:
    """What mitmproxy logged, without the times that it puts before each entry."""
    return re.sub(r"^\[\d\d:\d\d:\d\d\.\d{3}\] ?", "", text, flags=re.MULTILINE)


@pytest.mark.parametrize(
    ("name", "program"),
    [("values", "mitmdump"), ("a secret", "mitmdump"), ("a key twice", "mitmweb")],
)
def test_wrong_configuration(make_proxy: MakeProxy, name: str, program: str) -> None:
    """A configuration that is refused is refused with the same text everywhere."""
    proxy = wrong(make_proxy, WRONG[name], program)
    finished = proxy.run()
    checked = check(proxy.folder / "config.yaml")
    assert checked.exit_code == 2
    text = (checked.stdout + checked.stderr).strip()
    assert_refused(finished)
    assert text in without_times(finished.output)
    assert "config.yaml" in text
    assert "canary" not in finished.output + text
    assert not proxy.database.path.exists()


def wrong(make_proxy: MakeProxy, text: str, program: str = "mitmdump") -> Proxy:
    """A proxy with this text as its configuration file."""
    web = {"web_open_browser": "false", "web_port": "0"} if program == "mitmweb" else {}
    options = {"response_store_config": "config.yaml", **web}
    proxy = make_proxy(config=None, program=program, options=options, control=False)
    proxy.folder.mkdir()
    (proxy.folder / "config.yaml").write_text(text, encoding="utf-8")
    return proxy


@pytest.mark.parametrize("name", WRONG)
def test_checked_configuration(tmp_path: Path, name: str) -> None:
    """`config check` names the file and every mistake at once, and no value of a URL."""
    (tmp_path / "config.yaml").write_text(WRONG[name], encoding="utf-8")
    checked = check(tmp_path / "config.yaml")
    assert checked.exit_code == 2
    text = checked.stdout + checked.stderr
    for word in ("config.yaml", *SAID[name]):
        assert word in text
    assert "canary" not in text


def test_missing_configuration(make_proxy: MakeProxy) -> None:
    """A configuration file that is not there is an error, not the defaults."""
    options = {"response_store_config": "nowhere.yaml"}
    proxy = make_proxy(config=None, options=options, control=False)
    assert_refused(proxy.run(), "nowhere.yaml")


def test_configuration_from_the_environment(make_proxy: MakeProxy, tenant: str) -> None:
    """The file and the database may be named in the environment."""
    environment = {
        "RESPONSE_STORE_CONFIG": "config.yaml",
        "RESPONSE_STORE_DATABASE_URL": "sqlite://elsewhere.db",
    }
    proxy = make_proxy(config=None, environment=environment)
    proxy.folder.mkdir()
    text = "tenant:\n  header: x-tenant\ndatabase_url: sqlite://responses.db\n"
    (proxy.folder / "config.yaml").write_text(text, encoding="utf-8")
    with proxy:
        fetch(proxy.port, asking(), tenant)
        assert not proxy.database.path.exists()
        database = type(proxy.database)(proxy.folder / "elsewhere.db")
        assert_completed(database.ended(tenant), streamed=False, model="gpt-5")


def test_start_without_configuration(make_proxy: MakeProxy) -> None:
    """Without any configuration the defaults are in force, as one line at start says.

    Listening on all interfaces, mitmproxy's default, is worth a warning.
    """
    with make_proxy(config=None, arguments=["--listen-host", ""], executed=True) as proxy:
        fetch(proxy.port, asking(), "-")
        row = proxy.database.ended("default")
        assert_completed(row, streamed=False, model="gpt-5")
        wait_until(lambda: row["response_id"] in proxy.output(), "what is written is announced")
        said = proxy.output()
    assert len([line for line in said.splitlines() if "responses.db" in line]) == 1
    assert "interfaces" in said
