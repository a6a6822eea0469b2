"""`response-store run`: what it refuses before it starts anything, and what it says at the end."""

from __future__ import annotations

import importlib.metadata
import io
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from mitmproxy.proxy.layers import tls
from rich.cells import cell_len
from rich.console import Console

from response_store.cli import run as run_summary
from response_store.cli.run import build_table
from response_store.cli.source import find_source
from response_store.queries.captured import CapturedGroup
from response_store.run.command import RunLabel, require_safe_mitmweb
from response_store.run.run import RunOutcome

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Anywhere, Command

SINCE = 1767225600.0
WIDE = CapturedGroup("completed", "模型-通义千问-最大-预览-版本", None, None, 12, 1200, 64, 45)
GROUPS = [
    WIDE,
    CapturedGroup("completed", "gpt-5.1", None, None, 2, 1200000, 64, 45),
    CapturedGroup(
        "refused", "evil\x1b[2J\tmodel", "rate_limit_exceeded", "Wait 3 s", 1, None, None, None
    ),
]


def ended(**how: object) -> RunOutcome:
    given = {"status": 0, "since": SINCE, "recorder_id": "r1", "log": ""}
    return RunOutcome(**{**given, "proxy_lost": False, "proxy_killed": False, **how})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ([], 2, "response-store run -- COMMAND"),
        (["--base-url", "true"], 2, "response-store run -- COMMAND"),
        (["--base-url", "codex", "true"], 2, "--base-url needs a URL"),
        (["--open", "true"], 2, "add --web"),
        (["--", "no-such-command"], 127, "no such command"),
        (["--", "/"], 126, "can't be executed"),
        (["--config", "nowhere.yaml", "true"], 2, "nowhere.yaml"),
        (["--label", "x" * 201, "true"], 2, "RESPONSE_STORE_LABEL"),
    ],
)
def test_refused(run: Command, place: Path, arguments: list[str], status: int, words: str) -> None:
    """Nothing is started: the folder stays empty."""
    result = run("run", *arguments)
    assert result.exit_code == status
    assert words in result.stderr
    assert result.stdout == ""
    assert list(place.iterdir()) == []


@pytest.mark.parametrize(
    ("installed", "refused"),
    [("11.0.2", True), ("11.1.1", True), ("11.1.2", False), ("12.2.2", False), ("12.0", False)],
)
def test_an_unsafe_mitmweb_is_refused(
    run: Command, place: Path, monkeypatch: pytest.MonkeyPatch, installed: str, refused: bool
) -> None:
    """--web starts no mitmweb with CVE-2025-23217, and says what to do; the rest goes on."""
    monkeypatch.setattr(importlib.metadata, "version", lambda _: installed)
    if refused:
        result = run("run", "--web", "--", "true")
        assert result.exit_code == 2
        assert "CVE-2025-23217" in result.stderr
        assert f"{installed} is installed" in result.stderr
        assert list(place.iterdir()) == []
    else:
        require_safe_mitmweb(installed)


def test_help_has_examples(run: Command) -> None:
    """--help shows lines to copy."""
    assert "Examples:\n    response-store run -- python agent.py" in run("run", "--help").stdout


def test_what_a_run_captured(anywhere: Anywhere, capsys: pytest.CaptureFixture[str]) -> None:
    """Only the rows of this run's recorder count, whatever their tenant; never older ones."""
    tokens = {"input_tokens": 31, "cached_tokens": 8, "output_tokens": 17}
    ours = {"started_at": SINCE + 1, "model": "gpt-5.1", "recorder_id": "ours"}
    for row in (
        {"exchange_id": "e1", **tokens},
        {"exchange_id": "e2", "tenant_id": "another", **tokens},
        {
            "exchange_id": "e3",
            "state": "refused",
            "error_code": "no\tway",
            "error_message": "Go.",
        },
        {"exchange_id": "e4", "recorder_id": "theirs"},
        {"exchange_id": "e5", "started_at": SINCE - 1},
    ):
        anywhere.exchange(**ours | row)
    run_summary.summarize(find_source(None, None), ended(recorder_id="ours"), None)
    assert capsys.readouterr().err == (
        "response-store: 3 captured, 62 tokens in (16 cached), 34 out, 1 with errors\n"
        "completed\tgpt-5.1\t2\t62\t34\t-\t-\t-\n"
        "refused\tgpt-5.1\t1\t-\t-\tno way: Go.\t-\t-\n"
        "next: response-store list --since 2026-01-01T02:00:00\n"
        "next: response-store list --tenant another --since 2026-01-01T02:00:00\n"
        f"database: {anywhere.shown}\n"
    )


