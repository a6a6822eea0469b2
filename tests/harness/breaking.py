"""A script for a process of ours that can make any function of the package raise, one at a time.

It runs in mitmproxy before the addon's own script, or in the ingester before anything else: it
wraps every function and method of the package before any of them is used. A file that all share
says which one raises now, and whether it has; see `Breaking`.
"""

from __future__ import annotations

import enum
import functools
import importlib
import inspect
import mmap
import os
import pkgutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

SHARED = "HARNESS_BREAKING"
"""The variable that names the file."""
SIZE = 512
_GENERATION, _HIT, _NAME = 0, 1, 2  # places in the file
_NOT_AT_WORK = (
    "cli", "config", "contentview", "errors", "exposure", "lookup", "query", "reading",
    "rendering", "resources", "running", "telling", "transfer",
)  # fmt: skip


class BrokenOnPurposeError(Exception):
    """What a broken function raises."""


class Breaking:
    """Which function is broken, in a file that several processes share.

    Each process notes the functions that it has called since `forget` in a file of its own.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists():
            path.write_bytes(bytes(SIZE))
        with path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), SIZE)
        self._called: set[str] = set()
        self._generation = 0

    def break_(self, name: str) -> None:
        """Have a function raise from now on; none with an empty name."""
        assert len(name) < SIZE - _NAME
        self._shared[_NAME:SIZE] = bytes(SIZE - _NAME)
        self._shared[_HIT] = 0
        self._shared[_NAME : _NAME + len(name)] = name.encode()

    @property
    def has_raised(self) -> bool:
        """Whether the broken one has been called."""
        return bool(self._shared[_HIT])

    def forget(self) -> None:
        """Note anew what is called."""
        for noted in self._notes():
            noted.unlink()
        self._shared[_GENERATION] = (self._shared[_GENERATION] + 1) % 256

    def called(self) -> set[str]:
        """What was called since then, in any process."""
        return {name for noted in self._notes() for name in noted.read_text().splitlines()}

    def wrapped(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, noting its calls and raising while it is the broken one."""
        shared, mine = self._shared, name.encode() + b"\0"
        end = _NAME + len(mine)

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            if name not in self._called or shared[_GENERATION] != self._generation:
                self._note(name)
            if shared[_NAME:end] == mine:
                shared[_HIT] = 1
                raise BrokenOnPurposeError(name)
            return function(*args, **kwargs)

        return wrapper

    def _note(self, name: str) -> None:
        if self._generation != self._shared[_GENERATION]:
            self._called, self._generation = set(), self._shared[_GENERATION]
        self._called.add(name)
        with self.path.with_suffix(f".{os.getpid()}").open("a") as noted:
            noted.write(name + "\n")

    def _notes(self) -> list[Path]:
        return [path for path in self.path.parent.glob(f"{self.path.stem}.*") if path != self.path]


def wrap_everything(breaking: Breaking) -> None:
    """Wrap the functions of all modules that are at work, wherever their names were imported."""
    new: dict[int, Any] = {}
    for module in _modules():
        for name, value in list(vars(module).items()):
            if getattr(value, "__module__", None) != module.__name__:
                continue
            if inspect.isclass(value) and not issubclass(value, enum.Enum | Exception):
                _wrap_class(breaking, value)
            elif inspect.isfunction(value):
                new[id(value)] = breaking.wrapped(f"{module.__name__}.{name}", value)
    for module in [m for n, m in sys.modules.items() if n.startswith("response_store")]:
        for name, value in list(vars(module).items()):
            if id(value) in new:
                setattr(module, name, new[id(value)])


def _modules() -> list[Any]:
    """The modules that are at work while traffic passes."""
    import response_store

    found = pkgutil.walk_packages(response_store.__path__, "response_store.")
    names = [info.name for info in found if not set(info.name.split(".")) & set(_NOT_AT_WORK)]
    return [importlib.import_module(name) for name in names]


def _wrap_class(breaking: Breaking, kind: type) -> None:
    for name, value in list(vars(kind).items()):
        full = f"{kind.__module__}.{kind.__qualname__}.{name}"
        new = None if name.startswith("__") else _wrap_attribute(breaking, full, value)
        if new is not None:
            setattr(kind, name, new)


def _wrap_attribute(breaking: Breaking, name: str, value: Any) -> Any:
    """An attribute of a class with its function wrapped; None if it has none."""
    if isinstance(value, staticmethod | classmethod):
        return type(value)(breaking.wrapped(name, value.__func__))
    if isinstance(value, property) and value.fget:
        return property(breaking.wrapped(name, value.fget), value.fset, value.fdel)
    return breaking.wrapped(name, value) if inspect.isfunction(value) else None


if SHARED in os.environ:
    sys.path.append(os.environ["HARNESS_PACKAGE"])
    from response_store.backoff import Backoff

    Backoff.__init__.__defaults__ = (0.02, 0.2, 0.25, 0, 0.0)  # all is tried again soon
    wrap_everything(Breaking(Path(os.environ[SHARED])))
