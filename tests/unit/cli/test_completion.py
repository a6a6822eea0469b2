"""What a shell offers: by click's protocol, in real processes and in a real bash."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from click.shell_completion import CompletionItem, get_completion_class

from response_store.cli import main, source
from response_store.cli.completion import PROGRAM, SHELLS, VARIABLE
from tests.unit.cli import rows
from tests.unit.cli.test_lazy_process import PROGRAM as ITSELF
from tests.unit.cli.test_lazy_process import environment

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.cli.conftest import Anywhere, Command
    from tests.unit.queries.stored import Stored

DEADLINE = 20
NAMED = [*ITSELF[:2], "from response_store.cli import main; main(prog_name='response-store')"]


def offered(*words: str) -> list[CompletionItem]:
    """What is offered for the last word."""
    made = get_completion_class("bash")
    assert made is not None
    return made(main, {}, PROGRAM, VARIABLE).get_completions([*words[:-1]], words[-1])


def names(*words: str) -> list[str]:
    return [item.value for item in offered(*words)]


def asked(shell: str, *words: str, **more: str) -> subprocess.CompletedProcess[bytes]:
    """A process that a shell's script starts."""
    line, place = " ".join([PROGRAM, *words]), str(len(words))
    if shell == "fish":
        place = words[-1]
    said = {VARIABLE: f"{shell}_complete", "COMP_WORDS": line, "COMP_CWORD": place, **more}
    return subprocess.run(
        NAMED, capture_output=True, check=False, env=environment(**said), timeout=DEADLINE
    )


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may look for longer than a prompt would wait."""
    monkeypatch.setattr(source, "SECONDS", DEADLINE)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["s"], ["script-path", "show", "search", "stats", "status"]),
        (["config", ""], ["check"]),
        (["list", "--si"], ["--since"]),
        (["list", "--state", "c"], ["completed", "cancelled"]),
        (["stats", "--by", ""], ["model", "day", "host", "client", "state"]),
        (["completion", ""], ["bash", "zsh", "fish"]),
    ],
)
def test_commands_options_and_choices(words: list[str], found: list[str]) -> None:
    """What the command line itself knows is offered."""
    assert names(*words) == found


@pytest.mark.parametrize(
    "words",
    [
        ["list", "--config"], ["list", "--database"], ["export", "--output"], ["import"],
        ["copy", "--to"], ["copy", "--to-config"], ["config", "check"],
        ["run", "--"], ["run", "--", "python"],
    ],
)  # fmt: skip
def test_files_are_the_shell_s(words: list[str]) -> None:
    """The shell completes the names of files as it does everywhere."""
    assert [(item.type, item.value) for item in offered(*words, "some/pa")] == [("file", "some/pa")]


def test_programs_to_run(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What can be executed is offered for the first word behind `run`, and files behind it."""
    (place / "bin").mkdir()
    for name, mode in (("agent-one", 0o755), ("agent-two", 0o644), ("other", 0o755)):
        (place / "bin" / name).touch(mode)
    monkeypatch.setenv("PATH", f"{place / 'nowhere'}:{place / 'bin'}")
    assert names("run", "--", "ag") == ["agent-one"]
    assert [item.type for item in offered("run", "--", "zzz")] == ["file"]


@pytest.mark.usefixtures("patient")
def test_stored_names(anywhere: Anywhere) -> None:
    """Ids, the newest first, models, hosts and tenants of either database."""
    rows.all_kinds(anywhere)
    anywhere.exchange("theirs", tenant_id="team-b", model="theirs", started_at=1767226100.0)
    assert names("show", "") == ["e-open", "e-chat", "resp_cut", "e-refused", rows.RESPONSE_ID]
    assert names("show", "resp_") == ["resp_cut", rows.RESPONSE_ID]
    assert names("show", "--tenant", "team-b", "") == ["theirs"]
    assert names("list", "--model", "gpt") == ["gpt-4.1", "gpt-5.1", "gpt-5.1-2025-11-13"]
    for command in ("list", "search", "stats", "tail", "export", "copy", "prune"):
        assert names(command, "--host", "a") == ["api.openai.com"]
        assert names(command, "--tenant", "") == ["default", "team-b"]
    told = {item.value: item.help for item in offered("show", "")}
    assert told["e-chat"] == "completed gpt-4.1 2026-01-01 02:05:00"


