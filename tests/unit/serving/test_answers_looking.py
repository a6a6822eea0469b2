"""What the commands of mitmproxy's prompt show, of either database."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypeAlias

import pytest

from response_store.config import load_config
from response_store.serving.answers import MATCHING, MAX_SHOWN, NEWEST, SHOWN, answer_command
from tests.harness.each import each
from tests.unit.queries.conftest import anywhere, stored  # noqa: F401 (fixtures)
from tests.unit.queries.stored import Stored, packed
from tests.unit.queries.stored_in_postgres import (
    StoredInPostgres,
    session_stored,
    stored_in_postgres,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from response_store.config import Config

__all__ = ["session_stored", "stored_in_postgres"]
Anywhere: TypeAlias = Stored | StoredInPostgres
LONG = "far behind the beginning: " + "word " * 100 + "Köln 100%"


@pytest.fixture
def filled(anywhere: Anywhere) -> Anywhere:  # noqa: F811 (the fixture)
    """A database with three exchanges, and another tenant's."""
    rows = [
        {"exchange_id": "e-1", "response_id": "resp_1", "model": "gpt-5", "output_text": "Sunny."},
        {"exchange_id": "e-2", "response_id": "resp_2", "model": "o4", "output_text": LONG},
        {"exchange_id": "e-3", "requested_model": "gpt-5", "state": "failed",
         "error_code": "server_error"},
        {"exchange_id": "e-4", "tenant_id": "other", "output_text": "Sunny."},
    ]  # fmt: skip
    for at, row in enumerate(rows):
        anywhere.exchange(**{"started_at": 1000.0 + at, "request_body": packed(b"{}"), **row})
    return anywhere


def answer(where: Anywhere, kind: str, *arguments: str) -> str:
    """What is shown, below the line that says what of."""
    text = answer_command(config_of(where), kind, arguments)
    return text.partition("\n")[2]


def config_of(where: Anywhere, **settings: str) -> Config:
    """A configuration that names the database."""
    with TemporaryDirectory() as folder:
        file = Path(folder, "config.yaml")
        where.configure(file, **settings)
        return load_config(file, {})


def ids(where: Anywhere, kind: str, *arguments: str) -> list[str]:
    """The exchanges of a list, by their numbers."""
    lines = answer(where, kind, *arguments).splitlines()
    found = ["resp_1", "resp_2", "e-3", "e-4"]
    return [name for line in lines for name in found if f", {name}" in line]


def test_newest(filled: Anywhere) -> None:
    """The list has the newest first, a line each, of one tenant, below what it is."""
    assert ids(filled, NEWEST, "10") == ["e-3", "resp_2", "resp_1"]
    assert ids(filled, NEWEST, "1") == ["e-3"]
    assert answer_command(config_of(filled), NEWEST, ["3"]).startswith("the newest 3\n")
    line = answer(filled, NEWEST, "3").splitlines()[2]
    assert line.endswith("gpt-5, completed, resp_1: Sunny.")


@each(
    ("words", "found"),
    [
        (["sunny"], ["resp_1"]),
        (["GPT-5"], ["e-3", "resp_1"]),
        (["gpt-5", "server_error"], ["e-3"]),
        (["Köln"], ["resp_2"]),
        (["100%"], ["resp_2"]),
        (["%"], ["resp_2"]),
        (["resp_1"], ["resp_1"]),
        (["respX1"], []),
        (["resp_", "nothing"], []),
    ],
)
def test_matching(filled: Anywhere, words: Sequence[str], found: list[str]) -> None:
    """Every word must occur somewhere, in a name or anywhere in the answer, in any case."""
    assert ids(filled, MATCHING, *words) == found


def test_nothing(filled: Anywhere) -> None:
    """That nothing is found is said."""
    assert answer(filled, MATCHING, "nowhere") == "none"


def test_shown(filled: Anywhere) -> None:
    """One exchange is shown as a conversation, found by the beginning of its id."""
    text = answer(filled, SHOWN, "resp_1")
    assert text.endswith("--- assistant\nSunny.\n")
    assert "model           gpt-5" in text
    assert "'resp_9' is not found" in answer_command(config_of(filled), SHOWN, ["resp_9"])


def test_long_conversations_are_cut(filled: Anywhere) -> None:
    """A log is no place for a book; it is told where the whole is."""
    filled.exchange("e-5", output_text="x" * (2 * MAX_SHOWN))
    text = answer(filled, SHOWN, "e-5")
    assert len(text) < MAX_SHOWN + 100
    assert text.endswith("\nThe whole: response-store show e-5")


def test_nothing_of_it_controls_a_terminal(filled: Anywhere) -> None:
    """Neither an answer nor an id that was asked for."""
    filled.exchange("e-6", output_text="\x1b[2J", model="\x1b[31m")
    config = config_of(filled)
    for kind, argument in ((NEWEST, "9"), (SHOWN, "e-6"), (SHOWN, "\x1b"), (MATCHING, "\x1b")):
        assert "\x1b" not in answer_command(config, kind, [argument])


@pytest.mark.parametrize("missing", ["sqlite://nowhere.db", "sqlite::memory:"])
def test_a_database_that_can_not_be_read(tmp_path: Path, missing: str) -> None:
    """The reason is shown in the answer's place."""
    (tmp_path / "config.yaml").write_text(f"database_url: '{missing}'\n")
    text = answer_command(load_config(tmp_path / "config.yaml", {}), NEWEST, ["1"])
    assert "no database" in text or "in-memory" in text


def test_the_tenant_is_the_one_of_the_configuration(filled: Anywhere) -> None:
    """Another tenant's rows are not shown."""
    config = config_of(filled, tenant="{id: other}")
    assert "e-4" in answer_command(config, NEWEST, ["9"])
    assert "resp_1" not in answer_command(config, NEWEST, ["9"])


def test_an_unknown_kind(filled: Anywhere) -> None:
    """It is an error of the caller."""
    with pytest.raises(ValueError, match="kind"):
        answer_command(config_of(filled), "strange", [])


def test_no_mitmproxy_is_imported() -> None:
    """The ingester looks things up without it."""
    check = "import sys, response_store.serving.answers; print('mitmproxy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
