"""What a shell offers, by click's protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.shell_completion import CompletionItem, get_completion_class

from response_store.cli import main, source
from response_store.cli.completion import PROGRAM, SHELLS, VARIABLE
from tests.unit.cli import rows
from tests.unit.queries.sessions_stored import work

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.cli.conftest import Anywhere, Command
    from tests.unit.queries.stored import Stored

from tests.harness.commands import DEADLINE


def offered(*words: str) -> list[CompletionItem]:
    """What is offered for the last word."""
    made = get_completion_class("bash")
    assert made is not None
    return made(main, {}, PROGRAM, VARIABLE).get_completions([*words[:-1]], words[-1])


def names(*words: str) -> list[str]:
    return [item.value for item in offered(*words)]


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
        (["stats", "--by", "h"], ["hour", "host"]),
        (["stats", "--by", "hour,h"], ["hour,host"]),
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
def test_names_of_sessions(anywhere: Anywhere, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions, the newest first and older ones by their beginning, labels and agents."""
    work(anywhere)
    assert names("show", "--session", "") == ["alone", "s-work", "s-other"]
    for command in ("list", "search", "stats", "tail", "export", "copy", "prune"):
        assert names(command, "--session", "s-w") == ["s-work"]
        assert names(command, "--label", "") == ["tidy-1"]
        assert names(command, "--agent", "r") == ["review"]
    monkeypatch.setattr(source, "NEWEST", 1)
    assert names("list", "--session", "s-o") == ["s-other"]


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
