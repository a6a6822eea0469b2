"""`response-store run` with real commands: they are captured, told apart, and left alone."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import socket
import sys
import termios
import textwrap
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.acceptance.run_stage import ON_TERMINAL, SECONDS, Stage
from tests.fakes import bodies
from tests.harness.proxy import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fakes.certificates import Certificates
    from tests.fakes.model_server import ModelServer
    from tests.harness.postgres import Postgres

NEXT = re.compile(
    r"^next: response-store (list( --config \S+)? --label [a-z0-9.-]+)\ndatabase: \S+$",
    re.MULTILINE,
)
COSTS = re.compile(r", (?:< )?\$[0-9.]+(?=[,\n])|\t[0-9.-]+\t[0-9-]+$", re.MULTILINE)
"""They hang on whether genai-prices is installed, and on which."""
CAPTURED_TWO = (
    "response-store: 2 captured, 62 tokens in (16 cached), 34 out\n"
    "completed\tgpt-5-2025-08-07\t2\t62\t34\t-\n"
)


@pytest.fixture
def stage(tmp_path: Path, authority: Path) -> Iterator[Stage]:
    """A place to run in, empty again afterwards."""
    stage = Stage.made(tmp_path, authority)
    yield stage
    stage.close()


def python(code: str) -> list[str]:
    """The arguments of `run` for a command in Python."""
    return ["--", sys.executable, "-c", textwrap.dedent(code)]


def said_next(text: str) -> str:
    """What is said before the next command, which is taken off, as is what all of it cost."""
    assert NEXT.search(text), text
    return COSTS.sub("", NEXT.sub("", text)).rstrip("\n") + "\n"


ASKING = """
import json, os, shutil, stat, subprocess, sys, openai
asked, bundle = sys.stdin.read(), os.environ["SSL_CERT_FILE"]
client = openai.OpenAI(api_key="sk-canary", base_url=os.environ["SERVER"] + "/v1", max_retries=0)
whole = client.responses.create(model="gpt-5", input=asked)
with client.responses.create(model="gpt-5", input=asked, stream=True) as stream:
    assert list(stream)[-1].type == "response.completed"
if shutil.which("curl"):
    body = json.dumps({"model": "refused-429", "input": asked})
    url = os.environ["SERVER"] + "/v1/responses"
    subprocess.run(["curl", "-sS", url, "-H", "content-type: application/json", "-d", body],
                   check=True, stdout=subprocess.DEVNULL)
else:
    try:
        client.responses.create(model="refused-429", input=asked)
    except openai.RateLimitError:
        pass
print(json.dumps({
    "text": whole.output_text,
    "modes": [stat.S_IMODE(os.stat(path).st_mode) for path in (bundle, os.path.dirname(bundle))],
    "environment": dict(os.environ),
}))
sys.exit(7)
"""


def test_sdk_and_curl_through_the_proxy(
    stage: Stage, tls_server: ModelServer, certificates: Certificates
) -> None:
    """A command that uses HTTPS_PROXY is captured; its streams and its status are its own.

    Authorities that the user trusts stay trusted, by the command and by its proxy, and the
    variable with the database's URL is for the proxy alone.
    """
    finished = stage.run(
        "--local",
        *python(ASKING),
        said="Köln?",
        environment={
            "SERVER": tls_server.url,
            "SSL_CERT_FILE": str(certificates.authority),
            "RESPONSE_STORE_DATABASE_URL": f"sqlite://{stage.work}/canary.db",
        },
    )
    stage.assert_nothing_left()
    assert finished.returncode == 7, finished.stderr
    told = json.loads(finished.stdout)
    assert told["text"] == bodies.TEXT
    assert told["modes"] == [0o600, 0o700]
    assert "canary" not in json.dumps(told["environment"])
    assert said_next(finished.stderr) == (
        "response-store: 3 captured, 62 tokens in (16 cached), 34 out, 1 with errors\n"
        "completed\tgpt-5-2025-08-07\t2\t62\t34\t-\n"
        "refused\trefused-429\t1\t-\t-\trate_limit_exceeded: Slow down.\n"
    )
    rows = type(stage.database)(stage.work / "canary.db").exchanges()
    assert [row["state"] for row in rows] == ["completed", "completed", "refused"]
    assert {row["scheme"] for row in rows} == {"https"}
    (label,) = {row["label"] for row in rows}
    assert f"list --label {label}\n" in finished.stderr
    assert not stage.database.path.exists()


CODEX = """\
#!{python}
import json, os, sys, httpx
url = sys.argv[2].partition("=")[2].strip('"')
assert url == os.environ["OPENAI_BASE_URL"]
httpx.post(url + "/responses", json={{"model": "gpt-5", "input": "hi"}}).raise_for_status()
with httpx.Client(proxy=os.environ["HTTPS_PROXY"], trust_env=False) as client:
    client.post(url + "/responses", json={{"model": "gpt-5", "input": "hi"}}).raise_for_status()