def test_the_next_commands_list_what_was_captured(
    anywhere: Anywhere, run: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    """One for each tenant, the one with most of it first; of many, three and how many more."""
    for number, tenant in enumerate(["one", "two 'x'", "one", "-three", "vier"]):
        anywhere.exchange(f"e{number}", tenant_id=tenant, started_at=SINCE + 1)
    run_summary.summarize(find_source(None, None), ended(), None)
    *_, first, second, third, last, _ = capsys.readouterr().err.splitlines()
    assert last == "and the same with 1 more tenants"
    listed = [shlex.split(line.removeprefix("next: response-store ")) for line in (first, third)]
    assert [run(*words).stdout.count("\n") for words in listed] == [2, 1]
    assert "--tenant one " in first
    assert "--tenant -three " in second


def test_nothing_captured(anywhere: Anywhere, capsys: pytest.CaptureFixture[str]) -> None:
    """The ways to more are named, and what the proxy skipped or warned of."""
    said = (
        "A client does not trust us.\n" * 3 + "response_store: 0 written, 0 lost (skipped.path 1)"
    )
    run_summary.summarize(find_source(None, None), ended(log=said), None)
    assert capsys.readouterr().err == (
        "proxy: A client does not trust us.\n"
        "proxy: response_store: 0 written, 0 lost (skipped.path 1)\n"
        f"response-store: {run_summary.NOTHING}\n"
    )


def test_many_warnings(stored: object, capsys: pytest.CaptureFixture[str]) -> None:
    """The last warnings are shown, and how many others there were; controls are visible."""
    said = "\n".join(f"warning {number} \x1b[2J" for number in range(9))
    run_summary.summarize(find_source(None, None), ended(log=said), None)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "proxy: 4 more lines before these"
    assert lines[1] == "proxy: warning 4 \u241b[2J"
    assert len(lines) == 7


def test_tracebacks_are_not_shown(stored: object, capsys: pytest.CaptureFixture[str]) -> None:
    """mitmproxy's own, as it ends while a job in the background holds a connection, say nothing."""
    said = (
        "one warning\n"
        "Task exception was never retrieved\n"
        "Traceback (most recent call last):\n"
        '  File "x.py", line 1, in y\n'
        "    await z()\n"
        "ConnectionResetError: gone\n"
        "another warning\n"
    )
    run_summary.summarize(find_source(None, None), ended(log=said), None)
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == ["proxy: one warning", "proxy: another warning"]
    assert len(lines) == 3


def test_a_client_that_trusts_nobody(stored: object, capsys: pytest.CaptureFixture[str]) -> None:
    """A refused certificate is told as that, with what to do."""
    said = "Client TLS handshake failed. The client does not trust the proxy's certificate for x."
    run_summary.summarize(find_source(None, None), ended(log=said), None)
    assert f"response-store: {run_summary.DISTRUST}\n" in capsys.readouterr().err
    assert "--base-url" in run_summary.DISTRUST
    assert run_summary._DISTRUSTED in Path(tls.__file__).read_text()  # these are mitmproxy's words


def test_a_client_that_went_past_the_proxy(
    anywhere: Anywhere, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where it connected to an API by itself that is told, also if something was captured."""
    anywhere.exchange("e1")
    run_summary.summarize(
        find_source(None, None), ended(since=0.0, bypassed=["api.openai.com"]), None
    )
    told = capsys.readouterr().err
    assert "connected to api.openai.com without the proxy" in told
    assert "--base-url" in told
    assert "1 captured" in told


def test_turns_that_are_missing(anywhere: Anywhere, capsys: pytest.CaptureFixture[str]) -> None:
    """Where a turn goes on from a response that nobody has seen, some went past the proxy."""
    anywhere.exchange("e1", response_id="resp_1")
    anywhere.exchange("e2", response_id="resp_2", previous_response_id="resp_1")
    run_summary.summarize(find_source(None, None), ended(since=0.0), None)
    assert "are not stored" not in capsys.readouterr().err
    anywhere.exchange("e3", previous_response_id="resp_unseen")
    run_summary.summarize(find_source(None, None), ended(since=0.0), None)
    told = capsys.readouterr().err
    assert "1 of the responses that it went on from are not stored" in told
    assert "--base-url" in told


def test_an_error_without_a_code(anywhere: Anywhere, capsys: pytest.CaptureFixture[str]) -> None:
    """A refusal that has only a message shows it."""
    anywhere.exchange("e1", state="refused", error_message="You are not allowed here")
    run_summary.summarize(find_source(None, None), ended(since=0.0), None)
    assert "\tYou are not allowed here\t" in capsys.readouterr().err


def test_lost(anywhere: Anywhere, capsys: pytest.CaptureFixture[str]) -> None:
    """What was lost is told, whatever was captured."""
    anywhere.exchange("e1")
    said = "response_store: 1 written, 2 lost"
    run_summary.summarize(find_source(None, None), ended(log=said, since=0.0), None)
    assert "proxy: response_store: 1 written, 2 lost\n" in capsys.readouterr().err


def test_no_database(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A database that can't be read is told of; the run's status stays the command's."""
    run_summary.summarize(find_source(None, None), ended(), None)
    assert "can't be counted now" in capsys.readouterr().err


def test_next_command() -> None:
    """The configuration is named again, quoted for a shell; a label of its own needs no time."""
    build = run_summary.build_next_command
    since = "--since 2026-01-01T02:00:00"
    assert build(ended(), Path("my proxy.yaml")) == (
        f"response-store list --config 'my proxy.yaml' {since}"
    )
    own = ended(label=RunLabel("codex-0101-0200-0a1b", is_unique=True))
    assert build(own, None) == "response-store list --label codex-0101-0200-0a1b"
    shared = ended(label=RunLabel("every night", is_unique=False))
    assert build(shared, None, "a b") == (
        f"response-store list --tenant 'a b' --label 'every night' {since}"
    )


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_a_terminal_gets_a_table_that_fits(columns: int) -> None:
    """Wide characters and long names do not break it, and no model controls the terminal."""
    written = io.StringIO()
    Console(file=written, width=columns, force_terminal=True).print(build_table(GROUPS, columns))
    shown = Console(file=io.StringIO(), width=columns, color_system=None)
    shown.print(build_table(GROUPS, columns))
    lines = shown.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(lines) == 1 + len(GROUPS)
    assert max(cell_len(line) for line in lines) <= columns
    # Rich keeps what a style was first written as: as one of 16 colours or of 256.
    assert re.search(r"\x1b\[(32|38;5;28)mcompleted", written.getvalue())
    assert "\x1b[2J" not in written.getvalue()
    assert ("1200000/45" in lines[2]) == (columns >= 50)
    assert ("rate_limit" in lines[3]) == (columns >= 70)
