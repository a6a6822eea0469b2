"""The machine that a run was made on: figures mean nothing without it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sqlite3
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.places import mount_of
from benchmarks.spread import percentile

SYNCS = 100
SYNC_BYTES = 8192  # about what a commit of one exchange appends to the write-ahead log


def describe(folder: Path) -> dict[str, Any]:
    """Processor, kernel, versions, and how long the disk below `folder` takes to sync."""
    device, kind = mount_of(folder)
    syncs = sync_milliseconds(folder)
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "mitmproxy": importlib.metadata.version("mitmproxy"),
        "sqlite": sqlite3.sqlite_version,
        "disk": f"{kind} on {device}",
        "fdatasync_ms": {name: round(percentile(syncs, p), 3) for name, p in PERCENTILES.items()},
        "load_average": os.getloadavg()[0],
    }


PERCENTILES = {"p50": 0.5, "p95": 0.95}


def cpu_model() -> str:
    """The processor's own name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def sync_milliseconds(folder: Path) -> list[float]:
    """How long each of some appends takes to be on the disk."""
    path, found = folder / "sync-probe", []
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY)
    try:
        for _ in range(SYNCS):
            os.write(descriptor, bytes(SYNC_BYTES))
            start = time.perf_counter()
            os.fdatasync(descriptor)
            found.append((time.perf_counter() - start) * 1e3)
    finally:
        os.close(descriptor)
        path.unlink()
    return found
