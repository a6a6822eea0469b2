"""Real mitmdump processes: started in a folder of their own, watched, ended, asked.

    with start_proxy(folder, mode=f"reverse:{server.url}", config={...}) as proxy:
        proxy.port, proxy.url, proxy.database, proxy.output(), proxy.flush()

Every wait has a deadline, and only processes that were started here are ended.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic, sleep
from types import TracebackType
from typing import Any, Self

import yaml
from mitmproxy.certs import CertStore

import response_store
from response_store.mitmweb import ALL_WRITTEN
from response_store.resources import find_script
from tests.harness.database import Database, growing_pauses
from tests.harness.forked import Forked
from tests.harness.forked import start as fork

BIN = Path(sys.executable).parent
PACKAGE = Path(response_store.__file__).parents[1]
CONTROL = Path(__file__).with_name("control.py")
PATIENT = CONTROL.with_name("patient.py")
IN_INGESTER = Path(__file__).with_name("in_ingester")
DATABASE = "responses.db"
NOT_INHERITED = (
    "RESPONSE_STORE_",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "SSL_CERT_",
    "OPENAI_",
)


@dataclass(frozen=True)
class Finished:
    """How a process ended and all that it said."""

    returncode: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        """Both streams."""
        return self.stdout + self.stderr


def make_authority(folder: Path) -> Path:
    """A mitmproxy configuration folder with its certificate authority."""
    folder.mkdir(parents=True, exist_ok=True)
    CertStore.from_store(folder, "mitmproxy", 2048)
    return folder


def wait_until(true: Callable[[], Any], what: str, timeout: float = 10.0) -> Any:
    """Poll until the function gives something true, and return that; ever less often."""
    deadline, pauses = monotonic() + timeout, growing_pauses()
    while not (value := true()):
        assert monotonic() < deadline, f"{what} within {timeout} s"
        sleep(next(pauses))
    return value


def ingester_of(proxy: int) -> int | None:
    """The id of the ingester that a process has started; None where it has none."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            if (
                int(parent) == proxy
                and b"response_store.ingester" in (folder / "cmdline").read_bytes()
            ):
                return int(folder.name)
    return None


def runs(process: int | None) -> bool:
    """Whether a process runs; one that nobody has waited for yet does not."""
    with suppress(OSError):
        return process is not None and bool(Path(f"/proc/{process}/cmdline").read_bytes())
    return False


