"""The database and the working directory that the tests of single commands have."""

from __future__ import annotations

from tests.unit.cli.conftest import place, run, stored

__all__ = ["place", "run", "stored"]
