"""List what a request asks for beside its texts: the tools that it offers, and its settings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from response_store.openai_api.item_texts import (
    Fields,
    as_fields,
    as_list,
    as_name,
    format_compact,
)

MAX_SETTINGS = 100
"""Settings that are listed."""
_MAX_VALUE = 60  # characters
_DEPTH = 4
_TEXTS = frozenset(
    {"input", "messages", "prompt", "items", "instructions", "tools", "functions", "model"}
    | {"previous_response_id", "conversation", "type", "prediction"}
)
"""Members of a request that are no settings: they are shown by themselves."""


def list_tools(request: Fields) -> tuple[str, ...]:
    """Return the names of the tools that a request offers; a kind of tool where it has no name."""
    return name_tools([*as_list(request.get("tools")), *as_list(request.get("functions"))])


def name_tools(tools: Iterable[object]) -> tuple[str, ...]:
    """Return the names of tools, those within others too."""
    return tuple(name for tool in tools for name in _list_names(as_fields(tool)))


def _list_names(tool: Fields, before: str = "") -> Iterator[str]:
    inner = as_fields(tool.get("function")) or as_fields(tool.get("custom")) or tool
    kind = as_name(tool.get("type"))
    name = as_name(inner.get("name"))
    if kind == "mcp":
        name = f"mcp:{as_name(tool.get('server_label'))}"
    nested = as_list(tool.get("tools"))
    if nested and not before:
        for each in nested:
            yield from _list_names(as_fields(each), f"{name or kind}.")
    elif name or kind:
        yield f"{before}{name or kind}"


def list_settings(request: Fields) -> tuple[tuple[str, str], ...]:
    """Return name and value of each setting of a request, those within others as `outer.inner`."""
    settings: list[tuple[str, str]] = []
    for name, value in request.items():
        if name not in _TEXTS:
            settings.extend(flatten_setting(name, value))
    return tuple(settings[:MAX_SETTINGS])


def flatten_setting(name: str, value: object, depth: int = 0) -> Iterator[tuple[str, str]]:
    """Yield name and value of a setting, or of each that is within it."""
    if value is None or value in ({}, []):
        return
    if isinstance(value, dict) and depth < _DEPTH and not _is_schema(value):
        for inner, each in value.items():
            yield from flatten_setting(f"{name}.{inner}", each, depth + 1)
    else:
        yield name, _format_value(value)


def _is_schema(value: Fields) -> bool:
    """Return whether a value is a JSON Schema, which is no setting but a text of its own."""
    return "properties" in value or "$schema" in value


def _format_value(value: object) -> str:
    if isinstance(value, dict) and _is_schema(value):
        return "(schema)"
    text = value if isinstance(value, str) else format_compact(value)
    return text if len(text) <= _MAX_VALUE else f"{text[:_MAX_VALUE]}\u2026"