print(json.dumps([sys.argv[1:], dict(os.environ)]))
"""


def test_base_url_and_postgres(
    stage: Stage, model_server: ModelServer, plain_postgres: Postgres
) -> None:
    """A command that ignores proxies is captured by its base URL, and once even if it does not.

    Codex is told the URL by its option. The database's password reaches the proxy, not the
    command, and what was captured is counted in PostgreSQL.
    """
    role = plain_postgres.create_role("run_role", password="canary-password")
    database = plain_postgres.create_database(owner=role)
    codex = stage.folder / "codex"
    codex.write_text(CODEX.format(python=sys.executable))
    codex.chmod(0o755)
    config = stage.work / "proxy.yaml"
    config.write_text("ssl_mode: disable\nallow_private_database_url: true\nbackend: postgres\n")
    url = database.url(user=role, password="canary-password")
    path = f"{stage.folder}:{os.environ['PATH']}"
    try:
        finished = stage.run(
            *("--config", "proxy.yaml", "--base-url", model_server.url, "codex", "exec", "--help"),
            environment={"RESPONSE_STORE_DATABASE_URL": url, "PATH": path},
        )
        hosts = database.execute("SELECT scheme, host, path FROM openai_exchanges")
        stage.assert_nothing_left()
    finally:
        database.drop()
    assert finished.returncode == 0, finished.stderr
    arguments, environment = json.loads(finished.stdout)
    assert arguments[0] == "-c"
    assert arguments[1].startswith('openai_base_url="http://127.0.0.1:')
    assert arguments[2:] == ["exec", "--help"]
    assert "canary" not in json.dumps(environment) + finished.stderr
    assert said_next(finished.stderr) == CAPTURED_TWO
    assert "--config proxy.yaml" in finished.stderr
    assert hosts == [{"scheme": "http", "host": "127.0.0.1", "path": "/v1/responses"}] * 2


SIGNALLED = """
import signal, sys
signal.signal(signal.SIGINT, lambda *_: print("INT"))
print("ready")
while True:
    signal.pause()
"""


def test_signals_without_a_terminal(stage: Stage) -> None:
    """Signals that are sent to `run` alone reach the command, once; one ends it, as 143 says."""
    process = stage.start(*python(SIGNALLED))
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == b"INT\n"
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, out) == (128 + signal.SIGTERM, b""), err
    stage.assert_nothing_left()


TYPED_AT = """
import os, signal, sys, httpx
count = 0
def interrupted(*_):
    global count
    count += 1
    print("interrupted")
signal.signal(signal.SIGINT, interrupted)
for body in [{"model": "gpt-5", "input": "hi"}] * 2:
    httpx.post(os.environ["SERVER"] + "/v1/responses", json=body).raise_for_status()
