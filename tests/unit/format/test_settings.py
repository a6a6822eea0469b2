"""The tools that a request offers, and its settings."""

from __future__ import annotations

from response_store.format.settings import MAX_SETTINGS, list_settings, list_tools


def test_tools_by_name() -> None:
    """Functions of both APIs, the server's own tools, MCP servers, and tools in a namespace."""
    tools = [
        {"type": "function", "name": "dig"},
        {"type": "function", "function": {"name": "plant"}},
        {"type": "custom", "custom": {"name": "sing"}},
        {"type": "web_search"},
        {"type": "mcp", "server_label": "garden"},
        {"type": "namespace", "name": "trees", "tools": [{"type": "function", "name": "fell"}]},
        7,
    ]
    assert list_tools({"tools": tools, "functions": [{"name": "old"}]}) == (
        "dig", "plant", "sing", "web_search", "mcp:garden", "trees.fell", "old",
    )  # fmt: skip


def test_settings_in_one_line_each() -> None:
    """Nested settings have names with dots; texts, tools and what is not given are left out."""
    request = {
        "model": "m",
        "input": "Hi",
        "temperature": 0.5,
        "stream": True,
        "top_p": None,
        "metadata": {},
        "reasoning": {"effort": "high", "summary": None},
        "stop": ["a", "b"],
        "text": {"format": {"type": "json_schema", "schema": {"properties": {"a": {}}}}},
    }
    assert list_settings(request) == (
        ("temperature", "0.5"),
        ("stream", "true"),
        ("reasoning.effort", "high"),
        ("stop", '["a", "b"]'),
        ("text.format.type", "json_schema"),
        ("text.format.schema", "(schema)"),
    )


def test_settings_are_bounded() -> None:
    """Long values are cut, and no more settings are listed than anybody reads."""
    many = {f"x{number}": "y" * 1000 for number in range(1000)}
    settings = list_settings(many)
    assert len(settings) == MAX_SETTINGS
    assert settings[0] == ("x0", "y" * 60 + "…")
    deep: dict[str, object] = {"a": 1}
    for _ in range(50):
        deep = {"a": deep}
    assert list_settings({"b": deep})[0][0] == "b.a.a.a.a"
