"""The table of cases that other implementations of these keys share."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from response_store.backends.postgres.resolver import build_checked_connection_string
from response_store.config import (
    URL_VARIABLE,
    Config,
    ConfigError,
    list_effective_settings,
    list_security_warnings,
)
from response_store.config.model import SqliteTarget
from tests.harness.each import each
from tests.unit.config.conftest import Load, Refusal

CASES = json.loads(Path(__file__).with_name("cases.json").read_text(encoding="utf-8"))
SCHEMES = ("postgres://", "postgresql://", "sqlite://")
CANARY = "c4n4ry"


def cases(*, accept: bool) -> list[Any]:
    return [case for case in CASES if case["accept"] is accept]


@each("case", cases(accept=True))
def test_accepted_cases_load(case: dict[str, Any], load: Load) -> None:
    """A case that is to be accepted loads as it says, and libpq takes the connection it names."""
    config = load(case["config"])
    assert config.tables.responses == case["config"]["responses_table"]
    assert config.tables.conversations == case["config"]["conversations_table"]
    assert config.database_url.reveal() == case["config"]["database_url"]
    assert config.backend == case["config"].get("backend", "sqlite")
    if not isinstance(config.database, SqliteTarget):
        assert build_checked_connection_string(config.database, lambda *_: ["10.0.0.1"]).reveal()


@each("case", cases(accept=False))
def test_refused_cases_say_why(case: dict[str, Any], refusal: Refusal) -> None:
    """A case that is to be refused says one of the expected words, and no secret."""
    text = refusal(case["config"])
    words = case.get("error_mentions_any", ())
    assert not words or any(word in text for word in words), text
    assert not any(word in text for word in case.get("must_not_contain", ())), text
    url = case["config"]["database_url"].strip()
    assert url in SCHEMES or url not in text


def test_the_table_is_whole() -> None:
    """Every case has a name of its own, and both kinds are there in number."""
    assert len({case["name"] for case in CASES}) == len(CASES) == 322
    assert len(cases(accept=True)) == 58


def with_canary(url: str) -> str:
    """The same URL with a password that is known."""
    replaced, count = re.subn(r"(?<=:)[^:/?#@]+(?=@)", CANARY, url)
    return replaced if count else url.replace("://", f"://u:{CANARY}@", 1)


def shown(config: Config) -> str:
    """All that a configuration says of itself."""
    texts = [config, config.database, config.database.describe(), config.database_url]
    listed = list_effective_settings(config), list_security_warnings(config)
    return f"{texts!r} {list(map(str, texts))} {listed}"


@pytest.mark.exhaustive
@pytest.mark.parametrize("place", ["file", "environment"])
def test_no_case_shows_its_password(place: str, load: Load) -> None:
    """Whatever becomes of it, a password in the URL is in no text that comes out."""
    for case in CASES:
        assert CANARY not in told_of(case, place, load), case["name"]


def told_of(case: dict[str, Any], place: str, load: Load) -> str:
    """All that a case says of itself, whether it is accepted or refused."""
    url = with_canary(case["config"]["database_url"])
    values, environ = case["config"] | {"database_url": url}, {}
    if place == "environment":
        del values["database_url"]
        environ = {URL_VARIABLE: url}
    try:
        return shown(load(values, environ))
    except ConfigError as error:
        return f"{error} {error!r}"