print("ready", os.isatty(0), os.isatty(1), os.isatty(2))
sys.stdin.readline()
print("count", count)
"""


def test_a_terminal(stage: Stage, model_server: ModelServer) -> None:
    """Ctrl-C is the command's, once; the table that follows fits into a narrow terminal."""
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, 40))
    process = stage.start(
        "--local", *python(TYPED_AT),
        through=tuple(ON_TERMINAL), stdin=slave, stdout=slave, stderr=slave,
        environment={"SERVER": model_server.url},
    )  # fmt: skip
    os.close(slave)
    shown = Shown(master)
    shown.until("ready True True True")
    os.write(master, b"\x03")
    shown.until("interrupted")
    os.write(master, b"\n")
    text = shown.until("database: ")
    assert process.wait(SECONDS) == 0
    shown.close()
    stage.assert_nothing_left()
    assert "count 1\r\n" in text
    after = text.partition("count 1\r\n")[2]
    assert "response-store: 2 captured" in after
    assert re.search(r"\x1b\[38;5;28mcompleted *\x1b\[0m +gpt-5-2025-08-07 +2 ", after)
    table = after.split("\r\n")[1:-3]  # the last lines are whole, to be copied
    drawn = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in table]
    assert max(map(len, drawn)) <= 40, drawn


@pytest.mark.skipif(sys.version_info < (3, 12), reason="mitmproxy 11.0.2's mitmweb is refused")
def test_a_page_waits_for_enter(stage: Stage) -> None:
    """On a terminal the page goes on after the command, with comments in its list, until Enter."""
    master, slave = os.openpty()
    process = stage.start(
        "--web", *python("print('done')"),
        through=tuple(ON_TERMINAL), stdin=slave, stdout=slave, stderr=slave,
    )  # fmt: skip
    os.close(slave)
    shown = Shown(master)
    text = shown.until("Enter ends the page")
    assert "done" in text
    (page,) = set(re.findall(r"mitmweb: (http://\S+)", text))
    options = httpx.get(page.replace("/?", "/options?"), trust_env=False).json()
    assert "comment" in options["web_columns"]["value"]
    os.write(master, b"\n")
    assert "nothing captured" in shown.until("nothing captured")
    assert process.wait(SECONDS) == 0
    shown.close()
    stage.assert_nothing_left()


class Shown:
    """What a terminal shows."""

    def __init__(self, master: int) -> None:
        self._master = master
        self._text = b""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def until(self, words: str) -> str:
        """All that was shown, once the words are in it."""
        wait_until(lambda: words.encode() in self._text, f"{words!r} is shown", SECONDS)
        return self._text.decode()

    def close(self) -> None:
        self._thread.join(SECONDS)
        os.close(self._master)

    def _read(self) -> None:
        try:
            while data := os.read(self._master, 65536):
                self._text += data
        except OSError:  # the terminal has no other end any more
            return


WAITING = """
import sys
print("ready")
sys.stdin.read()
"""


def test_a_proxy_that_is_killed(stage: Stage) -> None:
    """It is told at once and the command goes on; its success is none, as 125 says."""
    process = stage.start(*python(WAITING))
    assert process.stdout.readline() == b"ready\n"
    os.kill(stage.proxy_id(), signal.SIGKILL)
    assert b"the proxy has ended before the command" in process.stderr.readline()
    assert process.poll() is None
    process.communicate(timeout=SECONDS)
    assert process.returncode == 125
    stage.assert_nothing_left()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="mitmproxy 11.0.2's mitmweb is refused")
def test_a_run_that_is_killed(stage: Stage) -> None:
    """With mitmweb and the store's page, which are there until it is killed: nothing stays then."""
    process = stage.start("--web", *python(WAITING))
    stored = process.stderr.readline().decode().removeprefix("Response Store: ").strip()
    page = process.stderr.readline().decode().removeprefix("mitmweb: ").strip()
    assert process.stdout.readline() == b"ready\n"
    answer = httpx.get(page, trust_env=False, follow_redirects=True)
    assert (answer.status_code, "mitmproxy" in answer.text) == (200, True)
    with httpx.Client(trust_env=False, follow_redirects=True) as client:
        assert "Nothing is captured yet" in client.get(stored).text
    proxy = stage.proxy_id()
    process.kill()
    process.wait(SECONDS)
    wait_until(lambda: proxy not in stage.processes(), "the proxy ends")
    wait_until(lambda: not list(stage.temporary.iterdir()), "its files are gone")
    process.communicate(timeout=SECONDS)  # the command ends at the end of its input
    stage.assert_nothing_left()


