"""Opening databases: one module knows both kinds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import response_store
from response_store.backends import registry
from response_store.backends.registry import open_query
from response_store.config import SqliteTarget
from response_store.errors import StoreError
from tests.unit.queries.stored import NAMES

_TELLS_APART = re.compile(r"isinstance\([^()]*(?:\([^()]*\))?[^()]*\b(?:Sqlite|Postgres)\w+")
_PACKAGE = Path(response_store.__file__).parent


def test_one_module_tells_the_databases_apart() -> None:
    """What differs between them is opened by `backends.py`, or asked of the target itself."""
    apart = {
        str(path.relative_to(_PACKAGE))
        for path in _PACKAGE.rglob("*.py")
        if path.parent.name not in ("sqlite", "postgres") and _TELLS_APART.search(path.read_text())
    }
    assert apart == {"backends/registry.py"}


def test_memory_is_refused_to_all_but_its_proxy() -> None:
    """Whatever would open a database in memory says what to do instead."""
    target = SqliteTarget(None)
    for opening in (open_query, registry.open_reader, registry.open_writer):
        with pytest.raises(StoreError, match="Name a file in database_url"):
            opening(target, NAMES)
