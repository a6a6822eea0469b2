"""The ingester as a process: what it gets, what it ignores, how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from response_store import ingester as ingester_module
from response_store.ingest import process
from tests.unit.ingest.proxy_side import Ingester, ProxyJournal, exchanges, make_config

SECRETS = [
    "RESPONSE_STORE_DATABASE_URL", "DATABASE_URL", "OPENAI_API_KEY", "PGPASSWORD",
    "AWS_SESSION_TOKEN", "client_secret", "MYSQL_PASSWD", "GOOGLE_APPLICATION_CREDENTIALS",
    "SENTRY_DSN", "DSN", "PROXY_AUTH", "SSH_PASSPHRASE",
]  # fmt: skip
OTHERS = [
    "PATH", "HOME", "LANG", "TMPDIR", "SSL_CERT_FILE", "PYTHONUTF8", "SSH_AUTH_SOCK", "PGPASSFILE",
]  # fmt: skip


def test_what_may_be_secret_leaves_the_environment() -> None:
    """Variables whose name suggests a secret are left out, all others stay as they are."""
    environ = dict.fromkeys([*SECRETS, *OTHERS], "x")
    assert process.build_environment(environ) == dict.fromkeys(OTHERS, "x")


def test_modules_are_looked_for_where_the_proxy_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command hands over sys.path, without what depends on the working directory."""
    monkeypatch.setattr(sys, "path", ["", "lib", "/a/lib", ".", "/b.zip"])
    command = process.build_command(7)
    assert command[0] == sys.executable
    assert command[1:3] == ["-P", "-c"]
    assert command[4] == "7"
    assert json.loads(command[5]) == ["/a/lib", "/b.zip"]


def test_modules_in_the_working_directory_are_not_imported(tmp_path: Path) -> None:
    """Files named like modules of ours, or of Python, in the working directory do no harm."""
    for name in ("json", "msgspec", "response_store", "selectors"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('planted')")
    command = process.build_command(0)
    found = subprocess.run(
        [*command[:4], "x", *command[5:]], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "planted" not in found.stderr
    assert "ValueError" in found.stderr  # 'x' is no descriptor: so far it came


@pytest.fixture
def journal(tmp_path: Path):
    """A journal that this process owns."""
    journal = ProxyJournal(make_config(tmp_path))
    yield journal
    journal.close()


@pytest.fixture
def ingester(journal: ProxyJournal):
    """An ingester that has opened its database."""
    ingester = Ingester(journal)
    yield ingester
    ingester.close()


def test_it_is_small_and_knows_no_mitmproxy(ingester: Ingester) -> None:
    """After its start it takes less than 60 MB, and has not imported mitmproxy or psycopg."""
    ingester.verdict()
    folder = Path(f"/proc/{ingester.process.pid}")
    if not folder.exists():
        pytest.skip("no /proc here")
    resident = next(
        line for line in (folder / "status").read_text().splitlines() if "VmRSS" in line
    )
    assert int(resident.split()[1]) < 60_000
    mapped = (folder / "maps").read_text()
    assert "psycopg" not in mapped
    assert "/re2" not in mapped


def test_no_module_of_it_imports_mitmproxy() -> None:
    """Importing all that the process needs does not import mitmproxy."""
    modules = "ingest.server serving.answers backends.postgres.store redaction.redactor"
    imports = "".join(f"import response_store.{name}; " for name in modules.split())
    code = f"import sys; {imports}print('mitmproxy' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"


def test_it_lowers_its_priority(ingester: Ingester) -> None:
    """Traffic goes first."""
    ingester.verdict()
    mine = os.getpriority(os.PRIO_PROCESS, 0)
    theirs = os.getpriority(os.PRIO_PROCESS, ingester.process.pid)
    assert theirs - mine == ingester_module.NICENESS or theirs == 19


def test_signals_of_a_terminal_or_a_group_are_ignored(
    journal: ProxyJournal, ingester: Ingester, tmp_path: Path
) -> None:
    """SIGINT, SIGTERM and SIGHUP end nothing; the end of the channel does."""
    ingester.verdict()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        ingester.process.send_signal(number)
    journal.exchange(1)
    ingester.wake()
    ingester.flush()
    assert len(exchanges(tmp_path / "responses.db")) == 1
    journal.close()
    ingester.leave()
    assert ingester.wait() == 0
    assert not journal.directory.path.exists()


def test_another_version_is_refused(journal: ProxyJournal) -> None:
    """An ingester that is of another version than the proxy says so, and touches nothing."""
    ingester = Ingester(journal, version="0.0")
    try:
        verdict = ingester.verdict()
        assert verdict.permanent
        assert "version" in (verdict.error or "")
        ingester.leave()
        assert ingester.wait() == 0
    finally:
        ingester.close()


def test_a_crash_is_written_to_the_log_without_values(tmp_path: Path) -> None:
    """What ends the process by an error of its own leaves a trace, and no value of anything."""
    log = tmp_path / "ingester.log"
    with log.open("wb") as file:
        code = (
            "import response_store.ingester as p, sys; sys.excepthook = p._report_crash; "
            "secret = 'hunter2'; {}[secret]"
        )
        subprocess.run([sys.executable, "-c", code], stderr=file, check=False)
    text = log.read_text()
    assert text.splitlines()[-1] == "KeyError"
    assert "hunter2" not in text.replace(code, "")


def test_its_log_is_private(ingester: Ingester) -> None:
    """The file that errors go to is the user's own, and empty where all is well."""
    ingester.verdict()
    assert stat.S_IMODE(ingester.log.stat().st_mode) == 0o600
    assert ingester.log.read_text() == ""


def test_it_ends_without_a_hello() -> None:
    """A proxy that goes before it said anything leaves no process behind."""
    ours, theirs = socket.socketpair()
    with theirs:
        child = subprocess.Popen(
            process.build_command(theirs.fileno()),
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
    ours.close()
    assert child.wait(10) == 0
