"""A configuration as a whole: on its way to another process, compared, and shaped by another."""

from __future__ import annotations

import dataclasses
import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from response_store.config import (
    Config,
    ConfigError,
    JournalConfig,
    SqliteTarget,
    apply_shaping,
    list_effective_settings,
    load_config,
)
from response_store.config.model import Backend
from response_store.config.postgres_target import PostgresTarget
from response_store.config.table_names import TableNames
from response_store.config.tls import SslMode
from tests.harness.each import each
from tests.unit.config.conftest import Load
from tests.unit.config.test_load_cases import cases
from tests.unit.config.test_load_documents import EXAMPLE, alternatives, in_the_example

CANARY = "c4n4ry"
SERVER = "postgres://u@1.2.3.4/db"
MEMORY = 'database_url: "sqlite::memory:"\n'


def sent(config: Config) -> Config:
    """The configuration as another process gets it."""
    return Config.from_message(config.to_message(), config.source)


def absolute(config: Config) -> Config:
    """The configuration of a SQLite file with its relative paths made absolute."""
    target, journal = config.database, config.journal
    assert isinstance(target, SqliteTarget)
    return dataclasses.replace(
        config,
        database=dataclasses.replace(target, path=target.path and target.path.absolute()),
        journal=dataclasses.replace(journal, path=journal.path and journal.path.absolute()),
    )


@each("alternative", alternatives(EXAMPLE))
def test_every_setting_reaches_another_process(alternative: Any, load: Load) -> None:
    """Whatever a key is set to, the other process has it, with absolute paths."""
    values: dict[str, Any] = {alternative.key: alternative.value}
    if alternative.parent is not None:
        values = {alternative.parent: values}
    if alternative.key.startswith(("ssl_", "allow_")):
        values["database_url"] = "postgres://recorder@1.2.3.4/responses"
    config = load(in_the_example(values))
    if config.backend is Backend.POSTGRES:
        assert sent(config) == config
    else:
        assert sent(config) == absolute(config)
    assert sent(config).same_as(config)


@pytest.mark.parametrize("case", cases(accept=True))
def test_every_database_reaches_another_process(case: dict[str, Any], load: Load) -> None:
    """All the forms of URLs that are accepted are read alike there."""
    config = load(case["config"])
    there = sent(config)
    assert there.database_url == config.database_url
    assert there.tables == config.tables
    assert there.database.describe().endswith(config.database.describe().lstrip("*"))


