"""Configurations are loaded here as they are in the tests of all keys."""

from __future__ import annotations

from tests.unit.config.conftest import load, refusal

__all__ = ["load", "refusal"]
