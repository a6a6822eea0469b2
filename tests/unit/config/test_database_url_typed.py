"""What people type for a database: hosters' strings, other programs' forms, variables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from response_store.backends.postgres.resolver import build_checked_connection_string
from response_store.config import (
    ConfigError,
    SqliteTarget,
    list_effective_settings,
    list_security_warnings,
    load_config,
)
from tests.unit.config.conftest import Load, Refusal

CASES = json.loads(Path(__file__).with_name("typed_cases.json").read_text(encoding="utf-8"))
CANARY = "S3cretCanary"


def cases(*, accept: bool) -> list[Any]:
    return [pytest.param(case, id=case["name"]) for case in CASES if case["accept"] is accept]


@pytest.mark.parametrize("case", cases(accept=True))
def test_accepted(case: dict[str, Any], load: Load) -> None:
    """It works as handed out: libpq takes it, and neither facts nor warnings show the password."""
    config = load(case["yaml"], case["environment"])
    warnings = list_security_warnings(config)
    assert CANARY not in f"{list_effective_settings(config)} {warnings} {config!r}"
    assert all(any(word in warning for warning in warnings) for word in case["words"])
    if not isinstance(config.database, SqliteTarget):
        assert build_checked_connection_string(config.database, lambda *_: ["1.1.1.1"]).reveal()


@pytest.mark.parametrize("case", cases(accept=False))
def test_refused(case: dict[str, Any], refusal: Refusal) -> None:
    """It is refused with words that fit, and not with those of another database's keys."""
    text = refusal(case.get("yaml", ""), case["environment"])
    assert all(word in text for word in case["words"]), text
    assert CANARY not in text
    assert "allow_dns_database_url is only valid" not in text
    if "neither" in text:
        assert "1 problem." in text


def test_variables_are_filled_in(load: Load) -> None:
    """`${NAME}` comes from the environment: a whole URL, a part of it, a path; `$${` is itself."""
    environ = {"HOME": "/home/me", "URL": "postgres://u:p%40w@1.1.1.1/db", "PASSWORD": "p%40w"}
    whole = load("database_url: ${URL}", environ)
    part = load("database_url: postgres://u:${PASSWORD}@1.1.1.1/db", environ)
    assert whole.database_url == part.database_url
    paths = load("database_url: sqlite://${HOME}/x.db\njournal: {path: '${HOME}/j'}", environ)
    assert isinstance(paths.database, SqliteTarget)
    assert str(paths.database.path) == "/home/me/x.db"
    assert str(paths.journal.path) == "/home/me/j"
    url = load("", {"RESPONSE_STORE_DATABASE_URL": "${URL}", **environ}).database_url
    assert url == whole.database_url
    itself = load("database_url: sqlite://$${HOME}.db", environ).database
    assert isinstance(itself, SqliteTarget)
    assert str(itself.path) == "${HOME}.db"


def test_what_is_filled_in_is_judged(refusal: Refusal) -> None:
    """A variable can't bring in what the file may not say, and what it holds is not shown."""
    environ = {"PART": f"{CANARY}@127.0.0.1/x?service=y#"}
    assert CANARY not in refusal("database_url: postgres://u:${PART}@1.1.1.1/db", environ)
    assert "not a public address" in refusal(
        "database_url: ${URL}", {"URL": "postgres://10.0.0.1/d"}
    )


def test_the_home_folder_is_filled_in(
    load: Load, refusal: Refusal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`~/` is the home folder in the URL and in paths; a user without one is told."""
    monkeypatch.setenv("HOME", "/home/m e")
    target = load("database_url: sqlite://~/d/x.db?mode=rw").database
    assert isinstance(target, SqliteTarget)
    assert (str(target.path), target.mode) == ("/home/m e/d/x.db", "rw")
    tls = load("database_url: postgres://1.1.1.1/d\nssl_root_cert: ~/ca.pem").database
    assert not isinstance(tls, SqliteTarget)
    assert tls.tls.root_cert == "/home/m e/ca.pem"
    assert "no home folder" in refusal("database_url: sqlite://~no-such-user-here/x.db")


def test_the_systems_authorities_by_name(load: Load) -> None:
    """`sslrootcert=system` is what is done without it, in the URL and as ssl_root_cert."""
    default = load("database_url: postgres://1.1.1.1/d").database
    for text in (
        "database_url: postgres://1.1.1.1/d?sslmode=VERIFY-FULL&sslrootcert=system",
        "database_url: postgres://1.1.1.1/d\nssl_root_cert: system",
    ):
        assert load(text).database.tls == default.tls  # type: ignore[union-attr]


def test_what_tightens_reaches_libpq(load: Load) -> None:
    """Stricter settings of the URL are in force, whatever the case they are written in."""
    text = "database_url: postgres://1.1.1.1/d?channel_binding=Require&gssencmode=disable"
    target = load(text).database
    assert not isinstance(target, SqliteTarget)
    given = build_checked_connection_string(target, lambda *_: []).reveal()
    assert "channel_binding=require" in given
    assert "gssencmode=disable" in given


@pytest.mark.parametrize("form", ["{}", "/{}", "'{}'", "x={}"])
def test_a_url_where_the_file_is_wanted(form: str) -> None:
    """The path of the configuration is not the URL of the database, whose password stays unseen."""
    with pytest.raises(ConfigError) as caught:
        load_config(form.format(f"postgres://u:{CANARY}@db.example.invalid/x"), {})
    assert CANARY not in str(caught.value)
    if form != "/{}":
        assert "this is a URL, and the path of a YAML file is wanted" in str(caught.value)
