"""How commands end whatever happens: a status and a line, never a traceback, never a password."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import response_store
from tests.harness.commands import DEADLINE, PROGRAM, environment
from tests.unit.cli import rows

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Command
    from tests.unit.queries.stored import Stored


CANARY = "S3cretCanary"
URL = f"postgres://u:{CANARY}@db.example.invalid/x"


def run_process(*arguments: str, shell: str = "", **how: Any) -> subprocess.CompletedProcess[bytes]:
    """The program with these arguments, or a shell's line in which it is "$@"."""
    command = [*PROGRAM, *arguments]
    more = how.pop("environment", {})
    if shell:
        command = ["sh", "-c", shell, "sh", *command]
    result = subprocess.run(
        command, capture_output=True, check=False, env=environment(**more), timeout=DEADLINE, **how
    )
    assert b"Traceback" not in result.stderr
    assert b"Exception ignored" not in result.stderr
    return result


@pytest.fixture
def full(stored: Stored) -> Stored:
    """A database with more rows than a pipe or a buffer takes."""
    stored.exchanges([{"exchange_id": f"e{at}", "output_text": "x" * 300} for at in range(1000)])
    return stored


COMMANDS = [("list", "--limit", "1000"), ("export",), ("stats",), ("list", "--json")]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_full_disk(full: Stored, command: tuple[str, ...]) -> None:
    """What can't be written is an error with its reason."""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    result = run_process(*command, shell='"$@" > /dev/full')
    assert result.returncode == 1
    assert b"disk is full" in result.stderr or b"No space left" in result.stderr


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_closed_streams(full: Stored, command: tuple[str, ...]) -> None:
    """A closed output is an error, closed input and closed errors are none."""
    closed = run_process(*command, shell='exec 1>&-; "$@"')
    assert b"closed" in closed.stderr or b"Bad file descriptor" in closed.stderr
    assert closed.returncode == 1
    assert run_process(*command, shell='exec 0<&- 2>&-; "$@"').returncode == 0


@pytest.mark.parametrize("command", COMMANDS[:2], ids=" ".join)
def test_a_reader_that_has_enough(full: Stored, command: tuple[str, ...]) -> None:
    """`| head` ends well: status 0 and no word."""
    result = run_process(*command, shell='{ "$@"; echo "status $?" >&2; } | head -c 100 >/dev/null')
    assert result.stderr == b"status 0\n"


@pytest.mark.parametrize(
    "command", [("list",), ("stats",), ("config", "check"), ("export",), ("status",)], ids=" ".join
)
def test_a_working_directory_that_was_removed(tmp_path: Path, command: tuple[str, ...]) -> None:
    """It is told as that where it matters."""
    folder = tmp_path / "d"
    result = run_process(*command, shell=f'mkdir {folder}; cd {folder}; rmdir {folder}; "$@"')
    if command != ("config", "check"):
        assert result.returncode == 1
        said = result.stdout + result.stderr
        assert b"has been removed" in said or b"there is no database" in said


@pytest.mark.parametrize(
    ("columns", "word"), [("0", "list"), ("-1", "--help"), ("x", "status"), ("1", "list")]
)
def test_columns_that_are_none(stored: Stored, columns: str, word: str) -> None:
    """On a terminal a useless COLUMNS does not count."""
    rows.whole(stored)
    script = (
        "import pty, sys; status = pty.spawn(sys.argv[1:]); sys.exit(status >> 8)"  # a terminal
    )
    command = [sys.executable, "-c", script, *PROGRAM]
    result = subprocess.run(
        [*command, word],
        capture_output=True,
        check=False,
        env=environment(COLUMNS=columns),
        stdin=subprocess.DEVNULL,
        timeout=DEADLINE,
    )
    assert result.returncode == 0, result.stdout
    assert b"Traceback" not in result.stdout
    assert result.stdout.strip()


def test_an_error_of_our_own(tmp_path: Path) -> None:
    """It is named by its place, without what it was about; the traceback is there if asked for."""
    code = (
        "import click\nfrom response_store.cli import main\n"
        "@main.command('broken')\ndef broken():\n    raise KeyError('S3cretCanary')\n"
        "main(['broken'])"
    )
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, check=False, env=environment())
    assert result.returncode == 70
    assert b"an error of Response Store's own (KeyError" in result.stderr
    assert CANARY.encode() not in result.stderr
    more = environment(RESPONSE_STORE_TRACEBACK="1")
    result = subprocess.run(command, capture_output=True, check=False, env=more)
    assert b"Traceback" in result.stderr


COMMAND_LINES = [
    f"list --database {URL}",
    f"search x --database {URL}",
    f"prune --older-than 1d --database {URL}",
    f"stats --database='{URL}'",
    f"list --config {URL}",
    f"config check {URL}",
    f"copy --to {URL}",
    f"copy --to-config {URL}",
    f"export --output {URL}",
    f"import {URL}",
    f"flush --journal {URL}",
    f"run --config {URL} -- true",
]
ELSEWHERE = [f"list {URL}", f"show {URL}", f"{URL}", f"run {URL}", f"list --nothing={URL}"]


@pytest.mark.parametrize("line", COMMAND_LINES)
def test_a_url_where_a_path_is_wanted(run: Command, line: str) -> None:
    """It is told as that, and its password is nowhere."""
    result = run(*shlex.split(line))
    assert result.exit_code == 2
    assert CANARY not in result.stdout + result.stderr
    words = "path" if "--to " not in line else "--to takes the path"
    assert words in result.stderr


@pytest.mark.parametrize("line", ELSEWHERE)
def test_a_url_anywhere_else(run: Command, line: str) -> None:
    """Whatever complains of it does not repeat the password."""
    result = run(*shlex.split(line))
    assert result.exit_code != 0
    assert CANARY not in result.stdout + result.stderr


def test_a_url_in_the_variable_of_the_file(stored: Stored) -> None:
    """RESPONSE_STORE_CONFIG with a URL in it is refused by every command in the same way."""
    for command in ("list", "status", "config check"):
        result = run_process(*command.split(), environment={"RESPONSE_STORE_CONFIG": URL})
        assert result.returncode == 2
        assert b"this is a URL, and the path of a YAML file is wanted" in result.stderr
        assert CANARY.encode() not in result.stdout + result.stderr


def test_config_check_without_a_file(tmp_path: Path) -> None:
    """It checks what is in force: the file of the variable, else the defaults."""
    config = tmp_path / "store.yaml"
    config.write_text("durability: power\n")
    result = run_process("config", "check", environment={"RESPONSE_STORE_CONFIG": str(config)})
    assert result.stdout.startswith(f"{config}: ok\n".encode())
    assert run_process("config", "check", cwd=tmp_path).stdout.startswith(b"defaults: ok\n")


def test_a_url_where_mitmproxy_wants_the_file(tmp_path: Path) -> None:
    """The option of mitmproxy refuses it in the same words, and mitmdump ends."""
    script = Path(response_store.__file__).parents[1] / "capture.py"
    if not script.is_file():  # an installed wheel has it elsewhere
        script = Path(response_store.__file__).parent / "_script" / "capture.py"
    code = "from mitmproxy.tools.main import mitmdump; mitmdump()"
    option = f"response_store_config={URL}"
    result = subprocess.run(
        [sys.executable, "-c", code, "-n", "-s", str(script), "--set", option],
        capture_output=True,
        check=False,
        cwd=tmp_path,
        timeout=50,
    )
    said = result.stdout + result.stderr
    assert result.returncode == 1
    assert b"this is a URL, and the path of a YAML file is wanted" in said
    assert CANARY.encode() not in said
