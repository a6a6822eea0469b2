"""Processor instructions an exchange, counted by valgrind: a figure that does not drift.

Counting starts after the proxy is warm. Two counts, of few and of more exchanges, are taken, and
their difference is divided by the difference of the exchanges, so that what happens once cancels.
One client at a time: each batch of the writer holds one record, the dearest case.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.proxy import Proxy
from benchmarks.results import Result, Results
from benchmarks.rig import Rig
from benchmarks.settings import Settings
from benchmarks.sides import BARE, BARE_AGAIN, POWER, STREAMING, STREAMING_AGAIN, Side
from benchmarks.spread import spread

TOTALS = re.compile(r"^totals: (\d+)", re.MULTILINE)
START_SECONDS = 300.0
DUMP_SECONDS = 60.0
WARM_UP = 40
ENVIRONMENT = {"PYTHONHASHSEED": "0"}


def instructions(rig: Rig, settings: Settings) -> Results:
    """JSON and SSE, each beside what it is compared with elsewhere."""
    if not shutil.which("valgrind") or not shutil.which("callgrind_control"):
        yield Result("instructions an exchange", "M", spread([float("nan")]), None, MISSING)
        return
    for kind, base in (("json", (BARE, BARE_AGAIN)), ("sse=0,0", (STREAMING, STREAMING_AGAIN))):
        sides = (*base, POWER) if settings.addon else base
        counted = {side: each(rig, side, kind, settings.instructions) for side in sides}
        yield from results("JSON" if kind == "json" else "SSE", counted, base[0])


MISSING = "valgrind is not installed: not counted"


def results(what: str, counted: dict[Side, float], base: Side) -> Results:
    """Millions of instructions for the base, ratios for the others."""
    below = counted[base]
    yield Result(f"instructions an exchange, {what}, {base.name}", "M", spread([below / 1e6]))
    for side, count in counted.items():
        if side is not base:
            note = f"{(count - below) / 1e6:+.3f} M"
            label = f"instructions, {what}, {side.name} / {base.name}"
            yield Result(label, "x", spread([count / below]), None, note)


def each(rig: Rig, side: Side, kind: str, counts: tuple[int, int]) -> float:
    """Instructions of one exchange of this kind on this side."""
    few, more = counts
    out = Path(tempfile.mkdtemp(prefix="valgrind-", dir=rig.folder)) / "callgrind.out"
    wrapper = ("valgrind", "--tool=callgrind", "--instr-atstart=no", "--fair-sched=try", "-q")
    with rig.proxy(
        side,
        wrapper=(*wrapper, f"--callgrind-out-file={out}"),
        environment=ENVIRONMENT,
        start_seconds=START_SECONDS,
    ) as proxy:
        with rig.connected([proxy], kind, 1, warm_up=WARM_UP):
            control(proxy, "-i", "on")
            rig.client(600.0, do="count", name=proxy.name, exchanges=WARM_UP)
            counted = [count(rig, proxy, number, out) for number in (few, more)]
    return (counted[1] - counted[0]) / (more - few)


def count(rig: Rig, proxy: Proxy, exchanges: int, out: Path) -> int:
    """Instructions that so many exchanges take."""
    control(proxy, "-z")
    rig.client(600.0, do="count", name=proxy.name, exchanges=exchanges)
    before = dumps(out)
    control(proxy, "-d")
    return totals(out, before)


def dumps(out: Path) -> set[Path]:
    """What valgrind has written so far."""
    return set(out.parent.glob(f"{out.name}*"))


def totals(out: Path, before: set[Path]) -> int:
    """The count in the dump that is not among those from before; it may take a moment."""
    deadline = time.monotonic() + DUMP_SECONDS
    while time.monotonic() < deadline:
        for written in dumps(out) - before:
            if found := TOTALS.search(written.read_text(errors="replace")):
                return int(found[1])
        time.sleep(0.1)
    raise TimeoutError("valgrind wrote no totals")


def control(proxy: Proxy, *arguments: str) -> None:
    """Tell valgrind something."""
    command = ["callgrind_control", *arguments, str(proxy.pid)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
