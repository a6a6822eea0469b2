"""Lower bounds: those that are tested, and none with a hole that is known."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# The first releases without the holes that were known when this was written.
SAFE = {
    "mitmproxy": (12, 2, 2),
    "filelock": (3, 20, 3),  # CVE-2025-68146, CVE-2026-22701
    "h11": (0, 16),  # CVE-2025-43859
    "h2": (4, 3),  # CVE-2025-57804
    "tornado": (6, 5, 5),  # CVE-2025-47287 and later ones
    "jinja2": (3, 1, 6),  # CVE-2025-27516
    "cryptography": (46, 0, 7),
    "brotli": (1, 2),  # CVE-2025-6176
}

pytestmark = pytest.mark.skipif(
    not (ROOT / "pyproject.toml").exists(), reason="the tests of a checkout"
)


def version(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(".")))


def lower_bounds() -> dict[str, str]:
    """The lower bound of each dependency on Python 3.12."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    entries = [entry for entry in project["dependencies"] if "< '3.12'" not in entry]
    found = [re.match(r"([a-z0-9-]+)(?:\[[^]]*\])?>=([0-9.]+)", entry) for entry in entries]
    assert all(found)
    return {match[1]: match[2] for match in found if match}


def test_every_bound_is_tested() -> None:
    """The file of lowest releases names each dependency, with its bound or what mitmproxy wants."""
    lines = (ROOT / "tests" / "lowest.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    bounds = lower_bounds()
    assert pinned.keys() == bounds.keys()
    raised = {name for name, bound in bounds.items() if version(pinned[name]) != version(bound)}
    assert raised <= {"zstandard"}


@pytest.mark.parametrize(("name", "safe"), SAFE.items(), ids=SAFE)
def test_no_bound_admits_a_known_hole(name: str, safe: tuple[int, ...]) -> None:
    """Each lower bound is at least the release that has closed what is known."""
    assert version(lower_bounds()[name]) >= safe


def test_the_pythons_are_everywhere_the_same() -> None:
    """What may be installed, is said, and is tested where it is there: the same Pythons."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    first, behind = map(int, re.findall(r"3\.(\d+)", project["requires-python"]))
    pythons = [f"3.{minor}" for minor in range(first, behind)]
    classified = [entry.rpartition(" ")[2] for entry in project["classifiers"] if ":: 3." in entry]
    (tested,) = re.findall(r"\nenv_list = (.*)\n", (ROOT / "tox.ini").read_text())
    (looked_for,) = re.findall(r"\nfor version in (.*); do\n", (ROOT / ".ci" / "run").read_text())
    (named,) = re.findall(r"with Python (3[^)]*) and nothing", (ROOT / "README.md").read_text())
    assert classified == pythons
    assert sorted(re.findall(r"py3(\d+)", tested)) == [one[2:] for one in pythons]
    assert looked_for.split() == pythons
    assert re.findall(r"3\.\d+", named) == pythons
