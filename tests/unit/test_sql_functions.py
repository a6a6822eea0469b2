"""The SQL function that Datasette and sqlite-utils get."""

from __future__ import annotations

import importlib
import sqlite3
import tomllib
from contextlib import closing
from typing import TYPE_CHECKING

import pluggy
import pytest
import zstandard

from response_store import sql_functions
from response_store.limits import STORED_BYTES
from response_store.model.zstd import BasedCompressor
from tests.house import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator


class Hooks:
    """What both tools specify."""

    def prepare_connection(self, conn: sqlite3.Connection, database: str) -> None:
        """A connection was opened."""


@pytest.fixture(params=["datasette", "sqlite_utils"])
def connection(request: pytest.FixtureRequest) -> Iterator[sqlite3.Connection]:
    """A connection that a tool has opened, with this plugin."""
    tool = request.param
    marked = type("Marked", (), {"prepare_connection": Hooks.prepare_connection})
    pluggy.HookspecMarker(tool)(marked.prepare_connection)
    manager = pluggy.PluginManager(tool)
    manager.add_hookspecs(marked)
    manager.register(sql_functions)
    with closing(sqlite3.connect(":memory:")) as opened:
        manager.hook.prepare_connection(conn=opened, database="responses")
        yield opened


def unpacked(connection: sqlite3.Connection, value: object) -> object:
    """What the function makes of a value."""
    return connection.execute("SELECT unpack(?)", (value,)).fetchone()[0]


def test_a_body_is_read(connection: sqlite3.Connection) -> None:
    """A frame is its text; bytes that are no text are replaced."""
    assert unpacked(connection, zstandard.compress('{"input": "Köln"}'.encode())) == (
        '{"input": "Köln"}'
    )
    assert unpacked(connection, zstandard.compress(b"a\xff")) == "a\ufffd"


def test_what_is_no_frame_ends_nothing(connection: sqlite3.Connection) -> None:
    """Null, text and numbers stay what they are; what is damaged or too large is null."""
    for value in (None, "text", 7, 1.5):
        assert unpacked(connection, value) == value
    bomb = zstandard.compress(bytes(STORED_BYTES + 1))
    for value in (b"", b"nothing", zstandard.compress(b"x" * 999)[:-3], bomb):
        assert unpacked(connection, value) is None


def test_both_tools_find_it() -> None:
    """The package names the module for both of them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for group in ("datasette", "sqlite_utils"):
        (module,) = project["entry-points"][group].values()
        assert importlib.import_module(module) is sql_functions


def test_a_body_on_another_one(connection: sqlite3.Connection) -> None:
    """The frame of its base is the second argument; without it, or with another one, it is null."""
    base = b"something that both of them have in common " * 200
    frame, alone = BasedCompressor(base).frame(base + b"more"), zstandard.compress(base)

    def ask(*values: object) -> object:
        return connection.execute("SELECT unpack(?, ?)", values).fetchone()[0]

    assert ask(frame, alone) == (base + b"more").decode()
    assert ask(alone, None) == base.decode()
    assert (ask(frame, None), ask(frame, b"damaged"), ask(frame, frame)) == (None, None, None)
    assert unpacked(connection, frame) is None
