"""What the schema and the rules refuse, key by key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from response_store.config import Acknowledge, JournalConfig, Serve
from response_store.config.rules import SECRET_HEADERS
from tests.harness.each import each
from tests.unit.config.conftest import Load, Refusal


def nested(key: str, value: Any) -> dict[str, Any]:
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


@each(
    ("key", "value", "rule"),
    [
        ("backend", "sqllite", "not one of those allowed"),
        ("backend", 5, "must be a string, not an integer"),
        ("database_url", "postgres://u:p@224.0.0.1/db", "the host is a multicast"),
        ("database_url", "PostgreSQL://u:p@192.0.2.1/db", "the URL's scheme is wrong"),
        ("database_url", True, "must be a string, not a boolean"),
        ("exchanges_table", None, "must be a string, not null"),
        ("exchanges_table", "a b", "invalid characters"),
        ("capture", [], "must be a mapping, not a list"),
        ("capture", "x", "must be a mapping, not a string"),
        ("capture.hosts", [], "the list is empty"),
        ("capture.hosts", "api.openai.com", "must be a list, not a string"),
        ("capture.apis", ["responses", "responses"], "twice"),
        ("capture.apis", [], "the list is empty"),
        ("capture.store_false", False, "must be a string, not a boolean"),
        ("capture.raw_bodies", "Always", "not one of those allowed"),
        ("capture.max_body_bytes", 1023, "must be at least 1024"),
        ("capture.max_body_bytes", 2**30, "must be at most 536870912"),
        ("capture.max_body_bytes", 1e6, "must be an integer, not a float"),
        ("capture.max_body_bytes", True, "must be an integer, not a boolean"),
        ("capture.max_body_bytes", "64 MiB", "must be an integer, not a string"),
        ("tenant.id", "", "1 to 255 printable characters"),
        ("tenant.id", "a\nb", "1 to 255 printable characters"),
        ("tenant.id", "a" * 256, "1 to 255 printable characters"),
        ("tenant.id", 5, "must be a string, not an integer"),
        ("tenant.header", "", "can't be the name of a header"),
        ("tenant.header", "x tenant", "can't be the name of a header"),
        ("tenant.header", "x-tenant\n", "can't be the name of a header"),
        ("tenant.header", "x-tenänt", "can't be the name of a header"),
        ("tenant.header", "x" * 129, "can't be the name of a header"),
        ("completion_wait_ms", -1, "must be at least 0"),
        ("completion_wait_ms", 60_001, "must be at most 60000"),
        ("completion_wait_ms", 0.5, "must be an integer, not a float"),
        ("durability", "full", "not one of those allowed"),
        ("on_store_failure", "stop", "not one of those allowed"),
        ("ssl_mode", "full", "not one of those allowed"),
        ("ssl_mode", True, "must be a string, not a boolean"),
        ("acknowledge", "none", "not one of those allowed"),
        ("serve", "on", "not one of those allowed"),
        ("serve", True, "not one of those allowed"),
        ("serve", 0, "must be a string, not an integer"),
        ("serve_remote", "true", "must be a boolean, not a string"),
        ("allow_dns_database_url", "yes", "must be a boolean, not a string"),
        ("allow_private_database_url", 1, "must be a boolean, not an integer"),
        ("journal", "journal.db", "must be a mapping, not a string"),
        ("journal.max_bytes", 1, "must be at least 1048576"),
        ("journal.max_bytes", 2**50, "must be at most 1099511627776"),
        ("pool.acquire_timeout_secs", 2**64 - 1, "must be at most"),
    ],
)
def test_a_bad_value_is_refused(key: str, value: Any, rule: str, refusal: Refusal) -> None:
    """Each bad value gives exactly one problem: its key, the rule and a fix."""
    said = refusal(nested(key, value))
    assert said.startswith("Response Store: the configuration is refused, 1 problem.\n"), said
    problem, fix = said.splitlines()[1:]
    assert f": {key}: " in problem
    assert rule in problem
    assert fix.startswith("    ")
    assert fix.endswith(".")


@pytest.mark.parametrize(
    "pattern",
    ["", " ", "a b", "https://api.openai.com", "api.openai.com/v1", "a.org:443", "a.org:*"]
    + ["[ab].org", "[::1]", "user@a.org", "a,b"],
)
def test_a_pattern_that_no_host_matches_is_refused(pattern: str, refusal: Refusal) -> None:
    """A host pattern is a host alone, and the message counts the patterns from 0."""
    said = refusal({"capture": {"hosts": ["a.org", pattern]}})
    assert "store.yaml:4: capture.hosts[1]: the host pattern" in said


@pytest.mark.parametrize(
    "header",
    [
        *sorted(SECRET_HEADERS),
        "x-goog-api-key",
        "X-Auth-Token",
        "private-token",
        "my.secret",
        "apikey",
    ],
)
def test_no_header_with_credentials_names_a_tenant(header: str, refusal: Refusal) -> None:
    """What names a tenant is stored, so no header that carries a secret can, in any case."""
    assert "carries credentials" in refusal({"tenant": {"header": header.title()}})


POSTGRES_ONLY = {
    "allow_dns_database_url": (True, False),
    "allow_private_database_url": (True, False),
    "ssl_mode": ("verify-full", None),
    "ssl_root_cert": ("/ca.pem", None),
}


@pytest.mark.parametrize("key", POSTGRES_ONLY)
def test_a_key_of_postgresql_is_refused_with_sqlite(key: str, load: Load, refusal: Refusal) -> None:
    """A key that would do nothing is refused, unless it says what holds anyway."""
    other, default = POSTGRES_ONLY[key]
    for backend in ({}, {"backend": "sqlite"}, {"database_url": "sqlite://x.db"}):
        said = refusal({**backend, key: other})
        assert f": {key}: {key} is only valid with backend: postgres\n    Take the key out." in said
        assert load({**backend, key: default}) == load(backend)
    load({"database_url": "postgres://u@1.2.3.4/db", key: other})


@pytest.mark.parametrize(
    "path",
    [
        "",
        "a\0b",
        "a\nb",
        "a" * 4097,
        "postgres://u:c4n4ry@1.2.3.4/db",
        "~c4n4ry-is-no-user/journals",
    ],
)
@pytest.mark.parametrize("url", ["sqlite://x.db", "postgres://u@1.2.3.4/db"])
def test_a_bad_path_of_the_journals_is_refused(url: str, path: str, refusal: Refusal) -> None:
    """The journals are in a folder, and what looks like a URL in its place is not shown."""
    text = refusal({"database_url": url, "journal": {"path": path}})
    assert text.count("journal.path: ") == 1
    assert "Write the whole path" in text
    assert "c4n4ry" not in text


@pytest.mark.parametrize("url", ["sqlite://x.db", "sqlite::memory:", "postgres://u@1.2.3.4/db"])
def test_the_journal_is_the_same_with_every_database(url: str, load: Load) -> None:
    """What the journal may take and which write is waited for are accepted with every database."""
    journal = {"path": "journals", "max_bytes": 2**20}
    config = load({"database_url": url, "journal": journal, "acknowledge": "database"})
    assert config.journal == JournalConfig(Path("journals"), 2**20)
    assert config.acknowledge is Acknowledge.DATABASE


def test_postgresql_needs_a_url(refusal: Refusal) -> None:
    """The default of the URL is a SQLite file, so that PostgreSQL by key alone is not enough."""
    assert "there is no URL of a PostgreSQL database" in refusal({"backend": "postgres"})
    said = refusal({"backend": "postgres", "database_url": "sqlite://x.db"})
    assert "the URL's scheme is that of SQLite" in said


def test_serving_needs_responses(load: Load, refusal: Refusal) -> None:
    """What is not captured can't be served, and what is in memory can't be looked up."""
    chat = {"capture": {"apis": ["chat_completions"]}}
    memory = {"database_url": "sqlite::memory:"}
    for serve in ("prefer", "only"):
        assert ": serve: serve answers for responses, and" in refusal({"serve": serve, **chat})
        assert ": serve: an in-memory database can't be served" in refusal(
            {"serve": serve, **memory}
        )
        assert refusal({"serve": serve, "database_url": "sqlite://../x.db"}).count("serve") == 0
    load({"serve": "off", **chat, **memory})


@pytest.mark.parametrize("text", ["serve: off", 'serve: "off"', "serve: false"])
def test_not_serving_however_it_is_written(text: str, load: Load) -> None:
    """YAML takes `off` for false."""
    assert load(text) == load("")
    assert load(text).serve is Serve.OFF


def test_an_unknown_way_of_serving_is_told_the_known_ones(refusal: Refusal) -> None:
    """`on` is true in YAML, and says too little."""
    assert "It is one of off, prefer, only." in refusal("serve: on")


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("databse_url", "Did you mean database_url?"),
        ("DURABILITY", "Did you mean durability?"),
        ("capture.host", "Did you mean hosts?"),
        ("capture.zzz", "The keys here are hosts, apis, store_false, raw_bodies, max_body_bytes, "),
        ("tenant.ID", "Did you mean id?"),
    ],
)
def test_an_unknown_key_gets_the_nearest(key: str, near: str, refusal: Refusal) -> None:
    """An unknown key is answered by the nearest one, or by all."""
    said = refusal(nested(key, "x"))
    assert f": {key}: the key is unknown\n    {near}" in said


@pytest.mark.parametrize(
    "key",
    ["backend", "capture", "tenant", "tenant.header", "pool", "journal", "journal.path"]
    + ["retention", "retention.max_bytes", "ssl_mode", "ssl_root_cert"],
)
def test_null_is_the_default(key: str, load: Load) -> None:
    """Null is the same as leaving the key out, for groups and where null is the default."""
    assert load(nested(key, None)) == load("")


@each(
    "key",
    ["database_url", "capture.hosts", "capture.apis", "capture.store_false", "durability"]
    + [
        "capture.raw_bodies",
        "capture.max_body_bytes",
        "capture.input_columns",
        "tenant.id",
        "acknowledge",
        "serve",
    ]
    + ["completion_wait_ms", "on_store_failure", "pool.max_connections", "journal.max_bytes"]
    + ["allow_dns_database_url", "allow_private_database_url", "serve_remote", "redact"],
)
def test_a_key_without_a_value_is_refused(key: str, refusal: Refusal) -> None:
    """Nothing after the colon is no default: what was meant has been lost on the way."""
    text = refusal(nested(key, None))
    assert text.count(f": {key}: ") == 1
    assert "not null" in text or "not one of those allowed" in text
