"""Where the time of a proxy and its ingester goes: py-spy under load, by part and by file.

Shares are of a thread's wall time. The event loop's thread: idle, mitmproxy itself, our hooks. The
ingester's two: the one that works and the one that talks to the proxy.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from benchmarks.control import stop
from benchmarks.results import Result, Results
from benchmarks.rig import CONNECTIONS, Rig
from benchmarks.settings import Settings
from benchmarks.sides import POWER, PROCESS, REDACT
from benchmarks.spread import spread

RATE = 250  # samples a second
SHOWN = 12  # files
OURS = re.compile(r"response_store/(\S+\.py)")
WAITS = ("selectors.py", "threading.py")  # the innermost frame of a thread without work
MISSING = "py-spy is not installed: no profile"

Stack = list[str]  # frames, the thread first, the innermost last


def profile(rig: Rig, settings: Settings) -> Results:
    """The JSON and the SSE load, with the addon."""
    spy = py_spy()
    if spy is None:
        yield Result("profile", "%", spread([float("nan")]), None, MISSING)
        return
    seconds = max(2, round(settings.windows * settings.seconds / 2))
    for side in (PROCESS, POWER, REDACT):
        for what, kind in (("JSON", "json"), ("SSE", "sse=0,0")):
            with rig.proxy(side) as proxy, rig.connected([proxy], kind, CONNECTIONS):
                for name, pid in (("proxy", proxy.pid), ("ingester", proxy.ingester)):
                    assert pid is not None
                    rig.tell_client(do="window", name=proxy.name, seconds=seconds + 2)
                    stacks = list(record(spy, pid, seconds, rig.folder / "profile.txt"))
                    rig.client_answer(seconds + 60)
                    proxy.settle()
                    yield from summary(f"{side.name}, {what}, {name}", stacks)


def py_spy() -> str | None:
    """The py-spy of this environment, or of the path."""
    beside = Path(sys.executable).with_name("py-spy")
    return str(beside) if beside.exists() else shutil.which("py-spy")


def record(spy: str, pid: int, seconds: int, out: Path) -> Iterator[tuple[Stack, int]]:
    """Sample a process; give its stacks and how often each was seen."""
    command = [spy, "record", "--pid", str(pid), "--duration", str(seconds), "--rate", str(RATE)]
    options = ["--format", "raw", "--idle", "--threads", "--full-filenames", "--output", str(out)]
    process = subprocess.Popen(
        [*command, *options], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    stop(process, grace=seconds + 30)
    if process.returncode:
        assert process.stderr
        raise RuntimeError(f"py-spy failed: {process.stderr.read()}")
    for line in out.read_text().splitlines():
        frames, _, samples = line.rpartition(" ")
        yield frames.split(";"), int(samples)


def summary(what: str, stacks: list[tuple[Stack, int]]) -> Results:
    """Shares by thread and part, then by file of ours; both of a thread's wall time."""
    parts: Counter[str] = Counter()
    files: Counter[str] = Counter()
    threads: Counter[str] = Counter()
    for stack, samples in stacks:
        threads[stack[0]] += samples
        parts[f"{thread(stack)}: {part(stack)}"] += samples
        if (file := file_of_ours(stack)) and part(stack) != "idle":
            files[f"{thread(stack)}: {file}"] += samples
    whole = max(threads.values(), default=1)
    for name, count in [*sorted(parts.items()), *files.most_common(SHOWN)]:
        yield Result(f"{what}: {name}", "%", spread([100 * count / whole]))


def thread(stack: Stack) -> str:
    """Whose thread a stack is of."""
    if found := re.search(r"(?:response-store|journal)-(\w+)", stack[0]):
        return found[1]
    return "main"


def part(stack: Stack) -> str:
    """What a thread is doing, in a word or two."""
    file = file_of_ours(stack)
    if any(name in stack[-1] for name in WAITS):
        return "waits" if file and any("asyncio/runners.py" in frame for frame in stack) else "idle"
    return file.rpartition("/")[0] or file if file else "mitmproxy and others"


def file_of_ours(stack: Stack) -> str | None:
    """The innermost file of the package in a stack: what it calls outside is its time."""
    for frame in reversed(stack):
        if found := OURS.search(frame):
            return found[1].partition(":")[0]
    return None