@pytest.mark.usefixtures("patient")
def test_an_old_id_is_found_by_its_beginning(
    anywhere: Anywhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where none of the newest begins so, older ones are looked for."""
    monkeypatch.setattr(source, "NEWEST", 1)
    rows.all_kinds(anywhere)
    assert names("show", "") == ["e-open"]
    assert names("show", "resp_6") == [rows.RESPONSE_ID]


@pytest.mark.usefixtures("patient")
def test_the_database_of_the_command_line(
    anywhere: Anywhere, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--config and --database count as far as they are typed, with the `~` that a shell leaves."""
    anywhere.exchange("e1")
    anywhere.configure(place / "named.yaml")
    monkeypatch.delenv("RESPONSE_STORE_CONFIG", raising=False)
    monkeypatch.setenv("HOME", str(place))
    monkeypatch.chdir("/")
    assert names("show", "") == []
    assert names("show", "--config", "~/named.yaml", "") == ["e1"]


@pytest.mark.usefixtures("patient")
def test_a_captured_name_is_never_a_command(stored: Stored) -> None:
    """What a shell could take for anything but a name is not offered."""
    for number, model in enumerate(["$(reboot)", "a b", "a;b", "x\nplain,y", "`a`", "-a", "a*"]):
        stored.exchange(f"e{number}", model=model, output_text=model)
    stored.exchange("good", model="meta/llama-3.1:8b", started_at=1.0)
    stored.exchange("told", model="x\x1b[2J\ny")
    assert names("list", "--model", "") == ["meta/llama-3.1:8b"]
    told = {item.value: item.help for item in offered("show", "")}
    assert told["told"] == "completed x\u241b[2J y 2026-01-01 02:00:00"


def test_a_real_process(stored: Stored) -> None:
    """Each shell's script gets lines as it reads them, and nothing on standard error."""
    rows.chat(stored)
    told = "completed gpt-4.1 2026-01-01 02:05:00"
    expected = {
        "bash": "plain,e-chat", "zsh": f"plain\ne-chat\n{told}", "fish": f"plain,e-chat\t{told}",
    }  # fmt: skip
    for shell in SHELLS:
        deadline = time.monotonic() + DEADLINE
        while (done := asked(shell, "show", "e-")).stdout.decode().strip() != expected[shell]:
            assert time.monotonic() < deadline, done
        assert (done.returncode, done.stderr) == (0, b"")


def test_a_look_at_a_file_is_quick(stored: Stored) -> None:
    """Nothing that takes long to import is imported for it."""
    rows.chat(stored)
    check = (
        "import atexit, sys; from response_store.cli import main, source;"
        f"source.SECONDS = {DEADLINE}; atexit.register(lambda: print("
        "{'psycopg', 'rich', 'mitmproxy', 'dateparser'} & sys.modules.keys()));"
        f"main(prog_name={PROGRAM!r})"
    )
    said = {VARIABLE: "bash_complete", "COMP_WORDS": f"{PROGRAM} show e", "COMP_CWORD": "2"}
    done = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, check=True, text=True,
        env=environment(**said), timeout=DEADLINE,
    )  # fmt: skip
    assert done.stdout == "plain,e-chat\nset()\n"


@pytest.mark.parametrize("fault", ["missing", "damaged", "configuration", "locked away"])
def test_a_prompt_gets_no_error(place: Path, fault: str) -> None:
    """Where the database can't be read nothing is offered, and nothing else is written."""
    if fault == "damaged":
        (place / "responses.db").write_bytes(b"nothing" * 1000)
    elif fault == "configuration":
        (place / "proxy.yaml").write_text("databse_url: [\n")
    elif fault == "locked away":
        (place / "responses.db").mkdir()
    done = asked("bash", "show", "--config" if fault == "configuration" else "--tenant", "x", "r")
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, b"", b"")
    assert [path.name for path in place.iterdir()] in ([], ["responses.db"], ["proxy.yaml"])


def test_a_server_that_does_not_answer_holds_up_no_prompt(place: Path) -> None:
    """After half a second the look is given up; the process ends, though the line is open."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        (place / "proxy.yaml").write_text(
            f"backend: postgres\ndatabase_url: postgres://u:p@127.0.0.1:{port}/d\n"
            "allow_private_database_url: true\nssl_mode: disable\n"
        )
        began = time.monotonic()
        done = asked("bash", "show", "--config", "proxy.yaml", "r")
        taken = time.monotonic() - began
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, b"", b"")
    assert taken < DEADLINE / 2  # the connection itself would wait for longer than the deadline


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script(run: Command, shell: str) -> None:
    """Standard output has the script and nothing else; --help says how to set it up."""
    done = run("completion", shell)
    assert (done.exit_code, done.stderr) == (0, "")
    assert f"{VARIABLE}={shell}_complete" in done.stdout
    assert f"response-store completion {shell}" in run("completion", "--help").stdout


def test_another_shell_is_refused(run: Command) -> None:
    """The shells that can be named are told."""
    done = run("completion", "csh")
    assert done.exit_code == 2
    assert "'bash', 'zsh', 'fish'" in done.stderr


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_a_real_bash(stored: Stored, place: Path) -> None:
    """The line of --help, in a file that bash reads at its start; then what TAB would show."""
    rows.chat(stored)
    folder = place / "bin"
    folder.mkdir()
    program = folder / PROGRAM
    program.write_text(
        f"#!{sys.executable}\nfrom response_store.cli import main, source\n"
        f"source.SECONDS = {DEADLINE}\nmain()\n"
    )
    program.chmod(0o755)
    session = """
eval "$(response-store completion bash)"
complete -p response-store
typed() { COMP_WORDS=(response-store "$@"); COMP_CWORD=$#; COMPREPLY=()
          _response_store_completion response-store; echo "${COMPREPLY[@]}"; }
typed exp; typed show e-; typed list --state can
"""
    done = subprocess.run(
        ["bash", "--norc", "--noprofile", "-c", session],
        capture_output=True, text=True, check=False, timeout=DEADLINE,
        env=environment(PATH=f"{folder}:{os.environ['PATH']}"),
    )  # fmt: skip
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "complete -o nosort -F _response_store_completion response-store",
        "export", "e-chat", "cancelled",
    ]  # fmt: skip
