"""A script for mitmproxy that can make any function of the addon raise, one at a time.

It must be loaded before the addon's own script: it wraps every function and method of the package
before any of them is used. The request header `x-harness-break` names the one that raises from
then on, the command `harness.called` tells which ones ran.
"""

import enum
import functools
import importlib
import inspect
import os
import pkgutil
import sys
from collections.abc import Callable, Sequence
from typing import Any

from mitmproxy import command, http

sys.path.append(os.environ["HARNESS_PACKAGE"])

import response_store

BREAK = "x-harness-break"
NOT_AT_WORK = ("cli", "config", "errors", "resources", "mitmweb", "query", "reading", "lookup")
state: dict[str, Any] = {"broken": "", "called": set()}


class BrokenOnPurposeError(Exception):
    """What a broken function raises."""


def wrapped(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, noting its calls and raising while it is the broken one."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        state["called"].add(name)
        if state["broken"] == name:
            raise BrokenOnPurposeError(name)
        return function(*args, **kwargs)

    return wrapper


def wrap_attribute(name: str, value: Any) -> Any:
    """An attribute of a class or a module with its function wrapped; None if it has none."""
    if isinstance(value, staticmethod | classmethod):
        return type(value)(wrapped(name, value.__func__))
    if isinstance(value, property) and value.fget:
        return property(wrapped(name, value.fget), value.fset, value.fdel)
    return wrapped(name, value) if inspect.isfunction(value) else None


def modules() -> list[Any]:
    """The modules that are at work while traffic passes."""
    found = pkgutil.walk_packages(response_store.__path__, "response_store.")
    names = [info.name for info in found if not set(info.name.split(".")) & set(NOT_AT_WORK)]
    return [importlib.import_module(name) for name in names if "_script" not in name]


def wrap_class(kind: type) -> None:
    """Wrap the methods of a class."""
    for name, value in list(vars(kind).items()):
        full = f"{kind.__module__}.{kind.__qualname__}.{name}"
        new = None if name.startswith("__") else wrap_attribute(full, value)
        if new is not None:
            setattr(kind, name, new)


def wrap_everything() -> None:
    """Wrap the functions of all modules, wherever their names were imported."""
    new: dict[int, Any] = {}
    everywhere = [
        *modules(),
        *(m for n, m in sys.modules.items() if n.startswith("response_store")),
    ]
    for module in modules():
        for name, value in list(vars(module).items()):
            if getattr(value, "__module__", None) != module.__name__:
                continue
            if inspect.isclass(value) and not issubclass(value, enum.Enum | Exception):
                wrap_class(value)
            elif inspect.isfunction(value):
                new[id(value)] = wrapped(f"{module.__name__}.{name}", value)
    for module in everywhere:
        for name, value in list(vars(module).items()):
            if id(value) in new:
                setattr(module, name, new[id(value)])


class Breaking:
    """The hook that breaks, and the command that tells what ran."""

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Make the function raise that a request names, from now on; `-` mends everything."""
        state["broken"] = flow.request.headers.get(BREAK, state["broken"])

    @command.command("harness.called")
    def called(self) -> Sequence[str]:
        """Name what ran since the last call of this command."""
        called, state["called"] = state["called"], set()
        return sorted(called)


wrap_everything()
addons = [Breaking()]