def test_a_store_that_can_not_be_opened(stage: Stage) -> None:
    """The proxy's own words are shown, and the command is never started."""
    stage.database.path.mkdir(parents=True)
    finished = stage.run("--", "touch", "started")
    assert (finished.returncode, finished.stdout) == (1, "")
    assert finished.stderr.startswith("Error: the proxy did not start.\nSQLite ")
    assert "responses.db: a folder: name a file in it" in finished.stderr
    assert not (stage.work / "started").exists()
    stage.assert_nothing_left()


def test_a_signal_before_the_command(stage: Stage) -> None:
    """While the proxy starts, a signal ends everything; the command is never started."""
    process = stage.start("--", "touch", "started")
    wait_until(stage.proxy_id, "the proxy is started")
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=10)  # sooner than the proxy would be killed
    assert (process.returncode, out, err) == (128 + signal.SIGTERM, b"", b"")
    assert not (stage.work / "started").exists()
    stage.assert_nothing_left()


def test_a_program_that_can_not_be_executed(stage: Stage) -> None:
    """What only the attempt shows is told with a shell's status, and the proxy ends."""
    script = stage.work / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    finished = stage.run("./script")
    assert finished.returncode == 127
    assert finished.stderr == "Error: ./script: No such file or directory\n"
    stage.assert_nothing_left()


LIVE = """
import base64, http.client, http.server, os, threading, urllib.parse
seen = threading.Event()
class Other(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        self.wfile.write(b"data: 1\\n\\n")
        self.wfile.write(b"data: seen\\n\\n" if seen.wait(5) else b"data: too late\\n\\n")
server = http.server.HTTPServer(("127.0.0.1", 0), Other)
threading.Thread(target=server.serve_forever, daemon=True).start()
proxy = urllib.parse.urlsplit(os.environ["HTTP_PROXY"])
user = base64.b64encode(f"{proxy.username}:{proxy.password}".encode()).decode()
client = http.client.HTTPConnection(proxy.hostname, proxy.port)
client.request("POST", f"http://127.0.0.1:{server.server_port}/v1/messages", b"{}",
               {"proxy-authorization": f"Basic {user}"})
answer = client.getresponse()
first = answer.readline()
seen.set()
print(first, answer.read())
"""


def test_a_stream_of_another_service(stage: Stage) -> None:
    """It goes on while it comes, though nobody captures it."""
    finished = stage.run("--local", *python(LIVE))
    assert finished.stdout == "b'data: 1\\n' b'\\ndata: seen\\n\\n'\n", finished.stderr
    stage.assert_nothing_left()


PAST = """
import os, socket, time
with socket.create_connection(("127.0.0.1", int(os.environ["PORT"]))):
    time.sleep(4)  # nobody sees when it was seen
"""


@pytest.mark.skipif(sys.platform != "linux", reason="connections are seen in /proc")
def test_a_connection_past_the_proxy(stage: Stage) -> None:
    """A command that goes to the server by itself is told of, with the option that captures it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        finished = stage.run("--base-url", url, *python(PAST), environment={"PORT": str(port)})
    assert finished.returncode == 0, finished.stderr
    assert "connected to 127.0.0.1 without the proxy" in finished.stderr
    stage.assert_nothing_left()


OPEN_ALREADY = """
import os, sys, httpx
with open(int(sys.argv[1])) as opened:
    asked = opened.read()
