"""Loads configurations from texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from response_store.config import Config, ConfigError, load_config

Source = str | bytes | Mapping[str, Any]
Load = Callable[..., Config]
Refusal = Callable[..., str]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Loads a YAML text, its bytes, or the values that it should hold."""

    def load(source: Source, environ: Mapping[str, str] | None = None) -> Config:
        path = tmp_path / "store.yaml"
        path.write_bytes(_as_bytes(source))
        return load_config(path, environ or {})

    return load


@pytest.fixture
def refusal(load: Load) -> Refusal:
    """The text with which a configuration is refused."""

    def refusal(source: Source, environ: Mapping[str, str] | None = None) -> str:
        with pytest.raises(ConfigError) as caught:
            load(source, environ)
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None
        return str(caught.value)

    return refusal


def _as_bytes(source: Source) -> bytes:
    match source:
        case bytes():
            return source
        case str():
            return source.encode()
        case _:
            return yaml.safe_dump(dict(source), allow_unicode=True, sort_keys=False).encode()
