"""The pages of the checkout lead to what is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
DECISIONS = ROOT / "docs" / "decisions"
LINK = re.compile(r"\]\(\s*(?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)")
FENCE = re.compile(r"^( *)```.*?^\1```$", re.MULTILINE | re.DOTALL)


def text_of(page: Path) -> str:
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """The names that a page's headings have in links."""
    headings = re.findall(r"^#+ (.+)$", text_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.lower()).strip().replace(" ", "-") for one in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links(page: Path) -> None:
    """A relative link names a file, and a heading of it."""
    broken = []
    for name, anchor in LINK.findall(text_of(page)):
        there = (page.parent / name) if name else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            broken.append(f"{name}#{anchor}")
    assert broken == []


def test_the_index_of_decisions() -> None:
    """It has a line for each page, in their order."""
    index = (DECISIONS / "README.md").read_text(encoding="utf-8")
    pages = sorted(page.name for page in DECISIONS.glob("*.md") if page.name != "README.md")
    assert re.findall(r"^- \[[^]]+\]\(([^)]+)\): ", index, re.MULTILINE) == pages


def test_each_guarantee_names_its_tests() -> None:
    """The table of README names files and folders that are there, in each of its rows."""
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    section = page.partition("\n## Guarantees")[2].partition("\n## ")[0]
    rows = re.findall(r"^\|.*\| ([^|]+) \|$", section, re.MULTILINE)[2:]
    named = [re.findall(r"`([^`]+)`", row) for row in rows]
    known = {path.name for path in (ROOT / "tests").rglob("test_*.py")}
    assert len(named) > 10
    assert all(named)
    assert [
        name for row in named for name in row if name not in known and not (ROOT / name).exists()
    ] == []
