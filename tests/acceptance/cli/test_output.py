"""What pipes get word for word, where no other test has it, and real terminals of 40 columns."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from rich.cells import cell_len

from response_store import __version__
from tests.harness.commands import on_terminal

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.cli.conftest import Anywhere, Command
    from tests.unit.queries.stored import Stored

CAPTURED = {
    "response_id": "resp_東京", "model": "通义千问-最大-预览-版本", "input_tokens": 12,
    "output_tokens": 34, "duration_ms": 1500.0, "output_text": "晴れ 🌞 \x1b[31mred\x07",
    "user_agent": "工具/1",
}  # fmt: skip
RESPONSE = (
    '{"output":[{"type":"message","content":[{"type":"output_text","text":"晴れ 🌞 \\u001b[2J"}]}]}'
)
ESCAPES = re.compile(r"\x1b\[[0-9;]*m")  # colours
UNSAFE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def captured(stored: Anywhere) -> None:
    """An exchange in wide characters, which tries to control the terminal."""
    stored.exchange("e1", **CAPTURED)
    stored.response("resp_東京", response_object=RESPONSE)


def test_an_export(stored: Stored, run: Command) -> None:
    """Lines of JSON, each key in its place; nothing else on either output."""
    captured(stored)
    result = run("export")
    assert (result.exit_code, result.stderr) == (0, "")
    header, response, exchange, end = result.stdout.splitlines()
    assert json.loads(header) == {
        "row": "header", "format": "response-store-export", "version": 1,
        "program": f"mitmproxy-response-store {__version__}",
    }  # fmt: skip
    assert response.startswith('{"row":"response","tenant_id":"default","id":"resp_東京",')
    assert f'"response_object":{RESPONSE}' in response
    assert '"output_text":"晴れ 🌞 \\u001b[31mred\\u0007"' in exchange
    assert end == '{"row":"end","conversations":0,"responses":1,"exchanges":1}'


def test_a_checked_configuration(place: Path, run: Command) -> None:
    """A name and a value a line; what holds the defaults is the same on each machine."""
    (place / "proxy.yaml").write_text("database_url: sqlite://東京.db\n")
    result = run("config", "check", "proxy.yaml")
    assert (result.exit_code, result.stderr) == (0, "")
    first, *lines = result.stdout.splitlines()
    assert first == "proxy.yaml: ok"
    assert lines[0] == "  backend                 sqlite"
    assert all(re.fullmatch(r"  \S.{20,}  \S.*", line) for line in lines)


def test_nothing_to_list_names_the_next_command(stored: Stored) -> None:
    """On a terminal; a pipe gets nothing."""
    status, shown = on_terminal("list", columns=40)
    assert status == 0
    assert "response-store run -- COMMAND" in shown
    assert "response-store status" in shown


@pytest.mark.parametrize(
    ("command", "table", "words"),
    [
        (["list"], True, "晴れ"),
        (["tail"], True, "晴れ"),
        (["stats"], True, "通义"),
        (["stats", "--by", "client"], True, "工具"),
        (["search", "晴れ"], False, "晴れ 🌞"),
        (["show", "resp_東京"], False, "晴れ 🌞"),
        (["show", "--thread", "resp_東京"], False, "晴れ 🌞"),
        (["status"], False, "exchanges"),
        (["prune", "--until", "2026-02-01", "--dry-run"], False, "would go"),
        (["copy", "--to", "other.db"], False, "1 row, 1 sent"),
        (["list", "--json"], False, "晴れ 🌞"),
        (["export"], False, "晴れ 🌞"),
    ],
)
def test_a_narrow_terminal(stored: Stored, command: list[str], table: bool, words: str) -> None:
    """Tables fit, texts are wrapped by the terminal itself, and no captured text controls it."""
    captured(stored)
    status, shown = on_terminal(*command, columns=40)
    lines = ESCAPES.sub("", shown).split("\r\n")
    assert status == 0
    assert words in "\n".join(lines)
    assert not UNSAFE.search("".join(lines))
    assert "\x1b[31mred" not in shown
    assert "\x1b[2J" not in shown
    if table:
        assert max(map(cell_len, lines)) <= 40