class Proxy:
    """One mitmproxy program in a folder: its process, its output, its database.

    `options` are mitmproxy's (`--set`), `arguments` anything else for its command line, `first`
    scripts that are loaded before the addon's, `in_ingester` scripts that run in the ingester's
    process before anything else does, `before` a command to start the program through. `patience`
    is in seconds, for the start. An `executed` program is no fork of a process that has imported
    mitmproxy already, nor is one that is started through a command.
    """

    def __init__(
        self,
        folder: Path,
        *,
        authority: Path,
        mode: str = "regular",
        config: Mapping[str, Any] | None = None,
        options: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
        first: Sequence[Path] = (),
        in_ingester: Sequence[Path] = (),
        environment: Mapping[str, str] | None = None,
        before: Sequence[str] = (),
        program: str = "mitmdump",
        addon: bool = True,
        control: bool = True,
        executed: bool = False,
        patience: float = 20.0,
    ) -> None:
        self.folder = folder
        self.port = 0
        self.process: subprocess.Popen[bytes] | Forked | None = None
        self._executed = executed or bool(before)
        self._authority = authority
        self._mode = mode
        self._config = config
        self._options = dict(options or {})
        self._arguments = list(arguments)
        self._scripts = [*first, *([find_script()] if addon else [])]
        if control:
            self._scripts.append(CONTROL)
        self._in_ingester = [str(script) for script in in_ingester]
        self._environment = dict(environment or {})
        self._before = list(before)
        self._program = program
        self._patience = patience

    @property
    def url(self) -> str:
        """Where the proxy listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def authority(self) -> Path:
        """The certificate that clients of this proxy must trust."""
        return self.folder / "conf" / "mitmproxy-ca-cert.pem"

    @property
    def database(self) -> Database:
        """The file that the addon writes by default."""
        return Database(self.folder / DATABASE)

    def output(self) -> str:
        """What the process has said so far."""
        return self._said("stdout") + self._said("stderr")

    def open(self, *, ready: bool = True) -> Self:
        """Start the process and wait until it serves."""
        self._prepare()
        with self._stream("stdout") as stdout, self._stream("stderr") as stderr:
            start = partial(subprocess.Popen, stdin=subprocess.DEVNULL) if self._executed else fork
            self.process = start(
                self._command(),
                cwd=self.folder,
                env=self._variables(),
                stdout=stdout,
                stderr=stderr,
            )
        if ready:
            try:
                self._wait_ready()
            except BaseException:
                self.kill9()
                raise
        return self

    def run(self, timeout: float = 20.0) -> Finished:
        """Start the process and wait until it ends by itself; it waits long for its database."""
        if PATIENT not in self._scripts:
            self._scripts.append(PATIENT)
        self.open(ready=False)
        return self.wait(timeout)

    def wait(self, timeout: float = 20.0) -> Finished:
        """Wait until the process has ended."""
        assert self.process is not None
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill9()
            raise AssertionError(f"still running after {timeout} s:\n{self.output()}") from None
        return Finished(self.process.returncode, self._said("stdout"), self._said("stderr"))

    def terminate(self, timeout: float = 20.0) -> Finished:
        """End the process as a user does, with SIGTERM, and wait until its ingester has ended."""
        assert self.process is not None
        ingester = self.ingester()
        self.process.send_signal(signal.SIGTERM)
        finished = self.wait(timeout)
        wait_until(lambda: not runs(ingester), "the ingester ends as well", timeout)
        return finished

    def kill9(self) -> None:
        """End the process at once, with SIGKILL."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)

    def ingester(self) -> int | None:
        """The id of the process that fills the database; None while there is none."""
        return None if self.process is None else ingester_of(self.process.pid)

    def kill_ingester(self) -> int:
        """End the ingester at once, with SIGKILL, as soon as there is one; its id."""
        found: int = wait_until(self.ingester, "there is an ingester")
        os.kill(found, signal.SIGKILL)
        return found

    def close(self) -> None:
        """End the process if it still runs."""
        if self.process is not None and self.process.poll() is None:
            with suppress(AssertionError):
                self.terminate(10.0)
        self.kill9()

    def command(self, name: str, *arguments: str) -> Any:
        """Call a mitmproxy command in the process and return its value."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("GET", "/".join(["/harness/command", name, *arguments]))
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        assert answer.status == 200, body
        return json.loads(body)

    def flush(self, timeout: float = 10.0) -> None:
        """Wait until all that was captured so far is written."""
        wait_until(
            lambda: self.command("response_store.flush") == ALL_WRITTEN, "all is written", timeout
        )

    def __enter__(self) -> Self:
        if self.process is None:
            self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _prepare(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._ready_file.unlink(missing_ok=True)
        if not (self.folder / "conf").exists():
            shutil.copytree(self._authority, self.folder / "conf")
        if self._config is not None:
            text = yaml.safe_dump(dict(self._config))
            (self.folder / "config.yaml").write_text(text, encoding="utf-8")

    def _command(self) -> list[str]:
        settings = {"confdir": "conf", "termlog_verbosity": "info"} | self._options
        if self._config is not None:
            settings.setdefault("response_store_config", "config.yaml")
        command = [*self._before, str(BIN / self._program)]
        command += ["--mode", self._mode, "--listen-host", "127.0.0.1", "--listen-port", "0"]
        for script in self._scripts:
            command += ["-s", str(script)]
        for name, value in settings.items():
            command += ["--set", f"{name}={value}"]
        return command + self._arguments

    def _variables(self) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.upper().startswith(NOT_INHERITED)
        }
        ours = {
            "HARNESS_READY_FILE": str(self._ready_file),
            "HARNESS_PACKAGE": str(PACKAGE),
            "PYTHONUNBUFFERED": "1",
        }
        if self._in_ingester:
            ours["PYTHONPATH"] = str(IN_INGESTER)
            ours["HARNESS_IN_INGESTER"] = os.pathsep.join(self._in_ingester)
        return kept | ours | self._environment

    @property
    def _ready_file(self) -> Path:
        return self.folder / "ready.json"

    def _wait_ready(self) -> None:
        ready = self._ready_file.exists
        wait_until(lambda: ready() or self._has_ended(), "mitmproxy listens", self._patience)
        assert not self._has_ended(), f"mitmproxy ended at start:\n{self.output()}"
        self.port = json.loads(self._ready_file.read_text())[0][1]

    def _has_ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def _stream(self, name: str) -> Any:
        return (self.folder / f"{name}.log").open("ab")

    def _said(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")