def test_relative_paths_are_absolute_there(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file is the one that this process means, wherever the other process runs."""
    here, elsewhere = tmp_path / "h\u00e9re %20?", tmp_path / "elsewhere"
    here.mkdir()
    elsewhere.mkdir()
    monkeypatch.chdir(here)
    message = load("database_url: sqlite://a%20b.db?mode=rw\njournal: {path: j}").to_message()
    monkeypatch.chdir(elsewhere)
    there = Config.from_message(message, "store.yaml")
    assert there.database == SqliteTarget(here / "a b.db", "rw")
    assert there.journal == JournalConfig(here / "j", 2**30)
    assert there.source == "store.yaml"
    assert Config.from_message(there.to_message(), "again").database == there.database


def test_absolute_paths_and_memory_stay(load: Load) -> None:
    """What depends on no folder is the same everywhere."""
    config = load("database_url: sqlite:///var/x.db\njournal: {path: /var/j}")
    assert sent(config) == config
    assert sent(load(MEMORY)).database == SqliteTarget(None)
    assert sent(load(MEMORY)).journal.path is None


def test_files_of_tls_are_absolute_there(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Certificates and keys too, from the keys as from the URL."""
    monkeypatch.chdir(tmp_path)
    url = "postgres://u:p@1.2.3.4/db?sslcert=c.pem&sslkey=sub/k.pem"
    by_key = load({"database_url": url, "ssl_root_cert": "ca.pem"})
    by_url = load({"database_url": url + "&sslrootcert=/etc/ca.pem"})
    for config, root in ((by_key, tmp_path / "ca.pem"), (by_url, "/etc/ca.pem")):
        target = sent(config).database
        assert isinstance(target, PostgresTarget)
        assert target.tls.root_cert == str(root)
        assert target.tls.client_cert == str(tmp_path / "c.pem")
        assert target.tls.client_key == str(tmp_path / "sub" / "k.pem")
        assert target.password == config.database.password
    assert by_key.database.tls.root_cert == "ca.pem"
    socket = load("database_url: postgres:///db?host=/run/pg\nallow_private_database_url: true")
    assert sent(socket) == socket
    assert sent(socket).database.tls.mode is SslMode.DISABLE


def test_a_folder_that_is_not_utf8(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder's name may be any bytes."""
    folder = tmp_path / "\udcff"
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    config = load("")
    monkeypatch.chdir(folder)
    assert sent(config).database == SqliteTarget(folder / "responses.db")


def test_a_folder_that_is_gone(load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a working directory there is no file to name, and the error says so."""
    config, folder = load(""), tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    with pytest.raises(ConfigError, match="Start mitmproxy in a folder that exists"):
        config.to_message()


def test_the_other_process_checks_nothing_again(tmp_path: Path) -> None:
    """Neither a file nor the schema's checker is used there, and no socket."""
    config = load_config(None, {"RESPONSE_STORE_DATABASE_URL": "postgres://u:p@1.2.3.4/db"})
    program = (
        "import sys\n"
        "from response_store.config import Config\n"
        "import response_store.config.postgres_target\n"
        "events = []\n"
        "watched = ('open', 'socket.getaddrinfo', 'socket.connect')\n"
        "sys.addaudithook(lambda event, args: event in watched and events.append((event, args)))\n"
        "config = Config.from_message(sys.stdin.buffer.read(), 'elsewhere')\n"
        "print(events, 'jsonschema' in sys.modules, config.database.describe(), config.source)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], input=config.to_message(), capture_output=True, check=True
    )
    assert done.stdout.decode() == "[] False postgres://1.2.3.4:5432/db elsewhere\n"


def test_what_is_sent_is_json(load: Load) -> None:
    """Any text that a configuration may hold stands the way."""
    config = load(
        {"tenant": {"id": "é\U0001f600"}, "redact": {"custom": [{"name": "a", "regex": "é"}]}}
    )
    assert sent(config).tenant.id == "é\U0001f600"
    assert sent(config).redact == config.redact
    assert json.loads(config.to_message())["settings"]["capture"]["hosts"] == ["*"]


@pytest.mark.parametrize("url", [f"postgres://ann:{CANARY}@1.2.3.4/db", f"sqlite://{CANARY}@x.db"])
def test_nothing_but_the_message_shows_the_url(
    url: str, load: Load, caplog: pytest.LogCaptureFixture
) -> None:
    """Representation, log, summary, settings and what a journal keeps are without it."""
    for config in (load({"database_url": url}), sent(load({"database_url": url}))):
        with caplog.at_level(logging.INFO):
            logging.getLogger("test").info("%s %r %s", config, config, config.settings)
        texts = [
            config,
            config.settings,
            config.shaping(),
            list_effective_settings(config),
            caplog.text,
        ]
        assert (
            CANARY not in f"{texts} {[*map(str, texts)]} {dataclasses.asdict(config)['settings']}"
        )
        assert config.database_url.reveal() == url
        assert "settings=" not in repr(config)
        with pytest.raises(TypeError):
            json.dumps(config.settings)
    assert CANARY in load({"database_url": url}).to_message().decode()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("", "durability: process\njournal: {path: null}"),
        ("", "backend: sqlite"),
        ("", 'serve: "off"'),
        ("redact: off", 'redact: "off"'),
        ("tenant: {header: X-T}", "tenant: {header: x-t}"),
        (f"database_url: {SERVER}", f"database_url: {SERVER}\nbackend: postgres"),
    ],
)  # fmt: skip
def test_what_means_the_same_is_the_same(one: str, other: str, load: Load) -> None:
    """However a setting is written, and whatever file it stands in."""
    assert load(one).same_as(load(other))
    assert load("").same_as(load_config(None, {}))
    assert load("") != load_config(None, {})


@each("alternative", alternatives(EXAMPLE)[1:])  # not `backend`
def test_any_other_value_is_a_difference(alternative: Any, load: Load) -> None:
    """Each key counts, the URL's password included."""
    mapping = {alternative.key: alternative.value}
    values = mapping if alternative.parent is None else {alternative.parent: mapping}
    if alternative.key.startswith(("ssl_", "allow_")):
        values["database_url"] = "postgres://recorder@1.2.3.4/responses"
    assert not load(values).same_as(load(""))
    one, other = (load({"database_url": f"postgres://u:{p}@1.2.3.4/d"}) for p in "pq")
    assert not one.same_as(other)


SHAPED = """
responses_table: r
exchanges_table: e
capture: {apis: [responses], max_body_bytes: 4096}
tenant: {id: team-a, header: X-Team}
serve: prefer
redact: {patterns: [jwt], custom: [{name: mine, regex: 'm[0-9]+'}]}
"""


def test_what_shapes_a_row(load: Load) -> None:
    """Plain values, all that a row depends on, and nothing of the database, disk or waits."""
    shaping = load(SHAPED).shaping()
    assert json.loads(json.dumps(shaping)) == shaping
    assert shaping == {
        "responses_table": "r",
        "conversations_table": "openai_conversations",
        "exchanges_table": "e",
        "capture": {
            "hosts": ["*"],
            "apis": ["responses"],
            "store_false": "capture",
            "raw_bodies": "on_error",
            "max_body_bytes": 4096,
            "label": None,
            "session_header": None,
            "input_columns": "stored",
        },
        "tenant": {"id": "team-a", "header": "x-team"},
        "serve": "prefer",
        "redact": {"patterns": ["jwt"], "custom": [{"name": "mine", "regex": "m[0-9]+"}]},
    }
    shaping["capture"]["hosts"].append("changed")
    assert load(SHAPED).shaping() != shaping


def test_another_s_shape_is_taken_on(load: Load) -> None:
    """Rows become what the other would write; database, disk and waits stay one's own."""
    own = load("database_url: sqlite://own.db\ncompletion_wait_ms: 7\nredact: common")
    other = load(SHAPED + "database_url: sqlite://other.db\ncompletion_wait_ms: 8")
    taken = apply_shaping(own, other.shaping(), "journal.json")
    assert taken.shaping() == other.shaping()
    assert (taken.capture, taken.tenant, taken.redact) == (
        other.capture,
        other.tenant,
        other.redact,
    )
    assert (taken.serve, taken.tables) == (
        other.serve,
        TableNames("r", "openai_conversations", "e"),
    )
    for name in ("database", "database_url", "completion_wait_ms", "journal", "source"):
        assert getattr(taken, name) == getattr(own, name)
    assert apply_shaping(own, own.shaping(), "journal.json") == own


def test_a_shape_keeps_the_folder(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative paths still count from the working directory of the process that sent them."""
    there = sent(load(""))
    monkeypatch.chdir("/")
    assert apply_shaping(there, load(SHAPED).shaping(), "journal.json").database == there.database


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"capture": {"hosts": 5}}, "journal.json: capture.hosts: the type must be a list"),
        ({"capture": {"new": 5}}, "journal.json: capture.new: the key is unknown"),
        ({"tenant": {"id": "a\nb", "header": None}}, "journal.json: tenant.id: "),
        ({"exchanges_table": "x; DROP"}, "journal.json: exchanges_table: "),
        ({"redact": {"custom": [{"name": "a", "regex": "("}]}}, "journal.json: redact.custom[0]"),
        ({"database_url": f"sqlite://{CANARY}.db"}, "the settings in it are not those"),
        ({"journal": {"path": "/elsewhere"}}, "the settings in it are not those"),
    ],
)  # fmt: skip
def test_a_shape_is_input(change: dict[str, Any], text: str, load: Load) -> None:
    """It comes from a file: what breaks a rule is refused, and no database is taken from it."""
    own = load("")
    with pytest.raises(ConfigError) as caught:
        apply_shaping(own, own.shaping() | change, "journal.json")
    assert text in str(caught.value)
    assert CANARY not in str(caught.value)


def test_a_shape_that_lacks_a_key_is_refused(load: Load) -> None:
    """One's own setting is no substitute: it might keep what the other would have redacted."""
    shaping = load("").shaping()
    del shaping["redact"]
    with pytest.raises(ConfigError, match="not those that this version keeps"):
        apply_shaping(load(""), shaping, "journal.json")
