"""The table of cases that other implementations of these keys share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from response_store.store.resolving import checked_connection_string

from .judging import refusal_of, target_of

CASES = json.loads(Path(__file__).with_name("cases.json").read_text(encoding="utf-8"))


def cases(*, accept: bool) -> list[Any]:
    return [pytest.param(case, id=case["name"]) for case in CASES if case["accept"] is accept]


@pytest.mark.parametrize("case", cases(accept=True))
def test_accepted_cases_name_a_target(case: dict[str, Any]) -> None:
    """A case that is to be accepted has no fault, and gives a connection that libpq takes."""
    assert refusal_of(case["config"]) == ""
    target = target_of(case["config"])
    assert checked_connection_string(target, lambda name, port: ["10.0.0.1"]).reveal()


@pytest.mark.parametrize("case", cases(accept=False))
def test_refused_cases_say_why(case: dict[str, Any]) -> None:
    """A case that is to be refused says one of the expected words, and no secret."""
    text = refusal_of(case["config"])
    assert text
    words = case.get("error_mentions_any", ())
    assert not words or any(word in text for word in words), text
    assert not any(word in text for word in case.get("must_not_contain", ())), text
    url = case["config"]["database_url"]
    assert url in ("postgres://", "postgresql://") or url not in text
