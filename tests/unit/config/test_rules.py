"""What the schema and the rules refuse, key by key."""

from __future__ import annotations

from typing import Any

import pytest

from response_store.config.rules import SECRET_HEADERS

from .conftest import Load, Refusal


def nested(key: str, value: Any) -> dict[str, Any]:
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("backend", "sqllite", "not one of those allowed"),
        ("backend", 5, "must be a string, not an integer"),
        ("backend", "postgres", "PostgreSQL is not supported by this version"),
        ("database_url", "postgres://u:p@192.0.2.1/db", "PostgreSQL is not supported"),
        ("database_url", "PostgreSQL://u:p@192.0.2.1/db", "PostgreSQL is not supported"),
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
        ("ssl_mode", "disable", "ssl_mode is only valid with backend: postgres"),
        ("ssl_root_cert", "/ca.pem", "ssl_root_cert is only valid with backend: postgres"),
        ("pool.acquire_timeout_secs", 2**64 - 1, "must be at most"),
    ],
)
def test_a_bad_value_is_refused(key: str, value: Any, rule: str, refusal: Refusal) -> None:
    """Each bad value gives exactly one problem: its key, the rule and a mend."""
    said = refusal(nested(key, value))
    assert said.startswith("Response Store: the configuration is refused, 1 problem.\n"), said
    problem, mend = said.splitlines()[1:]
    assert f": {key}: " in problem
    assert rule in problem
    assert mend.startswith("    ")
    assert mend.endswith(".")


@pytest.mark.parametrize(
    "pattern",
    ["", " ", "a b", "https://api.openai.com", "api.openai.com/v1", "a.org:443", "a.org:*"]
    + ["[ab].org", "[::1]", "user@a.org", "a,b"],
)
def test_a_pattern_that_no_host_matches_is_refused(pattern: str, refusal: Refusal) -> None:
    """A host pattern is a host alone, and the message counts the patterns from 0."""
    said = refusal({"capture": {"hosts": ["a.org", pattern]}})
    assert "store.yaml:4: capture.hosts[1]: the host pattern" in said


@pytest.mark.parametrize("header", sorted(SECRET_HEADERS))
def test_no_header_with_credentials_names_a_tenant(header: str, refusal: Refusal) -> None:
    """What names a tenant is stored, so no header that carries a secret can, in any case."""
    assert "carries credentials" in refusal({"tenant": {"header": header.title()}})


@pytest.mark.parametrize(
    "key",
    ["allow_private_database_url", "acknowledge", "journal", "serve", "retention", "redact"],
)
def test_a_key_without_effect_is_unknown(key: str, refusal: Refusal) -> None:
    """A key is accepted only when it does something."""
    assert f"{key}: the key is unknown" in refusal({key: None})


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("databse_url", "Did you mean database_url?"),
        ("DURABILITY", "Did you mean durability?"),
        ("capture.host", "Did you mean hosts?"),
        ("capture.zzz", "The keys here are hosts, apis, store_false, raw_bodies, max_body_bytes."),
        ("tenant.ID", "Did you mean id?"),
    ],
)
def test_an_unknown_key_gets_the_nearest(key: str, near: str, refusal: Refusal) -> None:
    """An unknown key is answered by the nearest one, or by all."""
    said = refusal(nested(key, "x"))
    assert f": {key}: the key is unknown\n    {near}" in said


@pytest.mark.parametrize(
    "key",
    ["backend", "database_url", "capture", "capture.hosts", "capture.apis", "capture.store_false"]
    + ["capture.raw_bodies", "capture.max_body_bytes", "tenant", "tenant.id", "tenant.header"]
    + ["completion_wait_ms", "durability", "on_store_failure", "pool", "pool.max_connections"],
)
def test_null_is_the_default(key: str, load: Load) -> None:
    """Null is the same as leaving the key out."""
    assert load(nested(key, None)) == load("")
