"""The recipes of CONTRIBUTING, followed on a copy of the source."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PACKAGE = "addon/response_store"


class Copy:
    """A copy of what the recipes change, and the files that were changed so far."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.touched: set[str] = set()
        for name in ("addon", "schemas", "docs"):
            shutil.copytree(
                ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__")
            )

    def write(self, name: str, text: str) -> None:
        """Write a file."""
        (self.folder / name).write_text(text, encoding="utf-8")
        self.touched.add(name)

    def insert(self, name: str, after: str, text: str) -> None:
        """Put text behind the only place that matches."""
        old = (self.folder / name).read_text(encoding="utf-8")
        (place,) = re.finditer(after, old, re.MULTILINE | re.DOTALL)
        self.write(name, old[: place.end()] + text + old[place.end() :])

    def run(self, code: str, *arguments: str) -> str:
        """What a program prints that has the copy in place of the package."""
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=self.folder,
            env={"PYTHONPATH": str(self.folder / "addon"), "PATH": ""},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    """A copy of the source."""
    return Copy(tmp_path)


def recipe(title: str) -> str:
    return PAGE.partition(f"\n### {title}\n")[2].partition("\n##")[0]


def block(text: str, language: str) -> str:
    """The only block of a language, without its indent."""
    (found,) = re.findall(rf"^   ```{language}\n   (.*?)\n   ```$", text, re.MULTILINE | re.DOTALL)
    return str(found)


def named_files(text: str, **words: str) -> set[str]:
    """The files whose names begin a step, or stand beside one that does."""
    for word, stands_for in words.items():
        text = text.replace(word, stands_for)
    steps = re.findall(r"^\d\. .*?$", text, re.MULTILINE)
    return {name for step in steps for name in re.findall(r"`((?:\w+/)+\w+\.[\w.]+)`", step)}


CAPTURE = """
import json, sys
from pathlib import Path
from mitmproxy.test import tflow
from response_store.backends.registry import build_store, open_query
from response_store.capture.flow_facts import build_request_head, read_request_headers
from response_store.config import load_config
from response_store.ingest.draft import Draft
from response_store.ingest.exchanges import build_request
from response_store.ingest.record_builder import RecordBuilder
from response_store.model.records import Api
from response_store.transfer.jsonl import ExportLine, export
from response_store.model.selection import Selection

Path("store.yaml").write_text("database_url: sqlite://new.db")
config = load_config(Path("store.yaml"), {})
flow = tflow.tflow()
flow.request.headers["x-example"] = "kept"
headers = read_request_headers(flow, config)
request = build_request(build_request_head(flow, Api.RESPONSES, headers, config), b"{}")
store = build_store(config)
store.open()
store.write([RecordBuilder(config.capture, "recorder").build(Draft(request, None))])
store.close()
"""
EXPORT = """
lines = []
with open_query(config.database, config.tables) as query:
    export(query.reader, Selection(), lines.append, lambda rows: None)
print(b"".join(lines).decode())
"""


def test_add_a_column(copy: Copy) -> None:
    """Five files are touched; then a header that a request has is in a new database's row."""
    steps = recipe("Add a column from a request header")
    last = len(list((copy.folder / "schemas/sqlite").glob("exchanges_[0-9]*.sql")))
    copy.insert(
        f"{PACKAGE}/model/records.py",
        r"^class ExchangeRow.*?\n(?=\n\n)",
        f"    {block(steps, 'python')}\n",
    )
    for kind in ("sqlite", "postgres"):
        copy.write(f"schemas/{kind}/exchanges_{last + 1:03}.sql", block(steps, "sql"))
    last_property = r'"event_times": \{[^}]*\}'
    copy.insert("schemas/export.schema.json", last_property, f",\n{block(steps, 'json')}")
    line = "| `x_example` | TEXT | of the client |\n"
    copy.insert("docs/tables.md", r"^\| `event_times` .*?\n", line)
    assert copy.touched == named_files(steps, NNN=f"{last + 1:03}")
    assert len(copy.touched) <= 6

    lines: list[dict[str, Any]] = [
        json.loads(line) for line in copy.run(CAPTURE + EXPORT).splitlines() if line
    ]
    (exchange,) = [line for line in lines if line["row"] == "exchange"]
    assert exchange["x_example"] == "kept"
    schema = json.loads((copy.folder / "schemas/export.schema.json").read_text())
    for line in lines:
        jsonschema.validate(line, schema)


COMMAND = '''
"""`response-store greet`: a greeting."""

import click


@click.command("greet")
def greet_command() -> None:
    """Print a greeting."""
    click.echo("Hello.")
'''
CALL = "from response_store.cli import main; main()"


def test_add_a_command(copy: Copy) -> None:
    """A module, its place and its line in the list, and the page; then it is called."""
    commands = f"{PACKAGE}/cli/__init__.py"
    copy.write(f"{PACKAGE}/cli/greet.py", COMMAND)
    copy.insert(
        commands, r"commands_at=\{\n", '"greet": "response_store.cli.greet:greet_command",\n'
    )
    copy.insert(commands, r'"Look": \{\n', '"greet": "Print a greeting.",\n')
    copy.insert("docs/cli.md", r"^\| \*\*Look\*\* \| ", "`greet`, ")
    steps = recipe("Add a command")
    assert copy.touched == named_files(steps, NAME="greet") - {"tests/unit/cli/test_greet.py"}

    code = "import sys; sys.argv[0] = 'response-store'\n" + CALL
    assert copy.run(code, "greet") == "Hello.\n"
    assert "  greet         Print a greeting." in copy.run(code, "--help")
