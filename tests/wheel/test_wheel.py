"""The wheel, installed alone: all it needs is inside, and nothing else is installed."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import response_store

DISTRIBUTION = distribution("mitmproxy-response-store")
PACKAGE = Path(response_store.__file__).parent
COMMAND = Path(sys.executable).with_name("response-store")


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environ = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(
        [COMMAND, *arguments], capture_output=True, text=True, check=False, cwd=cwd, env=environ
    )


def test_the_package_comes_from_the_wheel() -> None:
    """These tests are about what is installed, not about a source checkout."""
    assert PACKAGE.parent.name == "site-packages"
    assert DISTRIBUTION.version == response_store.__version__


def test_nothing_but_the_package_is_installed() -> None:
    """The only importable name is response_store: the script and the schemas are inside it."""
    tops = {Path(file).parts[0] for file in DISTRIBUTION.files or ()}
    tops -= {"..", f"mitmproxy_response_store-{DISTRIBUTION.version}.dist-info"}
    assert tops == {"response_store"}


def test_the_script_has_a_folder_of_its_own() -> None:
    """mitmproxy puts the script's folder on sys.path, so nothing else may be importable there."""
    beside = [path.name for path in (PACKAGE / "_script").iterdir() if path.name != "__pycache__"]
    assert beside == ["capture.py"]


def test_the_schemas_are_inside() -> None:
    """The JSON Schema and the SQL files came along, as did the mark that types are inline."""
    assert (PACKAGE / "schemas" / "config.schema.json").is_file()
    assert sorted((PACKAGE / "schemas" / "sqlite").glob("*.sql"))
    assert (PACKAGE / "py.typed").is_file()


def test_the_pages_are_inside() -> None:
    """The page's templates, style and script came along."""
    files = {
        path.name
        for folder in ("static", "templates")
        for path in (PACKAGE / "web" / folder).iterdir()
    }
    assert {"page.css", "page.js", "base.html", "exchange.html"} <= files


def test_the_command_prints_the_script_s_path(tmp_path: Path) -> None:
    """An installed user can give the script to mitmproxy."""
    done = run("script-path", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()) == PACKAGE / "_script" / "capture.py"


def test_the_command_checks_a_configuration(tmp_path: Path) -> None:
    """The schema is found, and good and bad files are told apart."""
    (tmp_path / "good.yaml").write_text("durability: process\n")
    (tmp_path / "bad.yaml").write_text("durabilty: process\n")
    assert run("config", "check", "good.yaml", cwd=tmp_path).returncode == 0
    bad = run("config", "check", "bad.yaml", cwd=tmp_path)
    assert bad.returncode == 2
    assert "bad.yaml:1: durabilty: the key is unknown" in bad.stderr


def test_mitmdump_loads_the_script(tmp_path: Path) -> None:
    """mitmdump takes the installed script, which looks for the configuration it is told."""
    mitmdump = Path(sys.executable).with_name("mitmdump")
    option = "response_store_config=nowhere.yaml"
    done = subprocess.run(
        [mitmdump, "-s", PACKAGE / "_script" / "capture.py", "-p", "0", "--set", option],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        timeout=30,
    )
    assert done.returncode == 1, done.stderr
    assert "nowhere.yaml: there is no such file" in done.stdout + done.stderr
