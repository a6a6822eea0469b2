"""A database with proxies that write to it, or have ended, for the tests of commands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from response_store.config import Config, load_config
from tests.unit.ingest.proxy_side import Ingester, ProxyJournal

CONFIG = "proxy.yaml"


def configure(place: Path, text: str = "database_url: sqlite://responses.db\n") -> None:
    """Write a configuration whose journals are in `place`."""
    (place / CONFIG).write_text(f"{text}journal: {{path: {place / 'journals'}}}\n")


def proxy_journal(place: Path, keys: range = range(0), **options: Any) -> ProxyJournal:
    """Return the journal of a proxy that runs, with whole exchanges of these keys."""
    journal = ProxyJournal(loaded(place), **options)
    for key in keys:
        journal.exchange(key)
    return journal


def killed_proxy(place: Path, keys: range) -> Path:
    """Make the journal of a proxy that was killed with its ingester; return its folder."""
    journal = proxy_journal(place, keys)
    journal.close()
    return journal.directory.path


def loaded(place: Path) -> Config:
    """Return the configuration as a proxy has it that was started in `place`."""
    return load_config(place / CONFIG)


@contextmanager
def running_proxy(place: Path, keys: range = range(0)) -> Iterator[Ingester]:
    """A proxy with its ingester, a process."""
    journal = proxy_journal(place, keys)
    ingester = Ingester(journal)
    try:
        ingester.verdict()
        yield ingester
    finally:
        ingester.close()
        journal.close()


def listed(result: Any) -> list[str]:
    """The ids in the output of `list`, the newest first."""
    return [line.split("\t")[7] for line in result.stdout.splitlines()]


def journal_folders(place: Path) -> list[str]:
    """The names of the journals that are left."""
    folder = place / "journals"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []
