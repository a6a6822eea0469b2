"""Each counter is explained in `docs/failure-modes.md`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "addon" / "response_store"
ROW = re.compile(r"^\| (`.*?) \| (.*) \|$", re.MULTILINE)
HOLDERS = ("counters", "batch")  # what has a counter added to it


def names_in(tree: ast.AST) -> Iterator[str]:
    """Yield the names of what is counted; of a name that is put together, its first part."""
    for call in ast.walk(tree):
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)):
            continue
        receiver, method = ast.unparse(call.func.value), call.func.attr
        counts = receiver.endswith(HOLDERS) and method in ("add", "count")
        for argument in call.args if counts or method == "_drop" else ():
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                yield argument.value
            elif isinstance(argument, ast.JoinedStr):
                first = argument.values[0]
                yield first.value if isinstance(first, ast.Constant) else ""


def test_each_counter_is_explained() -> None:
    """By its name, or as a reason in the row of its family."""
    table = (ROOT / "docs" / "failure-modes.md").read_text().partition("| counter |")[2]
    rows = {name: f"{names} {text}" for names, text in ROW.findall(table)
            for name in re.findall("`([^`]+)`", names)}  # fmt: skip
    counted = {
        name for path in PACKAGE.rglob("*.py") for name in names_in(ast.parse(path.read_text()))
    }
    assert len(counted) > 40
    unexplained = []
    for name in counted - rows.keys():
        family, _, reason = name.rpartition(".")
        explained = rows.get(f"{family}.…")
        if explained is None or (reason and f"`{reason}`" not in explained):
            unexplained.append(name)
    assert unexplained == []
