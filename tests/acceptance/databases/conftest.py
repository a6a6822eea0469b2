"""The servers and the lines to them that the tests of whole databases have."""

from __future__ import annotations

from tests.unit.backends.postgres.conftest import check, database, line, nothing_inherited, server

__all__ = ["check", "database", "line", "nothing_inherited", "server"]
