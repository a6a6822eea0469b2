"""Processor instructions an exchange, counted by valgrind: a figure that does not drift.

Of the proxy's process and of its ingester's, each by itself. Counting starts after the proxy is
warm. Two counts, of few and of more exchanges, are taken when all is in the database and indexed,
and their difference is divided by the difference of the exchanges, so that what happens once
cancels. One client at a time: each batch of the ingester holds one record, the dearest case.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.proxy import Proxy
from benchmarks.results import Result, Results
from benchmarks.rig import Rig
from benchmarks.settings import Settings
from benchmarks.sides import (
    BARE,
    BARE_AGAIN,
    EMPTY,
    POWER,
    PROCESS,
    REDACT,
    STREAMING,
    STREAMING_AGAIN,
    Side,
    older,
)
from benchmarks.spread import spread
from response_store.config import Durability

TOTALS = re.compile(r"^totals: (\d+)", re.MULTILINE)
START_SECONDS = 300.0
DUMP_SECONDS = 60.0
WARM_UP = 40
ENVIRONMENT = {"PYTHONHASHSEED": "0"}
MISSING = "valgrind is not installed: not counted"


@dataclass(frozen=True)
class Counted:
    """Instructions of the proxy and of its ingester."""

    proxy: float
    ingester: float


def instructions(rig: Rig, settings: Settings) -> Results:
    """JSON and SSE, each beside what it is compared with elsewhere."""
    if not shutil.which("valgrind") or not shutil.which("callgrind_control"):
        yield Result("instructions an exchange", "M", spread([float("nan")]), None, MISSING)
        return
    for kind, base in (("json", (BARE, BARE_AGAIN)), ("sse=0,0", (STREAMING, STREAMING_AGAIN))):
        ours = (EMPTY, PROCESS, POWER, REDACT, *older(settings.against, Durability.PROCESS))
        sides = (*base, *ours) if settings.addon else base
        counted = {side: each(rig, side, kind, settings.instructions) for side in sides}
        yield from results("JSON" if kind == "json" else "SSE", counted, base[0])


def results(what: str, counted: dict[Side, Counted], base: Side) -> Results:
    """Millions of instructions for the base, ratios for the others."""
    below = counted[base].proxy
    yield Result(f"instructions an exchange, {what}, {base.name}", "M", spread([below / 1e6]))
    for side, found in counted.items():
        if side is not base:
            note = f"{(found.proxy - below) / 1e6:+.3f} M"
            if side.has_ingester:
                note += f"; the ingester {found.ingester / 1e6:.3f} M, search index and all"
            label = f"instructions, {what}, {side.name} / {base.name}"
            yield Result(label, "x", spread([found.proxy / below]), None, note)


def each(rig: Rig, side: Side, kind: str, counts: tuple[int, int]) -> Counted:
    """Instructions of one exchange of this kind on this side."""
    few, more = counts
    with counting(rig, side) as (proxy, out):
        with rig.connected([proxy], kind, 1, warm_up=WARM_UP):
            for pid in processes(proxy):
                control("-i", "on", pid)
            exchange(rig, proxy, WARM_UP)
            one, other = (count(rig, proxy, number, out) for number in (few, more))
    each_of = [(many - some) / (more - few) for some, many in zip(one, other, strict=True)]
    return Counted(each_of[0], each_of[1] if side.has_ingester else 0.0)


@contextmanager
def counting(rig: Rig, side: Side) -> Iterator[tuple[Proxy, Path]]:
    """A proxy and its ingester under valgrind, not counting yet, and where the counts go."""
    out = Path(tempfile.mkdtemp(prefix="valgrind-", dir=rig.folder))
    options = ("--tool=callgrind", "--instr-atstart=no", "--fair-sched=try", "-q")
    files = f"--callgrind-out-file={out}/callgrind.%p"
    wrapper = ("valgrind", *options, "--trace-children=yes", files)
    with rig.proxy(
        side, wrapper=wrapper, environment=ENVIRONMENT, start_seconds=START_SECONDS
    ) as proxy:
        yield proxy, out


def processes(proxy: Proxy) -> list[int]:
    """Return the proxy and its ingester, if it has one."""
    if not proxy.side.has_ingester:
        return [proxy.pid]
    deadline = time.monotonic() + START_SECONDS
    while (ingester := proxy.ingester) is None:
        if time.monotonic() > deadline:
            raise TimeoutError("the ingester does not start under valgrind")
        time.sleep(0.1)
    return [proxy.pid, ingester]


def exchange(rig: Rig, proxy: Proxy, exchanges: int) -> None:
    """Have so many exchanges, and wait until nothing more is done for them."""
    rig.client(600.0, do="count", name=proxy.name, exchanges=exchanges)
    proxy.settle()
    proxy.rest()


def count(rig: Rig, proxy: Proxy, exchanges: int, out: Path) -> list[int]:
    """Return the instructions that so many exchanges take, of each process."""
    pids = processes(proxy)
    for pid in pids:
        control("-z", pid)
    exchange(rig, proxy, exchanges)
    return [dump(pid, out) for pid in pids]


def dump(pid: int, out: Path) -> int:
    """Have one process write its count, and return it; it may take a moment."""
    name = f"callgrind.{pid}*"
    before = set(out.glob(name))
    control("-d", pid)
    deadline = time.monotonic() + DUMP_SECONDS
    while time.monotonic() < deadline:
        for written in set(out.glob(name)) - before:
            if found := TOTALS.search(written.read_text(errors="replace")):
                return int(found[1])
        time.sleep(0.1)
    raise TimeoutError("valgrind wrote no totals")


def control(*arguments: str | int) -> None:
    """Tell valgrind something."""
    command = ["callgrind_control", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
