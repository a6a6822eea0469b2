"""The recipes of CONTRIBUTING, followed on a copy of the checkout: places and texts are its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
COPIED = ("addon", "schemas", "docs", "tests", "pyproject.toml", "CHANGELOG.md", "CONTRIBUTING.md")
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.egg-info")
MAX_PLACES = 6
"""So many files a column may take."""
DEADLINE = 120
"""Seconds for tests of the copy, on a machine that runs others beside them."""

pytestmark = pytest.mark.timeout(3 * DEADLINE)


class Step(NamedTuple):
    """A step of a recipe: the files that it begins with, what to do there, and the texts."""

    files: tuple[str, ...]
    text: str
    blocks: tuple[str, ...]

    def read(self, pattern: str) -> str:
        """Return the name that the text has in a place; a step without it can't be followed."""
        (name,) = re.findall(pattern, " ".join(self.text.split()))
        return str(name)


def read_steps(title: str, names: dict[str, str]) -> list[Step]:
    """Return the steps of a recipe, with other names in the place of those that stand for some."""
    text = PAGE.partition(f"\n### {title}\n")[2].partition("\n##")[0]
    for name, real in names.items():
        text = re.sub(rf"(?<![^\W_]){name}(?![^\W_])", real, text)
    return [read_step(step) for step in re.split(r"^\d\. ", text, flags=re.MULTILINE)[1:]]


def read_step(text: str) -> Step:
    where, _, rest = text.partition(": ")
    blocks = re.findall(r"^   ```\w+\n(.*?)^   ```$", rest, re.MULTILINE | re.DOTALL)
    files = tuple(re.findall(r"`([^`]+)`", where))
    return Step(files, rest.partition("```")[0], tuple(map(textwrap.dedent, blocks)))


class Copy:
    """A copy of the checkout, and the files that were changed so far."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.touched: set[str] = set()
        for name in COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, folder / name, ignore=LEFT_OUT)
            else:
                shutil.copy(ROOT / name, folder / name)

    def write(self, name: str, text: str) -> None:
        """Write a file."""
        (self.folder / name).write_text(text, encoding="utf-8")
        self.touched.add(name)

    def replace(self, name: str, pattern: str, text: str) -> None:
        """Put text in the place of the only match, of its group if it has one."""
        old = (self.folder / name).read_text(encoding="utf-8")
        (place,) = re.finditer(pattern, old, re.MULTILINE | re.DOTALL)
        start, end = place.span(place.re.groups)
        self.write(name, old[:start] + text + old[end:])

    def run(self, *arguments: str) -> str:
        """Return what Python prints that has the copy in place of the package."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(self.folder / "addon")},
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def test(self, *names: str) -> None:
        """Run tests of the copy, which have to pass."""
        self.run("-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", *names)


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    """A copy of the checkout."""
    return Copy(tmp_path)


def note_change(copy: Copy, step: Step) -> None:
    """Add a line to the changes."""
    (file,), (line,) = step.files, step.blocks
    heading = step.read(r"first line under `(\w+)`")
    copy.replace(file, rf"^## {heading}[^\n]*\n\n()", line)


CAPTURE = """
import sys
from pathlib import Path
from mitmproxy.test import tflow
from response_store.backends.registry import build_store
from response_store.capture.flow_facts import build_request_head, read_request_headers
from response_store.cli import main
from response_store.config import load_config
from response_store.ingest.draft import Draft
from response_store.ingest.exchanges import build_request
from response_store.ingest.record_builder import RecordBuilder
from response_store.model.records import Api

Path("store.yaml").write_text("database_url: sqlite://new.db")
config = load_config(Path("store.yaml"), {})
flow = tflow.tflow()
flow.request.headers["x-followed"] = "kept"
headers = read_request_headers(flow, config)
request = build_request(build_request_head(flow, Api.RESPONSES, headers, config), b"{}")
store = build_store(config)
store.open()
store.write([RecordBuilder(config.capture, "recorder").build(Draft(request, None))])
store.close()
for command in (["list", "--json"], ["export"]):
    main([*command, "--config", "store.yaml"], standalone_mode=False)
"""
COLUMN_TESTS = (
    "tests/unit/transfer/test_jsonl.py::test_the_schema_is_one",
    "tests/unit/transfer/test_jsonl.py::test_every_kind_of_column_is_described",
    "tests/unit/queries/test_schema_state_page.py",
    "tests/unit/cli/test_list.py::test_json_holds_what_is_known[sqlite]",
    "tests/unit/cli/test_status.py::test_a_pipe_gets_name_and_value",
)


