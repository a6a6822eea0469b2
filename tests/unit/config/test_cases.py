"""The table of cases that other implementations of these keys share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .conftest import Load, Refusal

CASES = json.loads(Path(__file__).with_name("cases.json").read_text(encoding="utf-8"))


def cases(*, accept: bool) -> list[Any]:
    return [pytest.param(case, id=case["name"]) for case in CASES if case["accept"] is accept]


@pytest.mark.parametrize("case", cases(accept=True))
def test_accepted_cases_load(case: dict[str, Any], load: Load) -> None:
    """A case that is to be accepted loads, with the names of tables that it says."""
    config = load(case["config"])
    assert config.tables.responses == case["config"]["responses_table"]
    assert config.tables.conversations == case["config"]["conversations_table"]
    assert config.database_url.reveal() == case["config"]["database_url"]


@pytest.mark.parametrize("case", cases(accept=False))
def test_refused_cases_say_why(case: dict[str, Any], refusal: Refusal) -> None:
    """A case that is to be refused says one of the expected words, and no secret."""
    text = refusal(case["config"])
    words = case["error_mentions_any"]
    assert not words or any(word in text for word in words), text
    assert not any(word in text for word in case.get("must_not_contain", ())), text
    url = case["config"]["database_url"].strip()
    assert url == "sqlite://" or url not in text
