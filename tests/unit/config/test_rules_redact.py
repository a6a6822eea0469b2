"""`redact` in the configuration: what it turns on, and what it refuses."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from response_store.config import list_effective_settings
from response_store.config.schema import load_schema
from response_store.redaction.known import KNOWN
from tests.harness.each import each
from tests.unit.config.conftest import Load, Refusal

NODE = load_schema()["properties"]["redact"]["then"]["properties"]


@pytest.mark.parametrize("text", ["", "redact: off", 'redact: "off"', "redact: false"])
def test_off_however_it_is_written(text: str, load: Load) -> None:
    """Off by default; YAML takes `off` for false."""
    assert not load(text).redact
    assert list_effective_settings(load(text))["redact"] == "off"


def test_one_line_turns_the_known_ones_on(load: Load) -> None:
    """`common` is every known pattern."""
    assert load("redact: common").redact.patterns == tuple(KNOWN)
    assert load("redact: common").redact.custom == ()


@pytest.mark.parametrize(
    ("setting", "patterns", "custom"),
    [
        ({}, tuple(KNOWN), ()),
        ({"patterns": ["jwt"]}, ("jwt",), ()),
        ({"patterns": ["jwt", "common"]}, tuple(KNOWN), ()),
        ({"patterns": []}, (), ()),
        ({"custom": [{"name": "a", "regex": "b"}]}, tuple(KNOWN), (("a", "b"),)),
    ],
)
def test_a_mapping_chooses(setting: Any, patterns: Any, custom: Any, load: Load) -> None:
    """Patterns by name, the known ones unless told, and the user's own."""
    found = load({"redact": setting}).redact
    assert (found.patterns, found.custom) == (patterns, custom)


def test_the_schema_knows_every_pattern() -> None:
    """Editors complete the names that the program knows."""
    assert NODE["patterns"]["items"]["enum"] == ["common", *KNOWN]


def test_the_page_knows_every_pattern() -> None:
    """The table on the page is that of the program."""
    page = (Path(__file__).parents[3] / "docs" / "configuration.md").read_text(encoding="utf-8")
    section = page.partition("## Redaction")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `([a-z-]+)` \|", section, re.MULTILINE) == list(KNOWN)


def own(regex: str, name: str = "mine") -> dict[str, Any]:
    return {"redact": {"custom": [{"name": name, "regex": regex}]}}


@each(
    ("source", "said"),
    [
        ("redact: on", "redact: the value is not one of those allowed\n"),
        ("redact: everything", "It is one of off, common."),
        ("redact: [jwt]", "redact: the type must be a string, not a list"),
        ({"redact": {"pattern": []}}, "key is unknown\n    Did you mean patterns?"),
        ({"redact": {"patterns": ["opneai"]}}, "redact.patterns[0]: the value is not one of those"),
        ({"redact": {"custom": [{"name": "x"}]}}, "redact.custom[0]: regex missing here"),
        ({"redact": {"custom": [{"name": "x", "regex": 5}]}}, "custom[0].regex: the type must"),
        (own("(?=a)b"), "redact.custom[0].regex: the expression looks around"),
        (own("a(?!b)"), "put the secret in a group: (?P<secret>...)"),
        (own(r"(a)\1"), "no backreferences"),
        (own("(a"), "RE2 does not take this"),
        (own("a)(b"), "RE2 does not take this"),
        (own("a{1001}"), "counts to 1000 at most"),
        (own("a*"), "the expression matches an empty text"),
        (own("(x|)"), "the expression matches an empty text"),
        (own(r"\b"), "the expression matches an empty text"),
        (own("^"), "the expression matches an empty text"),
        (own(r"\Aab"), "Write ^ or $"),
        (own("a" * 1001), "must be 1 to 1000 characters long"),
        (own(""), "must be 1 to 1000 characters long"),
        (own("a", "x y"), "redact.custom[0].name: the name must be"),
        (own("a", "jwt"), "redact.custom[0].name: the name is taken"),
    ],
)  # fmt: skip
def test_what_is_refused(source: Any, said: str, refusal: Refusal) -> None:
    """Each refusal says which key, which rule and how to fix it."""
    assert said in refusal(source)


def test_a_refusal_shows_no_expression(refusal: Refusal) -> None:
    """An expression may name what is secret."""
    assert "hunter2" not in refusal(own("(?<=hunter2)x"))


def test_a_refusal_names_the_line(refusal: Refusal) -> None:
    """The line of the expression, not that of the key."""
    text = "redact:\n  custom:\n    - name: a\n      regex: 'x'\n    - name: b\n      regex: '('\n"
    assert "store.yaml:6: redact.custom[1].regex: " in refusal(text)


def test_retention_needs_a_file(refusal: Refusal) -> None:
    """Nobody reaches what is in memory."""
    text = 'database_url: "sqlite::memory:"\nretention: {max_age_days: 1}'
    assert "retention: an in-memory database can't be pruned" in refusal(text)


def test_retention(load: Load) -> None:
    """Days and bytes, each alone or both; nothing unless asked."""
    assert not load("").retention
    both = load("retention: {max_age_days: 30, max_bytes: 1048576}").retention
    assert (both.max_age_days, both.max_bytes) == (30, 1048576)


@pytest.mark.parametrize("setting", ["max_age_days: 0", "max_age_days: 1.5", "max_bytes: 1048575"])
def test_bounds_of_retention(setting: str, refusal: Refusal) -> None:
    """Less than a day, or less than an empty file takes, is refused."""
    assert f"retention.{setting.partition(':')[0]}: " in refusal(f"retention: {{{setting}}}")
