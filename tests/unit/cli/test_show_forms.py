"""An exchange in other forms: its answer, its request, a command, a page."""

from __future__ import annotations

import json
import subprocess
import webbrowser
from typing import TYPE_CHECKING

import pytest

from tests.unit.cli import conversations, rows
from tests.unit.queries.stored import packed

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.cli.conftest import Anywhere, Command
    from tests.unit.queries.stored import Stored


def test_the_answer_alone(anywhere: Anywhere, run: Command) -> None:
    """A pipe gets the text of the answer as it came, and nothing else."""
    conversations.travel(anywhere)
    assert run("show", "--answer").stdout == f"{conversations.ANSWER}\n"


def test_an_answer_without_text(anywhere: Anywhere, run: Command) -> None:
    """Where nothing was said there is an error, so that a script knows."""
    rows.refused(anywhere)
    result = run("show", "--answer")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "There is no text in this answer. It is refused." in result.stderr


def test_the_request_to_the_letter(anywhere: Anywhere, run: Command) -> None:
    """A pipe gets the body as it came, also where it is no JSON."""
    rows.whole(anywhere)
    assert run("show", "--request").stdout_bytes == rows.REQUEST + b"\n"
    anywhere.exchange("e1", request_body=packed(b"\xff no JSON\n"))
    assert run("show", "e1", "--request").stdout_bytes == b"\xff no JSON\n"


@pytest.mark.parametrize("form", ["--request", "--curl"])
def test_a_request_that_is_not_stored(anywhere: Anywhere, run: Command, form: str) -> None:
    """Without a body, or without an exchange, the error says so."""
    rows.bare(anywhere)
    anywhere.response("resp_p")
    for name in ("e-open", "resp_p"):
        result = run("show", name, form)
        assert (result.exit_code, result.stdout) == (1, "")
        assert "is not stored" in result.stderr


def test_the_command_sends_the_same(stored: Stored, run: Command, tmp_path: Path) -> None:
    """A shell runs the command, and curl gets the URL, the credential and the body."""
    conversations.travel(stored)
    (tmp_path / "curl").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (tmp_path / "curl").chmod(0o700)
    environ = {"PATH": f"{tmp_path}:/usr/bin:/bin", "OPENAI_API_KEY": "sk-test"}
    done = subprocess.run(
        ["sh"], input=run("show", "--curl").stdout_bytes, env=environ, stdout=subprocess.PIPE,
        timeout=30, check=True,
    )  # fmt: skip
    *words, body = done.stdout.decode().splitlines()
    assert words == [
        "-N", "https://api.openai.com/v1/responses", "-H", "Authorization: Bearer sk-test", "-H",
        "Content-Type: application/json", "--data-raw",
    ]  # fmt: skip
    assert json.loads(body) == conversations.REQUEST


def test_a_turn_of_a_socket(stored: Stored, run: Command) -> None:
    """A WebSocket's request becomes one over HTTP, and a note says so."""
    body = packed(b'{"type":"response.create","model":"m","input":"Hi"}')
    stored.exchange("e1", transport="websocket", request_body=body)
    result = run("show", "--curl")
    assert """--data-raw '{"model":"m","input":"Hi","stream":true}'""" in result.stdout
    assert "over a WebSocket" in result.stderr


def test_a_page(anywhere: Anywhere, run: Command, tmp_path: Path) -> None:
    """The page is written whole, for its owner alone, and has the conversation in it."""
    conversations.travel(anywhere)
    result = run("show", "--html", "talk.html")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "Wrote talk.html\n")
    page = tmp_path / "talk.html"
    assert page.stat().st_mode & 0o777 == 0o600
    text = page.read_text()
    assert text == run("show", "--html", "-").stdout
    assert text.startswith("<!DOCTYPE html>")
    assert "<title>How is the weather in Kyoto (京都) today" in text
    assert '<h2 id="' not in text
    assert "<strong>Kyoto</strong>" in text
    assert "evil.example/x.png)" in text
    assert "<dt>exchange</dt><dd>e-travel</dd>" in text


def test_a_page_of_a_thread(anywhere: Anywhere, run: Command) -> None:
    """A whole conversation is one page, with a heading for each response."""
    rows.whole(anywhere)
    anywhere.exchange(
        "e2", response_id="resp_2", previous_response_id=rows.RESPONSE_ID, started_at=1767225999.0
    )
    page = run("show", "--thread", "--html", "-").stdout
    assert page.count('<h2 class="exchange head">') == 2
    assert "continues resp_before, which is not stored" in page
    assert "<footer>2 responses, 120 in" in page


def test_a_page_is_opened(
    stored: Stored, run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--open` opens the file that was named, else a temporary one; no browser is an error."""
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: opened.append(url) or True)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    rows.whole(stored)
    assert run("show", "--html", "a.html", "--open").exit_code == 0
    assert run("show", "--open").exit_code == 0
    assert opened[0] == f"file://{tmp_path}/a.html"
    assert opened[1].startswith(f"file://{tmp_path}/response-store-")
    monkeypatch.setattr(webbrowser, "open", lambda _: False)
    result = run("show", "--html", "a.html", "--open")
    assert result.exit_code == 1
    assert "No browser could be started. The page is a.html" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--json", "--answer"), "--json and --answer exclude each other"),
        (("--thread", "--curl"), "--curl shows one exchange: give it without --thread"),
        (("--raw", "--open"), "--raw and --html exclude each other"),
        (("--html", "-", "--open"), "--open wants a file"),
    ],
)
def test_forms_exclude_each_other(run: Command, arguments: tuple[str, ...], message: str) -> None:
    """Two forms at once are wrong usage."""
    result = run("show", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
