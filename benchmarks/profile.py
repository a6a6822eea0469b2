"""Where the proxy's time goes: py-spy on a proxy under load, summed by part and by file of ours.

Shares are of a thread's wall time. The event loop's thread: idle, mitmproxy itself, our hooks,
and their waits for a commit. The writer's thread: waiting for work, building records, SQLite.
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
from benchmarks.sides import POWER
from benchmarks.spread import spread

RATE = 250  # samples a second
SHOWN_FILES = 12
OURS = re.compile(r"response_store/(\S+\.py)")
MISSING = "py-spy is not installed: no profile"

Stack = list[str]  # frames, the thread first, the innermost last


def profile(rig: Rig, settings: Settings) -> Results:
    """The JSON and the SSE load, with the addon, at durability power."""
    spy = py_spy()
    if spy is None:
        yield Result("profile", "%", spread([float("nan")]), None, MISSING)
        return
    seconds = max(2, round(settings.windows * settings.seconds / 2))
    for what, kind in (("JSON", "json"), ("SSE", "sse=0,0")):
        with rig.proxy(POWER) as proxy, rig.connected([proxy], kind, CONNECTIONS):
            rig.tell_client(do="window", name=proxy.name, seconds=seconds + 2)
            stacks = list(record(spy, proxy.pid, seconds, rig.folder / "profile.txt"))
            rig.client_answer(seconds + 60)
        yield from summary(what, stacks)


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
    """Shares by part, then by file of ours; both of the event loop's wall time."""
    parts: Counter[str] = Counter()
    files: Counter[str] = Counter()
    for stack, samples in stacks:
        parts[part(stack)] += samples
        if (file := file_of_ours(stack)) and "waits" not in part(stack):
            files[f"{thread(stack)}: {file}"] += samples
    whole = sum(count for name, count in parts.items() if name.startswith("loop")) or 1
    for name, count in sorted(parts.items()):
        yield Result(f"{what}: {name}", "%", spread([100 * count / whole]))
    for name, count in files.most_common(SHOWN_FILES):
        yield Result(f"{what}: {name}", "%", spread([100 * count / whole]))


def thread(stack: Stack) -> str:
    """Whose thread a stack is of."""
    for name in ("writer", "checkpoint"):
        if f"response-store-{name}" in stack[0]:
            return name
    return "loop" if any("asyncio/runners.py" in frame for frame in stack) else "other"


def part(stack: Stack) -> str:
    """What a thread is doing, in a word or two."""
    whose, ours = thread(stack), [frame for frame in stack if OURS.search(frame)]
    if whose == "loop":
        return f"loop: {loop_part(stack, ours)}"
    if whose == "writer":
        return f"writer: {writer_part(stack, ours)}"
    return whose


def loop_part(stack: Stack, ours: Stack) -> str:
    if not ours:
        return "idle" if "selectors.py" in stack[-1] else "mitmproxy"
    return "waits for a commit" if "store/ticket.py" in ours[-1] else "hooks"


def writer_part(stack: Stack, ours: Stack) -> str:
    if any("capture/building.py" in frame for frame in ours):
        return "builds"
    if "store/intake.py" in ours[-1]:
        return "waits for work"
    return "SQLite" if "store/sqlite" in ours[-1] else "rest"


def file_of_ours(stack: Stack) -> str | None:
    """The innermost file of the package in a stack: what it calls outside is its time."""
    for frame in reversed(stack):
        if found := OURS.search(frame):
            return found[1].partition(":")[0]
    return None
