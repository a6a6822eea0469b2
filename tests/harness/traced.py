"""What processes do to files and sockets, as strace sees it, in the order in which it happened.

A program that is started through `tracing(path)` leaves a trace there; once it `has_ended`,
`read_calls` returns what it says.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

TRACED = (
    "openat,open,creat,write,writev,pwrite64,pwritev,ftruncate,truncate,fallocate,fsync,fdatasync,"
    "rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,rmdir,link,linkat,sendto,sendmsg"
)
_WRITES = {"write", "writev", "pwrite64", "pwritev", "sendto", "sendmsg"}
_RESULT = re.compile(r"(-?\d+|\?)(?:<([^>]*)>)?.*")
_PLACE = re.compile(r"\d+<([^>]*)>(\(deleted\))?")


class Call(NamedTuple):
    """One system call that went well. `began` and `ended` are places in the order of all.

    `place` is the file or socket of its descriptor, empty where that was removed; `paths` are those
    that it names, `data` is what it wrote. `number` is the last argument: an offset or a size.
    """

    name: str
    began: int
    ended: int
    place: str
    paths: list[str]
    flags: str
    data: bytes
    number: int


def tracing(path: Path) -> list[str]:
    """Return the command that starts a program so that its calls, and its children's, are noted."""
    return [
        "strace", "-D", "-f", "--seccomp-bpf", "-y", "-xx", "-s", "100000000", "-e", "signal=none",
        "-e", f"trace={TRACED}", "-o", str(path),
    ]  # fmt: skip


@cache
def cannot_trace() -> str:
    """Return why calls can't be traced on this machine; nothing where they can."""
    if shutil.which("strace") is None:
        return "there is no strace, which only Linux has (apt install strace)"
    try:
        tried = subprocess.run(
            [*tracing(Path("/dev/null")), "true"], capture_output=True, timeout=20, check=False
        )
    except subprocess.TimeoutExpired:
        return "strace hangs"
    return "" if tried.returncode == 0 else "strace may not trace processes here"


def has_ended(path: Path) -> bool:
    """Return whether every process of a trace has ended."""
    seen, gone = set(), set()
    with path.open("rb") as lines:
        for line in lines:
            pid, _, rest = line.partition(b" ")
            seen.add(pid)
            if rest.lstrip().startswith(b"+++"):
                gone.add(pid)
    return bool(seen) and seen == gone


def read_calls(path: Path) -> list[Call]:
    """Return the calls that went well, in the order in which they ended."""
    with path.open(encoding="latin-1") as lines:
        return list(_parse(lines))


def _parse(lines: Iterator[str]) -> Iterator[Call]:
    begun: dict[str, tuple[int, str]] = {}
    for at, line in enumerate(lines):
        pid, rest = line.rstrip("\n").split(maxsplit=1)
        if rest.startswith(("+++", "---")):
            continue
        if rest.endswith(" <unfinished ...>"):
            begun[pid] = at, rest.removesuffix(" <unfinished ...>")
            continue
        began = at
        if rest.startswith("<... "):
            began, first = begun.pop(pid)
            rest = first + rest.partition(" resumed>")[2]
        call, _, result = rest.rpartition(" = ")
        match = _RESULT.fullmatch(result)
        assert match is not None, f"strace says what is not known: {line:.200}"
        if match[1] != "?" and int(match[1]) >= 0:
            name, _, arguments = call.rstrip().removesuffix(")").partition("(")
            yield _call(name, began, at, arguments, int(match[1]), match[2])


def _call(
    name: str, began: int, ended: int, arguments: str, result: int, place: str | None
) -> Call:
    """Return a call; `place` is the file that it has opened."""
    named, *texts = arguments.split('"')
    last = texts[-1] if texts else named
    descriptor = _PLACE.match(named)
    data = [_decode(text) for text in texts[::2]]
    writes = name in _WRITES
    if place is None and descriptor is not None:
        place = "" if descriptor[2] else descriptor[1]
    number = re.search(r", (\d+)$", last)
    flags = re.search(r"\bO_[A-Z_|]+", last)
    return Call(
        name,
        began,
        ended,
        _decode(place or "").decode(),
        [] if writes else [text.decode() for text in data],
        flags[0] if flags else "",
        b"".join(data)[:result] if writes else b"",
        int(number[1]) if number else 0,
    )


def _decode(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def sent(calls: Sequence[Call]) -> dict[str, list[tuple[int, bytes]]]:
    """Return what was sent over each socket, each piece with the moment at which that began."""
    pieces: dict[str, list[tuple[int, bytes]]] = {}
    for call in calls:
        if call.name in {"sendto", "sendmsg"}:
            pieces.setdefault(call.place, []).append((call.began, call.data))
    return pieces
