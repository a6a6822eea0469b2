"""The pictures of README are what the commands print."""

from __future__ import annotations

import re

import pytest

from tests.pictures import FOLDER, draw, read_words


@pytest.fixture(scope="module")
def pictures() -> dict[str, str]:
    """What would be drawn now."""
    return draw()


@pytest.mark.parametrize("name", ["terminal-dark.svg", "terminal-light.svg"])
def test_a_picture_is_current(pictures: dict[str, str], name: str) -> None:
    """`python -m tests.pictures` draws them anew where the commands print something else."""
    stored = FOLDER.joinpath(name).read_text(encoding="utf-8")
    assert read_words(stored) == read_words(pictures[name])
    assert "$response-storelist" in read_words(stored)


@pytest.mark.parametrize("name", ["terminal-dark.svg", "terminal-light.svg"])
def test_a_picture_loads_nothing(name: str) -> None:
    """Who looks at README asks no other server for it."""
    stored = FOLDER.joinpath(name).read_text(encoding="utf-8")
    stored = re.sub(r"<!--.*?-->", "", stored)
    assert set(re.findall(r"https?://[^\"' )]+", stored)) <= {"http://www.w3.org/2000/svg"}
    assert "url(" not in re.sub(r"url\(#[^)]+\)", "", stored)
