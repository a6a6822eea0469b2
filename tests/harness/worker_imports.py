"""Workers of one run import the test modules, each from another place on.

Each worker collects every test. In a fresh checkout pytest rewrites the assertions of each module,
and keeps the outcome beside it: workers that go the same way all do the same work at once.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import suppress

import pytest


def import_apart(config: pytest.Config) -> None:
    """Import the modules below the folders that pytest was called with; nothing in one process.

    What can't be imported is left to the collection, which says why.
    """
    worker = getattr(config, "workerinput", None)
    if worker is None:
        return
    modules = sorted(_find_modules(config))
    first = len(modules) * int(worker["workerid"].removeprefix("gw")) // worker["workercount"]
    for module in modules[first:] + modules[:first]:
        with suppress(Exception, pytest.skip.Exception):
            importlib.import_module(module)


def _find_modules(config: pytest.Config) -> Iterator[str]:
    excluded = {name for name in config.getini("norecursedirs") if not name.startswith(".")}
    for argument in config.args:
        for path in (config.invocation_params.dir / argument).rglob("test_*.py"):
            parts = path.relative_to(config.rootpath).with_suffix("").parts
            if not excluded.intersection(parts):
                yield ".".join(parts)
