"""The recipes of docs/recipes.md: each command is run as it stands there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.unit.queries.stored import NAMES, Stored, packed

PAGE = Path(__file__).resolve().parents[1] / "docs" / "recipes.md"
BY_HAND = {
    "Move to PostgreSQL": "tests/acceptance/test_transfer.py copies between both databases",
    "Beside a script of my own": "tests/acceptance/test_other_scripts.py loads both",
}
"""Recipes that are not run here, and what shows them."""


class Recipe(NamedTuple):
    """A section of the page: its YAML blocks are a configuration, its sh blocks commands."""

    title: str
    settings: tuple[str, ...]
    commands: tuple[str, ...]


def read_recipes() -> list[Recipe]:
    """Return the sections of the page that have commands."""
    recipes = []
    for section in re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        title, _, text = section.partition("\n")
        blocks = re.findall(r"^```(\w+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        settings = tuple(block for kind, block in blocks if kind == "yaml")
        commands = tuple(block for kind, block in blocks if kind == "sh")
        if commands:
            recipes.append(Recipe(title, settings, commands))
    return recipes


RECIPES = read_recipes()


class StoredFile(Stored):
    """A database that is there."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "responses.db"
        self._quoted = {key: f'"{name}"' for key, name in NAMES.by_placeholder().items()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a database, in which three exchanges are."""
    stored = Stored(tmp_path / "responses.db")
    stored.response("resp_1")
    body = packed(b"{}")
    stored.exchanges(
        [
            {"exchange_id": f"e{number}", "response_id": f"resp_{number}", "request_body": body}
            for number in (1, 2)
        ]
        + [{"exchange_id": "e3", "response_id": None, "request_body": None, "state": "interrupted"}]
    )
    return tmp_path


@pytest.mark.parametrize(
    "recipe", [one for one in RECIPES if one.title not in BY_HAND], ids=lambda one: one.title
)
def test_each_command_works(recipe: Recipe, folder: Path) -> None:
    """Its commands end well, one after the other, and say nothing of errors."""
    (folder / "config.yaml").write_text("\n".join(recipe.settings))
    done = run("".join(recipe.commands), folder)
    assert done.returncode == 0, done.stderr
    assert "rror" not in done.stderr


def test_the_cost_per_day(folder: Path) -> None:
    """The recipe gives the sum of each day, and of how many exchanges it is not known."""
    day = {"model": "gpt-5.1-2025-11-13", "input_tokens": 1000, "output_tokens": 100}
    for at, name in enumerate(("e4", "e5")):
        StoredFile(folder).exchange(name, started_at=1767225600.25 + 1e5 * at, **day)
    recipe = next(one for one in RECIPES if one.title == "Cost per day")
    (folder / "config.yaml").write_text(recipe.settings[0])
    done = run("".join(recipe.commands), folder)
    # of the three exchanges of the first day none has tokens; 1,000 at $1.25 and 100 at $10
    assert "2026-01-01\t0.00225\t3\n2026-01-02\t0.00225\t0\n" in done.stdout
    groups = json.loads((folder / "cost.json").read_text())["groups"]
    assert {one["cost_usd"] for one in groups} == {None, 0.00225}


def test_what_is_not_run_is_there() -> None:
    """No exception names a recipe that the page has no more."""
    assert set(BY_HAND) < {recipe.title for recipe in RECIPES}


def run(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run commands as a shell does where the environment is active."""
    if shutil.which("sqlite3") is None:
        pytest.fail("the recipes use sqlite3: install it")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    home = {name: str(folder / name.lower()) for name in ("HOME", "XDG_STATE_HOME")}
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env={"PATH": path, "LANG": "C.UTF-8", **home},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