def test_add_a_column(copy: Copy) -> None:
    """Few files are touched; then a request's header is in a new database, in lists and exports."""
    number = len(list((copy.folder / "schemas/sqlite").glob("exchanges_[0-9]*.sql"))) + 1
    names = {"x_example": "x_followed", "x-example": "x-followed"}
    numbers = {"NNN": f"{number:03}", "N": str(number)}
    row, migrations, schema, page, change = read_steps(
        "Add a column from a request header", names | numbers
    )

    struct = row.read(r"last field of `(\w+)`")
    (file,), (field,) = row.files, row.blocks
    copy.replace(file, rf"^class {struct}\b.*?\n()\n\n", textwrap.indent(field, "    "))

    for file in migrations.files:
        copy.write(file, migrations.blocks[0])

    (file,) = schema.files
    described = json.loads((copy.folder / file).read_text(encoding="utf-8"))
    described["$defs"][schema.read(r"last of the `properties` of `(\w+)`")]["properties"].update(
        json.loads(f"{{{schema.blocks[0]}}}")
    )
    copy.write(file, json.dumps(described, indent=2) + "\n")

    (file,), (line, version) = page.files, page.blocks
    table, last = page.read(r"under `(\w+)`, add"), page.read(r"line before that of `(\w+)`")
    copy.replace(file, rf"^## {table}\n(?:(?!^## ).)*?^()\| `{last}`", line)
    versions, word = page.read(r"; under `(\w+)`, change"), page.read(r"change `(\w+)` to")
    copy.replace(file, rf"^## {versions}\n(?:(?!^## ).)*?\b{word} (\d+)", str(number))
    assert page.read(r"and add the (\w+) line of the table") == "last"
    copy.replace(file, rf"^## {versions}\n(?:(?!^## ).)*?^\| \d+ [^\n]*\n()\n", version)

    note_change(copy, change)
    assert len(copy.touched) <= MAX_PLACES

    listed, *lines = map(json.loads, copy.run("-c", CAPTURE).splitlines())
    (exchange,) = (line for line in lines if line["row"] == "exchange")
    assert listed["exchanges"][0]["x_followed"] == exchange["x_followed"] == "kept"
    copy.test(*COLUMN_TESTS)


def test_add_a_command(copy: Copy) -> None:
    """A module, its place, the page, a test; then tests compare help and page, and measure it."""
    module, commands, page, test, layout, change = read_steps("Add a command", {"NAME": "greet"})
    for step in (module, test):
        (file,), (text,) = step.files, step.blocks
        copy.write(file, text)

    (file,), lines = commands.files, commands.blocks
    heading = commands.read(r"such as `([\w ]+)`")
    places, sections = commands.read(r"line to `(\w+)`"), commands.read(r"heading of `(\w+)`")
    copy.replace(file, rf"{places}=\{{\n()", lines[0])
    copy.replace(file, rf'{sections}=\{{.*?"{heading}": \{{[^}}]*?()\s*\}}', f"\n{lines[1]}")

    (file,), (section,) = page.files, page.blocks
    following = page.read(r"before that of `([\w-]+)`")
    copy.replace(file, rf"^\| \*\*{heading}\*\* \| [^\n]*?() \|$", ", `greet`")
    copy.replace(file, rf"^()## `response-store {following}`", f"{section}\n")

    (file,), (reason,) = layout.files, layout.blocks
    whole = layout.read(r"it to `(\w+)`")
    copy.replace(file, rf"^{whole} = \{{\n()", reason)

    note_change(copy, change)
    assert "  greet         Say whose rows" in copy.run("-c", CALL, "--help")
    pages = ("tests/unit/cli/test_lazy_page.py", "tests/unit/cli/test_lazy_help.py")
    copy.test(test.files[0], *pages, "tests/test_layout.py", "-k", "greet or the_ or sizes")


CALL = """
import sys
from response_store.cli import main
sys.argv[0] = "response-store"
main()
"""
