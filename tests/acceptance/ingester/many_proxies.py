"""Run many proxies of one exchange each on one database, some of them killed.

    python -m tests.acceptance.ingester.many_proxies FOLDER HOW_MANY SEED [DATABASE_URL]

Every other proxy empties its journal itself, as its ingester would; two more processes take over
whatever nobody owns, as commands do. One in five of all is killed on its way. Prints the keys of
the exchanges that were acknowledged, and what went wrong, as JSON. Processes are forked from this
one: an interpreter for each would take minutes.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from response_store.backends.registry import build_store
from response_store.config import Config
from response_store.diagnostics import Counters, ErrorReporter
from response_store.ingest.takeover import Fate, FoundJournal, take_over
from response_store.journal.directory import build_target, list_journals
from tests.unit.ingest.proxy_side import ProxyJournal, make_config

AT_ONCE = 8
PRIVATE = "allow_private_database_url: true\nssl_mode: disable\n"
_WELL = {Fate.APPLIED, Fate.BUSY}


class Fleet:
    """The proxies, and who takes over from them. `notes` is a folder for what they say."""

    def __init__(self, config: Config, notes: Path) -> None:
        assert config.journal.path is not None
        self._config = config
        self._folder = config.journal.path
        self._notes = notes
        self._folder.mkdir(mode=0o700, exist_ok=True)

    def run(self, how_many: int) -> None:
        """Start them all, eight at once, and kill one in five somewhere on its way."""
        takers = [self._fork(self._take_over_and_over) for _ in range(2)]
        running: set[int] = set()
        for key in range(1, how_many + 1):
            pid = self._fork(self._proxy, key)
            running.add(pid)
            if random.random() < 0.2:
                time.sleep(random.random() * 0.04)
                os.kill(pid, signal.SIGKILL)
            while len(running) >= AT_ONCE:
                ended, _ = os.wait()
                running.discard(ended)
                if ended in takers:  # one of those is killed now and then as well
                    takers[takers.index(ended)] = self._fork(self._take_over_and_over)
            if random.random() < 0.05:
                os.kill(random.choice(takers), signal.SIGKILL)
        for pid in running:
            os.waitpid(pid, 0)
        (self._notes / "ended").touch()
        for pid in takers:
            os.waitpid(pid, 0)

    def finish(self) -> None:
        """Sweep once more, as somebody does a minute later."""
        list_journals(self._folder, wall=lambda: time.time() + 120)
        self._sweep(self._config)

    def _proxy(self, key: int) -> None:
        """Make a journal, have one exchange pass, and end."""
        proxy = ProxyJournal(self._config)
        if proxy.exchange(key).done:
            self._note("acknowledged", str(key))
        time.sleep(random.random() * 0.005)
        proxy.close()
        if key % 2:
            self._sweep(self._config, only=proxy.directory.path)

    def _take_over_and_over(self) -> None:
        while not (self._notes / "ended").exists():
            self._sweep(self._config)
            time.sleep(random.random() * 0.02)

    def _sweep(self, config: Config, **how: Any) -> None:
        store, counters = build_store(config), Counters()
        try:
            found = take_over(
                self._folder, config, store, build_target(config), counters=counters,
                errors=ErrorReporter(counters), deadline=time.monotonic() + 60, **how,
            )  # fmt: skip
        finally:
            store.close()
        for journal in found:
            if journal.fate not in _WELL and not _was_removed(journal):
                self._note("errors", f"{journal.fate}: {journal.problem}")
        for name in counters.snapshot():
            if name.startswith(("fault.", "dropped.", "frames_gone", "dead_letters")):
                self._note("errors", name)

    def _note(self, name: str, text: str) -> None:
        fd = os.open(self._notes / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(fd, f"{text}\n".encode())
        os.close(fd)

    def _fork(self, function: Callable[..., None], *arguments: int) -> int:
        pid = os.fork()
        if pid:
            return pid
        try:
            random.seed()
            function(*arguments)
        except BaseException as error:  # noqa: BLE001
            self._note("errors", f"{type(error).__name__}: {error}")
        finally:
            os._exit(0)


def _was_removed(journal: FoundJournal) -> bool:
    """Return whether somebody else has applied and removed a journal that was looked for."""
    return journal.fate is Fate.UNUSABLE and not journal.path.exists()


def main() -> None:
    """Run, and print what became of it."""
    folder, how_many, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    url = sys.argv[4] if len(sys.argv) > 4 else None
    random.seed(seed)
    notes = folder / "notes"
    notes.mkdir()
    fleet = Fleet(make_config(folder, PRIVATE if url else "", url=url), notes)
    fleet.run(how_many)
    fleet.finish()
    result = {
        name: (notes / name).read_text().splitlines() if (notes / name).exists() else []
        for name in ("acknowledged", "errors")
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