body = {"model": "gpt-5", "input": asked}
answer = httpx.post(os.environ["SERVER"] + "/v1/responses", json=body).json()
print(asked, answer["output"][-1]["content"][0]["text"])
print(sorted(name for name in os.environ if name.endswith("DATABASE_URL")))
"""


def test_a_place_of_another_kind(
    stage: Stage, tls_server: ModelServer, certificates: Certificates
) -> None:
    """No home, authorities in a folder, a file that is open already, a path with blanks."""
    folder = stage.folder / "certs"
    folder.mkdir()
    (folder / "1a2b3c4d.0").write_bytes(Path(certificates.authority).read_bytes())
    temporary = stage.temporary / "of mine, ünd \u5929"
    temporary.mkdir()
    reader, writing = os.pipe()
    os.write(writing, b"K\xc3\xb6ln?")
    os.close(writing)
    finished = stage.run(
        *("--local", *python(OPEN_ALREADY), str(reader)),
        pass_fds=[reader],
        environment={
            "HOME": "/dev/null",
            "SERVER": tls_server.url,
            "SSL_CERT_DIR": str(folder),
            "TMPDIR": str(temporary),
            "RESPONSE_STORE_TO_DATABASE_URL": "postgres://u:canary@h/d",
            **dict.fromkeys(("SSL_CERT_FILE", "PIP_CERT", "NIX_SSL_CERT_FILE"), ""),
        },
    )
    os.close(reader)
    assert (finished.returncode, finished.stdout) == (0, f"Köln? {bodies.TEXT}\n[]\n"), finished
    assert [row["state"] for row in stage.database.exchanges()] == ["completed"]
    temporary.rmdir()
    stage.assert_nothing_left()


def test_company_proxy(stage: Stage) -> None:
    """A proxy that the environment names is gone on through, with its user and password."""
    heads: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=refuse_one, args=(server, heads))
        thread.start()
        url = f"http://me:p%40ss@127.0.0.1:{server.getsockname()[1]}"
        finished = stage.run(
            *python("import httpx; httpx.post('http://model.example/v1/responses', json={})"),
            environment={"HTTPS_PROXY": url},
        )
        thread.join(SECONDS)
    stage.assert_nothing_left()
    assert finished.returncode == 0, finished.stderr
    (head,) = heads
    assert head.startswith(b"POST http://model.example/v1/responses HTTP/1.1\r\n")
    assert b"\r\nProxy-Authorization: Basic bWU6cEBzcw==\r\n" in head


def refuse_one(server: Any, heads: list[bytes]) -> None:
    """Be a proxy that refuses a request, and keep its head."""
    server.settimeout(SECONDS)
    connection, _ = server.accept()
    with connection:
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(65536)
        heads.append(head)
        connection.sendall(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")


STRANGER = """
import base64, http.client, os, sys, urllib.parse
proxy = urllib.parse.urlsplit(os.environ["HTTP_PROXY"])
base = urllib.parse.urlsplit(os.environ["OPENAI_BASE_URL"])
wrong = "Basic " + base64.b64encode(f"{proxy.username}:no".encode()).decode()
body, kind = b'{"model": "m", "input": "x"}', {"content-type": "application/json"}
def ask(port, method, target, **headers):
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    line.request(method, target, body if method == "POST" else None, kind | headers)
    print(line.getresponse().status, flush=True)
for headers in ({}, {"Proxy-Authorization": wrong}, {"Proxy-Authorization": "Basic"}):
    ask(proxy.port, "POST", "http://intranet.example/v1/responses", **headers)
    ask(proxy.port, "CONNECT", "intranet.example:443", **headers)
first = base.path.split("/")[1]
for begin in ("", "/no", f"/{first}x", f"/{first[:-1]}"):
    ask(base.port, "POST", f"{begin}/v1/responses")
ask(base.port, "POST", f"{base.path}/responses")
print(proxy.password in base.path, first in os.environ["HTTPS_PROXY"])
"""


def test_others_are_not_admitted(stage: Stage, model_server: ModelServer) -> None:
    """Who does not know the command's password gets nowhere, and makes no row.

    The company's proxy, whose user and password ours has, hears nothing of it.
    """
    with socket.create_server(("127.0.0.1", 0)) as company:
        company.settimeout(0.2)
        url = f"http://corp:CANARY@127.0.0.1:{company.getsockname()[1]}"
        finished = stage.run(
            *("--base-url", model_server.url, *python(STRANGER)), environment={"HTTPS_PROXY": url}
        )
        with pytest.raises(TimeoutError):
            company.accept()
    expected = ["407"] * 6 + ["404"] * 4 + ["200", "False False"]
    assert finished.stdout.split("\n")[:-1] == expected, finished.stderr
    (row,) = stage.database.exchanges()
    assert (row["path"], row["state"]) == ("/v1/responses", "completed")
    stage.assert_nothing_left()
