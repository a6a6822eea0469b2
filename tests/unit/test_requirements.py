"""A mitmproxy of one's own is told in one line what it lacks, and how to add it."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from response_store.requirements import MODULES, describe_installation, explain_missing

ROOT = Path(__file__).parents[2]
WITH_MITMPROXY = {"mitmproxy", "h11", "h2", "tornado"}  # not imported by us
NAMES = {
    "google-re2": "re2",
    "pyyaml": "yaml",
    "psycopg": "psycopg",
    "markdown-it-py": "markdown_it",
}


def test_here_is_everything() -> None:
    """Nothing is said where all is there."""
    assert explain_missing() is None


def test_every_requirement_is_looked_for() -> None:
    """The list is that of the project."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = {re.split(r"[\[><=;]", one)[0] for one in project["dependencies"]} - WITH_MITMPROXY
    assert {NAMES.get(one, one) for one in named} | {"psycopg_pool"} == set(MODULES)


@pytest.mark.parametrize(
    ("prefix", "frozen", "words"),
    [
        ("/home/me/.local/pipx/venvs/mitmproxy", False, "pipx inject mitmproxy /clone"),
        ("/home/me/.local/share/pipx/venvs/mitm", False, "pipx inject mitm /clone"),
        (
            "/home/me/.local/share/uv/tools/mitmproxy",
            False,
            "uv tool install mitmproxy --with /clone",
        ),
        ("/opt/homebrew/Cellar/mitmproxy/12.1/libexec", False, "keeps its Python to itself"),
        ("/usr/local/Cellar/mitmproxy/12.1/libexec", False, "keeps its Python to itself"),
        ("/tmp/_MEI123", True, "to which nothing can be added"),
        ("/home/me/venv", False, "/bin/python -m pip install /clone"),
    ],
)
def test_how_to_add(prefix: str, frozen: bool, words: str) -> None:
    """By where mitmproxy's Python is."""
    assert words in describe_installation(prefix, "/bin/python", "/clone", frozen=frozen)


def test_folders_of_other_names(tmp_path: Path) -> None:
    """Where the tools' folders have been moved, what they leave there tells."""
    for file, words in (
        ("pipx_metadata.json", "pipx inject mitm /clone"),
        ("uv-receipt.toml", "uv tool install mitm --with /clone"),
    ):
        prefix = tmp_path / file.partition(".")[0] / "mitm"
        prefix.mkdir(parents=True)
        (prefix / file).touch()
        assert words in describe_installation(str(prefix), "/bin/python", "/clone", frozen=False)


def test_a_mitmproxy_without_it(tmp_path: Path) -> None:
    """mitmdump ends with the line alone, and no traceback."""
    (tmp_path / "hide.py").write_text("import sys\nsys.modules['msgspec'] = None\n")
    code = "from mitmproxy.tools.main import mitmdump; mitmdump()"
    script = str(ROOT / "addon" / "capture.py")
    finished = subprocess.run(
        [sys.executable, "-c", code, "-n", "-s", str(tmp_path / "hide.py"), "-s", script],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = finished.stdout + finished.stderr
    assert finished.returncode == 1
    assert "the Python that runs mitmproxy lacks msgspec. Add it: " in said
    assert "Traceback" not in said
