"""The files in docs/examples are what the programs that read them take."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from mitmproxy import options
from mitmproxy.tools import cmdline

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "docs" / "examples"
UNIT = EXAMPLES / "response-store.service"
DOCKERFILE = (EXAMPLES / "Dockerfile").read_text()
ANALYZE = shutil.which("systemd-analyze")


@pytest.mark.skipif(ANALYZE is None, reason="no systemd-analyze on this machine")
def test_systemd_takes_the_unit() -> None:
    """It is right as a unit, and names no setting that systemd does not know."""
    command = [ANALYZE, "verify", "--man=no", "--recursive-errors=no", str(UNIT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def unit_command() -> str:
    line = re.search(r"^ExecStart=(.*)$", UNIT.read_text(), re.MULTILINE)
    assert line
    return shlex.split(line[1])[-1]


def container_command() -> str:
    line = re.search(r"^CMD (.*)$", DOCKERFILE, re.MULTILINE)
    assert line
    return str(json.loads(line[1])[-1])


@pytest.mark.parametrize("command", [unit_command(), container_command()])
def test_mitmdump_takes_the_command_line(command: str) -> None:
    """The options are mitmdump's own, and the script is that of the package."""
    script = re.compile(r'-s "?\$\((/opt/response-store/bin/)?response-store script-path\)"?')
    assert script.search(command)
    # Its addons have the option -s, and they need a proxy.
    program, *arguments = shlex.split(script.sub("", command).removeprefix("exec "))
    assert Path(program).name == "mitmdump"
    parsed = cmdline.mitmdump(options.Options()).parse_args(arguments)
    assert parsed.mode == ["reverse:https://api.openai.com"]


def test_only_this_machine_reaches_them() -> None:
    """The service listens on loopback, and the container's port is published there alone."""
    assert "--listen-host 127.0.0.1" in unit_command()
    assert re.findall(r" -p (\S+)", DOCKERFILE) == ["127.0.0.1:8080:8080"]


def test_the_container_keeps_all_in_its_volume() -> None:
    """Database (where it works), journal and mitmproxy's own files are in /data."""
    for line in ("WORKDIR /data", "VOLUME /data", "--home-dir /data", "XDG_STATE_HOME=/data/"):
        assert line in DOCKERFILE
